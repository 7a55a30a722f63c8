/* The sweep room: how large a chunk is, as pure arithmetic. */
#include "unit.h"

#include "../../src/sweep/internal.h"

static struct sweep_budget budget;
static struct sweep sweep;

static void start(int64_t chunk_rows, int64_t max_rows)
{
    budget = (struct sweep_budget){.chunk_rows = chunk_rows, .max_rows = max_rows};
    sweep = (struct sweep){.budget = &budget};
    pace_start(&sweep);
}

START_TEST(a_size_that_was_asked_for_is_kept)
{
    start(250, 0);
    ck_assert_int_eq(pace_rows(&sweep, 0), 250);
    static const int64_t times[] = {0, 1, 20, 100000};
    for (int i = 0; i < COUNT(times); i++) {
        pace_adjust(&sweep, times[i]);
        ck_assert_int_eq(pace_rows(&sweep, 0), 250);
    }
    sweep.rows = 1; /* a failure made it smaller */
    int64_t expected = 1;
    for (int i = 0; i < 12; i++) {
        ck_assert_int_eq(sweep.rows, expected);
        pace_adjust(&sweep, 5);
        expected = expected * 2 > 250 ? 250 : expected * 2;
    }
    ck_assert_int_eq(sweep.rows, 250);
}
END_TEST

START_TEST(fast_chunks_grow_to_a_limit)
{
    start(0, 0);
    int64_t first = pace_rows(&sweep, 0);
    ck_assert(first >= 1 && first <= 1000);
    pace_adjust(&sweep, 1);
    ck_assert_int_eq(pace_rows(&sweep, 0), 2 * first);
    for (int i = 0; i < 100; i++)
        pace_adjust(&sweep, 0);
    /* Between two ages the rows of the last age come on top. */
    ck_assert_int_eq(pace_rows(&sweep, 0), 9000);
    sweep.exact = true;
    ck_assert_int_eq(pace_rows(&sweep, 0), 10000);
}
END_TEST

START_TEST(a_chunk_that_fits_keeps_its_size)
{
    start(0, 0);
    int64_t first = pace_rows(&sweep, 0);
    pace_adjust(&sweep, SWEEP_CHUNK_MS);
    ck_assert_int_eq(pace_rows(&sweep, 0), first);
    pace_adjust(&sweep, SWEEP_CHUNK_MS / 2 + 1);
    ck_assert_int_eq(pace_rows(&sweep, 0), first);
}
END_TEST

START_TEST(slow_chunks_shrink_by_half_at_most_and_not_below_a_hundred)
{
    start(0, 0);
    sweep.rows = 8000;
    pace_adjust(&sweep, SWEEP_CHUNK_MS * 5 / 4);
    ck_assert_int_eq(pace_rows(&sweep, 0), 6400);
    pace_adjust(&sweep, INT64_C(100) * 3600 * 1000);
    ck_assert_int_eq(pace_rows(&sweep, 0), 3200);
    for (int i = 0; i < 50; i++)
        pace_adjust(&sweep, INT64_C(1) << 40);
    ck_assert_int_eq(pace_rows(&sweep, 0), 100);
}
END_TEST

START_TEST(a_small_chunk_after_a_failure_stays_positive)
{
    start(0, 0);
    sweep.rows = 1;
    for (int i = 0; i < 5; i++)
        pace_adjust(&sweep, 1000);
    ck_assert_int_ge(pace_rows(&sweep, 0), 1);
    ck_assert_int_le(pace_rows(&sweep, 0), 100);
}
END_TEST

START_TEST(candidates_are_taken_one_by_one_while_one_is_looked_for)
{
    start(250, 0);
    sweep.singly = 2;
    ck_assert_int_eq(pace_rows(&sweep, 0), 1);
    ck_assert_int_eq(pace_rows(&sweep, 1), 1);
    ck_assert_int_eq(pace_rows(&sweep, 2), 250);
    sweep.singly = 0;
    ck_assert_int_eq(pace_rows(&sweep, 0), 250);
}
END_TEST

START_TEST(the_last_chunk_takes_what_max_rows_leaves)
{
    start(100, 250);
    ck_assert_int_eq(pace_rows(&sweep, 0), 100);
    sweep.taken = 200;
    ck_assert_int_eq(pace_rows(&sweep, 0), 50);
    sweep.taken = 250;
    ck_assert_int_eq(pace_rows(&sweep, 0), 0);
    start(0, 7);
    ck_assert_int_eq(pace_rows(&sweep, 0), 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_test(tests, a_size_that_was_asked_for_is_kept);
    tcase_add_test(tests, fast_chunks_grow_to_a_limit);
    tcase_add_test(tests, a_chunk_that_fits_keeps_its_size);
    tcase_add_test(tests, slow_chunks_shrink_by_half_at_most_and_not_below_a_hundred);
    tcase_add_test(tests, a_small_chunk_after_a_failure_stays_positive);
    tcase_add_test(tests, candidates_are_taken_one_by_one_while_one_is_looked_for);
    tcase_add_test(tests, the_last_chunk_takes_what_max_rows_leaves);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
