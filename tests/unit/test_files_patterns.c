/* Patterns of protected names: what they match, against a model, and which are refused with what
 * advice. */
#define _GNU_SOURCE
#include "unit.h"

#include <ctype.h>
#include <fnmatch.h>

#include "pgsweep/files.h"

static const struct {
    const char *pattern, *path;
    bool match;
} matches[] = {
    {"**/keep", "keep", true},
    {"**/keep", "a/b/keep", true},
    {"**/keep", "a/keep/b", false},
    {"a/**", "a", false},
    {"a/**", "a/b", true},
    {"a/**", "a/b/c", true},
    {"a/**/b", "a/b", true},
    {"a/**/b", "a/x/y/b", true},
    {"a/**/b", "x/a/b", false},
    {"/a/**/b/", "a/x/b", true},
    {"a/**/b/**/c", "a/b/b/x/c/c", true},
    {"a/**/**/c", "a/c", true},
    {"**/a/**/*.mov", "x/a/y/f.mov", true},
    {"**/a/**/*.mov", "x/b/y/f.mov", false},
    {"**", "anything", true},
    {"a/**/[[:digit:]]*", "a/b/7x", true},
    {"a/**/.*", "a/b/.hidden", true},
    {"?berg.mov",
     "\xc3\xbc"
     "berg.mov",
     true}, /* one character, though two bytes */
    {"[\xc3\xa4\xc3\xbc]x", "\xc3\xbcx", true},
    {"?.mov", "\xff.mov", true}, /* a name that is not UTF-8: byte by byte */
    {"Result*", "result.mp4", false},
};

START_TEST(test_T2_double_star_is_any_depth)
{
    ck_assert_msg(files_match_pattern(matches[_i].pattern, matches[_i].path, false) ==
                      matches[_i].match,
                  "%s on %s", matches[_i].pattern, matches[_i].path);
}
END_TEST

START_TEST(test_T2_case_can_be_ignored)
{
    ck_assert(files_match_pattern("result*", "a/RESULT.mp4", true));
    ck_assert(files_match_pattern("Final/*.Mov", "fINAL/a.mOV", true));
    ck_assert(files_match_pattern("final/**/*.mov", "FINAL/X/A.MOV", true));
    ck_assert(!files_match_pattern("final/**/*.mov", "FINAL/X/A.MOV", false));
    ck_assert(files_match_pattern("\xc3\xbc*",
                                  "\xc3\x9c"
                                  "x",
                                  true));
}
END_TEST

/* The model: characters one by one, depth by recursion; slow and obvious. */
static bool model_name(const char *p, const char *pend, const char *s, const char *send)
{
    if (p == pend)
        return s == send;
    if (*p == '*')
        return model_name(p + 1, pend, s, send) || (s < send && model_name(p, pend, s + 1, send));
    if (s == send)
        return false;
    if (*p == '[') /* of two characters here: [ab] */
        return (*s == p[1] || *s == p[2]) && model_name(p + 4, pend, s + 1, send);
    return (*p == '?' || *p == *s) && model_name(p + 1, pend, s + 1, send);
}

static bool model_path(const char *p, const char *s)
{
    const char *pend = p + strcspn(p, "/");
    const char *send = s + strcspn(s, "/");
    if (!*p || !*s)
        return !*p && !*s;
    bool more_p = *pend == '/';
    bool more_s = *send == '/';
    if (pend == p + 2 && p[0] == '*' && p[1] == '*') {
        if (!more_p)
            return true; /* at the end: at least one name */
        return model_path(pend + 1, s) || (more_s && model_path(p, send + 1));
    }
    if (!model_name(p, pend, s, send))
        return false;
    return more_p && more_s ? model_path(pend + 1, send + 1) : !more_p && !more_s;
}

static const char *const parts[] = {"a", "b",    "ab", "*",    "a*", "*b",
                                    "?", "[ab]", "**", "*a*b", "b?", "**"};
