/*
 * Time on this machine: durations and pauses. What is expired is decided by the database's clock,
 * never by this one (tempfiles excepted: its files carry this machine's times). */
#ifndef PGSWEEP_CLOCK_H
#define PGSWEEP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "pgsweep/error.h"

/* Monotonic time in milliseconds, from an arbitrary start. */
int64_t clock_now_ms(void);

/* The same in microseconds. */
int64_t clock_now_us(void);

/* Sleeps up to ms milliseconds (<= 0: not at all); returns early when a stop was requested. */
void clock_sleep_ms(int64_t ms);

/* The wait before retry number attempt (1, 2, ...): base_ms doubled each time, at most cap_ms, of
 * which a random half is taken off, so that several clients do not come back at the same instant.
 */
int64_t clock_backoff_ms(int attempt, int64_t base_ms, int64_t cap_ms);

/* The wall clock now as "2026-11-21T03:00:00.123Z" (for log lines), into a buffer of 32 bytes. */
char *clock_timestamp(char buffer[32]);

/* The wall clock now, in milliseconds since 1970. */
int64_t clock_wall_ms(void);

/*
 * A clock that cannot be right. Each of these fails with SWEEP_REFUSED, and says what the clock was
 * compared with. They are pure: the clocks are arguments (seconds since 1970, unless the name says
 * otherwise). */
enum {
    CLOCK_SLACK_S =
        24 * 60 * 60, /* how far the host's clock may be from what the host itself knows */
    CLOCK_IDLE_S =
        365 * 24 * 60 * 60, /* a root in which nothing changed for so long may mean a wrong clock */
    CLOCK_DIFFERENCE_MS = 5 * 60 * 1000 /* how far host and database may differ */
};

/* What the host knows about the time. */
struct clock_facts {
    int64_t now; /* what the clock says */
    int64_t
        built; /* when this program was built, or the source that it was built from was committed */
    int64_t kernel; /* when the kernel booted, as it says, and how long that is ago; negative: not
                       known */
};
void clock_read_facts(struct clock_facts *facts);

/* The clock is not before the build, nor later than the kernel says. */
bool clock_judge_host(const struct clock_facts *facts, struct error *err);

/* The database's clock was read between two readings of the host's, and agrees with them. */
bool clock_judge_database(int64_t before_ms, int64_t database_ms, int64_t after_ms,
                          struct error *err);

/* Could it be that everything in a root looks expired because the clock is wrong? True when the
 * youngest time in it lies more than CLOCK_IDLE_S back and before the cutoff. */
bool clock_looks_idle(int64_t now, int64_t youngest, int64_t cutoff);

#endif
