/* What the tests of the policy room share: a policy parsed from a text. */
#ifndef PGSWEEP_TESTS_POLICIES_H
#define PGSWEEP_TESTS_POLICIES_H

#include "../../src/policy/fields.h"
#include "pgsweep/policy.h"
#include "unit.h"

static struct policy *policy;

static bool parse_bytes(const char *text, size_t length)
{
    error_clear(&err);
    return policy_parse(ctx, "test", "p.yaml", text, length, &policy, &err);
}

static bool parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void ck_parses(const char *text)
{
    bool ok = parse(text);
    ck_assert_msg(ok, "%s\n%s", text, err.message);
}

static char *printed(const struct policy *from)
{
    PQExpBuffer out = createPQExpBuffer();
    ck_assert(policy_print(from, out, &err));
    char *text = mem_strdup(ctx, out->data);
    destroyPQExpBuffer(out);
    return text;
}

#endif
