/* The policy room: conditions, read by their tokens. */
#include "unit.h"

#include "pgsweep/policy.h"

static struct setting said(const char *text)
{
    return (struct setting){text, "p.yaml:7"};
}

static const char *const good[] = {
    "true",
    "t.a = 1",
    "(t.a = ANY (ARRAY[1, 2]))",
    "t.note = 'it''s (; $1'",
    "t.\"odd (; name\" = 1",
    "t.a = E'\\'); (' AND true",
    "t.a = e'\\\\'",
    "t.a = $$ ' ) ; $$",
    "t.a = $x$ $y$ ) $x$",
    "/* ) ; /* nested ' */ */ true",
    "true -- ) ; '",
    "-- first\ntrue",
    "t.at < :cutoff",
    "t.at::date < :cutoff::date",
    "t.a = 'x' -- why\n 'y'",
    "date'2020-01-01' < t.at",
    "t.a = U&'\\0041'",
    "t.type'\\' IS NULL",
    "t.a = E'x'\n'\\')'",
    "t.a[1] > 0 AND t.b[(1)] IS NULL",
    "t.a$b > 1",
    "a1e'\\'",
    "\xc3\xa4 = 1",
    "true -- a comment that ends the line\r\n AND true",
};

START_TEST(takes_one_expression)
{
    struct setting setting = said(good[_i]);
    ck_assert_msg(condition_check(ctx, &setting, NULL, &err), "%s: %s", good[_i], err.message);
}
END_TEST

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "empty"},
    {"  \n", "empty"},
    {"-- only this", "empty"},
    {"/* only */", "empty"},
    {"(true", "not closed"},
    {"true)", "has no opening one"},
    {"t.a[1)", "has no opening one"},
    {")true(", "has no opening one"},
    {"true; DROP TABLE jobs", "semicolon"},
    {"true;", "semicolon"},
    {"t.a = $1", "parameter"},
    {"t.a=$12", "parameter"},
    {"t.a = 'x", "quote"},
    {"t.a = E'x\\'", "quote"},
    {"t.\"a", "quote"},
    {"t.a = '''", "quote"},
    {"t.a = $$x", "dollar quote"},
    {"t.a = $x$ $y$", "dollar quote"},
    {"true /* x", "comment"},
    {"true /* x /* y */", "comment"},
    /* Attempts to leave the brackets that the condition is put in. */
    {"true) OR (true", "has no opening one"},
    {"true) -- ", "has no opening one"},
    {"true /* ' */) OR (true", "has no opening one"},
    {"t.a = E'\\\\') OR (true", "has no opening one"},
    {"t.a = '\\') OR (true", "has no opening one"},
    {"t.a = $a$x$a$) OR (true", "has no opening one"},
    {"true -- x\r) OR (true",
     "has no opening one"}, /* PostgreSQL ends a comment at a carriage return too */
    {"t.a = E'a'\n'\\'' ) OR (true --'",
     "has no opening one"}, /* a continued E'' keeps its backslashes */
    {"t.a = E'a' -- x\n'\\'' ) OR (true --'", "has no opening one"},
};

START_TEST(refuses_what_is_not_one_expression)
{
    struct setting setting = said(bad[_i].text);
    ck_assert_msg(!condition_check(ctx, &setting, NULL, &err), "taken: %s", bad[_i].text);
    ck_says(err.message, bad[_i].why);
    ck_says(err.message, "p.yaml:7");
    ck_assert_int_eq(err.code, SWEEP_USAGE);
}
END_TEST

START_TEST(brackets_have_a_limit)
{
    char text[300];
    struct setting setting = said(text);
    for (int depth = 64; depth <= 65; depth++) {
        error_clear(&err);
        memset(text, '(', depth);
        text[depth] = '1';
        memset(text + depth + 1, ')', depth);
        text[2 * depth + 1] = '\0';
        ck_assert_int_eq(condition_check(ctx, &setting, NULL, &err), depth == 64);
    }
    ck_says(err.message, "deep");
}
END_TEST

static const struct {
    const char *text, *with;
} cutoffs[] = {
    {"t.a < :cutoff", "(t.a < CUT)"},
    {"t.a < :cutoff AND t.b < :cutoff", "(t.a < CUT AND t.b < CUT)"},
    {"t.a::cutoff", "(t.a::cutoff)"},
    {"t.a < :cutoffs", "(t.a < :cutoffs)"},
    {":cutoff::date > t.a", "(CUT::date > t.a)"},
    {"t.a = ':cutoff'", "(t.a = ':cutoff')"},
    {"t.\":cutoff\" > $$:cutoff$$", "(t.\":cutoff\" > $$:cutoff$$)"},
    {"/* :cutoff */ t.a < :cutoff -- :cutoff", "(/* :cutoff */ t.a < CUT -- :cutoff\n)"},
    {"true -- x", "(true -- x\n)"},
    {"t.a < '--'", "(t.a < '--'\n)"},
};

