/* The sweep room: how large a chunk is, as pure arithmetic. */
#include "unit.h"

#include "../../src/sweep/internal.h"

static struct sweep_budget budget;
static struct sweep sweep;

/* A chunk that took so many milliseconds at the server, and no way. */
static void adjust(int64_t work_ms)
{
    pace_adjust(&sweep, (struct pace_spent){.work_us = work_ms * 1000});
}

static void start(int64_t chunk_rows, int64_t max_rows)
{
    budget = (struct sweep_budget){.chunk_rows = chunk_rows, .max_rows = max_rows};
    sweep = (struct sweep){.budget = &budget, .pace = {.near = true}};
    pace_start(&sweep);
}

START_TEST(a_size_that_was_asked_for_is_kept)
{
    start(250, 0);
    ck_assert_int_eq(pace_rows(&sweep, 0), 250);
    static const int64_t times[] = {0, 1, 20, 100000};
    for (int i = 0; i < COUNT(times); i++) {
        adjust(times[i]);
        ck_assert_int_eq(pace_rows(&sweep, 0), 250);
    }
    sweep.pace.rows = 1; /* a failure made it smaller */
    int64_t expected = 1;
    for (int i = 0; i < 12; i++) {
        ck_assert_int_eq(sweep.pace.rows, expected);
        adjust(5);
        expected = expected * 2 > 250 ? 250 : expected * 2;
    }
    ck_assert_int_eq(sweep.pace.rows, 250);
}
END_TEST

START_TEST(fast_chunks_grow_to_a_limit)
{
    start(0, 0);
    int64_t first = pace_rows(&sweep, 0);
    ck_assert(first >= 1 && first <= 1000);
    adjust(1);
    ck_assert_int_eq(pace_rows(&sweep, 0), 2 * first);
    for (int i = 0; i < 100; i++)
        adjust(0);
    /* Between two ages the rows of the last age come on top. */
    ck_assert_int_eq(pace_rows(&sweep, 0), 9000);
    sweep.pace.exact = true;
    ck_assert_int_eq(pace_rows(&sweep, 0), 10000);
}
END_TEST

START_TEST(a_chunk_that_fits_keeps_its_size)
{
    start(0, 0);
    int64_t first = pace_rows(&sweep, 0);
    adjust(SWEEP_CHUNK_MS);
    ck_assert_int_eq(pace_rows(&sweep, 0), first);
    adjust(SWEEP_CHUNK_MS * 3 / 4 + 1);
    ck_assert_int_eq(pace_rows(&sweep, 0), first);
}
END_TEST

START_TEST(slow_chunks_shrink_by_half_at_most_and_not_below_a_hundred)
{
    start(0, 0);
    sweep.pace.rows = 8000;
    adjust(SWEEP_CHUNK_MS * 5 / 4);
    ck_assert_int_eq(pace_rows(&sweep, 0), 6400);
    adjust(INT64_C(100) * 3600 * 1000);
    ck_assert_int_eq(pace_rows(&sweep, 0), 3200);
    for (int i = 0; i < 50; i++)
        adjust(1000 * sweep.pace.rows); /* a second for each row */
    ck_assert_int_eq(pace_rows(&sweep, 0), 100);
}
END_TEST

/* Chunks that cost so much each, and so much for each row; returns the size that they come to. */
static int64_t settle(int64_t fixed_us, int64_t row_ns, int chunks)
{
    for (int i = 0; i < chunks; i++)
        pace_adjust(&sweep, (struct pace_spent){.work_us = fixed_us +
                                                           pace_rows(&sweep, 0) * row_ns / 1000});
    return pace_rows(&sweep, 0);
}

/* What a chunk costs, and the time for rows that many chunks come to on the average. */
static const struct {
    int64_t fixed_us, row_ns, least_us, most_us;
} costs[] = {
    {0, 20000, 10000, 20000}, /* nothing but rows: the chunk time */
    {2000, 20000, 10000, 20000},
    {40000, 20000, 15000, 60000}, /* rows take about as long as the rest */
    {300000, 200000, 100000, 450000},
};

