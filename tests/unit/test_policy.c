/* The policy room: YAML, fields, overrides, layers, printing. Conditions and intervals have their
 * own. */
#define _GNU_SOURCE
#include "policies.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgsweep/embedded.h"

#define BASE "table: a\nage: b\nretain: 1 day\n"

START_TEST(reads_every_key)
{
    ck_parses("description: d\ntable: a\nage: b\ntime_zone: Europe/Rome\nretain: 3 days\nwhere: "
              "t.x\ncount_total: true\n"
              "guards:\n  - {name: g, unless: t.y, by: t.z}\ndependents:\n  - {table: c, action: "
              "detach, optional: True,\n"
              "     set: {status: gone, note: ~, word: 'null'}}\n  - {table: d, action: ignore, "
              "reason: why}\n"
              "unlisted: cascade\nchunk: 500\nlimits: {max_rows: 10, max_runtime: 1 hour, "
              "max_failed: 50, pause: 5 ms, count_timeout: 2 s, retry_for: 1 min}\n");
    ck_assert_str_eq(policy->name, "test");
    ck_assert_str_eq(policy->time_zone.value, "Europe/Rome");
    ck_assert_str_eq(policy->retain.value, "3 days");
    ck_assert_str_eq(policy->retain.origin, "p.yaml:5");
    ck_assert(policy->count_total);
    ck_assert_uint_eq(policy->guard_count, 1);
    ck_assert_str_eq(policy->guards[0].unless.value, "t.y");
    ck_assert_str_eq(policy->guards[0].by.origin, "p.yaml:9");
    ck_assert_uint_eq(policy->dependent_count, 2);
    ck_assert_int_eq(policy->dependents[0].action, ACTION_DETACH);
    ck_assert(policy->dependents[0].optional && !policy->dependents[1].optional);
    ck_assert_uint_eq(policy->dependents[0].set_count, 3);
    ck_assert_str_eq(policy->dependents[0].set[0].value, "gone");
    ck_assert_ptr_null(policy->dependents[0].set[1].value);
    ck_assert_str_eq(policy->dependents[0].set[2].value, "null");
    ck_assert_str_eq(policy->dependents[1].reason.value, "why");
    ck_assert_int_eq(policy->unlisted, UNLISTED_CASCADE);
    ck_assert_str_eq(policy->chunk.value, "500");
    ck_assert_str_eq(policy->max_rows.value, "10");
    ck_assert_str_eq(policy->max_runtime.value, "1 hour");
    ck_assert_str_eq(policy->count_timeout.value, "2 s");
    ck_assert_str_eq(policy->max_failed.value, "50");
    ck_assert_str_eq(policy->pause.origin, "p.yaml:16");
}
END_TEST

START_TEST(fills_in_the_defaults)
{
    ck_parses(BASE "where:\nguards:\ndependents: ~\nlimits:\n");
    ck_assert_str_eq(policy->chunk.value, "auto");
    ck_assert_str_eq(policy->time_zone.value, "UTC");
    ck_assert_int_eq(policy->unlisted, UNLISTED_REFUSE);
    ck_assert_ptr_null(policy->where.value);
    ck_assert_ptr_null(policy->max_rows.value);
}
END_TEST

