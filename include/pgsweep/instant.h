/* Points in time as people write them. */
#ifndef PGSWEEP_INSTANT_H
#define PGSWEEP_INSTANT_H

#include <stdbool.h>
#include <time.h>

/* Reads "2026-11-14 03:00:00.25", with "T" or a blank, down to the minute or the day, in the forms
 * that PostgreSQL and ISO 8601 share; UTC, unless it ends with an offset ("Z", "+02", "-0330",
 * "+02:00"). False when it is nothing of the kind; *t is then as it was. */
bool instant_read(const char *text, struct timespec *t);

/* "2026-11-14 03:00:00.250000+00", to the microsecond, owned by ctx: instant_read reads it back. */
char *instant_text(const void *ctx, struct timespec t);

bool instant_is_after(struct timespec a, struct timespec b);

#endif
