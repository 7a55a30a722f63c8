/* Signal flags, and nothing else. Any thread may ask; handlers run in the first one. */
#define _GNU_SOURCE
#include "pgsweep/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "pgsweep/clock.h"

static volatile sig_atomic_t first_signal;
static atomic_int signals_seen;
static volatile sig_atomic_t cancel_early;
static _Atomic int64_t forced_ms;

static void on_signal(int number)
{
    int saved = errno;
    if (signals_seen == 0)
        first_signal = number;
    if (signals_seen < 100)
        signals_seen++;
    if (signals_seen == 2)
        forced_ms = clock_now_ms(); /* clock_gettime is safe in a handler */
    errno = saved;
}

void stop_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

bool stop_requested(void)
{
    return signals_seen > 0;
}

bool stop_forced(void)
{
    return signals_seen > 1;
}

int stop_signal(void)
{
    return first_signal;
}

int stop_count(void)
{
    return signals_seen;
}

bool stop_cancels(void)
{
    return signals_seen > 1 || (signals_seen > 0 && cancel_early);
}

bool stop_out_of_time(void)
{
    return signals_seen > 1 && clock_now_ms() - forced_ms > STOP_FORCED_MS;
}

void stop_cancel_early(bool early)
{
    cancel_early = early;
}
