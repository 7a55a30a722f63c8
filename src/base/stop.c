/* Signal flags, and nothing else. Any thread may ask; handlers run in the first one. */
#define _GNU_SOURCE
#include "pgsweep/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t first_signal;
static atomic_int signals_seen;
static volatile sig_atomic_t cancel_early;
static void (*volatile cancel_query)(void);

static void on_signal(int number)
{
    int saved = errno;
    if (signals_seen == 0)
        first_signal = number;
    if (signals_seen < 100)
        signals_seen++;
    if (cancel_query && (signals_seen > 1 || cancel_early))
        cancel_query();
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

void stop_on_cancel(void (*cancel)(void))
{
    cancel_query = cancel;
}

void stop_cancel_early(bool early)
{
    cancel_early = early;
}
