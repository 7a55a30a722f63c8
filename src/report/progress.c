/* Progress of a live run: on a terminal one line that is redrawn, otherwise a new line now and
 * then. */
#include <inttypes.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

/* On a terminal often enough to show that the run is alive; otherwise only for long runs. */
enum { TERMINAL_EVERY_MS = 200, LOG_EVERY_MS = 60 * 1000 };

/* A shorter wait is not reported, and a shorter break does not end a wait. */
enum { SHORT_WAIT_MS = 2000 };

void progress_start(struct progress *progress, bool quiet)
{
    *progress = (struct progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
    progress->started_ms = clock_now_ms();
    progress->shown_ms = progress->started_ms;
}

void progress_wait(struct progress *progress, const struct report *report, const char *why)
{
    int64_t now = clock_now_ms();
    char *line = text_line(NULL, why);
    if (progress->waits_ms == 0 || now - progress->wait_ms > SHORT_WAIT_MS)
        progress->waits_ms = now;
    progress->wait_ms = now;
    if (progress->terminal && !progress->quiet) {
        fprintf(stderr, "\r%s: waits: %s\033[K", report->policy->name, line);
        fflush(stderr);
        progress->drawn = true;
    }
    if ((!progress->terminal || report->log) && (!progress->quiet || report->log) &&
        now - progress->waits_ms >= SHORT_WAIT_MS &&
        (progress->told_ms == 0 || now - progress->told_ms >= LOG_EVERY_MS)) {
        report_log(report, "waits: %s", line);
        progress->told_ms = now;
    }
    talloc_free(line);
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}

char *progress_text(const void *ctx, const struct report *report, int64_t elapsed_ms)
{
    void *scratch = talloc_new(NULL);
    bool at_most;
    int64_t goal = report_goal(report, &at_most);
    int64_t done = report->deleted[0] + report->failed + report->spared_late;
    const char *of = "", *share = "", *left = "";
    if (goal >= 0) {
        of = mem_printf(scratch, " of %s%s", at_most ? "at most " : "", text_count(scratch, goal));
        share = mem_printf(scratch, " (%s)", text_percent(scratch, done, goal));
    }
    if (done > 0 && goal > done)
        left = mem_printf(scratch, ", %s%s left", at_most ? "at most " : "",
                          text_duration(scratch, (goal - done) * elapsed_ms / done));
    char *text =
        mem_printf(ctx, "%s%s rows%s, %s rows/s%s", text_count(scratch, done), of, share,
                   text_count(scratch, elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0), left);
    talloc_free(scratch);
    return text;
}

void progress_show(struct progress *progress, const struct report *report)
{
    int64_t now = clock_now_ms();
    if (progress->quiet ||
        now - progress->shown_ms < (progress->terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS))
        return;
    void *scratch = talloc_new(NULL);
    char *line = progress_text(scratch, report, now - progress->started_ms);
    if (progress->terminal) {
        fprintf(stderr, "\r%s: %s\033[K", report->policy->name, line);
        fflush(stderr);
        progress->drawn = true;
    } else {
        report_log(report, "%s", line);
    }
    progress->shown_ms = now;
    talloc_free(scratch);
}
