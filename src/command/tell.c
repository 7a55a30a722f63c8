/* The end of a run: what is printed, where, and with which exit code. */
#include <stdio.h>

#include "internal.h"
#include "pgsweep/report.h"

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

int command_tell(const struct cli_options *options, struct report *report, bool ok,
                 const struct error *err)
{
    copy_error(report, ok, err);
    report_close(report);
    if (options->metrics_file && !options->dry_run)
        write_metrics(report, options->metrics_file);
    for (size_t i = 0; i < report->alert_count; i++)
        fprintf(stderr, "pgsweep: alert: policy %s, run %s: %s\n", report->policy->name, report->run_id,
                report->alerts[i]);
    /* Without the report on standard output, what a person should know is told here. */
    for (size_t i = 0; options->quiet && !options->json && i < report->remark_count; i++)
        fprintf(stderr, "pgsweep: warning: %s\n", report->remarks[i]);
    if (options->json)
        report_print(report, REPORT_JSON, stdout);
    else if (!options->quiet && (ok || report->chunks > 0))
        report_print(report, REPORT_TEXT, stdout);
    return report->exit_code;
}
