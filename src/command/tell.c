/* The end of a run: what is printed, where, and with which exit code. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

static void copy_error(struct report *report, bool ok, const struct error *err)
{
    error_clear(&report->error);
    if (ok)
        return;
    error_set(&report->error, err->code, "%s", err->message);
    error_sqlstate(&report->error, err->sqlstate);
    if (err->detail)
        error_detail(&report->error, "%s", err->detail);
    if (err->hint)
        error_hint(&report->error, "%s", err->hint);
}

/* Metrics that cannot be written do not undo the run, but are no success either. */
static void write_metrics(struct report *report, const char *path)
{
    struct error problem = ERROR_INIT;
    if (!report_write_metrics(report, path, &problem)) {
        error_print(&problem);
        if (report->exit_code == SWEEP_OK)
            report->exit_code = SWEEP_SOME_FAILED;
    }
    error_clear(&problem);
}

/* Without the report on standard output, what a person should know is told on standard error: cron mails it. */
static void warn(const struct report *report)
{
    const char *policy = report->policy->name;
    if (report->failed > 0 && report->failure_count == 0)
        fprintf(stderr, "pgsweep: warning: policy %s, run %s: %lld files or directories could not be removed\n", policy,
                report->run_id, (long long)report->failed);
    if (report->failure_count > 0)
        fprintf(stderr, "pgsweep: warning: policy %s, run %s: %lld rows could not be deleted (pgsweep dlq list %s); "
                        "the first: %s: %s\n", policy, report->run_id, (long long)report->failed, policy,
                report->failures[0].key,
                text_escape(report, report->failures[0].message, strlen(report->failures[0].message)));
    if (report->left_locked > 0)
        fprintf(stderr, "pgsweep: warning: policy %s, run %s: %lld rows that other sessions keep locked are left for "
                        "the next run\n", policy, report->run_id, (long long)report->left_locked);
    for (size_t i = 0; i < report->remark_count; i++)
        fprintf(stderr, "pgsweep: warning: policy %s, run %s: %s\n", policy, report->run_id, report->remarks[i]);
}

bool command_open_log(const struct cli_options *options, struct report *report, struct error *err)
{
    return !options->log_file || report_open_log(report, options->log_file, err);
}

bool command_logs_each(const struct cli_options *options)
{
    return options->verbose || options->log_file;
}

/* A log with holes does not undo the run, but is no success either. */
static void close_log(const struct cli_options *options, struct report *report)
{
    if (report_close_log(report))
        return;
    fprintf(stderr, "pgsweep: error: the log could not be written to %s\n", options->log_file);
    if (report->exit_code == SWEEP_OK)
        report->exit_code = SWEEP_SOME_FAILED;
}

int command_tell(const struct cli_options *options, struct report *report, bool ok,
                 struct error *err)
{
    copy_error(report, ok, err);
    if (!ok && report->recorded)
        error_prefix(err, "policy %s, run %s", report->policy->name, report->run_id);
    report_close(report);
    close_log(options, report);
    if (options->metrics_file && !options->dry_run)
        write_metrics(report, options->metrics_file);
    for (size_t i = 0; i < report->alert_count; i++)
        fprintf(stderr, "pgsweep: alert: policy %s, run %s: %s\n", report->policy->name, report->run_id,
                report->alerts[i]);
    if (options->quiet && !options->json)
        warn(report);
    if (options->json)
        report_print(report, REPORT_JSON, stdout);
    else if (!options->quiet && (ok || report->chunks > 0))
        report_print(report, REPORT_TEXT, stdout);
    return report->exit_code;
}
