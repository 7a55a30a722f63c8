/* pgsweep POLICY for files: from the policy and the options to the sweep of its roots. */
#define _GNU_SOURCE
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/effects_file_rules.h"
#include "pgsweep/files.h"
#include "pgsweep/instant.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/state_runs.h"
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
    struct files_room *rooms; /* one for each root; NULL: all that is expired goes */
    size_t roots_found;       /* roots that exist */
    const char *locked;       /* those that another sweep holds; NULL: none */
};

/* Options that only mean something for rows. */
static bool check_options(const struct file_run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    const char *which = options->allow_missing_index ? "--allow-missing-index"
                        : options->retries           ? "--retries"
                                                     : NULL;
    return !which || error_set(err, SWEEP_USAGE, "option %s is for rows; policy %s is about files",
                               which, run->policy->name);
}

/* Which roots: those of the option, else of the policy, else the default. */
static bool choose_roots(struct file_run *run, struct error *err)
{
    struct policy *policy = run->policy;
    const char *root = run->options->root;
    struct setting fallback = policy_temp_dir();
    if (!check_options(run, err))
        return false;
    if (root)
        fallback = (struct setting){root, "option --root"};
    if (root || policy->root_count == 0) {
        policy->roots = mem_array(run->report, struct setting, 1);
        policy->roots[0] = fallback;
        policy->root_count = 1;
    }
    return true;
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
        return error_set(err, SWEEP_USAGE, "option --cutoff: %s lies in the future",
                         run->report->file_cutoff);
    if (instant_is_after(*cutoff, youngest)) {
        error_set(err, SWEEP_USAGE, "option --cutoff: %s is younger than the retention (%s) allows",
                  run->report->file_cutoff, run->policy->retain.value);
        return error_hint(err, "The youngest cutoff possible now is %s.",
                          instant_text(run->report, youngest));
    }
    return true;
}

/* A duration in milliseconds, without a database: how far it lies back from now. */
static bool duration_ms(const struct setting *setting, const char *what, int64_t *ms,
                        struct error *err)
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
                                   ? PAUSE_EVERY
                                   : strtoll(policy->chunk.value, NULL, 10);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_active(void *arg, const char *name)
{
    const struct file_run *run = arg;
    return run->active_count > 0 && bsearch(&name, run->active, run->active_count,
                                            sizeof *run->active, compare_names) != NULL;
}

/* Whose files are not to go, and for whom. */
struct active_request {
    struct file_run *run;
    const struct policy *jobs;
};

static bool ask_active(const struct attempt *attempt, void *arg, struct error *err)
{
    const struct active_request *request = arg;
    struct file_run *run = request->run;
    const struct plan_request live = {.live = false};
    struct plan *plan;
    const char *now;
    bool standby;
    return command_check_database_clock(attempt->options, run->policy, attempt->db, &now, &standby,
                                        err) &&
           plan_build(attempt->ctx, attempt->db, request->jobs, &live, &plan, err) &&
           plan_active_keys(run->report, attempt->db, plan, &run->active, &run->active_count, err);
}

/* With a database: which jobs are still active, by the guards of the policy that "active" names. */
static bool read_active(struct file_run *run, struct error *err)
{
    const struct cli_options *options = run->options;
    const struct db_options where = {.dbname = options->dbname, .host = options->host};
    struct cli_options jobs_options = *options;
    struct policy *jobs;
    if (!run->policy->active.value)
        return true;
    if (!command_is_policy(run->report, options, run->policy->active.value))
        return error_set(err, SWEEP_USAGE, "%s: active names \"%s\", and there is no such policy",
                         run->policy->active.origin, run->policy->active.value);
    if (!db_is_configured(&where))
        return true;
    jobs_options.policy = run->policy->active.value;
    jobs_options.retain = jobs_options.chunk = jobs_options.max_rows = NULL;
    jobs_options.max_runtime = jobs_options.max_failed = jobs_options.pause =
        jobs_options.count_timeout = jobs_options.retry_for = NULL;
    jobs_options.age_by = jobs_options.protect_case = jobs_options.special = NULL;
    jobs_options.owner = jobs_options.min_free = NULL;
    jobs_options.protect_count = jobs_options.protect_dir_count = 0;
    jobs_options.allow_system_root = false;
    char *name = mem_printf(run->report, "pgsweep/%s/%s", run->policy->name, run->report->run_id);
    if (!command_load_policy(run->report, &jobs_options, &jobs, err))
        return error_prefix(err, "%s: active", run->policy->active.origin);
    if (jobs->kind != KIND_ROWS)
        return error_set(err, SWEEP_USAGE,
                         "%s: active names the policy %s, which is about files itself",
                         run->policy->active.origin, jobs->name);
    struct active_request request = {run, jobs};
    /* A sweep may take hours: the connection is closed before it. */
    if (!command_patiently(options, &jobs->retry_for, name, ask_active, &request, err)) {
        error_prefix(err, "asking policy %s which files belong to active rows", jobs->name);
        return error_hint(err,
                          "%s%sNothing was deleted. Without a database (no -d, no PG* variables) "
                          "nothing is asked.",
                          err->hint ? err->hint : "", err->hint ? " " : "");
    }
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
        text_tell("warning", "cannot %s %s: %s", event->action, event->path,
                  strerror(event->error));
    else if (event->kind == FILES_EVENT_ASIDE)
        text_tell("warning",
                  "a file was replaced twice while it was looked at: the first one is kept as %s",
                  event->path);
    else if (event->kind == FILES_EVENT_DELETED && command_logs_each(run->options))
        report_log(run->report, "%s %s", run->options->dry_run ? "would delete" : "deleted",
                   event->path);
}

