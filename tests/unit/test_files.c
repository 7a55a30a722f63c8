/* The rules of the file sweep as pure functions, and what is refused as a root. The sweep itself is
 * tested on the real file system: tests/fault/test_files_*.py. */
#define _GNU_SOURCE
#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"

static struct timespec at(time_t s, long ns)
{
    return (struct timespec){.tv_sec = s, .tv_nsec = ns};
}

START_TEST(test_T1_age_boundaries_to_the_nanosecond)
{
    struct timespec cutoff = at(1000, 500);
    struct timespec now = at(2000, 500);
    ck_assert_int_eq(files_judge_age(at(1000, 499), cutoff, now), FILES_NOT_KEPT);
    ck_assert_int_eq(files_judge_age(at(1000, 500), cutoff, now), FILES_KEPT_FRESH);
    ck_assert_int_eq(files_judge_age(at(1000, 501), cutoff, now), FILES_KEPT_FRESH);
    ck_assert_int_eq(files_judge_age(at(999, 999999999), cutoff, now), FILES_NOT_KEPT);
    ck_assert_int_eq(files_judge_age(at(1001, 0), cutoff, now), FILES_KEPT_FRESH);
    ck_assert_int_eq(files_judge_age(at(2000, 500), cutoff, now), FILES_KEPT_FRESH);
    ck_assert_int_eq(files_judge_age(at(2000, 501), cutoff, now), FILES_KEPT_FUTURE);
    ck_assert_int_eq(files_judge_age(at(0, 0), cutoff, now), FILES_NOT_KEPT);
    ck_assert_int_eq(files_judge_age(at(-5, 0), cutoff, now), FILES_NOT_KEPT);
}
END_TEST

START_TEST(test_T1_a_cutoff_ahead_of_the_clock_spares_the_future)
{
    ck_assert_int_eq(files_judge_age(at(150, 0), at(200, 0), at(100, 0)), FILES_KEPT_FUTURE);
    ck_assert_int_eq(files_judge_age(at(99, 0), at(200, 0), at(100, 0)), FILES_NOT_KEPT);
}
END_TEST

