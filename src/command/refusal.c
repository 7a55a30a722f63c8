/* Records a live run that did not begin because of a mistake or a safeguard: the audit trail has
 * refused runs too. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/gate.h"
#include "pgsweep/state.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

bool command_is_policy(const void *ctx, const struct cli_options *options, const char *name)
{
    const char **names;
    size_t count;
    struct error ignored = ERROR_INIT;
    bool found = false;
    if (!policy_names(ctx, options->policy_dir, &names, &count, &ignored))
        count = 0;
    for (size_t i = 0; i < count; i++)
        found = found || strcmp(names[i], name) == 0;
    error_clear(&ignored);
    return found;
}

/* A connection for the record alone; NULL if it fails or would need somebody to type a password. */
static struct db *connect_quietly(const void *ctx, const struct cli_options *options,
                                  const char *run_id)
{
    const struct db_options where = {.dbname = options->dbname, .host = options->host};
    struct cli_options quiet = *options;
    struct error ignored = ERROR_INIT;
    struct db *db = NULL;
    quiet.no_password = true;
    quiet.echo = false;
    if (options->password || !db_is_configured(&where) ||
        !command_connect(ctx, &quiet, run_application_name(ctx, options->policy, run_id),
                         &command_limits, &db, &ignored))
        db = NULL;
    error_clear(&ignored);
    return db;
}

void command_record_refusal(const struct cli_options *options, const struct policy *policy,
                            const struct report *report, struct db *db, const struct error *err)
{
    bool refused = err->code == SWEEP_USAGE || err->code == SWEEP_REFUSED;
    bool rows = !policy || policy->kind == KIND_ROWS;
    void *ctx = talloc_new(NULL);
    if (refused && rows && !options->dry_run && !(report && report->recorded) &&
        (policy || command_is_policy(ctx, options, options->policy))) {
        const char *id = report ? report->run_id : run_new_id(ctx);
        /* A run that has a report has already tried to connect. */
        struct db *to = db || report ? db : connect_quietly(ctx, options, id);
        struct error ignored = ERROR_INIT;
        /* Nothing is written into a schema that somebody else may have created, which may be the
         * reason for the refusal. */
        if (to && trust_check_state(to, &ignored))
            run_record_refused(state_open(ctx, gate_open(ctx, to, false)),
                               &(struct run_refusal){
                                   .run_id = id,
                                   .name = options->policy,
                                   .policy = policy,
                                   .cutoff = report && report->plan ? report->plan->cutoff : NULL,
                                   .why = err});
        error_clear(&ignored);
    }
    talloc_free(ctx);
}

/* A lock that another session holds is not a usage error, wherever the run met it. */
static void explain_lock(struct error *err)
{
    if (sqlstate_is(err, SQLSTATE_LOCK_LOST)) {
        err->code = SWEEP_LOCKED;
        error_hint(
            err,
            "Deletions committed before that stay deleted; the other run deletes what is left. "
            "This run was paused, or cut off from the server, for longer than its lease.");
        return;
    }
    if (!db_failed_for_lock(err) || err->code != SWEEP_USAGE)
        return;
    err->code = SWEEP_SOME_FAILED;
    error_prefix(err, "another session holds a lock on a table that this run needs");
    error_hint(err, "Nothing was deleted. Find the session in pg_locks and pg_stat_activity; run "
                    "again when it has finished.");
}

/* A safeguard refused the plan, before or during a run; the report has what was deleted before
 * that. */
static void explain_refusal(const struct report *report, struct error *err)
{
    int64_t deleted = 0;
    if (err->code != SWEEP_REFUSED)
        return;
    for (size_t i = 0; report->deleted && i < report->plan->node_count; i++)
        deleted += report->deleted[i];
    /* This goes into the detail because the hint has lines to be pasted. */
    error_detail(err, "%s%s%s", err->detail ? err->detail : "", err->detail ? "\n" : "",
                 deleted > 0 ? "Nothing more was deleted." : "Nothing was deleted.");
}

void command_explain_failure(const struct report *report, struct error *err)
{
    explain_lock(err);
    explain_refusal(report, err);
}

bool command_note_stopped(const struct cli_options *options, struct report *report,
                          const struct db *db, struct error *err)
{
    bool cancelled = sqlstate_is(err, SQLSTATE_QUERY_CANCELED);
    if (!cancelled && !db_may_come_back(db, err))
        return false;
    report->signal = stop_signal();
    report_remark(report, "stopped by signal %d before anything was deleted: %s", stop_signal(),
                  err->message);
    if (!report->plan && !options->json)
        text_tell("warning", "%s", report->remarks[report->remark_count - 1]);
    error_clear(err);
    return true;
}
