/* Points in time as people write them. */
#define _GNU_SOURCE
#include "pgsweep/instant.h"

#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"

/* One or two digits; -1 when there are none. */
static int read_digits(const char **text)
{
    int n = -1;
    for (int i = 0; i < 2 && isdigit((unsigned char)**text); i++, ++*text)
        n = (n < 0 ? 0 : n) * 10 + (**text - '0');
    return n;
}

/* "", "Z", "+00", "-0330", "+02:00": what the clock time is ahead of UTC, in seconds. */
static bool read_offset(const char *text, long *seconds)
{
    *seconds = 0;
    text += strspn(text, " ");
    if (!*text || strcmp(text, "Z") == 0)
        return true;
    int sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
    if (sign == 0)
        return false;
    text++;
    int hours = read_digits(&text);
    int minutes = 0;
    if (hours >= 0 && *text) {
        text += *text == ':';
        minutes = read_digits(&text);
    }
    *seconds = (hours * 60L + minutes) * 60 * sign;
    return !*text && hours >= 0 && hours <= 15 && minutes >= 0 && minutes < 60;
}

/* A fraction of a second, if there is one; its end. */
static const char *read_fraction(const char *text, long *nanoseconds)
{
    *nanoseconds = 0;
    if (text[0] != '.' || !isdigit((unsigned char)text[1]))
        return text;
    for (long unit = 100000000; isdigit((unsigned char)*++text); unit /= 10)
        *nanoseconds += (*text - '0') * unit;
    return text;
}

bool instant_read(const char *text, struct timespec *t)
{
    static const struct {
        const char *format;
        bool seconds;
    } forms[] = {{"%Y-%m-%d %H:%M:%S", true},
                 {"%Y-%m-%dT%H:%M:%S", true},
                 {"%Y-%m-%d %H:%M", false},
                 {"%Y-%m-%dT%H:%M", false},
                 {"%Y-%m-%d", false}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {.tm_mday = 1};
        long nanoseconds = 0;
        long offset;
        const char *end = strptime(text, forms[i].format, &tm);
        if (end && forms[i].seconds)
            end = read_fraction(end, &nanoseconds);
        if (!end || !read_offset(end, &offset))
            continue;
        struct tm given = tm;
        time_t seconds = timegm(&tm);
        if (tm.tm_mday != given.tm_mday || tm.tm_mon != given.tm_mon) /* the 30th of February */
            return false;
        *t = (struct timespec){.tv_sec = seconds - offset, .tv_nsec = nanoseconds};
        return true;
    }
    return false;
}

char *instant_text(const void *ctx, struct timespec t)
{
    char text[64];
    struct tm tm;
    gmtime_r(&t.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    return mem_printf(ctx, "%s.%06ld+00", text, t.tv_nsec / 1000);
}

bool instant_is_after(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}
