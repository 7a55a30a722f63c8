/* pgsweep POLICY for files: from the policy and the options to the sweep of its roots. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/effects.h"
#include "pgsweep/files.h"
#include "pgsweep/instant.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

/* A pause is made after so many removals when the policy names no chunk. */
enum { PAUSE_EVERY = 1000 };

struct file_run {
    const struct cli_options *options;
    struct policy *policy;
    struct report *report;
    struct files_options how;
    struct files_report sums;
    const char **active; /* sorted */
    size_t active_count;
    size_t roots_found; /* roots that exist */
    const char *locked; /* those that another sweep holds; NULL: none */
};

static const char **values_of(const void *ctx, const struct setting *settings, size_t count)
{
    const char **values = mem_array(ctx, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        values[i] = settings[i].value;
    return values;
}

static void append(const void *ctx, struct setting **list, size_t *count, const char *const *more,
                   size_t more_count, const char *origin)
{
    struct setting *joined = mem_array(ctx, struct setting, *count + more_count + 1);
    if (*count > 0)
        memcpy(joined, *list, *count * sizeof *joined);
    for (size_t i = 0; i < more_count; i++)
        joined[(*count)++] = (struct setting){more[i], origin};
    *list = joined;
}

/* Options that only mean something for rows. */
static bool check_options(const struct file_run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    const char *which = options->allow_missing_index ? "--allow-missing-index"
                        : options->retries           ? "--retries" : NULL;
    return !which || error_set(err, SWEEP_USAGE, "option %s is for rows; policy %s is about files", which,
                               run->policy->name);
}

/* What the options say over the policy. */
static bool apply_options(struct file_run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    struct policy *policy = run->policy;
    if (!check_options(run, err))
        return false;
    if (options->root)
        policy->root_count = 0;
    append(run->report, &policy->roots, &policy->root_count, &options->root, options->root != NULL,
           "option --root");
    append(run->report, &policy->protect, &policy->protect_count, options->protect,
           options->protect_count, "option --protect");
    append(run->report, &policy->protect_dirs, &policy->protect_dir_count, options->protect_dirs,
           options->protect_dir_count, "option --protect-dir");
    if (policy->root_count == 0) {
        struct setting root = policy_temp_dir();
        append(run->report, &policy->roots, &policy->root_count, &root.value, 1, root.origin);
    }
    if (!options->age_by)
        return true;
    for (int i = 0; policy_age_by_names[i]; i++)
        if (strcmp(policy_age_by_names[i], options->age_by) == 0) {
            policy->age_by = i;
            return true;
        }
    return error_set(err, SWEEP_USAGE, "option --age-by: \"%s\" is none of mtime, atime, ctime, btime",
                     options->age_by);
}

/* A cutoff given by hand must not be younger than what the retention gives. */
static bool set_cutoff(struct file_run *run, struct error *err)
{
    const char *given = run->options->cutoff;
    struct timespec *cutoff = &run->how.cutoff;
    struct timespec now;
    struct timespec youngest;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!interval_before(&run->policy->retain, "retain", now, &youngest, err))
        return false;
    youngest.tv_nsec -= youngest.tv_nsec % 1000; /* as it is printed */
    *cutoff = youngest;
    if (given && !instant_read(given, cutoff)) {
        error_set(err, SWEEP_USAGE, "option --cutoff: \"%s\" is not a point in time", given);
        return error_hint(err, "Write it as \"2026-11-14 03:00:00\" (UTC).");
    }
    run->report->started = instant_text(run->report, now);
    run->report->file_cutoff = instant_text(run->report, *cutoff);
    if (instant_is_after(*cutoff, now))
        return error_set(err, SWEEP_USAGE, "option --cutoff: %s lies in the future", run->report->file_cutoff);
    if (instant_is_after(*cutoff, youngest)) {
        error_set(err, SWEEP_USAGE, "option --cutoff: %s is younger than the retention (%s) allows",
                  run->report->file_cutoff, run->policy->retain.value);
        return error_hint(err, "The youngest cutoff possible now is %s.", instant_text(run->report, youngest));
    }
    return true;
}

/* A duration in milliseconds, without a database: how far it lies back from now. */
static bool duration_ms(const struct setting *setting, const char *what, int64_t *ms, struct error *err)
{
    struct timespec now;
    struct timespec then;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!setting->value)
        return true;
    if (!interval_before(setting, what, now, &then, err))
        return false;
    *ms = (int64_t)(now.tv_sec - then.tv_sec) * 1000 + (now.tv_nsec - then.tv_nsec) / 1000000;
    return true;
}

