/* Filling and closing a report. Printing it is in print.c. */
#include <string.h>

#include "pgsweep/clock.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/output.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

const char *const report_outcome_names[] = {"running", "done",    "partial",
                                            "limit",   "stopped", "error"};
const char *const report_wait_names[] = {
    "replica_lag", "slot_wal",   "lock_waiters", "active_sessions", "snapshot_age",
    "checkpoints", "autovacuum", "wait_while",   "pause_file",      NULL};
const char *const report_count_kind_names[] = {"none", "exact", "estimate"};
const char *const report_format_names[] = {"text", "json", NULL};

static int report_destructor(struct report *report)
{
    report_close_log(report);
    error_clear(&report->error);
    return 0;
}

struct report *report_new(const void *ctx, const struct policy *policy, bool dry_run)
{
    struct report *report = mem_new(ctx, struct report);
    talloc_set_destructor(report, report_destructor);
    report->policy = policy;
    report->dry_run = dry_run;
    report->counts.total = -1;
    report->letter_depth = -1;
    report->objects.waiting = -1;
    return report;
}

struct report *report_anew(const void *ctx, struct report *before)
{
    struct report *report = report_new(ctx, before->policy, before->dry_run);
    report->run_id = before->run_id;
    report->retries = before->retries + 1;
    report->metrics = before->metrics;
    report->log = before->log;
    before->log = NULL;
    return report;
}

void report_set_plan(struct report *report, const struct plan *plan)
{
    report->plan = plan;
    report->deleted = mem_array(report, int64_t, plan->node_count);
    report_uncount(report);
}

void report_uncount(struct report *report)
{
    report->counted = COUNTED_NOT;
    report->counts = (struct plan_counts){.total = -1, .eligible = -1};
    report->counts.by_node = mem_array(report, int64_t, report->plan->node_count);
    for (size_t i = 0; i < report->plan->node_count; i++)
        report->counts.by_node[i] = -1;
}

int64_t report_goal(const struct report *report, bool *at_most)
{
    const char *limit = report->policy->max_rows.value;
    int64_t max_rows = limit ? strtoll(limit, NULL, 10) : 0;
    int64_t eligible = report->counts.eligible;
    *at_most = eligible < 0 && max_rows > 0;
    return *at_most || (max_rows > 0 && max_rows < eligible) ? max_rows : eligible;
}

void report_add_failure(struct report *report, const char *key, const struct error *err)
{
    report->failed++;
    if (report->failure_count >= REPORT_FAILURES_MAX)
        return;
    size_t i = mem_grow(report, &report->failures, &report->failure_count);
    struct report_failure *failure = &report->failures[i];
    failure->key = mem_strdup(report, key);
    failure->why = error_new(report);
    error_copy(failure->why, err);
}

__attribute__((format(printf, 2, 0))) static void remark(struct report *report, const char *format,
                                                         va_list args)
{
    char *given = mem_check(talloc_vasprintf(report, format, args));
    char *text = text_line(report, given);
    talloc_free(given);
    for (size_t i = 0; i < report->remark_count; i++)
        if (strcmp(report->remarks[i], text) == 0) {
            talloc_free(text);
            return;
        }
    size_t i = mem_grow(report, &report->remarks, &report->remark_count);
    report->remarks[i] = text;
}

void report_add_locked(struct report *report, const char *key, const char *table)
{
    size_t i = mem_grow(report, &report->locked, &report->locked_count);
    report->locked[i] = (struct report_locked){mem_strdup(report, key), table};
}

void report_remark(struct report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    remark(report, format, args);
    va_end(args);
}

void report_note_undrained(struct report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    remark(report, format, args);
    va_end(args);
    report->undrained = true;
}

bool report_changed(const struct report *report, int64_t *rows)
{
    const int64_t eligible = report->counts.eligible;
    if (report->dry_run || !report->plan || report->counted != COUNTED_EXACTLY || eligible < 0 ||
        !report->looked_up || report->left >= REPORT_LEFT_MAX || report->signal ||
        report->error.message)
        return false;
    *rows = eligible - report->deleted[0] - report->spared_late - report->failed -
            report->left_locked - report->left;
    return true;
}

int64_t report_processed(const struct report *report)
{
    int64_t done = report->files     ? files_deleted(report->files)
                   : report->deleted ? report->deleted[0]
                                     : 0;
    return done + report->failed;
}

const char *report_counted(const struct report *report, size_t node, int64_t *sum)
{
    const struct plan *plan = report->plan;
    const struct policy_dependent *rule = plan->nodes[node]->rule;
    const char *name = rule ? rule->count_as.value : NULL;
    *sum = 0;
    for (size_t i = 1; name && i < plan->node_count; i++) {
        const struct policy_dependent *other = plan->nodes[i]->rule;
        if (!other || !other->count_as.value || strcmp(other->count_as.value, name) != 0)
            continue;
        if (i < node)
            return NULL;
        *sum += report->dry_run ? 0 : report->deleted[i];
    }
    return name;
}

