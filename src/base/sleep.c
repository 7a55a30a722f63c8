/* Sleeping, which a signal ends. */
#define _GNU_SOURCE

#include "pgsweep/clock.h"
#include "pgsweep/stop.h"

void clock_sleep_ms(int64_t ms)
{
    int64_t end = clock_now_ms() + ms;
    /* Short naps close the gap between looking at the flag and falling asleep. */
    for (int64_t left = ms; left > 0 && !stop_requested(); left = end - clock_now_ms()) {
        int64_t nap = left < 100 ? left : 100;
        struct timespec ts = {.tv_sec = 0, .tv_nsec = (long)nap * 1000000};
        nanosleep(&ts, NULL);
    }
}