START_TEST(a_chunk_is_not_made_smaller_for_what_it_costs_whatever_its_size)
{
    start(0, 0);
    sweep.pace.exact = true;
    settle(0, costs[_i].row_ns, 40); /* at first without it */
    int64_t sum = settle(costs[_i].fixed_us, costs[_i].row_ns, 60);
    for (int i = 1; i < 100; i++)
        sum += settle(costs[_i].fixed_us, costs[_i].row_ns, 1);
    ck_assert_int_ge(sum / 100 * costs[_i].row_ns / 1000, costs[_i].least_us);
    ck_assert_int_le(sum / 100 * costs[_i].row_ns / 1000, costs[_i].most_us);
    int64_t again = settle(0, costs[_i].row_ns, 60); /* and behind it, as before */
    ck_assert_int_le(again * costs[_i].row_ns / 1000, 20000);
    ck_assert_int_ge(again * costs[_i].row_ns / 1000, 10000);
}
END_TEST

static const struct {
    int64_t work_ms, way_ms, rows, next;
} ways[] = {
    {20, 0, 1000, 1000}, /* near: 20 ms of work are a chunk */
    {8, 0, 1000, 2000},      {40, 0, 1000, 500},
    {16, 0, 1000, 1000},                          /* or nearly */
    {14, 0, 1000, 1250},     {20, 4, 1000, 1000}, /* a sixth of it on the way */
    {50, 10, 1000, 1000},                         /* as much work as five times the way */
    {20, 10, 1000, 2000},    {100, 10, 1000, 500},
    {1, 1000, 1000, 2000},                           /* the way alone is never a reason to shrink */
    {100, 1000, 1000, 1000}, {200, 1000, 1000, 500}, /* and work of more than 100 ms always is */
    {1, 10, 30000, 40000},   {1, 1000, 40000, 40000},
};

START_TEST(the_way_is_no_work)
{
    start(0, 0);
    sweep.pace.near = false;
    pace_start(&sweep);
    sweep.pace.exact = true;
    sweep.pace.rows = ways[_i].rows;
    pace_adjust(&sweep, (struct pace_spent){.work_us = ways[_i].work_ms * 1000,
                                            .way_us = ways[_i].way_ms * 1000});
    ck_assert_int_eq(pace_rows(&sweep, 0), ways[_i].next);
}
END_TEST

START_TEST(a_small_chunk_after_a_failure_stays_positive)
{
    start(0, 0);
    sweep.pace.rows = 1;
    for (int i = 0; i < 5; i++)
        adjust(1000);
    ck_assert_int_ge(pace_rows(&sweep, 0), 1);
    ck_assert_int_le(pace_rows(&sweep, 0), 100);
}
END_TEST

START_TEST(candidates_are_taken_one_by_one_while_one_is_looked_for)
{
    start(250, 0);
    sweep.pace.singly = 2;
    ck_assert_int_eq(pace_rows(&sweep, 0), 1);
    ck_assert_int_eq(pace_rows(&sweep, 1), 1);
    ck_assert_int_eq(pace_rows(&sweep, 2), 250);
    sweep.pace.singly = 0;
    ck_assert_int_eq(pace_rows(&sweep, 0), 250);
}
END_TEST

START_TEST(the_last_chunk_takes_what_max_rows_leaves)
{
    start(100, 250);
    ck_assert_int_eq(pace_rows(&sweep, 0), 100);
    sweep.pace.taken = 200;
    ck_assert_int_eq(pace_rows(&sweep, 0), 50);
    sweep.pace.taken = 250;
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
    tcase_add_loop_test(tests, a_chunk_is_not_made_smaller_for_what_it_costs_whatever_its_size, 0,
                        COUNT(costs));
    tcase_add_loop_test(tests, the_way_is_no_work, 0, COUNT(ways));
    tcase_add_test(tests, a_small_chunk_after_a_failure_stays_positive);
    tcase_add_test(tests, candidates_are_taken_one_by_one_while_one_is_looked_for);
    tcase_add_test(tests, the_last_chunk_takes_what_max_rows_leaves);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
