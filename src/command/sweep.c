/* pgsweep POLICY for rows: carries out a run, from the command line to the report. */
#include <stdio.h>
#include <stdlib.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/effects_file_rules.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/files.h"
#include "pgsweep/gate.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/state.h"
#include "pgsweep/state_dead_letters.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/state_space.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/stop.h"
#include "pgsweep/sweep.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"
#include "run.h"

/* How long a live run counts if the policy sets no limit. */
static const char COUNT_TIMEOUT[] = "30 s";
enum { COUNT_TIMEOUT_MS = 30 * 1000 };

/* "0 s" is refused: as a number, 0 would mean "no limit", which is hardly what its author meant. */
static bool read_runtime(struct run *run, struct error *err)
{
    const struct setting *setting = &run->policy->max_runtime;
    if (!setting->value)
        return true;
    if (!plan_interval_ms(run->db, setting, "max_runtime", &run->budget.max_runtime_ms, err))
        return false;
    return run->budget.max_runtime_ms > 0 ||
           error_set(err, SWEEP_USAGE, "%s: max_runtime \"%s\" must be a positive interval",
                     setting->origin, setting->value);
}

static bool read_budget(struct run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    struct sweep_budget *budget = &run->budget;
    int64_t n = SWEEP_RETRIES;
    budget->chunk_rows = strcmp(policy->chunk.value, "auto") == 0 ? 0 : atoll(policy->chunk.value);
    budget->max_rows = policy->max_rows.value ? atoll(policy->max_rows.value) : 0;
    budget->max_failed =
        policy->max_failed.value ? atoll(policy->max_failed.value) : SWEEP_MAX_FAILED;
    budget->verbose = command_logs_each(run->options);
    budget->allow_missing_index = run->options->allow_missing_index;
    if (run->options->retries && !text_to_count(run->options->retries, 1000, &n))
        return error_set(err, SWEEP_USAGE,
                         "option --retries: \"%s\" is not a number from 1 to 1000",
                         run->options->retries);
    budget->retries = (int)n;
    run->count_timeout_ms = COUNT_TIMEOUT_MS;
    return read_runtime(run, err) &&
           (!policy->count_timeout.value ||
            plan_interval_ms(run->db, &policy->count_timeout, "count_timeout",
                             &run->count_timeout_ms, err)) &&
           (!policy->pause.value ||
            plan_interval_ms(run->db, &policy->pause, "pause", &budget->pause_ms, err));
}

/* Refuses an unsafe root of working directories before a row is deleted. A root that does not exist
 * on this host is ignored, unless somebody named it. */
static bool check_directories(const struct run *run, struct error *err)
{
    const struct plan *plan = run->plan;
    const struct setting root = policy_working_root(run->policy);
    const char *roots[] = {plan->directory_root};
    struct files_options options = {.root = plan->directory_root};
    if (plan->directory && !command_settle_retention(run->policy, run->db, err))
        return false;
    file_rules_apply(run->report, &run->policy->files, &options);
    if (plan->directory)
        return (files_check_root(&options, NULL, err) || error_prefix(err, "%s", root.origin)) &&
               command_check_protections(&run->policy->files, roots, 1, run->report, err);
    if (plan->directory_root && strcmp(root.value, POLICY_TEMP_DIR) != 0)
        report_remark(run->report,
                      "%s (%s) does not exist on this host: no working directories are removed",
                      text_escape(run->report, root.value, strlen(root.value)), root.origin);
    return true;
}

static bool compile(struct run *run, const char *spared_run, struct plan **plan, struct error *err)
{
    const struct plan_request request = {.live = !run->report->dry_run,
                                         .cutoff = run->options->cutoff,
                                         .allow_missing_index = run->options->allow_missing_index,
                                         .run_id = spared_run};
    return plan_build(run->report, run->db, run->policy, &request, plan, err);
}

