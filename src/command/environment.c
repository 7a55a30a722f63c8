/* Checks the environment as a whole: every variable that looks like one of pgsweep's must be
 * one. */
#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/store.h"

/* The variables besides those of the object store and of policies: options of the systemd unit
 * (cli), and those that only tests set. */
static const char *const OTHERS[] = {"PGSWEEP_OPTIONS",       "PGSWEEP_SUPERUSER",
                                     "PGSWEEP_TEST_DISTANCE", "PGSWEEP_TEST_SERVER_VERSION",
                                     "PGSWEEP_TEST_SESSION",  NULL};

bool command_check_environment(const void *ctx, const struct cli_options *options,
                               const char *policy, struct error *err)
{
    const char **names, **fixed = NULL;
    size_t count, n = 0, i;
    char *warnings;
    void *scratch = talloc_new(ctx);
    if (!policy_names(scratch, options->policy_dir, &names, &count, err))
        return false;
    for (size_t k = 0; OTHERS[k]; k++) {
        i = mem_grow(scratch, &fixed, &n);
        fixed[i] = OTHERS[k];
    }
    for (size_t k = 0; store_variable(k); k++) {
        i = mem_grow(scratch, &fixed, &n);
        fixed[i] = store_variable(k);
    }
    i = mem_grow(scratch, &fixed, &n);
    fixed[i] = NULL;
    const struct policy_variables known = {.policy = policy,
                                           .policies = names,
                                           .policy_count = count,
                                           .fixed = fixed,
                                           .others_possible = options->command == COMMAND_OBJECTS &&
                                                              !options->policy_dir};
    bool ok = policy_check_environment(scratch, &known, environ, &warnings, err);
    if (ok)
        fputs(warnings, stderr);
    talloc_free(scratch);
    return ok;
}