static bool set_limits(struct file_run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    int64_t runtime = 0;
    if (policy->max_rows.value)
        run->how.max_deletions = strtoll(policy->max_rows.value, NULL, 10);
    if (!duration_ms(&policy->max_runtime, "max_runtime", &runtime, err) ||
        !duration_ms(&policy->pause, "pause", &run->how.pause_ms, err))
        return false;
    run->how.deadline_ms = runtime > 0 ? clock_now_ms() + runtime : 0;
    if (run->how.pause_ms > 0)
        run->how.pause_every = strcmp(policy->chunk.value, "auto") == 0
                                   ? PAUSE_EVERY : strtoll(policy->chunk.value, NULL, 10);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_active(void *arg, const char *name)
{
    const struct file_run *run = arg;
    return run->active_count > 0 &&
           bsearch(&name, run->active, run->active_count, sizeof *run->active, compare_names) != NULL;
}

/* With a database: which jobs are still active, by the guards of the policy that "active" names. */
static bool read_active(struct file_run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    const struct db_options where = {.dbname = options->dbname, .host = options->host};
    const struct plan_request request = {.live = false};
    struct cli_options jobs_options = *options;
    struct policy *jobs;
    struct plan *plan;
    struct db *db;
    if (!run->policy->active.value || !db_is_configured(&where))
        return true;
    jobs_options.policy = run->policy->active.value;
    jobs_options.retain = jobs_options.chunk = jobs_options.max_rows = NULL;
    jobs_options.max_runtime = jobs_options.max_failed = jobs_options.pause = NULL;
    char *name = mem_printf(run->report, "pgsweep/%s/%s", run->policy->name, run->report->run_id);
    if (!command_load_policy(run->report, &jobs_options, &jobs, err))
        return error_prefix(err, "%s: active", run->policy->active.origin);
    if (jobs->kind != KIND_ROWS)
        return error_set(err, SWEEP_USAGE, "%s: active names the policy %s, which is about files itself",
                         run->policy->active.origin, jobs->name);
    if (!command_connect(run->report, options, name, &db, err) ||
        !plan_build(run->report, db, jobs, &request, &plan, err) ||
        !plan_active_keys(run->report, db, plan, &run->active, &run->active_count, err)) {
        error_prefix(err, "asking policy %s which files belong to active rows", jobs->name);
        return error_hint(err, "%s%sNothing was deleted. Without a database (no -d, no PG* variables) nothing is asked.",
                          err->hint ? err->hint : "", err->hint ? " " : "");
    }
    talloc_free(db); /* a sweep may take hours, and asks nothing more */
    if (run->active_count > 0)
        qsort(run->active, run->active_count, sizeof *run->active, compare_names);
    run->how.is_active = is_active;
    run->how.is_active_arg = run;
    return true;
}

static void on_event(void *arg, const struct files_event *event)
{
    const struct file_run *run = arg;
    if (event->kind == FILES_EVENT_ERROR)
        fprintf(stderr, "pgsweep: warning: cannot %s %s: %s\n", event->action, event->path,
                strerror(event->error));
    else if (event->kind == FILES_EVENT_DELETED && command_logs_each(run->options))
        report_log(run->report, "%s %s", run->options->dry_run ? "would delete" : "deleted", event->path);
}

static bool prepare(struct file_run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    if (!apply_options(run, err) || !set_cutoff(run, err) || !set_limits(run, err))
        return false;
    run->how.age_by = (enum files_age_by)policy->age_by;
    run->how.protect = values_of(run->report, policy->protect, policy->protect_count);
    run->how.protect_count = policy->protect_count;
    run->how.protect_dirs = values_of(run->report, policy->protect_dirs, policy->protect_dir_count);
    run->how.protect_dir_count = policy->protect_dir_count;
    run->how.in_use = policy->in_use == IN_USE_KEEP;
    run->how.dry_run = run->options->dry_run;
    run->how.on_event = on_event;
    run->how.on_event_arg = run;
    run->how.errors_only = !command_logs_each(run->options);
    return command_check_roots(policy, &run->how, run->report, &run->roots_found, err) && read_active(run, err);
}

/* "/tmp/nexrender (pgsweep, process 4711)" */
static void note_locked(struct file_run *run, const char *root)
{
    struct report *report = run->report;
    const char *holder = files_lock_holder(report, root);
    run->locked = mem_printf(report, "%s%s%s%s%s%s", run->locked ? run->locked : "", run->locked ? ", " : "",
                             text_escape(report, root, strlen(root)), holder ? " (" : "", holder ? holder : "",
                             holder ? ")" : "");
    report->left_locked++;
}

/* A root that another sweep holds is left to it; when there is no other root, nothing was done. */
static bool tell_locked(const struct file_run *run, struct error *err)
{
    if (!run->locked)
        return true;
    if (run->report->left_locked < (int64_t)run->roots_found) {
        report_remark(run->report, "another sweep holds the lock of %s: left to it", run->locked);
        return true;
    }
    error_set(err, SWEEP_LOCKED, "another sweep holds the lock of %s", run->locked);
    return error_hint(err, "Wait for it to finish; the next run takes what is left.");
}

static bool sweep(struct file_run *run, struct error *err)
{
    for (size_t i = 0; i < run->policy->root_count; i++) {
        int64_t locked = run->sums.roots_locked;
        run->how.root = run->policy->roots[i].value;
        if (!files_sweep(&run->how, &run->sums, err))
            return false;
        if (run->sums.roots_locked > locked)
            note_locked(run, run->how.root);
    }
    return tell_locked(run, err);
}

int command_sweep_files(const struct cli_options *options, struct policy *policy, struct error *err)
{
    void *ctx = talloc_new(NULL);
    struct file_run run = {.options = options, .policy = policy};
    int64_t started_ms = clock_now_ms();
    run.report = report_new(ctx, policy, options->dry_run);
    run.report->run_id = run_new_id(run.report);
    run.report->files = &run.sums;
    stop_install();
    bool ok = command_open_log(options, run.report, err) && prepare(&run, err) && sweep(&run, err);
    run.report->failed = run.sums.failed;
    if (run.sums.limit_reached)
        run.report->limit = run.how.max_deletions > 0 && files_deleted(&run.sums) >= run.how.max_deletions
                                ? "max-rows" : "max-runtime";
    run.report->signal = run.sums.stopped ? stop_signal() : 0;
    run.report->duration_ms = clock_now_ms() - started_ms;
    if (ok)
        report_check_alerts(run.report);
    int code = command_tell(options, run.report, ok, err);
    talloc_free(ctx);
    return code;
}
