/* The commands that take a few lines: init, list, show, help. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/state.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* Ends a command: frees its memory and gives its exit code. */
static int done(void *ctx, bool ok, const struct error *err)
{
    talloc_free(ctx);
    return ok ? SWEEP_OK : (int)err->code;
}

/* In one transaction: what the script refuses to adopt, its further statements do not touch. */
static void print_script(const char *script)
{
    printf("BEGIN;\n%s\nCOMMIT;\n", script);
}

/* The script may be run any number of times, so also after a try of which nobody knows whether it
 * took effect. */
static bool init_once(const struct attempt *attempt, void *arg, struct error *err)
{
    const struct cli_options *options = attempt->options;
    (void)arg;
    if (options->print_sql) {
        print_script(state_init_sql(attempt->ctx, attempt->db, options->role));
        return true;
    }
    if (!state_init(attempt->db, options->role, err))
        return false;
    if (!options->quiet)
        printf("state schema \"pgsweep\" is at version %d in %s\n", STATE_VERSION,
               db_where(attempt->db));
    return true;
}

int command_init(const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    const struct setting retry_for = command_retry_option(options);
    bool ok = true;
    if (options->print_sql && !options->role)
        print_script(state_init_sql(ctx, NULL, NULL));
    else
        ok = command_patiently(options, &retry_for, "pgsweep/init", init_once, NULL, err);
    return done(ctx, ok, err);
}

/* name, description pairs of all policies; NULL, with err set, when one cannot be read. */
static const char **describe_policies(const void *ctx, const char *policy_dir, struct error *err)
{
    const char **names;
    size_t count;
    if (!policy_names(ctx, policy_dir, &names, &count, err))
        return NULL;
    const char **pairs = mem_array(ctx, const char *, 3 * count + 1);
    for (size_t i = 0; i < count; i++) {
        struct policy *policy;
        if (!policy_load(ctx, names[i], policy_dir, &policy, err))
            return NULL;
        pairs[2 * i] = names[i];
        pairs[2 * i + 1] =
            policy && policy->description.value ? text_line(ctx, policy->description.value) : "";
    }
    return pairs;
}

int command_list(const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    const char **pairs = command_check_environment(ctx, options, NULL, err)
                             ? describe_policies(ctx, options->policy_dir, err)
                             : NULL;
    for (size_t i = 0; pairs && pairs[i]; i += 2) {
        struct policy *policy;
        if (policy_load(ctx, pairs[i], options->policy_dir, &policy, err) && policy)
            printf("%-12s %-10s %s\n             from %s\n", pairs[i], policy->retain.value,
                   pairs[i + 1], text_line(ctx, policy->source));
    }
    return done(ctx, pairs != NULL, err);
}

int command_show(const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    struct policy *policy;
    bool about_sql = options->dbname || options->host || options->port || options->user ||
                     options->echo || options->password || options->no_password ||
                     options->cutoff || options->allow_missing_index;
    if (!options->sql && about_sql) {
        error_set(err, SWEEP_USAGE,
                  "pgsweep show takes options of a connection or of a run only with --sql");
        return done(ctx, error_hint(err, "Use it with \"pgsweep show %s --sql\".", options->policy),
                    err);
    }
    bool ok = command_load_policy(ctx, options, &policy, err) &&
              command_check_environment(ctx, options, policy->name, err);
    if (options->sql) {
        int code = ok ? command_show_sql(options, policy, err) : (int)err->code;
        talloc_free(ctx);
        return code;
    }
    PQExpBuffer text = createPQExpBuffer();
    ok = ok && policy_print(policy, text, err);
    const char *unbounded = ok ? policy_unbounded(ctx, policy) : NULL;
    if (unbounded)
        text_tell("warning", "%s", unbounded);
    if (ok)
        printf("# policy %s, from %s; retain from %s\n%s", policy->name,
               text_line(ctx, policy->source), text_line(ctx, policy->retain.origin), text->data);
    destroyPQExpBuffer(text);
    return done(ctx, ok, err);
}

int command_help(const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    const char *none[] = {NULL};
    const char **pairs = describe_policies(ctx, options->policy_dir, err);
    error_clear(err); /* help is given even where a policy file is broken */
    cli_print_help(options->topic, pairs ? pairs : none, stdout);
    return done(ctx, true, err);
}
