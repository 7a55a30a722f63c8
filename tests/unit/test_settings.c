/* A setting that is not understood stops the program: slips of the fingers made from the tables of
 * what is known. */
#define _GNU_SOURCE
#include "policies.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgsweep/text.h"

static const char *const policies[] = {"anonymous", "jobs", "jobs-old",  "jobs_max", "mocs",
                                       "options",   "s3",   "tempfiles", "test",     "tokens"};
static const char *const fixed[] = {
    "PGSWEEP_OPTIONS",    "PGSWEEP_TEST_DISTANCE", "PGSWEEP_S3_BUCKET",   "PGSWEEP_S3_REGION",
    "PGSWEEP_S3_TIMEOUT", "PGSWEEP_S3_ALIASES",    "PGSWEEP_S3_ENDPOINT", NULL};

static struct policy_variables about(const char *name)
{
    return (struct policy_variables){
        .policy = name, .policies = policies, .policy_count = COUNT(policies), .fixed = fixed};
}

/* The n-th word that one slip makes of this one: a letter left out, twice, wrong, or two in the
 * wrong order. NULL: no more. */
static char *slip(const char *word, size_t n)
{
    size_t length = strlen(word), at = n % length, kind = n / length;
    char *out = mem_array(ctx, char, length + 2);
    memcpy(out, word, length + 1);
    if (kind == 0) {
        memmove(out + at, out + at + 1, length - at);
    } else if (kind == 1) {
        memmove(out + at + 1, out + at, length - at + 1);
    } else if (kind == 2) {
        out[at] = out[at] == 'x' || out[at] == 'X' ? 'y' : 'X';
    } else if (kind == 3) {
        if (at + 1 < length) {
            out[at] = word[at + 1];
            out[at + 1] = word[at];
        }
    } else {
        return NULL;
    }
    return out;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static bool is_known(const char *variable)
{
    bool known = is_one_of(variable, fixed);
    for (int p = 0; p < COUNT(policies); p++)
        for (size_t k = 0; policy_override_keys[k]; k++)
            known = known || strcmp(variable, policy_variable(ctx, policies[p],
                                                              policy_override_keys[k])) == 0;
    return known;
}

START_TEST(known_variables_are_silent)
{
    for (int own = 0; own < COUNT(policies); own++) {
        struct policy_variables known = about(policies[own]);
        for (int p = 0; p < COUNT(policies); p++)
            for (size_t k = 0; policy_override_keys[k]; k++)
                ck_assert_int_eq(
                    policy_judge_variable(
                        &known, policy_variable(ctx, policies[p], policy_override_keys[k])),
                    VARIABLE_KNOWN);
        for (size_t k = 0; fixed[k]; k++)
            ck_assert_int_eq(policy_judge_variable(&known, fixed[k]), VARIABLE_KNOWN);
    }
}
END_TEST

/* Every slip in a variable that the run reads, from its first letter to its last. */
START_TEST(every_slip_in_an_own_variable_is_refused)
{
    struct policy_variables known = about(policies[_i]);
    int seen = 0;
    for (size_t k = 0; policy_override_keys[k]; k++) {
        const char *right = policy_variable(ctx, policies[_i], policy_override_keys[k]);
        char *wrong;
        for (size_t n = 0; (wrong = slip(right, n)); n++) {
            if (is_known(wrong))
                continue;
            enum policy_variable_fate fate = policy_judge_variable(&known, wrong);
            /* "PGSWEEP_JOS3..." could not be told from others; a name that became another policy's
             * is that one's. */
            ck_assert_msg(fate == VARIABLE_UNKNOWN || fate == VARIABLE_OF_ANOTHER, "%s: %d", wrong,
                          fate);
            if (strncmp(wrong, right, strlen("PGSWEEP_") + strlen(policies[_i]) + 1) == 0)
                ck_assert_msg(fate == VARIABLE_UNKNOWN, "%s: %d", wrong, fate);
            seen++;
        }
    }
    for (size_t k = 0; fixed[k]; k++) {
        char *wrong;
        for (size_t n = 0; (wrong = slip(fixed[k], n)); n++)
            if (!is_known(wrong)) {
                ck_assert_msg(policy_judge_variable(&known, wrong) != VARIABLE_KNOWN, "%s", wrong);
                ck_assert_msg(policy_judge_variable(&known, wrong) != VARIABLE_NOT_OURS, "%s",
                              wrong);
                seen++;
            }
    }
    ck_assert_int_gt(seen, 300);
}
END_TEST

START_TEST(a_slip_in_another_policys_key_is_a_warning)
{
    struct policy_variables known = about("jobs");
    for (size_t k = 0; policy_override_keys[k]; k++) {
        const char *word = policy_variable(ctx, "mocs", policy_override_keys[k]);
        char *wrong;
        for (size_t n = 0; (wrong = slip(word, n)); n++)
            if (strncmp(wrong, "PGSWEEP_MOCS_", 13) == 0 && !is_known(wrong))
                ck_assert_msg(policy_judge_variable(&known, wrong) == VARIABLE_OF_ANOTHER, "%s",
                              wrong);
    }
}
END_TEST

static const struct {
    const char *policy, *variable;
    enum policy_variable_fate fate;
} judged[] = {
    {"jobs", "PGSWEEP_JOBS_RETIAN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JBOS_RETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JOBSRETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JOBS", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_RETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JOBS_RETAIN ", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JOBS_DRY_RUN", VARIABLE_UNKNOWN},
    {"jobs", "pgsweep_jobs_retain", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_jobs_retain", VARIABLE_UNKNOWN},
    {"jobs", "PG_SWEEP_JOBS_RETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEP_JOBS_RETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEPJOBS_RETAIN", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_MOCS_RETAIN", VARIABLE_KNOWN},
    {"jobs", "PGSWEEP_MOCS_RETIAN", VARIABLE_OF_ANOTHER},
    {"mocs", "PGSWEEP_MOCS_RETIAN", VARIABLE_UNKNOWN},
    {NULL, "PGSWEEP_MOCS_RETIAN", VARIABLE_OF_ANOTHER},
    {NULL, "PGSWEEP_AUDIT_RETAIN", VARIABLE_UNKNOWN},
    /* One name is the beginning of another. */
    {"jobs", "PGSWEEP_JOBS_OLD_RETAIN", VARIABLE_KNOWN},
    {"jobs", "PGSWEEP_JOBS_OLD_RETIAN", VARIABLE_OF_ANOTHER},
    {"jobs-old", "PGSWEEP_JOBS_OLD_RETIAN", VARIABLE_UNKNOWN},
    {"jobs-old", "PGSWEEP_JOBS_RETIAN", VARIABLE_OF_ANOTHER},
    {"jobs", "PGSWEEP_JOBS_MAX_ROW", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_JOBS_MAX_ROWS", VARIABLE_KNOWN},
    {"jobs", "PGSWEEP_JOBS_MAX_RETAIN", VARIABLE_KNOWN},
    /* A policy may be called as the store's variables begin. */
    {"jobs", "PGSWEEP_S3_BUKET", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_S3_ALIASE", VARIABLE_UNKNOWN},
    {"jobs", "PGSWEEP_S3_MAX_ROW", VARIABLE_OF_ANOTHER},
    /* Other programs' variables. */
    {"jobs", "PATH", VARIABLE_NOT_OURS},
    {"jobs", "", VARIABLE_NOT_OURS},
    {"jobs", "PGHOST", VARIABLE_NOT_OURS},
    {"jobs", "PGSWEEPER_HOME", VARIABLE_NOT_OURS},
    {"jobs", "JOBS_RETAIN", VARIABLE_NOT_OURS},
    {"jobs", "AWS_REGION", VARIABLE_NOT_OURS},
};

START_TEST(a_variable_is_judged)
{
    struct policy_variables known = about(judged[_i].policy);
    ck_assert_msg(policy_judge_variable(&known, judged[_i].variable) == judged[_i].fate,
                  "%s under %s: %d", judged[_i].variable,
                  judged[_i].policy ? judged[_i].policy : "-",
                  policy_judge_variable(&known, judged[_i].variable));
}
END_TEST

START_TEST(a_command_without_policy_directory_knows_that_there_are_others)
{
    struct policy_variables known = about(NULL);
    known.others_possible = true;
    ck_assert_int_eq(policy_judge_variable(&known, "PGSWEEP_AUDIT_RETAIN"), VARIABLE_KNOWN);
    ck_assert_int_eq(policy_judge_variable(&known, "PGSWEEP_AUDIT_RETIAN"), VARIABLE_UNKNOWN);
    ck_assert_int_eq(policy_judge_variable(&known, "PGSWEEP_9_RETAIN"), VARIABLE_UNKNOWN);
    ck_assert_int_eq(policy_judge_variable(&known, "PGSWEEP_S3_ALIASE"), VARIABLE_UNKNOWN);
}
END_TEST

START_TEST(the_refusal_names_the_nearest_and_no_value)
{
    struct policy_variables known = about("jobs");
    char *environment[] = {"PATH=/bin", "nonsense", "PGSWEEP_MOCS_RETIAN=hush",
                           "PGSWEEP_JOBS_RETIAN=hush", NULL};
    char *warnings;
    ck_assert(!policy_check_environment(ctx, &known, environment, &warnings, &err));
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    ck_says(err.message, "PGSWEEP_JOBS_RETIAN");
    ck_says(err.hint, "Did you mean PGSWEEP_JOBS_RETAIN?");
    environment[3] = NULL;
    ck_assert(policy_check_environment(ctx, &known, environment, &warnings, &err));
    ck_says(warnings, "warning: environment variable PGSWEEP_MOCS_RETIAN");
    ck_says(warnings, "PGSWEEP_MOCS_RETAIN?");
    ck_assert_ptr_null(strstr(warnings, "hush"));
}
END_TEST

/* Policy files. */

/* A document in which the line (at the depth that path has) is the only thing wrong. */
static char *document(enum policy_kind kind, const char *path, const char *line)
{
    const char *base =
        kind == KIND_ROWS ? "table: a\nage: b\nretain: 1 day\n" : "kind: files\nretain: 1 day\n";
    return mem_printf(ctx, "%s%s%s", base, path, line);
}

typedef void visitor(enum policy_kind kind, const char *path, const struct field *fields,
                     const struct field *field);

static int visited;

static void visit(enum policy_kind kind, const char *path, const struct field *fields, visitor *act)
{
    for (const struct field *field = fields; field->key; field++) {
        act(kind, path, fields, field);
        visited++;
        const char *margin = *path ? "    " : "";
        if (field->kind == FIELD_LIST)
            visit(
                kind,
                mem_printf(ctx, "%s%s%s:\n%s  - ", path, *path ? "\n    " : "", field->key, margin),
                field->fields, act);
        else if (field->kind == FIELD_GROUP)
            visit(kind, mem_printf(ctx, "%s%s:\n  ", path, field->key), field->fields, act);
    }
}

static void visit_all(visitor *act)
{
    visited = 0;
    ck_parses(document(KIND_ROWS, "", ""));
    ck_says(printed(policy), "retain: 1 day");
    ck_parses(document(KIND_FILES, "", ""));
    for (int kind = KIND_ROWS; kind <= KIND_FILES; kind++)
        visit(kind, "", policy_fields_of(kind), act);
    ck_assert_int_gt(visited, 50);
}

static bool is_key(const struct field *fields, const char *word)
{
    for (; fields->key; fields++)
        if (strcmp(fields->key, word) == 0)
            return true;
    return false;
}

static void misspell_key(enum policy_kind kind, const char *path, const struct field *fields,
                         const struct field *field)
{
    char *wrong;
    for (size_t n = 0; (wrong = slip(field->key, n)); n++) {
        if (is_key(fields, wrong) || !*wrong)
            continue;
        char *text = document(kind, path, mem_printf(ctx, "%s: x\n", wrong));
        ck_assert_msg(!parse(text), "taken:\n%s", text);
        ck_says(err.message, mem_printf(ctx, "unknown key \"%s\" in ", wrong));
        ck_says(err.hint, "Known keys: ");
    }
}

START_TEST(every_slip_in_a_key_is_refused)
{
    visit_all(misspell_key);
}
END_TEST

static void misspell_word(enum policy_kind kind, const char *path, const struct field *fields,
                          const struct field *field)
{
    (void)fields;
    if (field->kind != FIELD_WORD || strcmp(field->key, "kind") == 0)
        return;
    for (size_t w = 0; field->words[w]; w++) {
        char *wrong;
        for (size_t n = 0; (wrong = slip(field->words[w], n)); n++) {
            if (is_one_of(wrong, field->words))
                continue;
            char *text = document(kind, path, mem_printf(ctx, "%s: '%s'\n", field->key, wrong));
            ck_assert_msg(!parse(text), "taken:\n%s", text);
            ck_says(err.message, field->key);
        }
    }
}

START_TEST(every_slip_in_a_word_is_refused)
{
    visit_all(misspell_word);
    for (size_t n = 0; slip("files", n); n++)
        ck_assert(strcmp(slip("files", n), "files") == 0 ||
                  !parse(mem_printf(ctx, "kind: %s\nretain: 1 day\n", slip("files", n))));
}
END_TEST

/* Given twice, empty, or with a tag: each is refused for each key that is one value. */
static void spoil_value(enum policy_kind kind, const char *path, const struct field *fields,
                        const struct field *field)
{
    (void)fields;
    bool first = *path && path[strlen(path) - 1] == ' ' && strstr(path, "- ");
    const char *margin = !*path ? "" : first ? "    " : "  ";
    char *twice =
        document(kind, path, mem_printf(ctx, "%s: x\n%s%s: x\n", field->key, margin, field->key));
    ck_assert_msg(!parse(twice), "taken:\n%s", twice);
    if (*path && !strstr(path, "\n    "))
        ck_says(err.message, "is given twice");
    char *tag = document(kind, path, mem_printf(ctx, "%s: !env X\n", field->key));
    ck_assert_msg(!parse(tag), "taken:\n%s", tag);
    if (*path)
        ck_says(err.message, "tags");
    if (field->kind == FIELD_LIST || field->kind == FIELD_GROUP || field->kind == FIELD_NAMES ||
        field->kind == FIELD_SET || field->may_be_empty)
        return;
    char *empty = document(kind, path, mem_printf(ctx, "%s: ''\n", field->key));
    ck_assert_msg(!parse(empty), "taken:\n%s", empty);
}

START_TEST(every_value_that_says_nothing_is_refused)
{
    visit_all(spoil_value);
}
END_TEST

static const char *const no_shares[] = {"0x10%", " 5%", "+5%",  "nan%", "inf%", "5 %", "5",
                                        "5%%",   "-1%", "101%", "1e1%", "%",    "."};

START_TEST(a_share_is_a_plain_number)
{
    ck_assert(!parse(mem_printf(
        ctx, "table: a\nage: b\nretain: 1 day\nalerts: { failed_share: '%s' }\n", no_shares[_i])));
    ck_says(err.message, "failed_share");
}
END_TEST

/* A file that is called nearly as it must be would be passed over for the built-in policy of that
 * name. */
static const char *const misnamed[] = {"jobs.yml", "jobs.YAML", "Jobs.yaml", "jobs.json",
                                       "JOBS.YML"};

START_TEST(a_misnamed_file_is_refused)
{
    char *dir = mem_strdup(ctx, "/tmp/pgsweep-unit.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = mem_printf(ctx, "%s/%s", dir, misnamed[_i]);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("table: a\nage: b\nretain: 1 day\n", file);
    fclose(file);
    bool taken = policy_load(ctx, "jobs", dir, &policy, &err);
    ck_assert(!taken);
    ck_says(err.message, misnamed[_i]);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    error_clear(&err);
    ck_assert(policy_load(ctx, "mocs", dir, &policy, &err));
    unlink(path);
    path = mem_printf(ctx, "%s/jobs.yaml", dir);
    ck_assert_int_eq(symlink("nowhere", path), 0);
    ck_assert(!policy_load(ctx, "jobs", dir, &policy, &err));
    ck_says(err.message, "dangling symbolic link");
    unlink(path);
    static const char *const beside[] = {"jobs.yaml.bak", "jobs.yaml~", "jobs2.yml",
                                         ".jobs.yaml.swp"};
    for (int i = 0; i < COUNT(beside); i++) {
        char *other = mem_printf(ctx, "%s/%s", dir, beside[i]);
        file = fopen(other, "w");
        ck_assert_ptr_nonnull(file);
        fclose(file);
        error_clear(&err);
        ck_assert(policy_load(ctx, "jobs", dir, &policy, &err));
        unlink(other);
    }
    rmdir(dir);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tests = tcase_create("settings");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_test(tests, known_variables_are_silent);
    tcase_add_loop_test(tests, every_slip_in_an_own_variable_is_refused, 0, COUNT(policies));
    tcase_add_test(tests, a_slip_in_another_policys_key_is_a_warning);
    tcase_add_loop_test(tests, a_variable_is_judged, 0, COUNT(judged));
    tcase_add_test(tests, a_command_without_policy_directory_knows_that_there_are_others);
    tcase_add_test(tests, the_refusal_names_the_nearest_and_no_value);
    tcase_add_test(tests, every_slip_in_a_key_is_refused);
    tcase_add_test(tests, every_slip_in_a_word_is_refused);
    tcase_add_test(tests, every_value_that_says_nothing_is_refused);
    tcase_add_loop_test(tests, a_share_is_a_plain_number, 0, COUNT(no_shares));
    tcase_add_loop_test(tests, a_misnamed_file_is_refused, 0, COUNT(misnamed));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
