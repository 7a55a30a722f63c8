/* Conditions: what is accepted stays one bracketed expression when it is put into a statement. */
#include "fuzz.h"
#include "pgsweep/policy.h"

#ifndef FUZZ_LIBFUZZER
static const char *const fuzz_seeds[] = {
    "t.a = 1 AND (t.b OR t.c[1] > :cutoff)",
    "t.a = E'x\\'y' OR t.b = 'it''s' -- end",
    "f(t.a) /* a /* b */ c */ = $x$ ) $x$",
    "EXISTS (SELECT FROM s WHERE s.at::date > :cutoff)",
    "\"a\"\"b\" = E'a'\n'\\'' ",
    "true",
    NULL,
};
static const char *const fuzz_pieces[] = {
    "'", "''", "\"", "E'", "\\'", "\\", "$$",     "$x$",    "$1",      "(",
    ")", "[",  "]",  "--", "\n",  "\r", "/*",     "*/",     ":cutoff", "::",
    ":", ";",  " ",  "e",  "U&'", "N'", "select", "lower(", "\x80",    NULL,
};
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct condition_facts facts, whole;
    void *ctx = talloc_new(NULL);
    struct setting condition = {fuzz_text(ctx, data, size), "f:1"};
    if (condition_check(ctx, &condition, &facts, &err)) {
        PQExpBuffer out = createPQExpBuffer();
        condition_append(out, condition.value, (const char *[]){"$9::timestamptz"}, 1);
        HOLDS(out->len >= 2 && out->data[0] == '(' && out->data[out->len - 1] == ')');
        /* With something plain for the cutoff it is again one expression, with the same calls and
         * one bracket more around it: what follows it in a statement stays outside. */
        resetPQExpBuffer(out);
        condition_append(out, condition.value, (const char *[]){":cutoff"}, 1);
        appendPQExpBufferStr(out, " AND (last)");
        struct setting put = {buffer_take(ctx, out), "f:1"};
        struct error inner = ERROR_INIT;
        bool one = condition_check(ctx, &put, &whole, &inner);
        HOLDS(one || strstr(inner.message, "nested too deeply"));
        HOLDS(!one || (whole.subquery == facts.subquery && whole.call_count == facts.call_count));
        error_clear(&inner);
        /* A bracket too many is seen, so nothing in the condition swallows what follows. */
        struct setting open = {mem_printf(ctx, "%s)", put.value), "f:1"};
        HOLDS(!condition_check(ctx, &open, NULL, &inner));
        error_clear(&inner);
    } else {
        fuzz_error(&err, SWEEP_USAGE);
    }
    talloc_free(ctx);
    return 0;
}
