/* The policy room: policies of kind files, and the working directories of a policy for rows. */
#define _GNU_SOURCE
#include "policies.h"

#define BASE "kind: files\nretain: 7 days\n"
#define ROWS "table: a\nage: b\nretain: 1 day\n"

START_TEST(reads_every_key)
{
    ck_parses(
        "kind: files\ndescription: d\nroots: [/a, /b c]\nretain: 3 days\nage_by: btime\nin_use: "
        "delete\n"
        "protect: ['*.mp4', 'keep/*']\nprotect_dirs:\n  - /a/out\nactive: jobs\nchunk: 500\n"
        "limits: {max_rows: 10, max_runtime: 1 hour, pause: 5 ms}\nalerts: {failed_share: 5%}\n");
    ck_assert_int_eq(policy->kind, KIND_FILES);
    ck_assert_uint_eq(policy->root_count, 2);
    ck_assert_str_eq(policy->roots[1].value, "/b c");
    ck_assert_str_eq(policy->roots[1].origin, "p.yaml:3");
    ck_assert_str_eq(policy->retain.value, "3 days");
    ck_assert_str_eq(policy_age_by_text(policy, policy->files.age_by), "btime");
    ck_assert_int_eq(policy->files.in_use, IN_USE_DELETE);
    ck_assert_uint_eq(policy->files.protect_count, 2);
    ck_assert_str_eq(policy->files.protect[1].value, "keep/*");
    ck_assert_uint_eq(policy->files.protect_dir_count, 1);
    ck_assert_str_eq(policy->files.protect_dirs[0].origin, "p.yaml:9");
    ck_assert_str_eq(policy->active.value, "jobs");
    ck_assert_str_eq(policy->max_rows.value, "10");
    ck_assert_str_eq(policy->alert_failed_share.value, "5%");
}
END_TEST

START_TEST(fills_in_the_careful_defaults)
{
    ck_parses(BASE "roots:\nprotect: ~\nlimits:\n");
    ck_assert_uint_eq(policy->root_count, 0);
    ck_assert_str_eq(policy_age_by_text(policy, policy->files.age_by), "mtime");
    ck_assert_int_eq(policy->files.in_use, IN_USE_KEEP);
    ck_assert_ptr_null(policy->active.value);
    ck_assert_str_eq(policy->chunk.value, "auto");
    ck_assert_ptr_null(policy->max_rows.value);
}
END_TEST

START_TEST(several_times_and_room)
{
    double share;
    int64_t bytes;
    ck_parses(BASE "age_by: 'ctime, mtime'\nmin_free: 20%\nowner: [x]\n");
    ck_assert_str_eq(policy_age_by_text(policy, policy->files.age_by), "mtime,ctime");
    policy_min_free(&policy->files.min_free, &share, &bytes);
    ck_assert(share > 0.1999 && share < 0.2001);
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {{"1 KiB", 1024},
                 {"1.5GiB", 1610612736},
                 {"2 kB", 2000},
                 {"3mb", 3000000},
                 {"1 TiB", 1099511627776}};
    for (int i = 0; i < COUNT(sizes); i++) {
        struct setting setting = {sizes[i].text, "x"};
        policy_min_free(&setting, &share, &bytes);
        ck_assert(share < 0);
        ck_assert_int_eq(bytes, sizes[i].bytes);
    }
}
END_TEST

START_TEST(the_kind_may_stand_anywhere_and_rows_is_the_default)
{
    ck_parses("retain: 7 days\nroots: [/a]\nkind: files\n");
    ck_assert_int_eq(policy->kind, KIND_FILES);
    ck_parses(ROWS);
    ck_assert_int_eq(policy->kind, KIND_ROWS);
    ck_assert_ptr_null(policy->directory.value);
    ck_parses(ROWS "kind: rows\nfiles: {directory: id, root: /srv/work}\n");
    ck_assert_str_eq(policy->directory.value, "id");
    ck_assert_str_eq(policy->directory_root.value, "/srv/work");
    ck_assert_str_eq(policy->directory_root.origin, "p.yaml:5");
}
END_TEST

