/* pgsweep POLICY for files: from the policy and the options to the sweep of its roots. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/effects.h"
#include "pgsweep/files.h"
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

/* "", "Z", "+00", "-0330", "+02:00": what the clock time is ahead of UTC, in seconds. */
static bool read_offset(const char *text, long *seconds)
{
    int hours = 0;
    int minutes = 0;
    int used = 0;
    char sign = '+';
    *seconds = 0;
    text += strspn(text, " ");
    if (!*text || !strcmp(text, "Z"))
        return true;
    if ((sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || text[used]) &&
        (sscanf(text, "%c%2d%2d%n", &sign, &hours, &minutes, &used) != 3 || text[used])) {
        minutes = 0;
        if (sscanf(text, "%c%2d%n", &sign, &hours, &used) != 2 || text[used])
            return false;
    }
    *seconds = (hours * 60L + minutes) * 60 * (sign == '-' ? -1 : 1);
    return (sign == '+' || sign == '-') && hours >= 0 && hours <= 15 && minutes >= 0 && minutes < 60;
}

/* A fraction of a second, if there is one; its end. */
static const char *read_fraction(const char *text, long *nanoseconds)
{
    *nanoseconds = 0;
    if (text[0] != '.' || text[1] < '0' || text[1] > '9')
        return text;
    for (long unit = 100000000; *++text >= '0' && *text <= '9'; unit /= 10)
        *nanoseconds += (*text - '0') * unit;
    return text;
}

/* A cutoff given by hand, in the forms that PostgreSQL and ISO 8601 share; UTC unless it has an offset. */
static bool read_cutoff(const char *text, struct timespec *cutoff, struct error *err)
{
    static const char *const forms[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
                                        "%Y-%m-%dT%H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {.tm_mday = 1};
        const char *end = strptime(text, forms[i], &tm);
        long offset;
        if (!end)
            continue;
        end = i < 2 ? read_fraction(end, &cutoff->tv_nsec) : end;
        struct tm given = tm;
        cutoff->tv_sec = timegm(&tm);
        if (read_offset(end, &offset) && tm.tm_mday == given.tm_mday && tm.tm_mon == given.tm_mon) {
            cutoff->tv_sec -= offset;
            return true;
        }
        cutoff->tv_nsec = 0;
    }
    error_set(err, SWEEP_USAGE, "option --cutoff: \"%s\" is not a point in time", text);
    return error_hint(err, "Write it as \"2026-11-14 03:00:00\" (UTC).");
}

static bool after(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

/* To the microsecond: given back as --cutoff it means the same instant. */
static char *time_text(const void *ctx, struct timespec t)
{
    char text[64];
    struct tm tm;
    gmtime_r(&t.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    return mem_printf(ctx, "%s.%06ld+00", text, t.tv_nsec / 1000);
}

static bool set_cutoff(struct file_run *run, struct error *err)
{
    struct timespec now;
    struct timespec youngest;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!interval_before(&run->policy->retain, "retain", now, &youngest, err))
        return false;
    youngest.tv_nsec -= youngest.tv_nsec % 1000; /* as it is printed */
    run->how.cutoff = youngest;
    run->report->started = time_text(run->report, now);
    if (run->options->cutoff) {
        if (!read_cutoff(run->options->cutoff, &run->how.cutoff, err))
            return false;
        if (after(run->how.cutoff, now))
            return error_set(err, SWEEP_USAGE, "option --cutoff: %s lies in the future",
                             time_text(run->report, run->how.cutoff));
        if (after(run->how.cutoff, youngest)) {
            error_set(err, SWEEP_USAGE, "option --cutoff: %s is younger than the retention (%s) allows",
                      time_text(run->report, run->how.cutoff), run->policy->retain.value);
            return error_hint(err, "The youngest cutoff possible now is %s.", time_text(run->report, youngest));
        }
    }
    run->report->file_cutoff = time_text(run->report, run->how.cutoff);
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
        if (!err->hint)
            error_hint(err, "Without a database (no -d, no PG* variables) nothing is asked.");
        return false;
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

/* A tree that two roots share would be swept twice, and be counted twice by a dry run. */
static bool check_overlap(const struct file_run *run, const struct setting *a, const struct setting *b,
                          struct error *err)
{
    const char *outer = files_clean_root(run->report, a->value, err);
    const char *inner = files_clean_root(run->report, b->value, err);
    if (!outer || !inner)
        return false;
    size_t length = strlen(outer);
    if (strncmp(inner, outer, length) != 0 || (inner[length] && inner[length] != '/'))
        return true;
    return error_set(err, SWEEP_USAGE, "%s: the root \"%s\" is inside the root \"%s\" (%s)", b->origin, inner,
                     outer, a->origin);
}

/* All roots are looked at before the first file goes. */
static bool check_roots(struct file_run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    char *roots = mem_strdup(run->report, "");
    for (size_t i = 0; i < policy->root_count; i++) {
        bool missing;
        run->how.root = policy->roots[i].value;
        if (!files_check_root(&run->how, &missing, err))
            return error_prefix(err, "%s", policy->roots[i].origin);
        roots = mem_check(talloc_asprintf_append(
            roots, "%s%s", i ? ", " : "", text_escape(run->report, run->how.root, strlen(run->how.root))));
        if (missing)
            report_remark(run->report, "%s does not exist: nothing to do there",
                          text_escape(run->report, run->how.root, strlen(run->how.root)));
    }
    run->report->file_roots = roots;
    for (size_t i = 0; i < policy->root_count; i++)
        for (size_t j = 0; j < policy->root_count; j++)
            if (j != i && !check_overlap(run, &policy->roots[j], &policy->roots[i], err))
                return false;
    return true;
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
    return check_roots(run, err) && read_active(run, err);
}

static bool sweep(struct file_run *run, struct error *err)
{
    for (size_t i = 0; i < run->policy->root_count; i++) {
        run->how.root = run->policy->roots[i].value;
        if (!files_finish_trash(&run->how, &run->sums, err) || !files_sweep(&run->how, &run->sums, err))
            return false;
    }
    return true;
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