START_TEST(test_T2_patterns)
{
    static const struct {
        const char *pattern;
        const char *path;
        bool match;
    } cases[] = {
        {"result*", "result.mp4", true},
        {"result*", "job/deep/result", true},
        {"result*", "result/inside", false}, /* its directory is not entered, which protects it */
        {"result*", "job/my-result", false},
        {"result*", "Result.mp4", false},
        {"*.keep", "a/.keep", true},
        {"*", "a/.hidden", true},
        {"a?c", "x/abc", true},
        {"job/*.mp4", "job/a.mp4", true},
        {"/job/*.mp4", "job/a.mp4", true},
        {"//job/a.mp4", "job/a.mp4", true},
        {"job/*.mp4", "other/job/a.mp4", false},
        {"job/*", "job/a/b", false}, /* no wildcard matches a slash */
        {"*/keep", "job/keep", true},
        {"*/keep", "keep", false},
        {"keep/", "job/keep", true}, /* a trailing slash changes nothing */
        {"/keep", "keep", true},
        {"/keep", "job/keep", false},
        {"result*", "result\xff\xfe", true},
        {"[", "[", true}, /* an unfinished bracket is a plain character */
        {"", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(files_match_pattern(cases[i].pattern, cases[i].path, false) == cases[i].match,
                      "%s on %s", cases[i].pattern, cases[i].path);
    ck_assert_str_eq(files_default_protect[0], "result*");
    ck_assert_str_eq(files_default_protect[1], "output*");
    ck_assert_ptr_null(files_default_protect[2]);
}
END_TEST

START_TEST(test_J3_names_of_working_directories)
{
    char longest[NAME_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[NAME_MAX + 1] = '\0';
    static const char *const refused[] = {
        "",   ".", "..",   "../x",    "/etc",  "a/b",
        "a/", "/", "a\nb", "\x1b[2J", "a\x7f", ".pgsweep-trash.0123456789abcdef"};
    static const char *const accepted[] = {"4711",
                                           "0b9d1c1e-3a4f-4a53-a9ad-1d3c6a1b7f10",
                                           "...",
                                           "..a",
                                           ".hidden",
                                           "-rf",
                                           "*",
                                           "a b",
                                           "Gr\xc3\xbc\xc3\x9f",
                                           "%2e%2e"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(files_refuse_name(refused[i]) != NULL, "\"%s\" was accepted", refused[i]);
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        ck_assert_msg(files_refuse_name(accepted[i]) == NULL, "\"%s\" was refused", accepted[i]);
    ck_assert_ptr_nonnull(files_refuse_name(NULL));
    ck_assert_ptr_nonnull(files_refuse_name(longest));
    longest[NAME_MAX] = '\0';
    ck_assert_ptr_null(files_refuse_name(longest));
}
END_TEST

static void expect_clean(const char *given, const char *cleaned)
{
    struct error err = ERROR_INIT;
    char *got = files_clean_root(NULL, given, &err);
    ck_assert_msg(got && strcmp(got, cleaned) == 0, "%s gave %s", given, got ? got : "nothing");
    talloc_free(got);
    error_clear(&err);
}

static void expect_refused(const char *given)
{
    struct error err = ERROR_INIT;
    char *got = files_clean_root(NULL, given, &err);
    ck_assert_msg(got == NULL, "%s gave %s", given ? given : "NULL", got);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    ck_assert_ptr_nonnull(err.message);
    ck_assert_ptr_nonnull(err.hint);
    error_clear(&err);
}

START_TEST(test_T2_the_text_of_a_root)
{
    expect_clean("/tmp/nexrender", "/tmp/nexrender");
    expect_clean("/tmp/nexrender///", "/tmp/nexrender");
    expect_clean("//tmp/./nexrender/.", "/tmp/nexrender");
    expect_clean("/a", "/a");
    expect_clean("/...", "/...");
    expect_clean("/a/..b/c..", "/a/..b/c..");
    static const char *const refused[] = {"",        "/",           "//",          "/.", "/./",
                                          "tmp",     "./tmp",       "~",           "..", "/..",
                                          "/tmp/..", "/tmp/../etc", "/tmp/x/../.."};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_refused(refused[i]);
    expect_refused(NULL);
    char *longest = calloc(1, PATH_MAX + 2);
    memset(longest, 'a', PATH_MAX + 1);
    longest[0] = '/';
    expect_refused(longest);
    free(longest);
}
END_TEST

START_TEST(test_T2_the_refused_root_is_shown_escaped)
{
    struct error err = ERROR_INIT;
    ck_assert_ptr_null(files_clean_root(NULL, "a\x1b[2J\n", &err));
    ck_assert_ptr_null(strchr(err.message, '\x1b'));
    ck_assert_ptr_null(strchr(err.message, '\n'));
    error_clear(&err);
}
END_TEST

/* A place of its own for each test that needs the file system. */
static char place[64];

static void make_place(void)
{
    strcpy(place, "/tmp/pgsweep-unit-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place));
}

static void drop_place(void)
{
    static const char *const names[] = {"link", "file", "real/sub", "real"};
    char path[128];
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", place, names[i]);
        remove(path);
    }
    rmdir(place);
}

static bool check_root(const char *below, const char *protect, bool no_openat2, bool *missing)
{
    char root[128];
    char dir[128];
    const char *dirs[] = {dir};
    snprintf(root, sizeof root, "%s%s", place, below);
    snprintf(dir, sizeof dir, "%s%s", place, protect ? protect : "");
    struct files_options o = {.root = root,
                              .protect_dirs = dirs,
                              .protect_dir_count = protect ? 1 : 0,
                              .no_openat2 = no_openat2};
    struct error err = ERROR_INIT;
    bool ok = files_check_root(&o, missing, &err);
    ck_assert_int_eq(err.code, ok ? SWEEP_OK : SWEEP_USAGE);
    ck_assert(ok || (err.message && err.hint));
    error_clear(&err);
    return ok;
}

static void mkdir_below(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", place, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}

/* Loop test: 0 with openat2, 1 without. */
START_TEST(test_T2_roots_on_disk)
{
    bool plain = _i == 1;
    bool missing = true;
    char path[128];
    mkdir_below("real");
    mkdir_below("real/sub");
    snprintf(path, sizeof path, "%s/link", place);
    ck_assert_int_eq(symlink("real", path), 0);
    snprintf(path, sizeof path, "%s/file", place);
    fclose(fopen(path, "w"));

    ck_assert(check_root("/real", NULL, plain, &missing));
    ck_assert(!missing);
    ck_assert(check_root("/real/sub/", NULL, plain, &missing));
    ck_assert(check_root("/nothing/here", NULL, plain, &missing));
    ck_assert(missing);
    ck_assert(!check_root("/link", NULL, plain, &missing));
    ck_assert(!check_root("/link/", NULL, plain, &missing));
    ck_assert(!check_root("/link/sub", NULL, plain, &missing));
    ck_assert(!check_root("/file", NULL, plain, &missing));
    ck_assert(!check_root("/file/x", NULL, plain, &missing));

    ck_assert(!check_root("/real", "/real", plain, &missing));
    ck_assert(!check_root("/real/sub", "/real", plain, &missing));
    ck_assert(!check_root("/real/sub", "/link", plain, &missing)); /* another spelling */
    ck_assert(!check_root("/real/sub", "", plain, &missing));
    ck_assert(check_root("/real", "/real/sub", plain, &missing));
    ck_assert(check_root("/real", "/nothing", plain, &missing));
}
END_TEST

START_TEST(test_T3_every_reason_has_words)
{
    for (int i = 0; i < FILES_KEPT_COUNT; i++) {
        ck_assert_int_gt(strlen(files_kept_word((enum files_kept)i)), 1);
        ck_assert_int_gt(strlen(files_kept_meaning((enum files_kept)i)), 5);
    }
    struct files_report r = {
        .deleted_files = 1, .deleted_links = 2, .deleted_directories = 4, .deleted_special = 8};
    r.kept[FILES_KEPT_FRESH] = 16;
    r.kept[FILES_KEPT_NOT_EMPTY] = 32;
    ck_assert_int_eq(files_deleted(&r), 15);
    ck_assert_int_eq(files_kept(&r), 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, test_T1_age_boundaries_to_the_nanosecond);
    tcase_add_test(rules, test_T1_a_cutoff_ahead_of_the_clock_spares_the_future);
    tcase_add_test(rules, test_T2_patterns);
    tcase_add_test(rules, test_J3_names_of_working_directories);
    tcase_add_test(rules, test_T2_the_text_of_a_root);
    tcase_add_test(rules, test_T2_the_refused_root_is_shown_escaped);
    tcase_add_test(rules, test_T3_every_reason_has_words);
    suite_add_tcase(suite, rules);
    TCase *roots = tcase_create("roots");
    tcase_add_checked_fixture(roots, make_place, drop_place);
    tcase_add_loop_test(roots, test_T2_roots_on_disk, 0, 2);
    suite_add_tcase(suite, roots);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
