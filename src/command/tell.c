/* The end of a run: prints the report and chooses the exit code. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

static void copy_error(struct report *report, bool ok, const struct error *err)
{
    error_clear(&report->error);
    if (!ok)
        error_copy(&report->error, err);
}

/* If the metrics cannot be written, the run is not undone, but it is not a success either. */
static void write_metrics(struct report *report)
{
    struct error problem = ERROR_INIT;
    if (!report_write_metrics(report, &problem)) {
        error_print(&problem);
        if (report->exit_code == SWEEP_OK)
            report->exit_code = SWEEP_SOME_FAILED;
    }
    error_clear(&problem);
}

static void warn(const struct report *report, const char *text)
{
    text_tell("warning", "policy %s, run %s: %s", report->policy->name, report->run_id, text);
}

/* If the report is not printed, prints what a person should know on standard error, which cron
 * mails. */
static void warn_of_all(const struct report *report)
{
    void *scratch = talloc_new(report);
    const struct report_failure *first = report->failures;
    bool rows = report->policy->kind == KIND_ROWS;
    const char *failed = text_count(scratch, report->failed);
    if (report->failed > 0 && report->failure_count == 0)
        warn(report,
             mem_printf(scratch, "files and directories that could not be removed: %s", failed));
    if (report->failure_count > 0)
        warn(report,
             mem_printf(
                 scratch,
                 "rows that could not be deleted: %s (pgsweep dlq list %s); the first, %s: %s",
                 failed, report->policy->name, first->key,
                 text_line(scratch, error_text(scratch, first->why, "; "))));
    if (rows && report->left_locked > 0)
        warn(report,
             mem_printf(scratch, "rows that other sessions keep locked, left for the next run: %s",
                        text_count(scratch, report->left_locked)));
    for (size_t i = 0; i < report->remark_count; i++)
        warn(report, report->remarks[i]);
    talloc_free(scratch);
}

bool command_open_outputs(const struct cli_options *options, struct report *report,
                          struct error *err)
{
    return (!options->log_file || report_open_log(report, options->log_file, err)) &&
           (!options->metrics_file || report_open_metrics(report, options->metrics_file, err));
}

bool command_logs_each(const struct cli_options *options)
{
    return options->verbose || options->log_file;
}

/* If the log is incomplete, the run is not undone, but it is not a success either. */
static void close_log(const struct cli_options *options, struct report *report)
{
    if (report_close_log(report))
        return;
    text_tell("error", "the log could not be written to %s", options->log_file);
    if (report->exit_code == SWEEP_OK)
        report->exit_code = SWEEP_SOME_FAILED;
}

/* Whether a failed run did something that has to be reported. A run about files must have done more
 * than find its roots locked. */
static bool did_something(const struct report *report)
{
    return report->files ? report->files->scanned > report->left_locked : report->chunks > 0;
}

int command_tell(const struct cli_options *options, struct report *report, bool ok,
                 struct error *err)
{
    copy_error(report, ok, err);
    if (!ok && report->recorded)
        error_prefix(err, "policy %s, run %s", report->policy->name, report->run_id);
    report_close(report);
    close_log(options, report);
    if (report->metrics && !options->dry_run)
        write_metrics(report);
    for (size_t i = 0; i < report->alert_count; i++)
        text_tell("alert", "policy %s, run %s: %s", report->policy->name, report->run_id,
                  report->alerts[i]);
    if (options->quiet && !options->json)
        warn_of_all(report);
    if (options->json)
        report_print(report, REPORT_JSON, stdout);
    else if (!options->quiet && (ok || did_something(report)))
        report_print(report, REPORT_TEXT, stdout);
    return report->exit_code;
}
