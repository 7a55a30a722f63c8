/* Writes the report as a Prometheus text file, for the node exporter's textfile collector. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/output.h"
#include "pgsweep/report.h"

static const char success_metric[] = "pgsweep_last_success_timestamp_seconds";

/* The time of the last success according to the previous file, or 0. */
static long long old_success(const struct report *report)
{
    void *scratch = talloc_new(report);
    char *line = output_read(scratch, report->metrics);
    const char *wanted =
        mem_printf(scratch, "%s{policy=\"%s\"} ", success_metric, report->policy->name);
    long long value = 0;
    for (; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, wanted, strlen(wanted)) == 0)
            value = strtoll(line + strlen(wanted), NULL, 10);
    talloc_free(scratch);
    return value;
}

static void head(FILE *out, const char *name, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void metric(FILE *out, const struct report *report, const char *name, const char *help,
                   double value)
{
    head(out, name, help);
    fprintf(out, "%s{policy=\"%s\"} %.15g\n", name, report->policy->name, value);
}

/* Writes a label value with backslash, quote and newline escaped (Prometheus text format). */
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
    head(out, "pgsweep_last_run_counted",
         "Rows of the last run, under the names that the policy gives them.");
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

/* Unknown numbers are left out. */
static void space(FILE *out, const struct report *report)
{
    const struct report_space *space = &report->space;
    if (space->wal_of != WAL_UNKNOWN) {
        head(out, "pgsweep_last_run_wal_bytes",
             "WAL written during the last run: by the run, or by the whole server.");
        fprintf(out, "pgsweep_last_run_wal_bytes{policy=\"%s\",of=\"%s\"} %" PRId64 "\n",
                report->policy->name, report_wal_names[space->wal_of], space->wal_bytes);
    }
    if (report_space_dead(report) < 0)
        return;
    head(
        out, "pgsweep_last_run_dead_rows",
        "Rows that the last run deleted or changed and that VACUUM had not removed when it ended.");
    for (size_t i = 0; i < space->table_count; i++) {
        fprintf(out, "pgsweep_last_run_dead_rows{policy=\"%s\",table=\"", report->policy->name);
        label(out, space->tables[i].table);
        fprintf(out, "\"} %" PRId64 "\n", space->tables[i].dead);
    }
}

static void files(FILE *out, const struct report *report)
{
    const struct files_report *sums = report->files;
    const char *name = "pgsweep_last_run_files_kept";
    metric(out, report, "pgsweep_last_run_files_scanned",
           "Files and directories that the last run examined.", (double)sums->scanned);
    metric(out, report, "pgsweep_last_run_files_deleted",
           "Files and directories that the last run deleted.", (double)files_deleted(sums));
    metric(out, report, "pgsweep_last_run_bytes_freed",
           "Bytes that the last run freed in the file system.", (double)sums->bytes_freed);
    head(out, name, "Files and directories that the last run kept, by reason.");
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        fprintf(out, "%s{policy=\"%s\",reason=\"%s\"} %" PRId64 "\n", name, report->policy->name,
                files_kept_word((enum files_kept)i), sums->kept[i]);
}

static void waited(FILE *out, const struct report *report)
{
    const char *name = "pgsweep_last_run_waited_seconds";
    if (report->files)
        return;
    head(out, name, "How long the last run waited between chunks, by reason; reasons may overlap.");
    for (int i = 0; i < REPORT_WAITS; i++)
        fprintf(out, "%s{policy=\"%s\",reason=\"%s\"} %.15g\n", name, report->policy->name,
                report_wait_names[i], (double)report->waited[i].ms / 1000);
}

static void write_metrics(FILE *out, const struct report *report, long long success)
{
    metric(out, report, "pgsweep_last_run_timestamp_seconds", "When the last run ended.",
           (double)time(NULL));
    metric(out, report, success_metric, "When the last run that left nothing undone ended.",
           (double)success);
    metric(out, report, "pgsweep_last_run_exit_code", "Exit code of the last run.",
           report->exit_code);
    metric(out, report, "pgsweep_last_run_duration_seconds", "Duration of the last run.",
           (double)report->duration_ms / 1000);
    if (!report->files &&
        report->counts.eligible >= 0) /* files are not counted beforehand, rows not always */
        metric(out, report, "pgsweep_last_run_eligible", "Candidates at the start of the last run.",
               (double)report->counts.eligible);
    metric(out, report, "pgsweep_last_run_processed", "Candidates that the last run processed.",
           (double)report_processed(report));
    metric(out, report, "pgsweep_last_run_failed", "Candidates that the last run could not delete.",
           (double)report->failed);
    metric(out, report, "pgsweep_last_run_objects_deleted",
           "Stored objects that the last run deleted.", (double)report->objects.deleted);
    /* An unknown number is left out: a 0 would end an alert. */
    if (report->objects.waiting >= 0)
        metric(out, report, "pgsweep_objects_waiting", "Stored objects in the queue.",
               (double)report->objects.waiting);
    metric(out, report, "pgsweep_last_run_directories_removed",
           "Working directories that the last run removed.", (double)report->directories.removed);
    metric(out, report, "pgsweep_last_run_directories_failed",
           "Working directories that the last run could not remove or refused to remove.",
           (double)report_directories_failed(report));
    metric(out, report, "pgsweep_directories_waiting", "Working directories in the queue.",
           (double)report->directories.waiting);
    if (report->letter_depth >= 0)
        metric(out, report, "pgsweep_dead_letters", "Dead letters that are waiting or parked.",
               (double)report->letter_depth);
    waited(out, report);
    tables(out, report);
    space(out, report);
    if (report->files)
        files(out, report);
}

bool report_open_metrics(struct report *report, const char *path, struct error *err)
{
    return output_open(report, "metrics file", path, &report->metrics, err) &&
           output_may_replace(report->metrics, err);
}

bool report_write_metrics(const struct report *report, struct error *err)
{
    bool success = report->exit_code == SWEEP_OK && !report->dry_run && !report->not_begun;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out)
        write_metrics(out, report, success ? (long long)time(NULL) : old_success(report));
    bool ok = out && fclose(out) == 0;
    if (!ok)
        error_set(err, SWEEP_INTERNAL, "out of memory");
    ok = ok && output_replace(report->metrics, text, size, err);
    free(text);
    return ok;
}
