/*
 * Time on this machine: durations and pauses. What is expired is decided by the database's clock,
 * never by this one (tempfiles excepted: its files carry this machine's times).
 */
#ifndef PGSWEEP_CLOCK_H
#define PGSWEEP_CLOCK_H

#include <stdint.h>

/* Monotonic time in milliseconds, from an arbitrary start. */
int64_t clock_now_ms(void);

/* The same in microseconds. */
int64_t clock_now_us(void);

/* Sleeps up to ms milliseconds (<= 0: not at all); returns early when a stop was requested. */
void clock_sleep_ms(int64_t ms);

/* The wait before retry number attempt (1, 2, ...): base_ms doubled each time, at most cap_ms, of
 * which a random half is taken off, so that several clients do not come back at the same instant. */
int64_t clock_backoff_ms(int attempt, int64_t base_ms, int64_t cap_ms);

/* The wall clock now as "2026-11-21T03:00:00.123Z" (for log lines), into a buffer of 32 bytes. */
char *clock_timestamp(char buffer[32]);

#endif
