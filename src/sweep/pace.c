/* How large a chunk is: as asked for, or as much as fits into the chunk time. */
#include "internal.h"

/* Between two ages: rows of the last age come on top of what was asked for, and stay below MAX_ROWS
 * together. */
enum { START_ROWS = 500, MIN_ROWS = 100, MAX_ROWS = 10000, BY_AGE_ROWS = 9000 };

void pace_start(struct sweep *sweep)
{
    const struct sweep_budget *budget = sweep->budget;
    sweep->rows_max = budget->chunk_rows > 0 ? budget->chunk_rows : MAX_ROWS;
    sweep->rows = budget->chunk_rows > 0 ? budget->chunk_rows : START_ROWS;
}

int64_t pace_rows(const struct sweep *sweep, int64_t ahead)
{
    int64_t left = sweep->budget->max_rows - sweep->taken - ahead;
    int64_t rows = sweep->singly > ahead ? 1 : sweep->rows;
    if (!sweep->exact && rows > BY_AGE_ROWS)
        rows = BY_AGE_ROWS;
    return sweep->budget->max_rows > 0 && left < rows ? left : rows;
}

void pace_adjust(struct sweep *sweep, int64_t elapsed_ms)
{
    int64_t rows = sweep->rows;
    if (sweep->budget->chunk_rows > 0) {
        /* A failure made it smaller; with each success it grows back. */
        rows *= 2;
    } else if (elapsed_ms <= SWEEP_CHUNK_MS / 2) {
        rows *= 2;
    } else if (elapsed_ms > SWEEP_CHUNK_MS) {
        /* Toward what would have taken the chunk time, but not by a single slow chunk alone. */
        int64_t fitting = rows * SWEEP_CHUNK_MS / elapsed_ms;
        rows = fitting > rows / 2 ? fitting : rows / 2;
        if (rows < MIN_ROWS && sweep->rows >= MIN_ROWS)
            rows = MIN_ROWS;
    }
    sweep->rows = rows > sweep->rows_max ? sweep->rows_max : rows < 1 ? 1 : rows;
}
