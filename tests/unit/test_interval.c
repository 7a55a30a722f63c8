/* The policy room: the form of an interval. */
#include "unit.h"

#include "pgsweep/policy.h"

static const char *const good[] = {
    "30 days",    "7d",        "1 month 2 days", "1 year, 2 months",
    " 12 hours ", "1.5 hours", ".5 days",        "90min",
    "100 ms",     "P30D",      "P1Y2M",          "PT12H",
    "P1DT2H",     "P1.5D",     "2 weeks",        "10 MIN",
};

START_TEST(takes_numbers_with_units)
{
    struct setting setting = {good[_i], "option --retain"};
    ck_assert_msg(interval_check(&setting, "retain", &err), "%s: %s", good[_i], err.message);
}
END_TEST

static const struct {
    const char *text, *why;
} bad[] = {
    {"", "empty"},
    {"   ", "empty"},
    {"30", "without a unit"},
    {"0", "without a unit"},
    {"1 month 2", "without a unit"},
    {"1 2 days", "without a unit"},
    {"02:30 hours", "without a unit"},
    {"-30 days", "sign"},
    {"1 month -2 days", "sign"},
    {"+1 day", "sign"},
    {"30 m", "\"m\""},
    {"5M", "\"m\""},
    {"1 day 5m", "\"m\""},
    {"days", "not a number"},
    {"a month", "not a number"},
    {"30 days ago", "not a number"},
    {"P", "not a number"},
    {"PT", "not a number"},
    {"P30", "not a number"},
    {"P-30D", "not a number"},
    {"PD", "not a number"},
    {"infinity", "not a number"},
    {"NULL", "not a number"},
    {".", "not a number"},
    {". days", "not a number"},
    {"1..5 days", "without a unit"},
    {"30 days; DROP TABLE x", "not a number"},
    {"30 'days'", "without a unit"},
    {"nan days", "not a number"},
    {"30 days\x01", "not a number"},
    {"30 \xc3\xa4", "without a unit"},
};

START_TEST(refuses_what_could_mean_something_else)
{
    struct setting setting = {bad[_i].text, "option --retain"};
    ck_assert_msg(!interval_check(&setting, "retain", &err), "taken: %s", bad[_i].text);
    ck_says(err.message, bad[_i].why);
    ck_says(err.message, "option --retain: retain \"");
    ck_says(err.hint, "30 days");
    ck_assert_int_eq(err.code, SWEEP_USAGE);
}
END_TEST

/* 2026-03-31 12:00:00.5 UTC, a day that February has not. */
static const struct timespec now = {.tv_sec = 1774958400, .tv_nsec = 500000000};

static const struct {
    const char *text;
    long long back_ms;
} before[] = {
    {"100 ms", 100},
    {"1 s", 1000},
    {"1.5 seconds", 1500},
    {".25 sec", 250},
    {"90min", 90 * 60000LL},
    {"12 hours", 12 * 3600000LL},
    {"7d", 7 * 86400000LL},
    {"7 DAYS", 7 * 86400000LL},
    {"1 week, 1 day", 8 * 86400000LL},
    {"2 weeks 3 hours", 14 * 86400000LL + 3 * 3600000LL},
    {"1 month", 31 * 86400000LL},                 /* the 28th of February */
    {"2 mons", 59 * 86400000LL},                  /* the 31st of January */
    {"25 months", (365 + 365 + 31) * 86400000LL}, /* the 29th of February 2024 */
    {"1 year", 365 * 86400000LL},
    {"1 year 1 month", (365 + 31) * 86400000LL},
    {"10 days", 10 * 86400000LL},
    {"0 days 1 s", 1000},
    {"36500 days", 36500LL * 86400000},
};

START_TEST(counts_back_without_a_database)
{
    struct setting setting = {before[_i].text, "option --retain"};
    struct timespec then;
    ck_assert_msg(interval_before(&setting, "retain", now, &then, &err), "%s: %s", before[_i].text,
                  err.message);
    long long back =
        (long long)(now.tv_sec - then.tv_sec) * 1000 + (now.tv_nsec - then.tv_nsec) / 1000000;
    ck_assert_msg(back == before[_i].back_ms, "%s: %lld", before[_i].text, back);
    ck_assert(then.tv_nsec >= 0 && then.tv_nsec < 1000000000);
}
END_TEST

static const struct {
    const char *text, *why;
} not_before[] = {
    {"30", "without a unit"},
    {"5 m", "\"m\""},
    {"-1 day", "sign"},
    {"P30D", "not understood"},
    {"1 decade", "not understood"},
    {"1e5 days", "not understood"},
    {"0x10 days", "not understood"},
    {"1 fortnightfortnightfortnightfortnight", "not understood"},
    {"1.5 months", "fraction of a month"},
    {"99999999999999999999 months", "too long"},
    {"99999999999999999999 days", "too long"},
    {"1001 years", "too long"},
    {"0 days", "not a positive interval"},
    {"0.0 ms", "not a positive"},
    {"", "empty"},
};

START_TEST(refuses_what_it_cannot_count_back)
{
    struct setting setting = {not_before[_i].text, "option --retain"};
    struct timespec then;
    ck_assert_msg(!interval_before(&setting, "retain", now, &then, &err), "taken: %s",
                  not_before[_i].text);
    ck_says(err.message, not_before[_i].why);
    ck_says(err.message, "option --retain: retain \"");
    ck_assert_int_eq(err.code, SWEEP_USAGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interval");
    TCase *tests = tcase_create("interval");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, takes_numbers_with_units, 0, COUNT(good));
    tcase_add_loop_test(tests, refuses_what_could_mean_something_else, 0, COUNT(bad));
    tcase_add_loop_test(tests, counts_back_without_a_database, 0, COUNT(before));
    tcase_add_loop_test(tests, refuses_what_it_cannot_count_back, 0, COUNT(not_before));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