START_TEST(cutoff_is_put_in)
{
    struct setting setting = said(cutoffs[_i].text);
    ck_assert(condition_check(ctx, &setting, NULL, &err));
    PQExpBuffer out = createPQExpBuffer();
    const char *cut[] = {"CUT"};
    condition_append(out, cutoffs[_i].text, cut, 1);
    ck_assert_str_eq(out->data, cutoffs[_i].with);
    destroyPQExpBuffer(out);
}
END_TEST

static const struct {
    const char *text;
    bool subquery;
    const char *calls; /* with a space behind each */
} facts_of[] = {
    {"t.a", false, ""},
    {"lower(t.a) = 'x'", false, "lower "},
    {"t.a IN ('x') AND (t.b OR NOT (t.c))", false, ""},
    {"app.\"Is Dead\" (t.id)", false, "Is Dead "},
    {"\"a\"\"b\"(1)", false, "a\"b "},
    {"LOWER /* x */ (Upper(t.a))", false, "lower upper "},
    {"EXISTS (SELECT FROM s WHERE s.id = t.id)", true, ""},
    {"t.a IN (TABLE x)", true, ""},
    {"t.a IN (values (1))", true, ""},
    {"t.a = 'select f(x)' -- select f(x)", false, ""},
    {"t.\"select\" = 1", false, ""},
    {"t.selected = 1", false, ""},
};

START_TEST(tells_what_it_reads)
{
    struct condition_facts facts;
    struct setting setting = said(facts_of[_i].text);
    ck_assert(condition_check(ctx, &setting, &facts, &err));
    ck_assert_int_eq(facts.subquery, facts_of[_i].subquery);
    char *calls = mem_strdup(ctx, "");
    for (size_t i = 0; i < facts.call_count; i++)
        calls = talloc_asprintf_append(calls, "%s ", facts.calls[i]);
    ck_assert_str_eq(calls, facts_of[_i].calls);
}
END_TEST

START_TEST(each_cutoff_has_its_own_value)
{
    static const char text[] =
        "t.a < :cutoff AND t.b < :cutoff OR t.c = ':cutoff' OR t.d < :cutoff";
    const char *values[] = {"A", "B", "C"};
    PQExpBuffer out = createPQExpBuffer();
    ck_assert_uint_eq(condition_cutoffs(text), 3);
    ck_assert_uint_eq(condition_cutoffs("t.a::cutoff -- :cutoff"), 0);
    condition_append(out, text, values, 3);
    ck_assert_str_eq(out->data, "(t.a < A AND t.b < B OR t.c = ':cutoff' OR t.d < C)");
    destroyPQExpBuffer(out);
}
END_TEST

static char *joined(const char **list, size_t count)
{
    char *text = mem_strdup(ctx, "");
    for (size_t i = 0; i < count; i++)
        text = talloc_asprintf_append(text, "%s ", list[i]);
    return text;
}

START_TEST(tells_the_words_of_what_explain_shows)
{
    struct condition_words words;
    ck_assert(condition_words(
        ctx,
        "Output: ((hashed SubPlan 2) OR is_held(t.*) OR (t.\"Is it\" <@ 'no(x)'::text))\n"
        "  ->  Seq Scan on public.b\n Filter: (b.a OPERATOR(app.#?) $0)",
        &words));
    ck_assert_str_eq(joined(words.calls, words.call_count), "is_held or operator ");
    ck_assert_str_eq(joined(words.operators, words.operator_count), "* <@ -> #? ");
    ck_assert_str_eq(joined(words.words, words.word_count),
                     "output hashed subplan or is_held t or t Is it text seq scan on public b "
                     "filter b a operator app ");
    ck_assert(!condition_words(ctx, "is_held(t) = 'open", &words));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("condition");
    TCase *tests = tcase_create("condition");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, takes_one_expression, 0, COUNT(good));
    tcase_add_loop_test(tests, refuses_what_is_not_one_expression, 0, COUNT(bad));
    tcase_add_test(tests, brackets_have_a_limit);
    tcase_add_loop_test(tests, cutoff_is_put_in, 0, COUNT(cutoffs));
    tcase_add_loop_test(tests, tells_what_it_reads, 0, COUNT(facts_of));
    tcase_add_test(tests, each_cutoff_has_its_own_value);
    tcase_add_test(tests, tells_the_words_of_what_explain_shows);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