static bool prepare(struct run *run, struct error *err)
{
    char *name = run_application_name(run->report, run->policy->name, run->report->run_id);
    bool standby;
    if (!command_check_host_clock(run->options, run->policy, err) ||
        !command_connect(run->report, run->options, name, &command_limits, &run->db, err) ||
        !read_budget(run, err) ||
        !command_check_database_clock(run->options, run->policy, run->db, &run->report->started,
                                      &standby, err))
        return false;
    if (!run->report->dry_run && standby) {
        error_set(err, SWEEP_USAGE, "%s is a standby: nothing can be deleted there",
                  db_where(run->db));
        error_sqlstate(err, sqlstate_code(SQLSTATE_READ_ONLY_TRANSACTION));
        return error_hint(err, "Connect to the primary; a dry run works on a standby too.");
    }
    if (!compile(run, run->spared_run, &run->plan, err))
        return false;
    report_set_plan(run->report, run->plan);
    return sweep_check_throttle(run->db, run->plan, run->report, err) &&
           check_directories(run, err);
}

static bool count_all(struct run *run, bool dependents, int64_t timeout_ms, struct error *err)
{
    struct report *report = run->report;
    stop_cancel_early(true);
    bool ok = !stop_requested() &&
              plan_count(report, run->db, run->plan, dependents, timeout_ms, &report->counts, err);
    stop_cancel_early(false);
    if (ok) {
        report->counted = COUNTED_EXACTLY;
        return true;
    }
    report_uncount(report);
    if (!stop_requested())
        return false;
    error_clear(err);
    report->signal = stop_signal();
    return true;
}

/* Adds a remark for each table without statistics, whose estimate is a guess. */
static bool note_guesses(struct run *run, struct error *err)
{
    const struct plan *plan = run->plan;
    bool *without = mem_array(run->report, bool, plan->node_count);
    if (!plan_without_statistics(run->report, run->db, plan, without, err))
        return false;
    for (size_t i = 0; i < plan->node_count; i++)
        if (without[i])
            report_remark(run->report, "%s has no statistics: its estimate is a guess (ANALYZE %s)",
                          plan->nodes[i]->table.label, plan->nodes[i]->table.label);
    return true;
}

/* Adds a remark about the rows in partitions without a foreign key that would refer to deleted
 * rows. */
static bool note_uncovered(struct run *run, struct error *err)
{
    for (size_t i = 0; i < run->plan->uncovered_count && !run->report->signal; i++) {
        const struct plan_edge *edge = &run->plan->uncovered[i];
        int64_t rows;
        if (!plan_count_uncovered(run->db, run->plan, edge, &rows, err))
            return false;
        if (rows > 0)
            report_remark(run->report,
                          "%s: %" PRId64 " rows would refer to rows of %s that are gone",
                          edge->table, rows, edge->parent->table.label);
    }
    return true;
}

/* The placeholder for the id of the run in statements that are only printed. */
static const char ANY_RUN[] = "RUN-ID";

/* --dry-run --echo ends with the statements of the live run, whose plan differs from that of the
 * dry run because it also writes its own records. */
static bool echo_statements(struct run *run, struct error *err)
{
    struct plan *plan;
    if (!run->options->echo)
        return true;
    db_set_echo(run->db, false);
    bool ok = compile(run, ANY_RUN, &plan, err);
    if (ok)
        statements_print(run->db, plan, &run->budget, stderr);
    db_set_echo(run->db, true);
    return ok;
}

/* Whether to count again: a count that other sessions or recovery on a standby cancelled may work
 * the next time, one that took too long will not. */
static bool may_count_again(const struct run *run, int attempt, const struct error *why)
{
    return attempt <= run->budget.retries && !stop_requested() &&
           db_failure_class(run->db, why) == DB_FAILURE_TRANSIENT &&
           !sqlstate_is(why, SQLSTATE_QUERY_CANCELED);
}

/* The counts of a dry run. Each try starts from the beginning, so that all counts are of one state
 * of the database. */
static bool count_patiently(struct run *run, struct error *err)
{
    for (int attempt = 1;; attempt++) {
        if (count_all(run, true, command_limits.statement_timeout_ms, err) &&
            note_uncovered(run, err))
            return true;
        if (!may_count_again(run, attempt, err))
            return false;
        error_clear(err);
        run->report->retries++;
        clock_sleep_ms(clock_backoff_ms(attempt, 100, 10000));
    }
}