static const struct {
    const char *text, *message, *hint;
} wrong[] = {
    {BASE "retian: 1 day\n", "p.yaml:4: unknown key \"retian\" in the policy",
     "Did you mean \"retain\"?"},
    {BASE "zzzzzzzzz: 1\n", "p.yaml:4: unknown key", "Known keys: kind, description, table"},
    {BASE "guards:\n  - {name: g, unles: x}\n", "p.yaml:5: unknown key \"unles\" in guards",
     "\"unless\""},
    {BASE "limits:\n  max_row: 1\n", "p.yaml:5: unknown key \"max_row\" in limits", "\"max_rows\""},
    {"age: b\nretain: 1 day\n", "p.yaml:1: \"table\" is missing", NULL},
    {"table: a\nretain: 1 day\n", "\"age\" is missing", NULL},
    {"table: a\nage: b\n", "\"retain\" is missing", NULL},
    {BASE "guards:\n  - name: g\n", "p.yaml:5: \"unless\" is missing in guards", NULL},
    {"table:\nage: b\nretain: 1 day\n", "p.yaml:1: table must not be null", NULL},
    {"table: ''\nage: b\nretain: 1 day\n", "p.yaml:1: table must not be empty", NULL},
    {BASE "guards:\n  - {name: '', unless: t.x}\n", "p.yaml:5: name must not be empty", NULL},
    {"table: [a]\nage: b\nretain: 1 day\n", "p.yaml:1: table must be a single value, not a list",
     NULL},
    {"table: a\nage: {b: c}\nretain: 1 day\n",
     "p.yaml:2: age must be a single value, not a mapping", NULL},
    {BASE "guards: yes\n", "p.yaml:4: guards must be a list", NULL},
    {BASE "guards: [x]\n", "guards must be a list of mappings", NULL},
    {BASE "limits: 5\n", "p.yaml:4: limits must be a mapping", NULL},
    {BASE "dependents:\n  - {table: c, action: detach, set: [x]}\n",
     "set must be a mapping of column", NULL},
    {BASE "dependents:\n  - {table: c, action: detach, set: {x: [y]}}\n",
     "x must be a single value", NULL},
    {BASE "dependents:\n  - {table: c, action: drop}\n",
     "p.yaml:5: action must be one of delete, detach", NULL},
    {BASE "dependents:\n  - {table: c, action: ~}\n", "not \"null\"", NULL},
    {BASE "dependents:\n  - {table: c, action: delete, set: {a: b}}\n",
     "p.yaml:5: \"set\" is valid with", NULL},
    {BASE "dependents:\n  - {table: c, action: ignore}\n",
     "p.yaml:5: action ignore needs \"reason\"", NULL},
    {BASE "guards:\n  - {name: g, unless: x}\n  - {name: g, unless: y}\n",
     "p.yaml:6: two guards are called \"g\"", NULL},
    {BASE "count_total: 1\n", "p.yaml:4: count_total must be true or false", NULL},
    {BASE "count_total: 'true'\n", "must be true or false", NULL},
    {BASE "table: c\n", "p.yaml:4: \"table\" is given twice (first on line 1)", NULL},
    {BASE "---\n" BASE, "p.yaml:5: a second document begins here", NULL},
    {BASE "...\n---\nx", "a second document", NULL},
    {BASE "--- [\n", "p.yaml:", NULL},
    {"", "p.yaml:1: the file is empty", "show jobs"},
    {"# a comment\n", "the file is empty", "show jobs"},
    {"---\n", "a policy must be a mapping", NULL},
    {"just text\n", "p.yaml:1: a policy must be a mapping", NULL},
    {"- table\n", "a policy must be a mapping, not a list", NULL},
    {"table: a\n\tage: b\n", "p.yaml:2:", "one YAML document"},
    {"table: 'a\n", "p.yaml:", "one YAML document"},
    {"a: *x\n", "p.yaml:1:", "one YAML document"},
    {"{a: b}: c\n", "p.yaml:1: a key must be a single word", NULL},
    {"table: a\nage: b\nretain: 30\n", "p.yaml:3: retain \"30\" has a number without a unit",
     "30 days"},
    {"table: a\nage: b\nretain: 5 m\n", "p.yaml:3: retain", NULL},
    {BASE "where: (t.x\n", "p.yaml:4: the condition is not one SQL expression", NULL},
    {BASE "where: t.x; DROP TABLE y\n", "semicolon", NULL},
    {BASE "guards:\n  - {name: g, unless: x, by: \"y)\"}\n", "p.yaml:5:", NULL},
    {BASE "chunk: 0\n", "p.yaml:4: chunk must be \"auto\" or a number", NULL},
    {BASE "chunk: 100001\n", "from 1 to 100000", NULL},
    {BASE "chunk: many\n", "not \"many\"", NULL},
    {BASE "limits: {max_rows: -1}\n", "p.yaml:4: max_rows must be a whole number", NULL},
    {BASE "limits: {max_rows: 1.5}\n", "max_rows must be", NULL},
    {BASE "limits: {pause: 100}\n", "p.yaml:4: pause \"100\" has a number without a unit", NULL},
    {BASE "unlisted: maybe\n", "unlisted must be one of refuse, cascade", NULL},
    {BASE "x: &a [*a]\n", "p.yaml:4:", NULL},
    {BASE "\"ret\\0ain\": 1 day\n", "p.yaml:4: a key contains a NUL", NULL},
    {BASE "description: \"a\\0b\"\n", "p.yaml:4: a value contains a NUL", NULL},
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

START_TEST(refuses_bytes_that_are_no_text)
{
    static const char nul[] = BASE "description: a\0b\n", latin[] = BASE "\ndescription: a\xe4z\n";
    ck_assert(!parse_bytes(nul, sizeof nul - 1));
    ck_says(err.message, "p.yaml:4:");
    ck_assert(!parse_bytes(latin, sizeof latin - 1));
    ck_says(err.message, "p.yaml:5:");
}
END_TEST

START_TEST(refuses_bombs)
{
    char *text = mem_strdup(ctx, "a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (char c = 'b'; c < 'i'; c++)
        text = talloc_asprintf_append(
            text, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c - 1, c - 1,
            c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    ck_assert(!parse(text));
    ck_says(err.message, "too many values");
    text = mem_strdup(ctx, BASE "x: ");
    for (int i = 0; i < 500; i++)
        text = talloc_asprintf_append(text, "[");
    ck_assert(!parse(text));
    for (int i = 0; i < 500; i++)
        text = talloc_asprintf_append(text, "]");
    ck_assert(!parse(text));
    ck_says(err.message, "p.yaml:4: nested too deeply");
    char *big = mem_array(ctx, char, (1 << 20) + 2);
    memset(big, '#', (1 << 20) + 1);
    ck_assert(!parse(big));
    ck_says(err.message, "larger than 1 MiB");
}
END_TEST

static const char *const odd[] = {
    "plain",
    "true",
    "null",
    "NULL",
    "nULL",
    "~",
    "",
    " ",
    "  two  ",
    "12",
    "a: b",
    "- a",
    "# c",
    "a #b",
    "'q'",
    "\"q\"",
    "\\",
    "\\n",
    "{x",
    "[x",
    "*a",
    "&a",
    "!t",
    "|",
    ">",
    "%x",
    "@x",
    "`x",
    "a\nb",
    "a\n",
    "\na",
    " a\n b\n",
    "\n\n",
    "a\n\n\nb\n\n",
    "tab\there",
    "\ttab",
    "a \nb",
    "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
    "\xc2\x85x",
    "\x1b[31m",
    "---",
    "...",
    "?",
    "-",
    "=",
    "<<",
    ",",
    "a\r\nb",
    "\xef\xbb\xbfz",
    "x\xe2\x80\xa8y",
    "no",
    "0x1F",
    "1e3",
    "2026-01-01",
};

START_TEST(odd_text_survives_printing)
{
    ck_parses(BASE "dependents:\n  - {table: c, action: detach, set: {x: y}}\n");
    policy->description.value = odd[_i];
    policy->table.value = *odd[_i] ? odd[_i] : "a";
    policy->dependents[0].set[0].value = odd[_i];
    policy->dependents[0].set[0].column = odd[_i];
    char *text = printed(policy);
    ck_parses(text);
    ck_assert_str_eq(policy->description.value ? policy->description.value : "(null)", odd[_i]);
    ck_assert_str_eq(policy->dependents[0].set[0].value ? policy->dependents[0].set[0].value
                                                        : "(null)",
                     odd[_i]);
    ck_assert_str_eq(policy->dependents[0].set[0].column, odd[_i]);
    ck_assert_str_eq(printed(policy), text);
}
END_TEST

START_TEST(built_in_policies_survive_printing)
{
    int count = 0;
    for (const struct embedded_file *file = embedded_files; file->path; file++) {
        if (strncmp(file->path, "policies/", 9) != 0)
            continue;
        ck_parses(file->text);
        char *text = printed(policy);
        ck_parses(text);
        ck_assert_str_eq(printed(policy), text);
        count++;
    }
    ck_assert_int_ge(count, 2);
}
END_TEST

START_TEST(a_null_to_set_survives_printing)
{
    ck_parses(BASE "dependents:\n  - {table: c, action: detach, set: {x: ~}}\n");
    ck_parses(printed(policy));
    ck_assert_uint_eq(policy->dependents[0].set_count, 1);
    ck_assert_ptr_null(policy->dependents[0].set[0].value);
}
END_TEST

START_TEST(overrides_are_checked_like_the_file)
{
    ck_parses(BASE);
    ck_assert(policy_override(policy, "retain", "2 days", "option --retain", &err));
    ck_assert_str_eq(policy->retain.value, "2 days");
    ck_assert_str_eq(policy->retain.origin, "option --retain");
    static const char *const bad[][2] = {
        {"retain", "2"}, {"chunk", "0"}, {"max_rows", "x"}, {"pause", "5"}, {"max_runtime", ""}};
    for (int i = 0; i < COUNT(bad); i++) {
        ck_assert(!policy_override(policy, bad[i][0], bad[i][1], "option --x", &err));
        ck_says(err.message, "option --x: ");
        ck_says(err.message, bad[i][0]);
    }
    ck_assert_str_eq(policy->retain.value, "2 days");
    ck_assert(!policy_override(policy, "nonsense", "x", "here", &err));
    ck_assert_int_eq(err.code, SWEEP_INTERNAL);
}
END_TEST

static char *directory(void)
{
    char *path = mem_strdup(ctx, "/tmp/pgsweep-unit.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static char *write_file(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf(ctx, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

START_TEST(a_directory_replaces_the_built_in)
{
    char *dir = directory();
    char *path = write_file(dir, "jobs.yaml", BASE);
    ck_assert(policy_load(ctx, "jobs", NULL, &policy, &err));
    ck_assert_str_eq(policy->source, "built-in policy jobs");
    ck_assert_str_eq(policy->retain.origin, "built-in policy jobs:6");
    ck_assert(policy_load(ctx, "jobs", dir, &policy, &err));
    ck_assert_str_eq(policy->source, path);
    ck_assert_uint_eq(policy->guard_count, 0);
    ck_assert(policy_load(ctx, "anonymous", dir, &policy, &err));
    ck_assert_str_eq(policy->source, "built-in policy anonymous");
    ck_assert(policy_load(ctx, "nosuch", dir, &policy, &err));
    ck_assert_ptr_null(policy);
    ck_assert(policy_load(ctx, "../jobs", dir, &policy, &err));
    ck_assert_ptr_null(policy);
    unlink(path);
    rmdir(dir);
    /* The directory that was asked for and is not there: never the built-in policy instead. */
    ck_assert(!policy_load(ctx, "jobs", dir, &policy, &err));
    ck_says(err.message, dir);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
}
END_TEST

START_TEST(a_file_in_place_of_the_directory_is_told)
{
    char *dir = directory();
    char *path = write_file(dir, "file", "");
    ck_assert(!policy_load(ctx, "jobs", path, &policy, &err));
    ck_says(err.message, path);
    unlink(path);
    path = mem_printf(ctx, "%s/jobs.yaml", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    error_clear(&err);
    ck_assert(!policy_load(ctx, "jobs", dir, &policy, &err));
    ck_says(err.message, path);
    rmdir(path);
    rmdir(dir);
}
END_TEST

START_TEST(the_environment_overrides_the_file)
{
    setenv("PGSWEEP_JOBS_RETAIN", "9 days", 1);
    setenv("PGSWEEP_JOBS_MAX_ROWS", "77", 1);
    ck_assert(policy_load(ctx, "jobs", NULL, &policy, &err));
    ck_assert_str_eq(policy->retain.value, "9 days");
    ck_assert_str_eq(policy->retain.origin, "environment variable PGSWEEP_JOBS_RETAIN");
    ck_assert_str_eq(policy->max_rows.value, "77");
    setenv("PGSWEEP_JOBS_RETAIN", "9", 1);
    ck_assert(!policy_load(ctx, "jobs", NULL, &policy, &err));
    ck_says(err.message, "environment variable PGSWEEP_JOBS_RETAIN: retain \"9\"");
    ck_assert(policy_load(ctx, "anonymous", NULL, &policy, &err)); /* with an old error in err */
    ck_assert_str_eq(policy->retain.value, "30 days");
    unsetenv("PGSWEEP_JOBS_RETAIN");
    unsetenv("PGSWEEP_JOBS_MAX_ROWS");
    char *dir = directory();
    char *path = write_file(dir, "old-files.yaml", BASE);
    setenv("PGSWEEP_OLD_FILES_CHUNK", "5", 1);
    ck_assert(policy_load(ctx, "old-files", dir, &policy, &err));
    ck_assert_str_eq(policy->chunk.value, "5");
    unsetenv("PGSWEEP_OLD_FILES_CHUNK");
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(names_are_sorted_and_told_once)
{
    const char **names;
    size_t count;
    char *dir = directory();
    char *paths[] = {write_file(dir, "jobs.yaml", BASE), write_file(dir, "aaa.yaml", BASE),
                     write_file(dir, "Bad.yaml", ""), write_file(dir, "x.yml", ""),
                     write_file(dir, ".yaml", "")};
    ck_assert(policy_names(ctx, dir, &names, &count, &err));
    ck_assert_str_eq(names[0], "aaa");
    for (size_t i = 1; i < count; i++)
        ck_assert_int_lt(strcmp(names[i - 1], names[i]), 0);
    for (int i = 0; i < COUNT(paths); i++)
        unlink(paths[i]);
    rmdir(dir);
    ck_assert(!policy_names(ctx, dir, &names, &count, &err));
    ck_says(err.message, dir);
}
END_TEST

START_TEST(names_have_a_form)
{
    ck_assert(policy_name_valid("a") && policy_name_valid("old-files_2"));
    ck_assert(policy_name_valid("a234567890123456789012345678901"));
    static const char *const bad[] = {"",
                                      "A",
                                      "1a",
                                      "-a",
                                      "a b",
                                      "a/b",
                                      "..",
                                      "a.b",
                                      "\xc3\xa4",
                                      "a\n",
                                      "a2345678901234567890123456789012"};
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!policy_name_valid(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(fields_are_found_in_groups)
{
    ck_assert_ptr_nonnull(field_find(KIND_ROWS, "retain"));
    ck_assert_ptr_nonnull(field_find(KIND_ROWS, "max_rows"));
    ck_assert_ptr_null(field_find(KIND_ROWS, "unless"));
    ck_assert_ptr_null(field_find(KIND_ROWS, ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tests = tcase_create("policy");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_test(tests, reads_every_key);
    tcase_add_test(tests, fills_in_the_defaults);
    tcase_add_loop_test(tests, refuses_with_file_and_line, 0, COUNT(wrong));
    tcase_add_test(tests, refuses_bytes_that_are_no_text);
    tcase_add_test(tests, refuses_bombs);
    tcase_add_loop_test(tests, odd_text_survives_printing, 0, COUNT(odd));
    tcase_add_test(tests, built_in_policies_survive_printing);
    tcase_add_test(tests, a_null_to_set_survives_printing);
    tcase_add_test(tests, overrides_are_checked_like_the_file);
    tcase_add_test(tests, a_directory_replaces_the_built_in);
    tcase_add_test(tests, a_file_in_place_of_the_directory_is_told);
    tcase_add_test(tests, the_environment_overrides_the_file);
    tcase_add_test(tests, names_are_sorted_and_told_once);
    tcase_add_test(tests, names_have_a_form);
    tcase_add_test(tests, fields_are_found_in_groups);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