static const struct {
    const char *text, *message, *hint;
} wrong[] = {
    {BASE "table: jobs\n", "p.yaml:3: unknown key \"table\" in the policy",
     "Known keys: kind, description, roots"},
    {BASE "guards: []\n", "p.yaml:3: unknown key \"guards\"", NULL},
    {BASE "where: t.x\n", "p.yaml:3: unknown key \"where\"", NULL},
    {BASE "files: {directory: id}\n", "p.yaml:3: unknown key \"files\"", NULL},
    {BASE "root: /a\n", "p.yaml:3: unknown key \"root\"", "\"roots\"?"},
    {BASE "protekt: [x]\n", "p.yaml:3: unknown key \"protekt\"", "\"protect\""},
    {"kind: files\nroots: [/a]\n", "\"retain\" is missing in the policy", NULL},
    {"kind: file\nretain: 1 day\n", "p.yaml:1: kind must be one of rows, files, not \"file\"",
     NULL},
    {"kind: [files]\nretain: 1 day\n", "p.yaml:1: kind must be a single value, not a list", NULL},
    {BASE "kind: files\n", "p.yaml:3: \"kind\" is given twice", NULL},
    {BASE "roots: /a\n", "p.yaml:3: roots must be a list", NULL},
    {BASE "roots: [[/a]]\n", "p.yaml:3: roots must be a list of names", NULL},
    {BASE "roots: [~]\n", "roots must be a list of names", NULL},
    {BASE "protect: {a: b}\n", "p.yaml:3: protect must be a list", NULL},
    {BASE "age_by: size\n",
     "p.yaml:3: age_by must be one of mtime, atime, ctime, btime, not \"size\"", NULL},
    {BASE "age_by: [mtime, size]\n",
     "p.yaml:3: age_by must be one of mtime, atime, ctime, btime, not \"size\"", NULL},
    {BASE "age_by: []\n", "p.yaml:3: age_by must not be an empty list", NULL},
    {BASE "age_by: {a: b}\n", "p.yaml:3: age_by must be a word or a list of words", NULL},
    {BASE "age_by: [[mtime]]\n", "p.yaml:3: age_by must be a list of words", NULL},
    {BASE "age_by: \"mtime,\"\n", "p.yaml:3: age_by must be one of", NULL},
    {BASE "protect_case: any\n", "p.yaml:3: protect_case must be one of default, ignore, match",
     NULL},
    {BASE "special: yes\n", "p.yaml:3: special must be one of keep, delete", NULL},
    {BASE "system_root: true\n", "p.yaml:3: system_root must be one of refuse, allow", NULL},
    {BASE "min_free: 20\n", "p.yaml:3: min_free \"20\" is not understood", "such as 20%"},
    {BASE "min_free: 0 GiB\n", "min_free \"0 GiB\" is not understood", NULL},
    {BASE "owner: {a: b}\n", "p.yaml:3: owner must be a list of names", NULL},
    {ROWS "files: {directory: id, min_free: 5%}\n", "p.yaml:4: unknown key \"min_free\" in files",
     NULL},
    {ROWS "files: {protect: [x]}\n", "p.yaml:4: \"files\" needs \"directory\"", NULL},
    {ROWS "files: {directory: id, retain: 5}\n",
     "p.yaml:4: retain \"5\" has a number without a unit", NULL},
    {BASE "in_use: maybe\n", "p.yaml:3: in_use must be one of keep, delete", NULL},
    {BASE "active: [jobs]\n", "p.yaml:3: active must be a single value", NULL},
    {BASE "limits: {pause: 5}\n", "p.yaml:3: pause \"5\" has a number without a unit", NULL},
    {BASE "limits: {max_failed: 5}\n", "p.yaml:3: unknown key \"max_failed\" in limits", NULL},
    {ROWS "roots: [/a]\n", "p.yaml:4: unknown key \"roots\"", NULL},
    {ROWS "age_by: mtime\n", "p.yaml:4: unknown key \"age_by\"", NULL},
    {ROWS "files: {root: /a}\n", "p.yaml:4: \"files\" needs \"directory\"", NULL},
    {ROWS "files: {direktory: id}\n", "p.yaml:4: unknown key \"direktory\" in files",
     "\"directory\"?"},
    {ROWS "files: id\n", "p.yaml:4: files must be a mapping", NULL},
};

START_TEST(refuses_with_file_and_line)
{
    ck_assert_msg(!parse(wrong[_i].text), "taken: %s", wrong[_i].text);
    ck_says(err.message, wrong[_i].message);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    if (wrong[_i].hint)
        ck_says(err.hint, wrong[_i].hint);
}
END_TEST

START_TEST(survives_printing)
{
    static const char *const texts[] = {
        BASE "roots: [/a, '/b: c']\nage_by: atime\nin_use: delete\nprotect: ['*', \"a\\nb\"]\n"
             "protect_dirs: [/c]\nactive: jobs\nlimits: {max_rows: 3}\n",
        ROWS "files: {directory: id, retain: 1 day, age_by: [ctime, mtime], protect: ['*.mov'], "
             "protect_case: match,"
             " in_use: delete, protect_dirs: [/x], system_root: allow}\n",
        BASE "age_by: atime\nowner: a, 5\nmin_free: 20.5 %\nspecial: delete\nprotect_case: "
             "ignore\nsystem_root: allow\n",
        ROWS "files: {directory: id, root: '/srv/a b'}\n", ROWS "files: {directory: id}\n"};
    for (int i = 0; i < COUNT(texts); i++) {
        ck_parses(texts[i]);
        const char *first = printed(policy);
        ck_parses(first);
        ck_assert_str_eq(first, printed(policy));
        ck_says(first, i == 0 || i == 2 ? "age_by: atime" : "directory: id");
    }
}
END_TEST

START_TEST(the_temporary_directory_has_an_origin)
{
    unsetenv("TEMP_DIR");
    ck_assert_str_eq(policy_temp_dir().value, "/tmp/nexrender");
    setenv("TEMP_DIR", "", 1);
    ck_assert_str_eq(policy_temp_dir().value, "/tmp/nexrender");
    setenv("TEMP_DIR", "/srv/tmp", 1);
    ck_assert_str_eq(policy_temp_dir().value, "/srv/tmp");
    ck_says(policy_temp_dir().origin, "TEMP_DIR");
    unsetenv("TEMP_DIR");
}
END_TEST

START_TEST(fields_belong_to_their_kind)
{
    ck_assert_ptr_nonnull(field_find(KIND_FILES, "roots"));
    ck_assert_ptr_nonnull(field_find(KIND_FILES, "max_rows"));
    ck_assert_ptr_null(field_find(KIND_FILES, "table"));
    ck_assert_ptr_null(field_find(KIND_ROWS, "roots"));
    ck_assert_ptr_nonnull(field_find(KIND_ROWS, "directory"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy_files");
    TCase *tests = tcase_create("policy_files");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_test(tests, several_times_and_room);
    tcase_add_test(tests, reads_every_key);
    tcase_add_test(tests, fills_in_the_careful_defaults);
    tcase_add_test(tests, the_kind_may_stand_anywhere_and_rows_is_the_default);
    tcase_add_loop_test(tests, refuses_with_file_and_line, 0, COUNT(wrong));
    tcase_add_test(tests, survives_printing);
    tcase_add_test(tests, the_temporary_directory_has_an_origin);
    tcase_add_test(tests, fields_belong_to_their_kind);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
