/* Progress of a live run: a line that is redrawn on a terminal, a line now and then elsewhere. */
#include <inttypes.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

/* On a terminal often enough to look alive; elsewhere only runs that are long enough to wonder. */
enum { TERMINAL_EVERY_MS = 200, LOG_EVERY_MS = 60 * 1000 };

void progress_start(struct progress *progress, bool quiet)
{
    *progress = (struct progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
    progress->started_ms = clock_now_ms();
    progress->shown_ms = progress->started_ms;
}

void progress_clear(struct progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stderr);
    progress->drawn = false;
}

void progress_show(struct progress *progress, const struct report *report)
{
    int64_t now = clock_now_ms();
    if (progress->quiet ||
        now - progress->shown_ms < (progress->terminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS))
        return;
    void *scratch = talloc_new(NULL);
    int64_t done = report->deleted[0] + report->failed + report->spared_late;
    int64_t all = report->counts.eligible;
    int64_t elapsed = now - progress->started_ms;
    int64_t rate = elapsed > 0 ? done * 1000 / elapsed : 0;
    char *left = done > 0 && all > done
                     ? mem_printf(scratch, ", %s left", text_duration(scratch, (all - done) * elapsed / done))
                     : mem_strdup(scratch, "");
    char *line = mem_printf(scratch, "%s of %s rows (%s), %s rows/s%s", text_count(scratch, done),
                            text_count(scratch, all), text_percent(scratch, done, all),
                            text_count(scratch, rate), left);
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
