/* Loading a policy and connecting, as the command line says. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static bool unknown_policy(const void *ctx, const struct cli_options *options, struct error *err)
{
    const char **names;
    size_t count;
    if (!policy_names(ctx, options->policy_dir, &names, &count, err))
        return false;
    size_t n = 0, commands = 0;
    while (cli_command_name(commands))
        commands++;
    const char **all = mem_array(ctx, const char *, count + commands);
    for (size_t i = 0; i < count; i++)
        all[n++] = names[i];
    for (size_t i = 0; i < commands; i++)
        all[n++] = cli_command_name(i);
    const char *nearest = text_nearest(options->policy, all, n);
    error_set(err, SWEEP_USAGE, "there is no policy or command \"%s\"", options->policy);
    if (nearest)
        return error_hint(err, "Did you mean \"%s\"? \"pgsweep list\" lists the policies.",
                          nearest);
    return error_hint(err, "\"pgsweep list\" lists the policies, \"pgsweep --help\" the commands.");
}

bool command_load_policy(const void *ctx, const struct cli_options *options, struct policy **policy,
                         struct error *err)
{
    const struct {
        const char *key, *value, *origin;
    } overrides[] = {
        {"retain", options->retain, "option --retain"},
        {"chunk", options->chunk, "option --chunk"},
        {"max_rows", options->max_rows, "option --max-rows"},
        {"max_runtime", options->max_runtime, "option --max-runtime"},
        {"max_failed", options->max_failed, "option --max-failed"},
        {"pause", options->pause, "option --pause"},
        {"count_timeout", options->count_timeout, "option --count-timeout"},
        {"retry_for", options->retry_for, "option --retry-for"},
        {"throttle", options->throttle, "option --throttle"},
        {"replica_lag", options->replica_lag, "option --replica-lag"},
        {"slot_wal", options->slot_wal, "option --slot-wal"},
        {"ignore_replicas", options->ignore_replicas, "option --ignore-replicas"},
        {"lock_waiters", options->lock_waiters, "option --lock-waiters"},
        {"active_sessions", options->active_sessions, "option --active-sessions"},
        {"snapshot_age", options->snapshot_age, "option --snapshot-age"},
        {"checkpoints", options->checkpoints, "option --checkpoints"},
        {"autovacuum", options->autovacuum, "option --autovacuum"},
        {"wait_while", options->wait_while, "option --wait-while"},
        {"pause_file", options->pause_file, "option --pause-file"},
        {"max_wait", options->max_wait, "option --max-wait"},
        {"stop_file", options->stop_file, "option --stop-file"},
        {"window", options->window, "option --window"},
        {"triggers", options->allow_triggers ? "allow" : NULL, "option --allow-triggers"},
        {"age_by", options->age_by, "option --age-by"},
        {"protect_case", options->protect_case, "option --protect-case"},
        {"system_root", options->allow_system_root ? "allow" : NULL, "option --allow-system-root"},
        {"special", options->special, "option --special"},
        {"owner", options->owner, "option --owner"},
        {"min_free", options->min_free, "option --min-free"},
    };
    if (!policy_load(ctx, options->policy, options->policy_dir, policy, err))
        return false;
    if (!*policy)
        return unknown_policy(ctx, options, err);
    for (size_t i = 0; i < sizeof overrides / sizeof *overrides; i++)
        if (overrides[i].value && !policy_override(*policy, overrides[i].key, overrides[i].value,
                                                   overrides[i].origin, err))
            return false;
    return (options->protect_count == 0 ||
            policy_override_list(*policy, "protect", options->protect, options->protect_count,
                                 "option --protect", err)) &&
           (options->protect_dir_count == 0 ||
            policy_override_list(*policy, "protect_dirs", options->protect_dirs,
                                 options->protect_dir_count, "option --protect-dir", err));
}

const struct db_limits command_limits = {.lock_timeout_ms = 2000,
                                         .statement_timeout_ms = 30 * 60 * 1000,
                                         .idle_in_transaction_ms = 60 * 1000};

struct setting command_retry_option(const struct cli_options *options)
{
    return (struct setting){.value = options->retry_for, .origin = "option --retry-for"};
}

bool command_connect(const void *ctx, const struct cli_options *options,
                     const char *application_name, const struct db_limits *limits, struct db **db,
                     struct error *err)
{
    struct db_options how = {.dbname = options->dbname,
                             .host = options->host,
                             .port = options->port,
                             .user = options->user,
                             .never_prompt = options->no_password,
                             .always_prompt = options->password,
                             .application_name = application_name,
                             .echo = options->echo,
                             .limits = *limits};
    return db_connect(ctx, &how, db, err);
}

bool command_settle_retention(struct policy *policy, struct db *db, struct error *err)
{
    struct setting *retain = &policy->files.retain;
    struct error why = ERROR_INIT;
    struct timespec now;
    struct timespec then;
    int64_t ms;
    if (!retain->value)
        *retain = policy->retain;
    clock_gettime(CLOCK_REALTIME, &now);
    if (strcmp(retain->value, POLICY_RETAIN_NONE) == 0 ||
        interval_before(retain, "retain", now, &then, &why))
        return true;
    error_clear(&why);
    if (!plan_interval_ms(db, retain, "retain", &ms, err))
        return false;
    retain->value = mem_printf(policy, "%lld milliseconds", (long long)ms);
    return true;
}

bool command_check_row_options(const struct cli_options *options, const struct policy *policy,
                               struct error *err)
{
    if (options->root) {
        error_set(err, SWEEP_USAGE, "option --root is for files; policy %s is about rows",
                  policy->name);
        return error_hint(err, "Where working directories are is said by the policy (files: root) "
                               "or by " POLICY_TEMP_VARIABLE ".");
    }
    if (!options->estimate || options->dry_run)
        return true;
    error_set(err, SWEEP_USAGE, "option --estimate needs --dry-run");
    return error_hint(err, "A live run counts before it begins, for at most --count-timeout.");
}