static const char *const names[] = {"a", "b", "ab", "ba", "abb", "aab", "bb"};

static void random_path(char *out, const char *const *from, int count, int depth)
{
    *out = '\0';
    for (int i = 0; i < depth; i++) {
        if (i > 0)
            strcat(out, "/");
        strcat(out, from[rand() % count]);
    }
}

START_TEST(test_T2_matches_as_the_model_does)
{
    srand(4711);
    int hits = 0;
    for (int i = 0; i < 200000; i++) {
        char pattern[128];
        char path[128];
        random_path(pattern, parts, COUNT(parts), 2 + rand() % 4);
        random_path(path, names, COUNT(names), 1 + rand() % 6);
        bool expected = model_path(pattern, path);
        hits += expected;
        ck_assert_msg(files_match_pattern(pattern, path, false) == expected, "%s on %s", pattern,
                      path);
        if (!strstr(pattern, "**"))
            ck_assert_msg(expected == (fnmatch(pattern, path, FNM_PATHNAME) == 0), "%s on %s",
                          pattern, path);
        const char *advice;
        ck_assert_ptr_null(files_refuse_pattern(ctx, pattern, &advice));
        for (char *c = path; *c; c++)
            *c = (char)(rand() % 2 ? toupper(*c) : *c);
        ck_assert_msg(files_match_pattern(pattern, path, true) == expected, "%s on %s in any case",
                      pattern, path);
    }
    ck_assert_int_gt(hits, 10000);
}
END_TEST

static const struct {
    const char *pattern, *why, *advice;
} refused[] = {
    {"", "matches nothing", "*.mov"},
    {"/", "matches nothing", NULL},
    {"///", "matches nothing", NULL},
    {".", "matches nothing", NULL},
    {"..", "matches nothing", NULL},
    {"./keep", "has a \".\" between slashes", "leave the \".\" out"},
    {"a/./b", "has a \".\" between slashes", NULL},
    {"a/.", "has a \".\" between slashes", NULL},
    {"../x", "has a \"..\" between slashes", "--protect-dir"},
    {"a/../b", "has a \"..\" between slashes", NULL},
    {"a//keep", "has two slashes in a row", NULL},
    {"keep//", "has two slashes in a row", NULL},
    {"//keep", "begins with several slashes", NULL},
    {"keep\\", "ends with a backslash", NULL},
    {"a/keep\\", "ends with a backslash", NULL},
    {"a\\\\\\", "ends with a backslash", NULL},
    {"a\\/b", "has a backslash before a slash", NULL},
    {"a[b", "has a \"[\" without its \"]\"", "\\["},
    {"a]b", "has a \"]\" without its \"[\"", "\\]"},
    {"[]", "has a \"[\" without its \"]\"", NULL},
    {"[!]", "has a \"[\" without its \"]\"", NULL},
    {"x[a/b]y", "has a slash between", NULL},
    {"[z-a]", "has a range whose end comes before its start", NULL},
    {"[[:numbers:]]x", "names a class of characters that does not exist", "digit"},
    {"[[:digit]", "has a \"[:\" without its \":]\"", NULL},
    {"*.{mov,MOV}", "has braces, which are not expanded", "\"*.mov\", \"*.MOV\""},
    {"a/{b,c,d}/e", "has braces, which are not expanded", "\"a/b/e\", \"a/c/e\", \"a/d/e\""},
    {"!keep", "begins with \"!\"", "\\!"},
    {"~/keep", "begins with \"~\"", "--protect-dir"},
    {"~", "begins with \"~\"", NULL},
    {"~render/keep", "begins with \"~\"", NULL},
    {" keep", "begins or ends with a blank", NULL},
    {"keep\n", "begins or ends with a blank", NULL},
    {"*.mov,*.mp4", "looks like several patterns", NULL},
    {"*.mov, *.mp4", "looks like several patterns", NULL},
    {"src/**.mov", "has a \"**\" that is only part of a name", "**/*.mov"},
};