static void add_alert(struct report *report, char *text)
{
    size_t i = mem_grow(report, &report->alerts, &report->alert_count);
    report->alerts[i] = text;
}

void report_check_alerts(struct report *report)
{
    const struct policy *policy = report->policy;
    int64_t processed = report_processed(report);
    const char *letters = policy->alert_dead_letters.value;
    if (policy->alert_failed_share.value &&
        (double)report->failed * 100 >
            policy_share(&policy->alert_failed_share) * (double)processed)
        add_alert(report, mem_printf(report, "%lld of %lld items failed, more than %s",
                                     (long long)report->failed, (long long)processed,
                                     policy->alert_failed_share.value));
    for (size_t i = 0; report->rooms && i < policy->root_count; i++) {
        const struct files_room *room = &report->rooms[i];
        if (room->found && !room->reached && !report->limit && !report->signal)
            add_alert(
                report,
                mem_printf(
                    report, "min_free: %s free below %s, %s wanted, and nothing expired is left",
                    text_bytes(report, room->after),
                    text_escape(report, policy->roots[i].value, strlen(policy->roots[i].value)),
                    text_bytes(report, room->wanted)));
    }
    if (letters && report->letter_depth > strtoll(letters, NULL, 10))
        add_alert(report, mem_printf(report, "%lld dead letters, more than %s",
                                     (long long)report->letter_depth, letters));
}

int64_t report_directories_failed(const struct report *report)
{
    const struct report_directories *d = &report->directories;
    return d->failed + d->dead + d->refused + d->elsewhere;
}

int64_t report_objects_failed(const struct report *report)
{
    const struct report_objects *o = &report->objects;
    return o->failed + o->dead + o->foreign + o->outside + o->elsewhere + o->held;
}

void report_close(struct report *report)
{
    if (report->error.message) {
        report->outcome = OUTCOME_ERROR;
        report->exit_code = (int)report->error.code;
    } else if (report->signal) {
        report->outcome = OUTCOME_STOPPED;
    } else if (report->failed > 0 || report->left_locked > 0 ||
               report_directories_failed(report) > 0 || report_objects_failed(report) > 0 ||
               report->undrained) {
        report->outcome = OUTCOME_PARTIAL;
        report->exit_code = SWEEP_SOME_FAILED;
    } else if (report->limit) {
        report->outcome = OUTCOME_LIMIT;
        if (strcmp(report->limit, "max-wait") == 0)
            report->exit_code = SWEEP_SOME_FAILED; /* others kept the run from its work */
    } else {
        report->outcome = OUTCOME_DONE;
    }
    if (report->alert_count > 0 && !report->error.message)
        report->exit_code = SWEEP_ALERT;
    if (report->signal)
        report->exit_code = SWEEP_SIGNAL_BASE + report->signal;
}

char *report_waited_text(const void *ctx, const struct report *report)
{
    void *scratch = talloc_new(NULL);
    char *text = mem_printf(ctx, "%s", text_duration(scratch, report->waited_ms));
    const char *separator = ": ";
    for (int i = 0; i < REPORT_WAITS; i++) {
        const struct report_waited *waited = &report->waited[i];
        if (waited->ms == 0)
            continue;
        text = mem_check(talloc_asprintf_append(
            text, "%s%s for %s (%s)", separator, text_duration(scratch, waited->ms),
            report_wait_names[i], text_line(scratch, waited->last)));
        separator = ", ";
    }
    talloc_free(scratch);
    return text;
}

bool report_open_log(struct report *report, const char *path, struct error *err)
{
    struct output *output;
    if (!output_open(report, "log file", path, &output, err))
        return false;
    report->log = output_append(output, err);
    talloc_free(output);
    if (!report->log)
        return false;
    setvbuf(report->log, NULL, _IOLBF, BUFSIZ); /* line by line, so that a kill loses none */
    return true;
}

bool report_close_log(struct report *report)
{
    FILE *log = report->log;
    report->log = NULL;
    if (!log)
        return true;
    bool ok = ferror(log) == 0;
    return fclose(log) == 0 && ok;
}

void report_log(const struct report *report, const char *format, ...)
{
    char now[32];
    va_list args;
    FILE *out = report->log ? report->log : stderr;
    fprintf(out, "%s %s %s: ", clock_timestamp(now), report->run_id ? report->run_id : "-",
            report->policy->name);
    va_start(args, format);
    char *text = mem_check(talloc_vasprintf(NULL, format, args));
    va_end(args);
    fprintf(out, "%s\n", text_line(text, text));
    talloc_free(text);
}
