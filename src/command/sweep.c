/* pgsweep POLICY: from the command line to the report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/effects.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/stop.h"
#include "pgsweep/sweep.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

enum { LOCK_TIMEOUT_MS = 2000, STATEMENT_TIMEOUT_MS = 30 * 60 * 1000, IDLE_TIMEOUT_MS = 60 * 1000 };

struct run {
    const struct cli_options *options;
    struct policy *policy;
    struct db *db;
    struct plan *plan;
    struct report *report;
    struct sweep_budget budget;
};

/* 0 would mean "no limit", which nobody says with "0 s". */
static bool read_runtime(struct run *run, struct error *err)
{
    const struct setting *setting = &run->policy->max_runtime;
    if (!setting->value)
        return true;
    if (!plan_interval_ms(run->db, setting, "max_runtime", &run->budget.max_runtime_ms, err))
        return false;
    return run->budget.max_runtime_ms > 0 ||
           error_set(err, SWEEP_USAGE, "%s: max_runtime \"%s\" must be a positive interval", setting->origin,
                     setting->value);
}

static bool read_budget(struct run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    struct sweep_budget *budget = &run->budget;
    int64_t n = SWEEP_RETRIES;
    budget->chunk_rows = strcmp(policy->chunk.value, "auto") == 0 ? 0 : atoll(policy->chunk.value);
    budget->max_rows = policy->max_rows.value ? atoll(policy->max_rows.value) : 0;
    budget->max_failed = policy->max_failed.value ? atoll(policy->max_failed.value) : SWEEP_MAX_FAILED;
    budget->verbose = command_logs_each(run->options);
    budget->allow_missing_index = run->options->allow_missing_index;
    if (run->options->retries && !text_to_count(run->options->retries, 1000, &n))
        return error_set(err, SWEEP_USAGE, "option --retries: \"%s\" is not a number from 1 to 1000",
                         run->options->retries);
    budget->retries = (int)n;
    return read_runtime(run, err) &&
           (!policy->pause.value ||
            plan_interval_ms(run->db, &policy->pause, "pause", &budget->pause_ms, err));
}

/* A root of working directories that will be refused is told before a row goes. One that is not there is
 * none of this host's business, unless somebody named it. */
static bool check_directories(const struct run *run, struct error *err)
{
    const struct plan *plan = run->plan;
    const struct setting *given = &run->policy->directory_root;
    const struct setting root = given->value ? *given : policy_temp_dir();
    const struct files_options options = {.root = plan->directory_root};
    if (plan->directory)
        return files_check_root(&options, NULL, err) || error_prefix(err, "%s", root.origin);
    if (plan->directory_root && strcmp(root.value, POLICY_TEMP_DIR) != 0)
        report_remark(run->report, "%s (%s) does not exist on this host: no working directories are removed",
                      text_escape(run->report, root.value, strlen(root.value)), root.origin);
    return true;
}

static bool prepare(struct run *run, struct error *err)
{
    const struct db_limits limits = {LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, IDLE_TIMEOUT_MS};
    const struct plan_request request = {.live = !run->options->dry_run,
                                         .cutoff = run->options->cutoff,
                                         .allow_missing_index = run->options->allow_missing_index,
                                         .run_id = run->options->dry_run ? NULL : run->report->run_id};
    char *name = run_application_name(run->report, run->policy->name, run->report->run_id);
    struct db_rows *rows;
    if (!command_connect(run->report, run->options, name, &run->db, err) ||
        !db_set_limits(run->db, &limits, err) || !read_budget(run, err))
        return false;
    if (!db_query(run->db, run->report, template_fill(run->report, "sql/session.sql", "server_state", NULL), 0, NULL,
                  &rows, err))
        return false;
    run->report->started = db_rows_get(rows, 0, 0);
    if (request.live && db_rows_bool(rows, 0, 1)) {
        error_set(err, SWEEP_USAGE, "%s is a standby: nothing can be deleted there", db_where(run->db));
        return error_hint(err, "Run against the primary; a dry run works on a standby too.");
    }
    if (!plan_build(run->report, run->db, run->policy, &request, &run->plan, err))
        return false;
    report_set_plan(run->report, run->plan);
    return check_directories(run, err);
}

static bool count(struct run *run, struct error *err)
{
    stop_cancel_early(true);
    bool ok = !stop_requested() && plan_count(run->report, run->db, run->plan, run->options->dry_run,
                                              &run->report->counts, err);
    stop_cancel_early(false);
    if (!ok && stop_requested()) {
        error_clear(err);
        run->report->signal = stop_signal();
        return true;
    }
    return ok;
}

