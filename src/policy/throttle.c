/* What the settings of "throttle" mean, as far as no database is needed. */
#include <ctype.h>
#include <string.h>

#include "fields.h"
#include "pgsweep/mem.h"

static bool check_limit(const struct field *field, const struct setting *value, struct error *err)
{
    static const struct {
        unsigned unit;
        const char *how;
    } ways[] = {{LIMIT_TIME, "a time with a unit, such as 10 s"},
                {LIMIT_BYTES, "bytes with a unit, such as 64 MiB"},
                {LIMIT_NUMBER, "a whole number above 0"}};
    struct policy_limit limit;
    if (policy_limit_read(value->value, field->takes, &limit))
        return true;
    char *how = mem_strdup(NULL, "");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (field->takes & ways[i].unit)
            how = mem_check(talloc_asprintf_append(how, "%s, ", ways[i].how));
    error_set(err, SWEEP_USAGE, "%s: %s \"%s\" is not understood", value->origin, field->key,
              value->value);
    error_hint(err, "Write %sor " POLICY_LIMIT_NONE ".", how);
    talloc_free(how);
    return false;
}

/* "01:00" into clock (6 bytes); returns what follows, or NULL. */
static const char *read_clock(const char *p, char *clock)
{
    for (int i = 0; i < 5; i++)
        if (i == 2 ? p[i] != ':' : !isdigit((unsigned char)p[i]))
            return NULL;
    memcpy(clock, p, 5);
    clock[5] = '\0';
    return strcmp(clock, "24:00") <= 0 && clock[3] < '6' ? p + 5 : NULL;
}

/* The name of a zone, in letters. With digits it would be one of POSIX, where UTC+2 lies west of
 * Greenwich, but for those like Etc/GMT-2. */
static bool is_zone(const char *zone)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-/";
    size_t length = strspn(zone, letters);
    bool etc = strncmp(zone, "Etc/", 4) == 0;
    return isalpha((unsigned char)*zone) &&
           (etc ? zone[length + strspn(zone + length, "+0123456789")] : zone[length]) == '\0';
}

bool policy_window_read(const char *text, struct policy_window *window)
{
    const char *p = read_clock(text, window->from);
    p = p && *p == '-' ? read_clock(p + 1, window->to) : NULL;
    if (!p || strcmp(window->from, "24:00") == 0)
        return false;
    window->zone = *p ? p + strspn(p, " ") : "UTC";
    return *p == '\0' || (*p == ' ' && is_zone(window->zone));
}

static bool check_window(const struct setting *value, struct error *err)
{
    struct policy_window window;
    if (!policy_window_read(value->value, &window)) {
        error_set(err, SWEEP_USAGE, "%s: window \"%s\" is not understood", value->origin,
                  value->value);
        return error_hint(err, "Write two times of the day and the name of a time zone: "
                               "\"01:00-05:00 UTC\", \"22:30-04:00 Europe/Berlin\".");
    }
    if (strcmp(window.from, window.to) != 0)
        return true;
    error_set(err, SWEEP_USAGE, "%s: window \"%s\" never opens: it ends when it begins",
              value->origin, value->value);
    return error_hint(err, "For the whole day leave the window out.");
}

bool field_check_throttle(const void *ctx, const struct field *field, const struct setting *value,
                          struct error *err)
{
    switch (field->kind) {
    case FIELD_LIMIT:
        return check_limit(field, value, err);
    case FIELD_WINDOW:
        return check_window(value, err);
    case FIELD_PATH:
        return value->value[0] == '/' ||
               error_set(err, SWEEP_USAGE, "%s: %s must be an absolute path, not \"%s\"",
                         value->origin, field->key, value->value);
    default: /* FIELD_SQL */
        if (!condition_check(ctx, value, NULL, err))
            return false;
        if (condition_cutoffs(value->value) == 0)
            return true;
        error_set(err, SWEEP_USAGE, "%s: %s cannot use :cutoff", value->origin, field->key);
        return error_hint(err, "It is about the server, not about rows of the table.");
    }
}

void policy_throttle_none(struct policy *policy, const char *origin)
{
    policy->throttle = (struct policy_throttle){.replica_lag = {POLICY_LIMIT_NONE, origin},
                                                .lock_waiters = LOCK_WAITERS_IGNORE};
}
