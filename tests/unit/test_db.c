/* The db and state rooms, as far as no server is needed: arrays, failure classes, lock keys. */
#define _GNU_SOURCE
#include "unit.h"

#include <signal.h>

#include "../../src/db/internal.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/stop.h"

static const struct {
    const char *values[3];
    size_t count;
    const char *text;
} arrays[] = {
    {{NULL}, 0, "{}"},
    {{"a", "b", "c"}, 3, "{\"a\",\"b\",\"c\"}"},
    {{NULL, "NULL", ""}, 3, "{NULL,\"NULL\",\"\"}"},
    {{"a\"b", "\\", "\\\""}, 3, "{\"a\\\"b\",\"\\\\\",\"\\\\\\\"\"}"},
    {{"{", ",", "a b"}, 3, "{\"{\",\",\",\"a b\"}"},
    {{"\n", "\xc3\xa4", "'"}, 3, "{\"\n\",\"\xc3\xa4\",\"'\"}"},
};

START_TEST(arrays_are_quoted)
{
    char *text = db_array(ctx, arrays[_i].values, arrays[_i].count);
    ck_assert_str_eq(text, arrays[_i].text);
}
END_TEST

START_TEST(arrays_are_taken_apart)
{
    static const char *const values[] = {"1",  "",     "a,b",  "}{",  "\"",
                                         "\\", "\\\"", "NULL", " x ", "\xc3\xa9\n"};
    const char **found;
    size_t count, all = sizeof values / sizeof *values;
    for (size_t n = 0; n <= all; n++) {
        db_array_split(ctx, db_array(ctx, values, n), &found, &count);
        ck_assert_uint_eq(count, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_str_eq(found[i], values[i]);
    }
    /* As the server writes it: quoted only where it must be. */
    db_array_split(ctx, "{1,-20,\"a,b\",\"\",\"\\\"}\\\\\",x-y}", &found, &count);
    ck_assert_uint_eq(count, 6);
    ck_assert_str_eq(found[1], "-20");
    ck_assert_str_eq(found[2], "a,b");
    ck_assert_str_eq(found[3], "");
    ck_assert_str_eq(found[4], "\"}\\");
    ck_assert_str_eq(found[5], "x-y");
}
END_TEST

START_TEST(arrays_of_quotes_only_fit)
{
    char value[1001];
    memset(value, '"', 1000);
    value[1000] = '\0';
    const char *values[] = {value, NULL, value};
    ck_assert_uint_eq(strlen(db_array(ctx, values, 3)), 2 * 2002 + 4 + 2 + 2);
}
END_TEST

static const struct {
    const char *context;
    const char *told;
} contexts[] = {
    {"", ""},
    {"PL/pgSQL function keep() line 3 at RAISE", "PL/pgSQL function keep() line 3 at RAISE"},
    {"SQL statement \"DELETE FROM a\"", ""},
    {"SQL statement \"INSERT INTO a\n VALUES ('Jane'\n)\"\nPL/pgSQL function f() line 1 at EXECUTE",
     "PL/pgSQL function f() line 1 at EXECUTE"},
    {"PL/pgSQL function g() line 2 at RAISE\nSQL statement \"SELECT g('a\"\n'b')\"\n"
     "PL/pgSQL function f() line 1 at PERFORM",
     "PL/pgSQL function g() line 2 at RAISE\nPL/pgSQL function f() line 1 at PERFORM"},
    {"a\n\"b\"", "a"},
};

START_TEST(a_context_is_told_without_what_it_quotes)
{
    ck_assert_str_eq(db_shown_context(ctx, contexts[_i].context), contexts[_i].told);
}
END_TEST

static const struct {
    const char *message, *sqlstate;
} refusals[] = {
    {"connection to server failed: FATAL:  53300: sorry, too many clients already\n", "53300"},
    {"failed: FATAL:  28P01: password authentication failed for user \"x\"\nLOCATION:  a, b.c:3",
     "28P01"},
    {"failed: SCHWERWIEGEND:  3D000: Datenbank existiert nicht\n", "3D000"},
    {"a: FATAL:  28P01: no\nb: FATAL:  57P03: starting up\nc: FATAL:  3D000: no\n", "57P03"},
    {"server does not support SSL, but SSL was required\n", NULL},
    {"detail:  ABCD: x, :  abcde: y, :  ABCDEF: z, :  12345 w", NULL},
};

START_TEST(the_sqlstate_of_a_refused_connection_is_found)
{
    char sqlstate[6] = "";
    ck_assert_int_eq(db_find_sqlstate(refusals[_i].message, sqlstate),
                     refusals[_i].sqlstate != NULL);
    ck_assert_str_eq(sqlstate, refusals[_i].sqlstate ? refusals[_i].sqlstate : "");
}
END_TEST

static const struct {
    const char *sqlstate;
    bool comes_back;
} absences[] = {
    {"08001", true},  {"08006", true},  {"57P01", true},  {"57P03", true},
    {"53300", true},  {"28P01", false}, {"28000", false}, {"3D000", false},
    {"08004", false}, {"42501", false}, {"", false},
};

START_TEST(what_passes_by_itself)
{
    error_set(&err, SWEEP_UNREACHABLE, "away");
    error_sqlstate(&err, absences[_i].sqlstate);
    ck_assert_int_eq(db_may_come_back(NULL, &err), absences[_i].comes_back);
    struct db lost = {.broken = true};
    ck_assert(db_may_come_back(&lost, &err)); /* whatever was asked last */
    lost.refused = true;
    ck_assert_int_eq(db_may_come_back(&lost, &err), absences[_i].comes_back);
}
END_TEST

START_TEST(details_with_whole_rows_are_not_told)
{
    ck_assert(!db_detail_is_shown("23502") && !db_detail_is_shown("23514") &&
              !db_detail_is_shown("44000"));
    ck_assert(db_detail_is_shown("23503") && db_detail_is_shown("P0001") && db_detail_is_shown(""));
}
END_TEST

static const struct {
    const char *sqlstate;
    enum db_failure class;
} classes[] = {
    {"40001", DB_FAILURE_TRANSIENT},  {"40P01", DB_FAILURE_TRANSIENT},
    {"55P03", DB_FAILURE_TRANSIENT},  {"57014", DB_FAILURE_TRANSIENT},
    {"57P01", DB_FAILURE_CONNECTION}, {"57P02", DB_FAILURE_CONNECTION},
    {"57P03", DB_FAILURE_CONNECTION}, {"57P05", DB_FAILURE_CONNECTION},
    {"08006", DB_FAILURE_CONNECTION}, {"08P01", DB_FAILURE_CONNECTION},
    {"25P03", DB_FAILURE_CONNECTION}, {"53300", DB_FAILURE_CONNECTION},
    {"", DB_FAILURE_CONNECTION},      {"23503", DB_FAILURE_ROW},
    {"23505", DB_FAILURE_ROW},        {"P0001", DB_FAILURE_ROW},
    {"22012", DB_FAILURE_ROW},        {"25006", DB_FAILURE_FATAL},
    {"42501", DB_FAILURE_FATAL},      {"42P01", DB_FAILURE_FATAL},
    {"53100", DB_FAILURE_FATAL},      {"53200", DB_FAILURE_FATAL},
    {"XX001", DB_FAILURE_FATAL},      {"26000", DB_FAILURE_FATAL},
    {"0A000", DB_FAILURE_FATAL},      {"28P01", DB_FAILURE_FATAL},
    {"58030", DB_FAILURE_FATAL},      {"54001", DB_FAILURE_FATAL},
    {"55006", DB_FAILURE_FATAL},      {"3D000", DB_FAILURE_FATAL},
    {"40002", DB_FAILURE_ROW},
};

START_TEST(failures_have_classes)
{
    error_set(&err, SWEEP_USAGE, "x");
    error_sqlstate(&err, classes[_i].sqlstate);
    ck_assert_int_eq(db_failure_of_sqlstate(err.sqlstate), classes[_i].class);
}
END_TEST

START_TEST(a_lost_connection_is_one_whatever_the_error_says)
{
    struct db db = {.conn = NULL};
    error_set(&err, SWEEP_USAGE, "x");
    error_sqlstate(&err, "23503");
    ck_assert(db_is_lost(&db));
    ck_assert_int_eq(db_failure_class(&db, &err), DB_FAILURE_CONNECTION);
}
END_TEST

START_TEST(a_cancelled_query_is_told_from_a_timeout)
{
    stop_install();
    ck_assert_int_eq(db_failure_of_sqlstate("57014"), DB_FAILURE_TRANSIENT);
    raise(SIGTERM);
    ck_assert_int_eq(db_failure_of_sqlstate("57014"), DB_FAILURE_CANCELLED);
    ck_assert_int_eq(db_failure_of_sqlstate("40001"), DB_FAILURE_TRANSIENT);
}
END_TEST

/* Hosts with different versions of pgsweep must exclude each other: the keys never change. */
START_TEST(lock_keys_are_stable)
{
    ck_assert_int_eq(run_lock_key(""), INT64_C(0x70677377811c9dc5));
    ck_assert_int_eq(run_lock_key("jobs"), INT64_C(0x70677377e407107d));
    ck_assert_int_eq(run_lock_key("anonymous"), INT64_C(0x7067737772d9da2e));
    ck_assert_int_ne(run_lock_key("init"), run_lock_key("jobs"));
}
END_TEST

START_TEST(a_connection_is_configured_or_not)
{
    static const char *const variables[] = {"PGDATABASE", "PGHOST", "PGHOSTADDR", "PGSERVICE"};
    struct db_options options = {.port = "5432", .user = "u"};
    for (int i = 0; i < COUNT(variables); i++)
        unsetenv(variables[i]);
    ck_assert(!db_is_configured(&options));
    for (int i = 0; i < COUNT(variables); i++) {
        setenv(variables[i], "", 1);
        ck_assert(!db_is_configured(&options));
        setenv(variables[i], "x", 1);
        ck_assert(db_is_configured(&options));
        unsetenv(variables[i]);
    }
    options.dbname = "x";
    ck_assert(db_is_configured(&options));
}
END_TEST

static const char *const conninfos[] = {
    "host=a dbname",
    "host='a",
    "postgresql://u:hunter2@h/db?nonsense=1",
    "postgresql://u:hunter2@[::1/db",
    "nonsense=hunter2",
    "postgres://u:hun%zzter2@h/db",
    "password=hunter2 host='x",
    /* Not encoded, so that a part of the password is read as something else. */
    "postgresql://u:3/hunter2@h/db",
    "postgresql://u:hunter2@hunter2@h/db",
    "postgresql://u:hunter2/x@h/db",
};

START_TEST(malformed_conninfo_is_refused_without_its_password)
{
    struct db_options options = {.dbname = conninfos[_i]};
    struct db *db;
    ck_assert_msg(!db_connect(ctx, &options, &db, &err), "taken: %s", conninfos[_i]);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    ck_says(err.message, "connection string");
    ck_says(err.hint, "postgresql://");
    ck_assert_msg(!strstr(err.message, "hunter2") &&
                      !(err.detail && strstr(err.detail, "hunter2")) &&
                      !strstr(err.hint, "hunter2"),
                  "%s / %s", err.message, err.detail);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("db");
    TCase *tests = tcase_create("db");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, arrays_are_quoted, 0, COUNT(arrays));
    tcase_add_loop_test(tests, a_context_is_told_without_what_it_quotes, 0, COUNT(contexts));
    tcase_add_loop_test(tests, the_sqlstate_of_a_refused_connection_is_found, 0, COUNT(refusals));
    tcase_add_loop_test(tests, what_passes_by_itself, 0, COUNT(absences));
    tcase_add_test(tests, details_with_whole_rows_are_not_told);
    tcase_add_test(tests, arrays_of_quotes_only_fit);
    tcase_add_test(tests, arrays_are_taken_apart);
    tcase_add_loop_test(tests, failures_have_classes, 0, COUNT(classes));
    tcase_add_test(tests, a_lost_connection_is_one_whatever_the_error_says);
    tcase_add_test(tests, a_cancelled_query_is_told_from_a_timeout);
    tcase_add_test(tests, lock_keys_are_stable);
    tcase_add_test(tests, a_connection_is_configured_or_not);
    tcase_add_loop_test(tests, malformed_conninfo_is_refused_without_its_password, 0,
                        COUNT(conninfos));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