/* Dead letters after the run, and what their number means. */
static bool settle_letters(struct run *run, struct effects *effects, struct error *err)
{
    struct report *report = run->report;
    if (report->letter_depth >= 0)
        return true;
    if (!letter_close_settled(effects, run->plan, err) ||
        (run->plan->spared_run && !spared_forget(effects, run->plan, err)) ||
        !letter_depth(run->db, run->policy->name, &report->letter_depth, err))
        return false;
    report_check_alerts(report);
    report_close(report);
    return true;
}

/* Writes the end of the run into its record, with a new connection where the old one is lost. */
static bool record_end(struct run *run, struct effects *effects, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        bool reachable = !db_is_lost(run->db) || db_reconnect(run->db, err);
        if (reachable && settle_letters(run, effects, err) && run_finish(effects, run->report, err))
            return true;
        enum db_failure class = db_failure_class(run->db, err);
        bool transient = class == DB_FAILURE_TRANSIENT || class == DB_FAILURE_CONNECTION;
        if (!transient || attempt > run->budget.retries || stop_requested())
            break;
        error_clear(err);
        clock_sleep_ms(clock_backoff_ms(attempt, 100, 10000));
    }
    if (err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED;
    return error_prefix(err, "what is reported is gone, but the end of the run could not be recorded");
}

/* The live part: lock, record, sweep, record. */
static bool sweep(struct run *run, struct error *err)
{
    struct report *report = run->report;
    struct effects *effects = effects_open(report, run->db, false);
    struct progress progress;
    if (!state_check(run->db, err) || !run_lock(run->db, run->policy->name, err) ||
        !run_note_unfinished(effects, report, err) || !spared_forget(effects, run->plan, err) ||
        !letter_close_settled(effects, run->plan, err) || !count(run, err))
        return false;
    if (report->signal)
        return true;
    if (!run_begin(effects, report, err) || !queue_note_sources(effects, report, err))
        return false;
    progress_start(&progress, run->options->quiet);
    bool ok = sweep_run(run->db, effects, run->plan, &run->budget, &progress, report, err);
    if (!ok) {
        /* The record tells it too; the original error is the one to report. */
        error_set(&report->error, err->code, "%s", err->message);
    }
    struct error ignored = ERROR_INIT;
    report_close(report);
    /* A database that was lost for good is not waited for a second time. */
    bool worth_it = ok || !db_is_lost(run->db);
    if (worth_it && !record_end(run, effects, &ignored) && ok) {
        error_move(err, &ignored);
        ok = false;
    }
    error_clear(&ignored);
    return ok;
}

/* A lock that another session holds is no fault of usage, wherever the run met it. */
static void explain_lock(struct error *err)
{
    if (strcmp(err->sqlstate, "55P03") != 0 || err->code != SWEEP_USAGE)
        return;
    err->code = SWEEP_SOME_FAILED;
    error_prefix(err, "another session keeps a lock on a table that this run needs");
    error_hint(err, "Nothing was deleted. pg_locks and pg_stat_activity name the session; run again "
                    "when it is done.");
}

int command_sweep(const struct cli_options *options, struct error *err)
{
    struct run run = {.options = options};
    void *ctx = talloc_new(NULL);
    int64_t started_ms = clock_now_ms();
    int code;
    if (!command_load_policy(ctx, options, &run.policy, err)) {
        code = (int)err->code;
    } else if (run.policy->kind == KIND_FILES) {
        code = command_sweep_files(options, run.policy, err);
    } else if (options->root || options->age_by || options->protect_count || options->protect_dir_count) {
        error_set(err, SWEEP_USAGE, "options --root, --age-by, --protect and --protect-dir are for files; "
                                    "policy %s is about rows", run.policy->name);
        code = (int)err->code;
    } else {
        run.report = report_new(ctx, run.policy, options->dry_run);
        run.report->run_id = run_new_id(run.report);
        stop_install();
        bool ok = command_open_log(options, run.report, err) && prepare(&run, err) &&
                  (options->dry_run ? count(&run, err) : sweep(&run, err));
        if (!ok)
            explain_lock(err);
        run.report->duration_ms = clock_now_ms() - started_ms;
        code = command_tell(options, run.report, ok, err);
    }
    talloc_free(ctx);
    return code;
}
