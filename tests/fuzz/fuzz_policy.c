/* Policy files: what is read can be printed, and is printed so that it reads back the same. */
#include "fuzz.h"
#include "pgsweep/policy.h"

#ifndef FUZZ_LIBFUZZER
static const char *const fuzz_seeds[] = {
    "table: a\nage: b\nretain: 1 day\n",
    "description: d\ntable: '\"user\"'\nage: b\ntime_zone: UTC\nretain: 3 days\nwhere: "
    "t.x\ncount_total: true\n"
    "guards:\n  - {name: g, unless: t.y, by: t.z}\n  - name: h\n    unless: >-\n      t.a\n      "
    "AND t.b\n"
    "dependents:\n  - {table: c, action: detach, optional: true, set: {x: y, z: ~}}\n  - {table: "
    "d, action: ignore, reason: w}\n"
    "unlisted: cascade\nchunk: 500\nlimits: {max_rows: 10, max_runtime: 1 hour, pause: 5 ms}\n",
    "table: &t \"a\\nb\\t\\x1b\"\nage: *t\nretain: |\n  1 day\n",
    NULL,
};
static const char *const fuzz_pieces[] = {
    "\n",           ": ",       "- ",    "  ",          "'",     "\"",       "|\n ",
    ">-\n ",        "&a ",      "*a",    "{",           "}",     "[",        "]",
    ", ",           "# ",       "---\n", "...\n",       "~",     "null",     "!!str ",
    "? ",           "\\n",      "\\0",   "\t",          "\r\n",  "\xc2\x85", "\xe2\x80\xa8",
    "\xef\xbb\xbf", "\xc3\xa4", "<<",    "%YAML 1.1\n", "table", "retain",   "limits",
    "set",          "guards",   "where", NULL,
};
#endif

static char *printed(const void *ctx, const struct policy *policy)
{
    struct error err = ERROR_INIT;
    PQExpBuffer out = createPQExpBuffer();
    HOLDS(policy_print(policy, out, &err));
    return buffer_take(ctx, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct policy *first, *second;
    void *ctx = talloc_new(NULL);
    const char *text = fuzz_text(ctx, data, size);
    if (policy_parse(ctx, "fuzz", "f", text, size, &first, &err)) {
        HOLDS(!err.message && first->table.value && first->retain.value && first->chunk.value);
        char *once = printed(ctx, first);
        bool again = policy_parse(ctx, "fuzz", "f", once, strlen(once), &second, &err);
        if (!again)
            fprintf(stderr, "%s\n%s\n", err.message, once);
        HOLDS(again);
        HOLDS(strcmp(first->table.value, second->table.value) == 0);
        HOLDS(strcmp(first->age.value, second->age.value) == 0);
        HOLDS(first->dependent_count == second->dependent_count &&
              first->guard_count == second->guard_count);
        HOLDS(strcmp(once, printed(ctx, second)) == 0);
    } else {
        fuzz_error(&err, SWEEP_USAGE);
    }
    talloc_free(ctx);
    return 0;
}
