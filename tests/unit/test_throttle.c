/* What "throttle" says, read without a database, and what follows from the server's numbers. */
#include "unit.h"

#include "../../src/sweep/throttle.h"

#define ANY (LIMIT_TIME | LIMIT_BYTES | LIMIT_NUMBER)

static const struct {
    const char *text;
    unsigned takes;
    bool ok;
    enum policy_limit_unit unit;
    int64_t value;
} limits[] = {
    {"none", ANY, true, LIMIT_NONE, 0},
    {"none", LIMIT_BYTES, true, LIMIT_NONE, 0},
    {"10 s", ANY, true, LIMIT_TIME, 10000},
    {"1 hour 30 min", ANY, true, LIMIT_TIME, 5400000},
    {"250 ms", LIMIT_TIME, true, LIMIT_TIME, 250},
    {"0.5 s", LIMIT_TIME, true, LIMIT_TIME, 500},
    {"1 month", LIMIT_TIME, true, LIMIT_TIME, 2592000000},
    {"64 MiB", ANY, true, LIMIT_BYTES, 67108864},
    {"1kB", ANY, true, LIMIT_BYTES, 1000},
    {"1.5 GiB", LIMIT_BYTES, true, LIMIT_BYTES, 1610612736},
    {"5", ANY, true, LIMIT_NUMBER, 5},
    {"5000000", LIMIT_NUMBER, true, LIMIT_NUMBER, 5000000},
    {"10 s", LIMIT_BYTES, false, 0, 0},
    {"64 MiB", LIMIT_TIME, false, 0, 0},
    {"5", LIMIT_TIME | LIMIT_BYTES, false, 0, 0},
    {"50%", ANY, false, 0, 0},
    {"0 s", ANY, false, 0, 0},
    {"0", ANY, false, 0, 0},
    {"0 MiB", ANY, false, 0, 0},
    {"-1 s", ANY, false, 0, 0},
    {"-1", ANY, false, 0, 0},
    {"+5", ANY, false, 0, 0},
    {"5 m", ANY, false, 0, 0},
    {"5 parsecs", ANY, false, 0, 0},
    {"64 MiBB", ANY, false, 0, 0},
    {"", ANY, false, 0, 0},
    {"None", ANY, false, 0, 0},
    {"none ", ANY, false, 0, 0},
    {"99999999999999999999", ANY, false, 0, 0},
};

START_TEST(a_limit_is_read)
{
    struct policy_limit limit;
    bool ok = policy_limit_read(limits[_i].text, limits[_i].takes, &limit);
    ck_assert_msg(ok == limits[_i].ok, "\"%s\"", limits[_i].text);
    if (ok) {
        ck_assert_int_eq(limit.unit, limits[_i].unit);
        ck_assert_msg(limit.value == limits[_i].value, "\"%s\": %lld", limits[_i].text,
                      (long long)limit.value);
    }
}
END_TEST

static const struct {
    const char *text, *from, *to, *zone;
} windows[] = {
    {"01:00-05:00", "01:00", "05:00", "UTC"},
    {"22:30-04:00 Europe/Berlin", "22:30", "04:00", "Europe/Berlin"},
    {"00:00-24:00 America/Port-au-Prince", "00:00", "24:00", "America/Port-au-Prince"},
    {"23:59-00:00  Etc/GMT-9", "23:59", "00:00", "Etc/GMT-9"},
    {"24:00-01:00", NULL, NULL, NULL},
    {"01:00-24:01", NULL, NULL, NULL},
    {"1:00-05:00", NULL, NULL, NULL},
    {"01:00 - 05:00", NULL, NULL, NULL},
    {"01:00-05:00Europe/Berlin", NULL, NULL, NULL},
    {"01:00-05:00 UTC+2", NULL, NULL, NULL},
    {"01:00-05:00 +02:00", NULL, NULL, NULL},
    {"01:00-05:00 ", NULL, NULL, NULL},
    {"01:00-05:00 UTC'", NULL, NULL, NULL},
    {"01:00-05:60", NULL, NULL, NULL},
    {"01:00-", NULL, NULL, NULL},
    {"01:00", NULL, NULL, NULL},
    {"0", NULL, NULL, NULL},
    {"", NULL, NULL, NULL},
};

START_TEST(a_window_is_read)
{
    struct policy_window window;
    bool ok = policy_window_read(windows[_i].text, &window);
    ck_assert_msg(ok == (windows[_i].from != NULL), "\"%s\"", windows[_i].text);
    if (ok) {
        ck_assert_str_eq(window.from, windows[_i].from);
        ck_assert_str_eq(window.to, windows[_i].to);
        ck_assert_str_eq(window.zone, windows[_i].zone);
    }
}
END_TEST

/* One look after the other. */
static const struct {
    int64_t requested, written, done_ms;
    bool known, waits;
    const char *why;
} looks[] = {
    {5, 100, 900, true, false, "the first look says nothing about what is going on"},
    {5, 100, 900, true, false, "nothing happened"},
    {5, 160, 950, true, false, "a timed checkpoint was written"},
    {6, 160, 950, true, true, "one was asked for"},
    {6, 190, 950, true, true, "it is being written"},
    {6, 190, 950, false, false, "not looked at"},
    {6, 260, 950, true, true, "it is still being written"},
    {7, 260, 950, true, true, "another one was asked for meanwhile"},
    {7, 300, 1800, true, false, "done"},
    {7, 340, 1800, true, false, "a timed one is being written"},
    {8, 340, 1800, true, true, "asked for"},
    {8, 340, 1800, true, false, "it has nothing to write, or nothing more"},
    {9, 400, 1900, true, false, "asked for and done between two looks"},
};

START_TEST(a_checkpoint_that_was_asked_for_is_waited_for)
{
    struct checkpoints last = {.known = false};
    bool under_way = false;
    for (int i = 0; i < COUNT(looks); i++) {
        const struct checkpoints now = {looks[i].known, looks[i].requested, looks[i].written,
                                        looks[i].done_ms};
        ck_assert_msg(throttle_checkpoint(&last, &now, &under_way) == looks[i].waits, "%d: %s", i,
                      looks[i].why);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("throttle");
    TCase *tests = tcase_create("throttle");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, a_limit_is_read, 0, COUNT(limits));
    tcase_add_loop_test(tests, a_window_is_read, 0, COUNT(windows));
    tcase_add_test(tests, a_checkpoint_that_was_asked_for_is_waited_for);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