/* A dry run: counts or estimates what would be deleted. */
static bool preview(struct run *run, struct error *err)
{
    struct report *report = run->report;
    const char *unbounded = policy_unbounded(report, run->policy);
    if (unbounded)
        report_remark(report, "%s", unbounded);
    if (run->options->estimate) {
        report->counted = COUNTED_ROUGHLY;
        return plan_estimate(report, run->db, run->plan, &report->counts, err) &&
               note_guesses(run, err) && echo_statements(run, err);
    }
    if (count_patiently(run, err))
        return report->signal || echo_statements(run, err);
    if (sqlstate_is(err, SQLSTATE_QUERY_CANCELED))
        error_hint(
            err, "Counting took too long. --dry-run --estimate answers at once, from statistics.");
    else if (sqlstate_is(err, SQLSTATE_SERIALIZATION_FAILURE))
        error_hint(err, "Recovery cancelled the count again and again: see "
                        "max_standby_streaming_delay and hot_standby_feedback, or run against the "
                        "primary.");
    return false;
}

/* The count before a live run is information only: the run waits for it no longer than its limit,
 * and holds no snapshot longer. */
static bool count_in_time(struct run *run, struct error *err)
{
    struct report *report = run->report;
    const struct setting *limit = &run->policy->count_timeout;
    const int64_t longest_ms = command_limits.statement_timeout_ms;
    int64_t timeout_ms = run->count_timeout_ms < longest_ms ? run->count_timeout_ms : longest_ms;
    if (timeout_ms == 0) { /* for the server, 0 would mean no limit */
        report->count_limit = limit->value;
        return true;
    }
    int64_t end_ms = clock_now_ms() + timeout_ms;
    for (int attempt = 1; !count_all(run, false, timeout_ms, err); attempt++) {
        bool in_the_way = db_failed_for_lock(err);
        if ((!in_the_way && !sqlstate_is(err, SQLSTATE_QUERY_CANCELED)) || db_is_lost(run->db))
            return false;
        error_clear(err);
        timeout_ms = end_ms - clock_now_ms();
        if (!in_the_way || timeout_ms <= 0) {
            report->count_limit = limit->value ? limit->value : COUNT_TIMEOUT;
            return true;
        }
        clock_sleep_ms(clock_backoff_ms(attempt, 100, 2000));
    }
    return true;
}

/* The live part under the policy's lock: record, sweep, record. */
static bool sweep_locked(struct run *run, struct state *state, struct error *err)
{
    struct report *report = run->report;
    struct progress progress;
    if (!run_note_unfinished(state, report, err) || !spared_forget(state, run->plan, err) ||
        !letter_close_settled(state, run->plan, err) || !count_in_time(run, err))
        return false;
    if (report->signal)
        return true;
    run->recording = true;
    if (!run_begin(state, report, err) || !objects_note_sources(state, report, err))
        return false;
    progress_start(&progress, run->options->quiet);
    run->begun = true;
    bool ok = sweep_run(run->db, state, run->plan, &run->budget, &progress, report, err);
    if (!ok) /* the record has the error too; the original error is reported */
        error_copy(&report->error, err);
    struct error ignored = ERROR_INIT;
    if (ok)
        space_look(state, report);
    report_close(report);
    /* If the database was lost for good, the run does not wait for it a second time. */
    bool worth_it = ok || !db_is_lost(run->db);
    if (worth_it && !command_record_end(run, state, &ignored) && ok) {
        error_move(err, &ignored);
        ok = false;
    }
    error_clear(&ignored);
    return ok;
}

/* The lost session may still exist on the server and hold the lock. */
static bool take_lock(struct run *run, struct state *state, struct error *err)
{
    enum { WAIT_MS = 30000 };
    return run->last_id ? run_lock_again(state, run->policy->name, run->last_id, WAIT_MS, err)
                        : run_lock(state, run->policy->name, err);
}

static bool sweep(struct run *run, struct error *err)
{
    struct state *state = state_open(run->report, gate_open(run->report, run->db, false));
    if (run->report->not_begun) {
        report_close(run->report);
        return true;
    }
    if ((run->plan->has_objects && !objects_check_settings(err)) || !state_check(run->db, err) ||
        !take_lock(run, state, err))
        return false;
    bool ok = sweep_locked(run, state, err);
    run_unlock(state, run->policy->name);
    return ok;
}

static int sweep_files(const struct run *run, struct error *err)
{
    if (!run->options->estimate)
        return command_sweep_files(run->options, run->policy, err);
    error_set(err, SWEEP_USAGE,
              "option --estimate is for policies about rows; policy %s is about files",
              run->policy->name);
    return (int)err->code;
}

