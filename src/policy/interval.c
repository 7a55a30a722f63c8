/* The form of an interval: that every number has a unit. Its value is for PostgreSQL to read. */
#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/policy.h"

#define DIGITS "0123456789"

static bool refuse(const struct setting *interval, const char *what, const char *why,
                   struct error *err)
{
    error_set(err, SWEEP_USAGE, "%s: %s \"%s\" %s", interval->origin, what, interval->value, why);
    return error_hint(err, "Give every number a unit: \"30 days\", \"7d\", \"1 month\", \"12 hours\".");
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
        /* Not strtod: it would take hexadecimal and exponents, and obey the locale. */
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
            return refuse(interval, what, "says \"m\", which could be minutes or months: write \"min\" or \"months\"",
                          err);
        p = skip_space(p);
        if (*p == ',')
            p = skip_space(p + 1);
    }
    return true;
}
