/* Sizes and times as the limits of a throttle state them. */
#include <string.h>

#include "fields.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* A number and what it counts: "%", or bytes with a unit, by powers of 1024 (KiB) or of 1000 (kB).
 */
bool field_read_room(const char *text, double *share, int64_t *bytes)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {
        {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0},
        {"kB", 1e3},     {"MB", 1e6},        {"GB", 1e9},           {"TB", 1e12}};
    size_t digits = strspn(text, "0123456789");
    size_t length = digits;
    if (text[length] == '.')
        length += 1 + strspn(text + length + 1, "0123456789");
    if (digits == 0 || text[length - 1] == '.' || length > 18)
        return false;
    double number = strtod(text, NULL);
    const char *unit = text + length + strspn(text + length, " ");
    *share = -1;
    *bytes = 0;
    if (strcmp(unit, "%") == 0) {
        *share = number / 100;
        return number > 0 && number <= 100;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text_same_word(unit, units[i].unit)) {
            double product = number * units[i].factor;
            *bytes = product < 9e18 ? (int64_t)product : 0;
            return *bytes > 0;
        }
    return false;
}

/* Milliseconds; negative: no interval that is understood. */
static int64_t read_time(const char *text)
{
    const struct setting setting = {text, ""};
    const struct timespec now = {.tv_sec = 2000000000};
    struct timespec then;
    struct error ignored = ERROR_INIT;
    bool ok = interval_before(&setting, "", now, &then, &ignored);
    error_clear(&ignored);
    if (!ok)
        return -1;
    int64_t ms = ((int64_t)now.tv_sec - then.tv_sec) * 1000 - then.tv_nsec / 1000000;
    return ms > 0 ? ms : 1;
}

bool policy_limit_read(const char *text, unsigned takes, struct policy_limit *limit)
{
    double share;
    *limit = (struct policy_limit){LIMIT_NONE, 0};
    if (strcmp(text, POLICY_LIMIT_NONE) == 0)
        return true;
    if ((takes & LIMIT_NUMBER) && text_to_count(text, POLICY_ROWS_MAX, &limit->value)) {
        limit->unit = LIMIT_NUMBER;
        return true;
    }
    if ((takes & LIMIT_BYTES) && field_read_room(text, &share, &limit->value) && share < 0) {
        limit->unit = LIMIT_BYTES;
        return true;
    }
    limit->unit = LIMIT_TIME;
    limit->value = takes & LIMIT_TIME ? read_time(text) : -1;
    return limit->value > 0;
}

struct policy_limit policy_limit(const struct setting *setting, unsigned takes,
                                 const char *otherwise)
{
    struct policy_limit limit;
    (void)policy_limit_read(setting->value ? setting->value : otherwise, takes, &limit);
    return limit;
}