static bool run_once(struct run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    bool warns = false;
    if (!command_warns_superuser(&warns, err) || !prepare(run, err))
        return false;
    if (warns && run->plan->superuser && !options->quiet)
        command_warn_superuser(run->plan);
    return options->dry_run ? preview(run, err) : sweep(run, err);
}

/* Starts a run again that lost the database before anything was deleted: with a new connection,
 * plan and cutoff and, if its record was begun, a new id. */
static void begin_anew(struct run *run, void *ctx)
{
    struct report *before = run->report;
    run->last_id = before->run_id;
    run->report = report_anew(ctx, before);
    if (run->recording)
        run->report->run_id = run_new_id(run->report);
    if (run->spared_run && run->spared_run != ANY_RUN)
        run->spared_run = run->report->run_id;
    run->recording = false;
    run->plan = NULL;
    talloc_free(run->db);
    run->db = NULL;
}

static bool run_patiently(struct run *run, void *ctx,
                          bool (*once)(struct run *run, struct error *err), struct error *err)
{
    struct again again = {0};
    if (!command_retry_for(&run->policy->retry_for, &again.retry_for_ms, err))
        return false;
    run->budget.retry_for_ms = again.retry_for_ms;
    while (!once(run, err)) {
        if (run->begun || !command_again(&again, run->db, run->options->quiet, err))
            return false;
        error_clear(err);
        begin_anew(run, ctx);
    }
    return true;
}

/* Long statements are to give way to other sessions; where nobody could look who waits, the report
 * says so. */
static void note_unwatched(const struct run *run)
{
    const char *why = run->db ? db_unwatched(run->db) : NULL;
    if (why)
        report_remark(run->report,
                      "a long statement did not give way to sessions that wait for its tables, "
                      "because that takes a second connection: %s",
                      why);
}

static int sweep_rows(struct run *run, void *ctx, struct error *err)
{
    const struct cli_options *options = run->options;
    int64_t started_ms = clock_now_ms();
    run->report = report_new(ctx, run->policy, options->dry_run);
    run->report->run_id = run_new_id(run->report);
    run->spared_run = options->dry_run ? NULL : run->report->run_id;
    stop_install();
    bool ok =
        command_open_outputs(options, run->report, err) && run_patiently(run, ctx, run_once, err);
    if (!ok && !run->begun && stop_requested())
        ok = command_note_stopped(options, run->report, run->db, err);
    if (!ok) {
        command_explain_failure(run->report, err);
        command_record_refusal(options, run->policy, run->report, run->db, err);
    }
    note_unwatched(run);
    run->report->duration_ms = clock_now_ms() - started_ms;
    return command_tell(options, run->report, ok, err);
}

int command_sweep(const struct cli_options *options, struct error *err)
{
    struct run run = {.options = options};
    void *ctx = talloc_new(NULL);
    int code;
    bool ok = command_load_policy(ctx, options, &run.policy, err) &&
              command_check_environment(ctx, options, run.policy->name, err);
    if (ok && run.policy->kind == KIND_FILES) {
        code = sweep_files(&run, err);
    } else if (ok && command_check_row_options(options, run.policy, err)) {
        code = sweep_rows(&run, ctx, err);
    } else {
        command_record_refusal(options, run.policy, NULL, NULL, err);
        code = (int)err->code;
    }
    talloc_free(ctx);
    return code;
}

int command_show_sql(const struct cli_options *options, struct policy *policy, struct error *err)
{
    struct run run = {.options = options, .policy = policy, .spared_run = ANY_RUN};
    void *ctx = talloc_new(NULL);
    if (policy->kind == KIND_FILES) {
        error_set(err, SWEEP_USAGE, "policy %s is about files: a run of it sends no statements",
                  policy->name);
        talloc_free(ctx);
        return (int)err->code;
    }
    run.report = report_new(ctx, policy, true);
    run.report->run_id = run_new_id(run.report);
    bool ok = run_patiently(&run, ctx, prepare, err);
    if (ok)
        statements_print(run.db, run.plan, &run.budget, stdout);
    talloc_free(ctx);
    return ok ? SWEEP_OK : (int)err->code;
}
