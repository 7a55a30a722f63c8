/* What a clock is compared with before anything is deleted by it. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pgsweep/clock.h"

#ifndef PGSWEEP_BUILT
#error "PGSWEEP_BUILT: when the sources were written, in seconds since 1970; the Makefile says it"
#endif

static const char HINT[] = "Set the clock; if it is right, run with --trust-clock, or write "
                           "\"clock: trust\" into the policy.";

/* When the kernel says that it booted. */
static int64_t read_boot_time(void)
{
    char line[256];
    int64_t boot = -1;
    FILE *file = fopen("/proc/stat", "re");
    while (file && boot < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "btime %" SCNd64, &boot) != 1)
            boot = -1;
    if (file)
        fclose(file);
    return boot;
}

void clock_read_facts(struct clock_facts *facts)
{
    struct timespec since_boot;
    int64_t boot = read_boot_time();
    bool known = clock_gettime(CLOCK_BOOTTIME, &since_boot) == 0 && boot >= 0;
    facts->now = clock_wall_ms() / 1000;
    facts->built = PGSWEEP_BUILT;
    facts->kernel = known ? boot + since_boot.tv_sec : -1;
}

/* "2026-11-21 03:00:00 UTC" */
static const char *instant(char buffer[32], int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(buffer, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(buffer, 32, "%" PRId64, seconds);
    return buffer;
}

bool clock_judge_host(const struct clock_facts *facts, struct error *err)
{
    char now[32];
    char other[32];
    if (facts->now < facts->built - CLOCK_SLACK_S)
        error_set(err, SWEEP_REFUSED,
                  "the clock of this host cannot be right: it says %s, and this program was made "
                  "later, on %s",
                  instant(now, facts->now), instant(other, facts->built));
    else if (facts->kernel >= 0 && facts->now > facts->kernel + CLOCK_SLACK_S)
        error_set(err, SWEEP_REFUSED,
                  "the clock of this host cannot be right: it says %s, and by the kernel's boot "
                  "time it is %s",
                  instant(now, facts->now), instant(other, facts->kernel));
    else
        return true;
    return error_hint(err, "%s", HINT);
}

bool clock_judge_database(int64_t before_ms, int64_t database_ms, int64_t after_ms,
                          struct error *err)
{
    char host[32];
    char database[32];
    if (database_ms >= before_ms - CLOCK_DIFFERENCE_MS &&
        database_ms <= after_ms + CLOCK_DIFFERENCE_MS)
        return true;
    error_set(err, SWEEP_REFUSED,
              "the clocks of this host and of the database differ by more than %d minutes: one of "
              "them is wrong",
              CLOCK_DIFFERENCE_MS / 60000);
    error_detail(err, "The host's clock says %s, the database's %s.",
                 instant(host, after_ms / 1000), instant(database, database_ms / 1000));
    return error_hint(err, "%s", HINT);
}

bool clock_looks_idle(int64_t now, int64_t youngest, int64_t cutoff)
{
    return youngest < now - CLOCK_IDLE_S && youngest < cutoff;
}
