/* Monotonic time, pauses that a signal ends, backoff. */
#define _GNU_SOURCE
#include "pgsweep/clock.h"

#include <stdio.h>
#include <sys/random.h>

int64_t clock_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_backoff_ms(int attempt, int64_t base_ms, int64_t cap_ms)
{
    int64_t wait = base_ms;
    for (int i = 1; i < attempt && wait < cap_ms; i++)
        wait = wait > cap_ms / 2 ? cap_ms : wait * 2;
    if (wait > cap_ms)
        wait = cap_ms;
    uint32_t noise = 0;
    if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        noise = (uint32_t)clock_now_ms();
    return wait - (int64_t)(noise % (uint64_t)(wait / 2 + 1));
}

char *clock_timestamp(char buffer[32])
{
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(buffer, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buffer + n, 32 - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
    return buffer;
}
