/* Checks the form of an interval: every number must have a unit. PostgreSQL computes the value. */
#define _GNU_SOURCE
#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/policy.h"

#define DIGITS "0123456789"

static bool refuse(const struct setting *interval, const char *what, const char *why,
                   struct error *err)
{
    error_set(err, SWEEP_USAGE, "%s: %s \"%s\" %s", interval->origin, what, interval->value, why);
    return error_hint(err,
                      "Give every number a unit: \"30 days\", \"7d\", \"1 month\", \"12 hours\".");
}

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

/* ISO 8601 with designators: P30D, P1Y2M, PT12H. */
static bool is_iso(const char *p)
{
    bool digits = false;
    bool unit = false;
    for (p++; *p; p++) {
        if (isdigit((unsigned char)*p) || (digits && *p == '.')) {
            digits = true;
            unit = false;
        } else if (*p == 'T' && !digits) {
            unit = false;
        } else if (strchr("YMWDHS", *p) && digits) {
            digits = false;
            unit = true;
        } else {
            return false;
        }
    }
    return unit;
}

bool interval_check(const struct setting *interval, const char *what, struct error *err)
{
    const char *p = skip_space(interval->value);
    if (!*p)
        return refuse(interval, what, "is empty", err);
    if (*p == 'P' && is_iso(p))
        return true;
    while (*p) {
        if (*p == '-' || *p == '+')
            return refuse(interval, what, "must be positive, without a sign", err);
        if (!isdigit((unsigned char)p[*p == '.']))
            return refuse(interval, what, "is not a number with a unit", err);
        /* Not strtod, which accepts hexadecimal numbers and exponents and depends on the locale. */
        p += strspn(p, DIGITS);
        if (*p == '.')
            p += 1 + strspn(p + 1, DIGITS);
        p = skip_space(p);
        const char *unit = p;
        while (isalpha((unsigned char)*p))
            p++;
        if (p == unit)
            return refuse(interval, what, "has a number without a unit", err);
        if (p - unit == 1 && (*unit == 'm' || *unit == 'M'))
            return refuse(
                interval, what,
                "says \"m\", which could be minutes or months: write \"min\" or \"months\"", err);
        p = skip_space(p);
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return true;
}

/* The units that PostgreSQL accepts in an interval, with their length in seconds or in months. */
static const struct {
    const char *names; /* with blanks around each */
    double seconds;
    int months;
} units[] = {
    {" ms msec msecs millisecond milliseconds ", 0.001, 0},
    {" s sec secs second seconds ", 1, 0},
    {" min mins minute minutes ", 60, 0},
    {" h hr hrs hour hours ", 3600, 0},
    {" d day days ", 86400, 0},
    {" w week weeks ", 7 * 86400, 0},
    {" mon mons month months ", 0, 1},
    {" y yr yrs year years ", 0, 12},
};

static int find_unit(const char *start, size_t length)
{
    char word[32];
    if (length + 3 > sizeof word)
        return -1;
    word[0] = ' ';
    for (size_t i = 0; i < length; i++)
        word[i + 1] = (char)tolower((unsigned char)start[i]);
    word[length + 1] = ' ';
    word[length + 2] = '\0';
    for (int i = 0; i < (int)(sizeof units / sizeof *units); i++)
        if (strstr(units[i].names, word))
            return i;
    return -1;
}

/* The same day and time so many months earlier, or the last day of a shorter month. */
static time_t months_before(time_t from, int months)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm;
    gmtime_r(&from, &tm);
    int all = (tm.tm_year + 1900) * 12 + tm.tm_mon - months;
    int year = all / 12;
    tm.tm_year = year - 1900;
    tm.tm_mon = all % 12;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int last = days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
    if (tm.tm_mday > last)
        tm.tm_mday = last;
    return timegm(&tm);
}

/* Reads digits with at most one point, as interval_check accepts them, and nothing else that strtod
 * would read. */
static double read_number(const char **p)
{
    double number = 0;
    double scale = 1;
    for (; isdigit((unsigned char)**p); ++*p)
        number = number * 10 + (**p - '0');
    if (**p == '.')
        for (++*p; isdigit((unsigned char)**p); ++*p)
            number += (**p - '0') * (scale /= 10);
    return number;
}

bool interval_before(const struct setting *interval, const char *what, struct timespec now,
                     struct timespec *then, struct error *err)
{
    double seconds = 0;
    double months = 0;
    if (!interval_check(interval, what, err))
        return false;
    for (const char *p = skip_space(interval->value); *p;) {
        double number = read_number(&p);
        const char *unit = skip_space(p);
        for (p = unit; isalpha((unsigned char)*p);)
            p++;
        int u = find_unit(unit, (size_t)(p - unit));
        if (u < 0)
            return refuse(interval, what,
                          "is not understood here: only the database reads this form", err);
        seconds += number * units[u].seconds;
        months += number * units[u].months;
        p = skip_space(p);
        if (*p == ',')
            p = skip_space(p + 1);
    }
    if (months > 12 * 1000 || months != (int)months || seconds > 1e11)
        return refuse(interval, what, "is too long, or has a fraction of a month", err);
    if (seconds + months <= 0)
        return refuse(interval, what, "is not a positive interval", err);
    then->tv_sec = months_before(now.tv_sec, (int)months) - (time_t)seconds;
    then->tv_nsec = now.tv_nsec - (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (then->tv_nsec < 0) {
        then->tv_nsec += 1000000000;
        then->tv_sec--;
    }
    return true;
}