/* The number of a user, by name or as it stands. A number need not belong to anybody. */
static bool find_user(const struct setting *owner, uint32_t *uid, struct error *err)
{
    char *end = NULL;
    const struct passwd *entry = *owner->value ? getpwnam(owner->value) : NULL;
    unsigned long long number = strtoull(owner->value, &end, 10);
    bool is_number =
        owner->value[0] >= '0' && owner->value[0] <= '9' && !*end && number < UINT32_MAX;
    if (entry || is_number) {
        *uid = entry ? entry->pw_uid : (uint32_t)number;
        return true;
    }
    char *shown = text_escape(NULL, owner->value, strlen(owner->value));
    error_set(err, SWEEP_USAGE, "%s: there is no user \"%s\"", owner->origin, shown);
    talloc_free(shown);
    return error_hint(err, "Give names of users of this host, or their numbers.");
}

static bool find_owners(struct file_run *run, struct error *err)
{
    const struct policy_file_rules *rules = &run->policy->files;
    uint32_t *owners = mem_array(run->report, uint32_t, rules->owner_count + 1);
    for (size_t i = 0; i < rules->owner_count; i++)
        if (!find_user(&rules->owners[i], &owners[i], err))
            return false;
    run->how.owners = owners;
    run->how.owner_count = rules->owner_count;
    return true;
}

static void want_room(struct file_run *run)
{
    const struct setting *min_free = &run->policy->files.min_free;
    if (!min_free->value)
        return;
    run->rooms = mem_array(run->report, struct files_room, run->policy->root_count);
    for (size_t i = 0; i < run->policy->root_count; i++)
        policy_min_free(min_free, &run->rooms[i].share, &run->rooms[i].bytes);
    run->report->rooms = run->rooms;
}

static bool prepare(struct file_run *run, struct error *err)
{
    const struct policy *policy = run->policy;
    if (!command_check_host_clock(run->options, policy, err) || !choose_roots(run, err) ||
        !set_cutoff(run, err) || !set_limits(run, err))
        return false;
    file_rules_apply(run->report, &policy->files, &run->how);
    run->how.delete_special = policy->files.special == SPECIAL_DELETE;
    if (!find_owners(run, err))
        return false;
    want_room(run);
    run->how.dry_run = run->options->dry_run;
    run->how.on_event = on_event;
    run->how.on_event_arg = run;
    run->how.errors_only = !command_logs_each(run->options);
    return command_check_roots(policy, &run->how, run->report, &run->roots_found, err) &&
           command_check_idle_roots(run->options, policy, &run->how, err) && read_active(run, err);
}

/* "/tmp/nexrender (pgsweep, process 4711)" */
static void note_locked(struct file_run *run, const char *root)
{
    struct report *report = run->report;
    const char *holder = files_lock_holder(report, root);
    run->locked = mem_printf(report, "%s%s%s%s%s%s", run->locked ? run->locked : "",
                             run->locked ? ", " : "", text_escape(report, root, strlen(root)),
                             holder ? " (" : "", holder ? holder : "", holder ? ")" : "");
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

/* What was done otherwise than promised. */
static void tell_doubts(const struct file_run *run)
{
    const struct files_report *sums = &run->sums;
    struct report *report = run->report;
    if (sums->kept[FILES_KEPT_UNTESTED] > 0)
        report_remark(report,
                      "%s kept because it cannot be found out whether a process has them open: run "
                      "as their owner, or "
                      "with CAP_LEASE, or state in_use: delete",
                      text_count(report, sums->kept[FILES_KEPT_UNTESTED]));
    if (sums->unguarded > 0)
        report_remark(report,
                      "%s deleted by name: they could not be moved to a private directory in the "
                      "root first, so a file "
                      "renamed over one at that instant would have gone instead",
                      text_count(report, sums->unguarded));
    if (sums->unlocked > 0)
        report_remark(report, "swept without a lock: there is no place for one (%s)",
                      "/run/pgsweep, $XDG_RUNTIME_DIR, the root");
}

/* A root that is refused is no reason to leave the others as they are, nor to say nothing about
 * them. */
static bool sweep(struct file_run *run, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; i < run->policy->root_count; i++) {
        struct error why = ERROR_INIT;
        int64_t locked = run->sums.roots_locked;
        run->how.root = run->policy->roots[i].value;
        if (!(run->rooms ? files_sweep_for_room(&run->how, &run->rooms[i], &run->sums, &why)
                         : files_sweep(&run->how, &run->sums, &why))) {
            report_remark(run->report, "not swept: %s", why.message);
            if (ok)
                error_move(err, &why);
            ok = false;
        }
        error_clear(&why);
        if (run->sums.roots_locked > locked)
            note_locked(run, run->how.root);
    }
    tell_doubts(run);
    return ok && tell_locked(run, err);
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
    bool ok =
        command_open_outputs(options, run.report, err) && prepare(&run, err) && sweep(&run, err);
    run.report->failed = run.sums.failed;
    if (run.sums.limit_reached)
        run.report->limit =
            run.how.max_deletions > 0 && files_deleted(&run.sums) >= run.how.max_deletions
                ? "max-rows"
                : "max-runtime";
    run.report->signal = run.sums.stopped ? stop_signal() : 0;
    run.report->duration_ms = clock_now_ms() - started_ms;
    if (ok)
        report_check_alerts(run.report);
    int code = command_tell(options, run.report, ok, err);
    talloc_free(ctx);
    return code;
}
