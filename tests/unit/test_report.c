/* The report room: outcomes and exit codes, the text and the JSON form, progress. */
#define _GNU_SOURCE
#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/report.h"

static struct plan_node *nodes[3];
static struct plan_column age;
static struct plan plan;
static struct policy policy;

static const char hostile[] = "a\"b\\\n\t\x1b[31m</script>\xc3\xa4";

/* A report about jobs with job_logs below it, and tags that are detached. */
static struct report *report_made(bool dry_run)
{
    static const char *const names[] = {"jobs", "job_logs", "tags"};
    policy = (struct policy){.name = "jobs", .retain = {"7 days", "x"}};
    age = (struct plan_column){.name = "created_at"};
    plan = (struct plan){.policy = &policy,
                         .nodes = nodes,
                         .node_count = 3,
                         .age = &age,
                         .cutoff = "2026-11-14 03:00:00+00",
                         .strategy_reason = "why",
                         .walk_reason = "index i"};
    for (int i = 0; i < 3; i++) {
        nodes[i] = mem_new(ctx, struct plan_node);
        nodes[i]->index = i;
        nodes[i]->table.name = names[i];
        nodes[i]->table.label = mem_printf(ctx, "public.%s", names[i]);
        nodes[i]->action = i == 2 ? ACTION_DETACH : ACTION_DELETE;
        nodes[i]->parent = i ? nodes[0] : NULL;
    }
    struct report *report = report_new(ctx, &policy, dry_run);
    report->run_id = "20261121T030000-1f2e3d4c";
    report_set_plan(report, &plan);
    report->counted = COUNTED_EXACTLY;
    report->counts.eligible = 1000;
    report->counts.by_node = mem_array(report, int64_t, 3);
    report->counts.by_node[0] = 1000;
    report->counts.by_node[1] = 1234567;
    return report;
}

static char *told(const struct report *report, enum report_format format)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    report_print(report, format, out);
    fclose(out);
    char *copy = mem_strdup(ctx, text);
    free(text);
    return copy;
}

static const struct {
    int error, signal, failed, left_locked;
    const char *limit;
    enum report_outcome outcome;
    int exit_code;
} closings[] = {
    {0, 0, 0, 0, NULL, OUTCOME_DONE, 0},
    {0, 0, 0, 0, "max_rows", OUTCOME_LIMIT, 0},
    {0, 0, 1, 0, NULL, OUTCOME_PARTIAL, 1},
    {0, 0, 0, 1, NULL, OUTCOME_PARTIAL, 1},
    {0, 0, 1, 0, "max_rows", OUTCOME_PARTIAL, 1},
    {0, 15, 0, 0, NULL, OUTCOME_STOPPED, 143},
    {0, 2, 1, 1, NULL, OUTCOME_STOPPED, 130},
    {SWEEP_UNREACHABLE, 0, 0, 0, NULL, OUTCOME_ERROR, 3},
    {SWEEP_REFUSED, 0, 1, 0, NULL, OUTCOME_ERROR, 4},
    {SWEEP_USAGE, 15, 0, 0, NULL, OUTCOME_ERROR, 143},
};

START_TEST(closing_sets_outcome_and_exit_code)
{
    struct report *report = report_made(false);
    report->signal = closings[_i].signal;
    report->failed = closings[_i].failed;
    report->left_locked = closings[_i].left_locked;
    report->limit = closings[_i].limit;
    if (closings[_i].error)
        error_set(&report->error, (enum exit_code)closings[_i].error, "x");
    report_close(report);
    ck_assert_int_eq(report->outcome, closings[_i].outcome);
    ck_assert_int_eq(report->exit_code, closings[_i].exit_code);
}
END_TEST

