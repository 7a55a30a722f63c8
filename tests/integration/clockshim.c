/* Preloaded: moves the wall clock, and the time since boot, by as many seconds as CLOCK_SHIFT and
 * BOOT_SHIFT say. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long shift(const char *name)
{
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    int result = (int)syscall(SYS_clock_gettime, clock, ts);
    if (clock == CLOCK_REALTIME)
        ts->tv_sec += shift("CLOCK_SHIFT");
    else if (clock == CLOCK_BOOTTIME)
        ts->tv_sec += shift("BOOT_SHIFT");
    return result;
}

time_t time(time_t *out)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