START_TEST(test_T2_a_pattern_that_protects_nothing_is_refused)
{
    const char *advice = NULL;
    const char *why = files_refuse_pattern(ctx, refused[_i].pattern, &advice);
    ck_assert_msg(why != NULL, "\"%s\" was accepted", refused[_i].pattern);
    ck_says(why, refused[_i].why);
    if (refused[_i].advice)
        ck_says(advice, refused[_i].advice);
    ck_assert(advice && *advice);
}
END_TEST

START_TEST(test_T2_patterns_that_can_match_are_taken)
{
    static const struct {
        const char *pattern, *path;
    } taken[] = {{"keep", "keep"},        {"/keep", "keep"},
                 {"keep/", "a/keep"},     {"a\\\\", "a\\"},
                 {"\\!keep", "!keep"},    {"\\~", "~"},
                 {"*~", "a.txt~"},        {"~$a", "~$a"},
                 {"\\{a,b}", "{a,b}"},    {"{1234-56}", "{1234-56}"},
                 {"[[]a\\]", "[a]"},      {"\\[a\\]", "[a]"},
                 {"[]a]", "]"},           {"[!a]", "b"},
                 {"[a-]", "-"},           {"a[,]*b", "a,b"},
                 {"[[:digit:]-]x", "-x"}, {"...", "..."},
                 {"..a/b", "..a/b"},      {"*", "x"},
                 {"[ ]a", " a"},          {"a, b", "a, b"},
                 {"[\\]]", "]"},          {"**", "x"},
                 {"a/**", "a/b"},         {"[a-z]/x", "b/x"}};
    for (int i = 0; i < COUNT(taken); i++) {
        const char *advice;
        const char *why = files_refuse_pattern(ctx, taken[i].pattern, &advice);
        ck_assert_msg(why == NULL, "\"%s\": %s", taken[i].pattern, why);
        ck_assert_msg(files_match_pattern(taken[i].pattern, taken[i].path, false), "%s on %s",
                      taken[i].pattern, taken[i].path);
    }
}
END_TEST

/* What is accepted must be able to match: each accepted text matches some name made from it. */
START_TEST(test_T2_what_is_read_of_any_text_ends_and_stays_inside)
{
    static const char alphabet[] = "a*?[]!-\\/.{},~ :^b";
    srand(17);
    for (int i = 0; i < 300000; i++) {
        char text[16];
        int length = rand() % 12;
        const char *advice = NULL;
        for (int k = 0; k < length; k++)
            text[k] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        text[length] = '\0';
        char *exact = strdup(text); /* so that a sanitizer sees a step beyond the end */
        const char *why = files_refuse_pattern(ctx, exact, &advice);
        ck_assert(!why || (advice && *advice));
        if (!why && !strpbrk(exact, "*?[\\")) {
            const char *path = exact + strspn(exact, "/");
            ck_assert_msg(files_match_pattern(exact,
                                              path[strlen(path) - 1] == '/'
                                                  ? talloc_strndup(ctx, path, strlen(path) - 1)
                                                  : path,
                                              false),
                          "\"%s\" does not match itself", exact);
        }
        free(exact);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patterns");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, unit_setup, unit_teardown);
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, test_T2_double_star_is_any_depth, 0, COUNT(matches));
    tcase_add_test(all, test_T2_case_can_be_ignored);
    tcase_add_test(all, test_T2_matches_as_the_model_does);
    tcase_add_loop_test(all, test_T2_a_pattern_that_protects_nothing_is_refused, 0, COUNT(refused));
    tcase_add_test(all, test_T2_patterns_that_can_match_are_taken);
    tcase_add_test(all, test_T2_what_is_read_of_any_text_ends_and_stays_inside);
    suite_add_tcase(suite, all);
    return unit_run(suite);
}
