/* Intervals: whatever is accepted has a digit and a unit, and no sign. */
#include <ctype.h>

#include "fuzz.h"
#include "pgsweep/policy.h"

#ifndef FUZZ_LIBFUZZER
static const char *const fuzz_seeds[] = {"30 days",  "7d", "1 month, 2.5 days", "P1Y2M", "PT12H",
                                         " 90 min ", NULL};
static const char *const fuzz_pieces[] = {
    " ",   ".",  ",",   "-",    "+",  "m", "M",        "P",  "T", "D", "1", "99999999999999999999",
    "1e5", "0x", "inf", "days", "\t", ":", "\xc3\xa4", NULL,
};
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    void *ctx = talloc_new(NULL);
    struct setting setting = {fuzz_text(ctx, data, size), "f"};
    if (interval_check(&setting, "retain", &err)) {
        bool digit = false, unit = false;
        for (const char *p = setting.value; *p; p++) {
            HOLDS(isalnum((unsigned char)*p) || isspace((unsigned char)*p) || *p == '.' ||
                  *p == ',');
            digit = digit || isdigit((unsigned char)*p);
            unit = unit || (isalpha((unsigned char)*p) && (digit || *setting.value == 'P'));
        }
        HOLDS(unit && (digit || strchr(setting.value, '.')));
    } else {
        fuzz_error(&err, SWEEP_USAGE);
    }
    talloc_free(ctx);
    return 0;
}
