/* pgsweep grants POLICY: the rights of a role of its own, and the warning to a superuser, who
 * should have one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/state.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/text.h"

/* The role that the statements are printed for when nobody names one. */
static const char DEFAULT_ROLE[] = "pgsweep";

bool command_warns_superuser(bool *warns, struct error *err)
{
    const char *value = getenv("PGSWEEP_SUPERUSER");
    *warns = !value || !*value || strcmp(value, "warn") == 0;
    return *warns || strcmp(value, "allow") == 0 ||
           error_set(
               err, SWEEP_USAGE,
               "environment variable PGSWEEP_SUPERUSER: \"%s\" is neither \"warn\" nor \"allow\"",
               value);
}

void command_warn_superuser(const struct plan *plan)
{
    const char *name = plan->policy->name;
    text_tell("warning",
              "policy %s runs as superuser %s, and so does whatever code it meets in the database; "
              "\"pgsweep "
              "grants %s\" "
              "prints the rights that a role of its own needs (PGSWEEP_SUPERUSER=allow ends this "
              "warning)",
              name, plan->role, name);
}

static bool print_grants(const struct attempt *attempt, void *policy_given, struct error *err)
{
    const struct policy *policy = policy_given;
    const struct plan_request request = {.allow_missing_index = true};
    const char *role = attempt->options->role ? attempt->options->role : DEFAULT_ROLE;
    PQExpBuffer text = createPQExpBuffer();
    struct plan *plan;
    bool ok = plan_build(attempt->ctx, attempt->db, policy, &request, &plan, err) &&
              plan_grants(text, plan, attempt->db, role, err);
    if (ok)
        printf("-- what role %s needs for policy %s in %s\n%s%s;\n", role, policy->name,
               db_where(attempt->db), text->data,
               state_grants_sql(attempt->ctx, attempt->db, role));
    destroyPQExpBuffer(text);
    return ok;
}

int command_grants(const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    struct policy *policy;
    bool ok = command_load_policy(ctx, options, &policy, err);
    if (ok && policy->kind == KIND_FILES)
        ok = error_set(err, SWEEP_USAGE,
                       "policy %s is about files: it needs no rights in a database", policy->name);
    ok = ok && command_patiently(options, &policy->retry_for, "pgsweep/grants", print_grants,
                                 policy, err);
    talloc_free(ctx);
    return ok ? SWEEP_OK : (int)err->code;
}