START_TEST(dry_run_is_told_as_a_tree)
{
    struct report *report = report_made(true);
    struct plan_spared spared[] = {
        {"active", "running", 12}, {"active", hostile, 3}, {"recent", NULL, 4}};
    report->counts.spared = spared;
    report->counts.spared_count = 3;
    report->counts.total = 5000;
    report_remark(report, "a %s", "remark");
    char *text = told(report, REPORT_TEXT);
    ck_says(text, "jobs: public.jobs, created_at < 2026-11-14 03:00:00+00 (7 days)");
    ck_says(text, "|- job_logs");
    ck_says(text, "`- tags");
    ck_says(text, "1,234,567  delete");
    ck_says(text, "detach");
    ck_says(text, "of 5,000 in total");
    ck_says(text, "spared by \"active\": 15 (12 running, 3 a\"b\\\\\\n\\t\\x1b[31m");
    ck_says(text, "spared by \"recent\": 4\n");
    ck_says(text, "note: a remark");
    ck_says(text, "nothing was changed");
    ck_assert_ptr_null(strchr(text, '\x1b'));
}
END_TEST

START_TEST(live_run_is_told_as_a_summary)
{
    struct report *report = report_made(false);
    report->deleted[0] = 990;
    report->spared_late = 2;
    report->left_locked = 3;
    report->limit = "max_rows (990)";
    report->left = 7;
    error_set(&err, SWEEP_USAGE, "%s", hostile);
    error_sqlstate(&err, "23503");
    report_add_failure(report, "(id)=(1)", &err);
    char *text = told(report, REPORT_TEXT);
    ck_says(text, "eligible 1,000, deleted 990, errors 1, in 0 ms");
    ck_says(text, "spared when they were locked: 2");
    ck_says(text, "left because other sessions hold locks on them: 3 rows");
    ck_says(text, "stopped at max_rows (990); 7 eligible rows are left");
    ck_says(text, "(23503)");
    ck_assert_ptr_null(strchr(text, '\x1b'));
    ck_assert_ptr_null(strstr(text, "nothing was changed"));
}
END_TEST

START_TEST(failures_are_told_up_to_a_number)
{
    struct report *report = report_made(false);
    for (int i = 0; i < REPORT_FAILURES_MAX + 5; i++)
        report_add_failure(report, "(id)=(1)", &err);
    ck_assert_int_eq(report->failed, REPORT_FAILURES_MAX + 5);
    ck_assert_uint_eq(report->failure_count, REPORT_FAILURES_MAX);
    ck_says(told(report, REPORT_TEXT), "failed: 5 more");
}
END_TEST

START_TEST(json_is_one_document_whatever_the_text)
{
    struct report *report = report_made(_i & 1);
    const char *odd[] = {hostile, "\xff\xfe not UTF-8", "", "\xed\xa0\x80"};
    struct plan_spared spared[4];
    for (int i = 0; i < 4; i++) {
        spared[i] = (struct plan_spared){"g", odd[i], i};
        report_remark(report, "%s", odd[i]);
        error_set(&err, SWEEP_USAGE, "%s", odd[i]);
        report_add_failure(report, odd[i], &err);
    }
    report->counts.spared = spared;
    report->counts.spared_count = 4;
    if (_i & 2) {
        error_set(&report->error, SWEEP_REFUSED, "%s", odd[1]);
        error_hint(&report->error, "%s", odd[0]);
    }
    report_close(report);
    json_error_t problem;
    json_t *doc = json_loads(told(report, REPORT_JSON), 0, &problem);
    ck_assert_msg(doc != NULL, "%s", problem.text);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "mode")), _i & 1 ? "dry run" : "live");
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "exit_code")), _i & 2 ? 4 : 1);
    ck_assert_uint_eq(json_array_size(json_object_get(doc, "tables")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(
                         json_array_get(json_object_get(doc, "tables"), 1), "rows")),
                     _i & 1 ? 1234567 : 0);
    json_t *label = json_object_get(json_array_get(json_object_get(doc, "spared"), 0), "label");
    ck_assert_str_eq(json_string_value(label), hostile);
    ck_assert(json_is_null(json_object_get(doc, "error")) == !(_i & 2));
    ck_assert(json_is_null(json_object_get(doc, "total")));
    json_decref(doc);
}
END_TEST

START_TEST(json_needs_no_plan)
{
    policy = (struct policy){.name = "jobs", .retain = {"7 days", "x"}};
    struct report *report = report_new(ctx, &policy, true);
    error_set(&report->error, SWEEP_UNREACHABLE, "cannot connect");
    report_close(report);
    json_t *doc = json_loads(told(report, REPORT_JSON), 0, NULL);
    ck_assert_ptr_nonnull(doc);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(doc, "error"), "message")),
                     "cannot connect");
    json_decref(doc);
    ck_assert_str_eq(told(report, REPORT_TEXT), "");
}
END_TEST

