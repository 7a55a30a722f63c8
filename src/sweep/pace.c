/* How large a chunk is: as asked for, or as much as the server does in the chunk time. The way to
 * the server is no work: what a chunk's round trips cost is taken off, or a distant server would
 * get the smallest chunks, which cost the most round trips. Nor is a chunk made smaller for what it
 * costs whatever its size: where very many rows have one age, finding the next of them takes long,
 * and smaller chunks would only do it more often. */
#include "internal.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/clock.h"

/* Between two ages: rows of the last age come on top of what was asked for, and stay below MAX_ROWS
 * together. */
enum { START_ROWS = 500, MIN_ROWS = 100, MAX_ROWS = 10000, FAR_MAX_ROWS = 40000 };

/* A chunk is compared with one of another size that is not longer ago than this. */
enum { COMPARED_CHUNKS = 32 };

/* So many rows, in tenths of the limit, are asked for between two ages. */
enum { BY_AGE_TENTHS = 9 };

void pace_start(struct sweep *sweep)
{
    const struct sweep_budget *budget = sweep->budget;
    sweep->pace.rows_max = budget->chunk_rows > 0 ? budget->chunk_rows
                           : sweep->pace.near     ? MAX_ROWS
                                                  : FAR_MAX_ROWS;
    sweep->pace.rows = budget->chunk_rows > 0 ? budget->chunk_rows : START_ROWS;
}

int64_t pace_rows(const struct sweep *sweep, int64_t ahead)
{
    int64_t left = sweep->budget->max_rows - sweep->pace.taken - ahead;
    int64_t rows = sweep->pace.singly > ahead ? 1 : sweep->pace.rows;
    int64_t by_age = sweep->pace.rows_max / 10 * BY_AGE_TENTHS;
    if (!sweep->pace.exact && sweep->budget->chunk_rows == 0 && rows > by_age)
        rows = by_age;
    return sweep->budget->max_rows > 0 && left < rows ? left : rows;
}

struct pace_start_of pace_begin(const struct sweep *sweep)
{
    return (struct pace_start_of){clock_now_us(), db_round_trips(sweep->db)};
}

struct pace_spent pace_end(const struct sweep *sweep, struct pace_start_of begun)
{
    int64_t elapsed_us = clock_now_us() - begun.us;
    int64_t way_us = (db_round_trips(sweep->db) - begun.round_trips) * db_round_trip_us(sweep->db);
    return (struct pace_spent){.work_us = elapsed_us > way_us ? elapsed_us - way_us : 0,
                               .way_us = way_us};
}

/* The work that a chunk should be. Far away it is longer, so that the way is about a fifth of the
 * time. */
static int64_t aim_us(struct pace_spent spent)
{
    int64_t aim = SWEEP_CHUNK_MS * INT64_C(1000);
    int64_t far = SWEEP_FAR_CHUNK_MS * INT64_C(1000);
    int64_t by_way = 5 * spent.way_us;
    return by_way > far ? far : by_way > aim ? by_way : aim;
}

static int size_class(int64_t rows)
{
    int class = 0;
    while (class < PACE_SIZES - 1 && rows >> (class + 1) > 0)
        class ++;
    return class;
}

/* Of the chunks of late the one whose size differs the most from this; NULL: all are as large. */
static const struct pace_sample *find_other(const struct pace *pace, int64_t rows)
{
    const struct pace_sample *other = NULL;
    int here = size_class(rows), farthest = 0;
    for (int i = 0; i < PACE_SIZES; i++) {
        const struct pace_sample *sample = &pace->samples[i];
        int away = i < here ? here - i : i - here;
        if (sample->rows > 0 && pace->chunks - sample->chunk <= COMPARED_CHUNKS &&
            away > farthest) {
            other = sample;
            farthest = away;
        }
    }
    return other;
}

/* Takes a chunk of so many rows into account: two chunks of different sizes tell what a row costs
 * and what a chunk does. What is known is forgotten little by little, for it changes on the way.
 * False: there was no other to compare it with. */
static bool learn_fixed(struct pace *pace, int64_t rows, int64_t us)
{
    int64_t fixed = pace->fixed_us * 7 / 8;
    const struct pace_sample *other = find_other(pace, rows);
    if (other) {
        double row_us = (double)(us - other->us) / (double)(rows - other->rows);
        double rest_us = row_us > 0 ? (double)us - row_us * (double)rows : (double)us;
        fixed = (pace->fixed_us + (rest_us > 0 ? (int64_t)rest_us : 0)) / 2;
    }
    pace->fixed_us = fixed > us ? us : fixed;
    pace->samples[size_class(rows)] = (struct pace_sample){rows, us, pace->chunks++};
    return other != NULL;
}

void pace_adjust(struct sweep *sweep, struct pace_spent spent)
{
    struct pace *pace = &sweep->pace;
    int64_t rows = pace->rows;
    bool compared = learn_fixed(pace, rows, spent.work_us);
    /* At least half of the time is for rows. */
    int64_t aim = aim_us(spent);
    if (aim < 2 * pace->fixed_us)
        aim = 2 * pace->fixed_us;
    if (sweep->budget->chunk_rows > 0) {
        /* A failure made it smaller; with each success it grows back. */
        rows *= 2;
    } else if (spent.work_us <= aim * 3 / 4) {
        /* Toward what takes most of the chunk time, and twice as many rows at most. */
        int64_t fitting = spent.work_us > 0 ? rows * aim * 7 / 8 / spent.work_us : 2 * rows;
        rows = fitting > 2 * rows ? 2 * rows : fitting;
    } else if (spent.work_us > aim) {
        /* Toward what would have taken the chunk time, but not by a single slow chunk alone. */
        int64_t fitting = rows * aim / spent.work_us;
        rows = fitting > rows / 2 ? fitting : rows / 2;
        /* At the smallest a larger one tells whether it is the rows that take so long. */
        if (rows < MIN_ROWS && pace->rows >= MIN_ROWS)
            rows = pace->rows == MIN_ROWS && !compared ? 2 * MIN_ROWS : MIN_ROWS;
    }
    pace->rows = rows > pace->rows_max ? pace->rows_max : rows < 1 ? 1 : rows;
}

enum { BACKOFF_BASE_MS = 100, BACKOFF_CAP_MS = 10000 };

void sweep_back_off(struct sweep *sweep, int attempt)
{
    sweep->report->retries++;
    state_wait(sweep->state, clock_backoff_ms(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
}

bool sweep_is_exact(const struct plan *plan, const struct sweep_budget *budget)
{
    return budget->chunk_rows > 0 || budget->max_rows > 0 || !plan->few_equal_ages;
}
