/* The policy room: the form of an interval. */
#include "unit.h"

#include "pgsweep/policy.h"

static const char *const good[] = {
    "30 days", "7d", "1 month 2 days", "1 year, 2 months", " 12 hours ", "1.5 hours", ".5 days", "90min",
    "100 ms", "P30D", "P1Y2M", "PT12H", "P1DT2H", "P1.5D", "2 weeks", "10 MIN",
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
    {"", "empty"}, {"   ", "empty"}, {"30", "without a unit"}, {"0", "without a unit"},
    {"1 month 2", "without a unit"}, {"1 2 days", "without a unit"}, {"02:30 hours", "without a unit"},
    {"-30 days", "sign"}, {"1 month -2 days", "sign"}, {"+1 day", "sign"}, {"30 m", "\"m\""}, {"5M", "\"m\""},
    {"1 day 5m", "\"m\""}, {"days", "not a number"}, {"a month", "not a number"}, {"30 days ago", "not a number"},
    {"P", "not a number"}, {"PT", "not a number"}, {"P30", "not a number"}, {"P-30D", "not a number"},
    {"PD", "not a number"}, {"infinity", "not a number"}, {"NULL", "not a number"}, {".", "not a number"}, {". days", "not a number"},
    {"1..5 days", "without a unit"}, {"30 days; DROP TABLE x", "not a number"}, {"30 'days'", "without a unit"},
    {"nan days", "not a number"},
    {"30 days\x01", "not a number"}, {"30 \xc3\xa4", "without a unit"},
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

int main(void)
{
    Suite *suite = suite_create("interval");
    TCase *tests = tcase_create("interval");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, takes_numbers_with_units, 0, COUNT(good));
    tcase_add_loop_test(tests, refuses_what_could_mean_something_else, 0, COUNT(bad));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