/* What progress_show writes to standard error. */
static char *shown(struct progress *progress, const struct report *report)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    progress_show(progress, report);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char *text = mem_array(ctx, char, 1024);
    rewind(file);
    text[fread(text, 1, 1023, file)] = '\0';
    fclose(file);
    return text;
}

START_TEST(progress_is_shown_now_and_then)
{
    struct report *report = report_made(false);
    struct progress progress = {
        .terminal = true, .started_ms = clock_now_ms(), .shown_ms = clock_now_ms()};
    ck_assert_str_eq(shown(&progress, report), "");
    progress.started_ms -= 10 * 1000;
    progress.shown_ms -= 10 * 1000;
    report->deleted[0] = 250;
    char *text = shown(&progress, report);
    ck_says(text, "jobs: 250 of 1,000 rows (25.0%)");
    ck_says(text, " left");
    ck_assert(text[0] == '\r' && progress.drawn);
    ck_assert_str_eq(shown(&progress, report), "");
    progress = (struct progress){.started_ms = clock_now_ms() - 70 * 1000,
                                 .shown_ms = clock_now_ms() - 70 * 1000};
    text = shown(&progress, report);
    ck_says(text, "20261121T030000-1f2e3d4c jobs: 250 of 1,000");
    ck_assert_ptr_null(strchr(text, '\r'));
    progress.quiet = true;
    progress.shown_ms = 0;
    ck_assert_str_eq(shown(&progress, report), "");
}
END_TEST

START_TEST(progress_can_do_its_sums_at_the_ends)
{
    struct report *report = report_made(false);
    struct progress progress = {.terminal = true, .started_ms = clock_now_ms()};
    progress.shown_ms = progress.started_ms - 1000;
    char *text = shown(&progress, report);
    ck_says(text, "0 of 1,000 rows (0.0%)");
    report->counts.eligible = 0;
    progress.shown_ms -= 1000;
    text = shown(&progress, report);
    ck_says(text, "0 of 0 rows");
}
END_TEST

static const struct {
    const char *max_rows;
    int64_t eligible, done;
    const char *text;
} progresses[] = {
    {NULL, 1000, 250, "250 of 1,000 rows (25.0%), 25 rows/s, 30.0 s left"},
    {"500", 1000, 250, "250 of 500 rows (50.0%), 25 rows/s, 10.0 s left"},
    {"500", 500, 500, "500 of 500 rows (100%), 50 rows/s"},
    {"2000", 1000, 250, "250 of 1,000 rows (25.0%), 25 rows/s, 30.0 s left"},
    {"500", -1, 250, "250 of at most 500 rows (50.0%), 25 rows/s, at most 10.0 s left"},
    {NULL, -1, 250, "250 rows, 25 rows/s"},
    {NULL, -1, 0, "0 rows, 0 rows/s"},
    {NULL, 0, 0, "0 of 0 rows (100%), 0 rows/s"},
};

START_TEST(progress_counts_up_to_what_the_run_is_going_to_take)
{
    struct report *report = report_made(false);
    policy.max_rows.value = progresses[_i].max_rows;
    report->counts.eligible = progresses[_i].eligible;
    report->deleted[0] = progresses[_i].done;
    ck_assert_str_eq(progress_text(ctx, report, 10 * 1000), progresses[_i].text);
}
END_TEST

START_TEST(what_was_not_counted_is_not_zero)
{
    struct report *report = report_made(true);
    report_uncount(report);
    report->signal = 2;
    report_close(report);
    ck_assert_int_eq(report->exit_code, 130);
    ck_assert(strstr(told(report, REPORT_TEXT), " not counted  delete"));
    json_t *doc = json_loads(told(report, REPORT_JSON), 0, NULL);
    ck_assert(doc && json_is_null(json_object_get(doc, "eligible")) &&
              json_is_null(json_object_get(doc, "spared")));
    json_decref(doc);
    report = report_made(false);
    report_uncount(report);
    report->deleted[0] = 20;
    report->limit = "max-rows";
    char *text = told(report, REPORT_TEXT);
    ck_assert(strstr(text, "eligible not counted, deleted 20") && !strstr(text, "about 0"));
}
END_TEST

