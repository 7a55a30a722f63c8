/* The report as a Prometheus textfile, for the node exporter's collector. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"

static const char success_metric[] = "pgsweep_last_success_timestamp_seconds";

/* The time of the last success as the old file says, or 0. */
static long long old_success(const char *path, const char *policy)
{
    char line[512];
    char wanted[128];
    long long value = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int n = snprintf(wanted, sizeof wanted, "%s{policy=\"%s\"} ", success_metric, policy);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, wanted, (size_t)n) == 0)
            value = strtoll(line + n, NULL, 10);
    fclose(file);
    return value;
}

static void head(FILE *out, const char *name, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void metric(FILE *out, const struct report *report, const char *name, const char *help, double value)
{
    head(out, name, help);
    fprintf(out, "%s{policy=\"%s\"} %.15g\n", name, report->policy->name, value);
}

/* A label value: backslash, quote and newline are escaped (Prometheus text format). */
static void label(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else
            fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    }
}

static void tables(FILE *out, const struct report *report)
{
    const char *name = "pgsweep_last_run_rows";
    head(out, name, "Rows that the last run deleted, detached or reassigned, by table.");
    for (size_t i = 0; report->plan && i < report->plan->node_count; i++) {
        const struct plan_node *node = report->plan->nodes[i];
        if (!plan_acts(node))
            continue;
        fprintf(out, "%s{policy=\"%s\",table=\"", name, report->policy->name);
        label(out, node->label);
        fprintf(out, "\",action=\"%s\"} %" PRId64 "\n", policy_action_names[node->action],
                report->deleted[i]);
    }
    head(out, "pgsweep_last_run_counted", "Rows of the last run under the names that the policy gives.");
    for (size_t i = 1; report->plan && i < report->plan->node_count; i++) {
        int64_t sum;
        const char *counted = report_counted(report, i, &sum);
        if (!counted)
            continue;
        fprintf(out, "pgsweep_last_run_counted{policy=\"%s\",name=\"", report->policy->name);
        label(out, counted);
        fprintf(out, "\"} %" PRId64 "\n", sum);
    }
}

static void files(FILE *out, const struct report *report)
{
    const struct files_report *sums = report->files;
    const char *name = "pgsweep_last_run_files_kept";
    metric(out, report, "pgsweep_last_run_files_scanned", "Files and directories that it looked at.",
           (double)sums->scanned);
    metric(out, report, "pgsweep_last_run_files_deleted", "Files and directories that it deleted.",
           (double)files_deleted(sums));
    metric(out, report, "pgsweep_last_run_bytes_freed", "Bytes that the file system got back.",
           (double)sums->bytes_freed);
    head(out, name, "Files and directories that it kept, by reason.");
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        fprintf(out, "%s{policy=\"%s\",reason=\"%s\"} %" PRId64 "\n", name, report->policy->name,
                files_kept_word((enum files_kept)i), sums->kept[i]);
}

static void write_all(FILE *out, const struct report *report, long long success)
{
    metric(out, report, "pgsweep_last_run_timestamp_seconds", "When the last run ended.", (double)time(NULL));
    metric(out, report, success_metric, "When the last run that left nothing undone ended.", (double)success);
    metric(out, report, "pgsweep_last_run_exit_code", "Its exit code.", report->exit_code);
    metric(out, report, "pgsweep_last_run_duration_seconds", "How long it took.",
           (double)report->duration_ms / 1000);
    if (!report->files && report->counts.eligible >= 0) /* files are not counted beforehand, rows not always */
        metric(out, report, "pgsweep_last_run_eligible", "Candidates at its start.", (double)report->counts.eligible);
    metric(out, report, "pgsweep_last_run_processed", "Candidates that it dealt with.",
           (double)report_processed(report));
    metric(out, report, "pgsweep_last_run_failed", "Candidates that could not go.", (double)report->failed);
    metric(out, report, "pgsweep_last_run_objects_deleted", "Stored objects that it deleted.",
           (double)report->objects.deleted);
    /* What is not known is left out: a 0 would end an alert. */
    if (report->objects.waiting >= 0)
        metric(out, report, "pgsweep_objects_waiting", "Stored objects in the queue.",
               (double)report->objects.waiting);
    metric(out, report, "pgsweep_last_run_directories_removed", "Working directories that it removed.",
           (double)report->directories.removed);
    metric(out, report, "pgsweep_last_run_directories_failed", "Working directories that could not go or were refused.",
           (double)report_directories_failed(report));
    metric(out, report, "pgsweep_directories_waiting", "Working directories in the queue.",
           (double)report->directories.waiting);
    if (report->letter_depth >= 0)
        metric(out, report, "pgsweep_dead_letters", "Dead letters that wait or are parked.",
               (double)report->letter_depth);
    tables(out, report);
    if (report->files)
        files(out, report);
}

bool report_write_metrics(const struct report *report, const char *path, struct error *err)
{
    bool success = report->exit_code == SWEEP_OK && !report->dry_run;
    long long last = success ? (long long)time(NULL) : old_success(path, report->policy->name);
    char *new_path = mem_printf(report, "%s.%d.new", path, (int)getpid());
    FILE *out = fopen(new_path, "we");
    bool ok = out != NULL;
    if (ok) {
        write_all(out, report, last);
        ok = fflush(out) == 0 && fchmod(fileno(out), 0644) == 0 && fsync(fileno(out)) == 0;
        ok = fclose(out) == 0 && ok;
        ok = ok && rename(new_path, path) == 0;
    }
    if (ok)
        return true;
    error_set(err, SWEEP_USAGE, "the metrics could not be written to %s: %s", path, strerror(errno));
    unlink(new_path);
    return error_hint(err, "The directory must exist and be writable by the user that runs pgsweep.");
}
