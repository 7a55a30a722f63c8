/* Waits for reasons that "throttle" has too: whoever waits notes them here. */
#include <string.h>

#include "pgsweep/mem.h"
#include "throttle.h"

void throttle_add_wait(struct report *report, enum report_wait wait, int64_t ms, const char *what)
{
    struct report_waited *waited = &report->waited[wait];
    waited->ms += ms;
    if (waited->last && strcmp(waited->last, what) == 0)
        return;
    talloc_free((void *)waited->last);
    waited->last = mem_strdup(report, what);
}

void throttle_note(struct sweep *sweep, enum report_wait wait, int64_t ms, const char *what)
{
    char *why = mem_printf(NULL, "%s: %s", report_wait_names[wait], what);
    progress_wait(sweep->progress, sweep->report, why);
    talloc_free(why);
    sweep->report->waited_ms += ms;
    throttle_add_wait(sweep->report, wait, ms, what);
}

void throttle_look_now(struct sweep *sweep)
{
    sweep->throttle->next_ms = 0;
}