#define MIB (INT64_C(1) << 20)
static const struct {
    struct report_space_table table;
    const char *holder;
    const char *wanted; /* a part of the hint; NULL: there is none */
} spaces[] = {
    /* Each side of both limits. */
    {{.table = "public.jobs", .deleted = 20, .rows = 100, .bytes = 320 * MIB}, NULL, "64.0 MiB"},
    {{.table = "public.jobs", .deleted = 20, .rows = 100, .bytes = 319 * MIB}, NULL, NULL},
    {{.table = "public.jobs", .deleted = 19, .rows = 100, .bytes = 900 * MIB}, NULL, NULL},
    /* Unknown is not large. */
    {{.table = "public.jobs", .deleted = 20, .rows = -1, .bytes = 900 * MIB}, NULL, NULL},
    {{.table = "public.jobs", .deleted = 20, .rows = 100, .bytes = -1}, NULL, NULL},
    {{.table = "public.jobs", .deleted = -1, .rows = 100, .bytes = 900 * MIB}, NULL, NULL},
    /* Statistics of before the table grew. */
    {{.table = "public.jobs", .deleted = 400, .rows = 100, .bytes = 100 * MIB}, NULL, "(100% of"},
    {{.table = "public.jobs", .deleted = 60, .rows = 100, .bytes = 900 * MIB, .autovacuum = true},
     NULL,
     "after the next autovacuum"},
    {{.table = "public.jobs", .deleted = 60, .rows = 100, .bytes = 900 * MIB},
     NULL,
     "after VACUUM public.jobs"},
    {{.table = "public.jobs", .deleted = 60, .rows = 100, .bytes = 900 * MIB, .vacuumed = true},
     NULL,
     "became free: new rows can use it;"},
    {{.table = "public.jobs", .deleted = 60, .rows = 100, .bytes = 900 * MIB, .autovacuum = true},
     "replication slot s",
     "while replication slot s holds"},
    {{.table = "public.jobs", .deleted = 60, .rows = 100, .bytes = 900 * MIB},
     NULL,
     "partitioned by created_at"},
    {{.table = "public.p", .deleted = 95, .rows = 100, .bytes = 900 * MIB, .partition = true},
     NULL,
     "dropping it"},
    {{.table = "public.p", .deleted = 94, .rows = 100, .bytes = 900 * MIB, .partition = true},
     NULL,
     "VACUUM FULL public.p (locks the table meanwhile) or pg_repack"},
};

START_TEST(a_large_sweep_gets_a_hint_about_its_space)
{
    struct report *report = report_made(false);
    nodes[0]->table.kind = 'r';
    report->space.holder = spaces[_i].holder;
    char *hint = report_space_hint(ctx, report, &spaces[_i].table);
    ck_assert_int_eq(hint != NULL, spaces[_i].wanted != NULL);
    ck_assert_msg(!hint || strstr(hint, spaces[_i].wanted), "%s", hint);
    ck_assert(!hint || !strstr(hint, "partitioned by") || !spaces[_i].table.partition);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tests = tcase_create("report");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, closing_sets_outcome_and_exit_code, 0, COUNT(closings));
    tcase_add_test(tests, dry_run_is_told_as_a_tree);
    tcase_add_test(tests, live_run_is_told_as_a_summary);
    tcase_add_test(tests, failures_are_told_up_to_a_number);
    tcase_add_loop_test(tests, json_is_one_document_whatever_the_text, 0, 4);
    tcase_add_test(tests, json_needs_no_plan);
    tcase_add_test(tests, progress_is_shown_now_and_then);
    tcase_add_loop_test(tests, progress_counts_up_to_what_the_run_is_going_to_take, 0,
                        sizeof progresses / sizeof *progresses);
    tcase_add_loop_test(tests, a_large_sweep_gets_a_hint_about_its_space, 0,
                        sizeof spaces / sizeof *spaces);
    tcase_add_test(tests, what_was_not_counted_is_not_zero);
    tcase_add_test(tests, progress_can_do_its_sums_at_the_ends);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
