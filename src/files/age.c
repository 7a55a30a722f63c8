/* How old a file is, and whether that is old enough. */
#define _GNU_SOURCE

#include "walk.h"

enum files_kept entry_judge_time(struct walk *w, struct timespec t)
{
    enum files_kept answer = files_judge_age(t, w->options->cutoff, w->now);
    /* What was written since the sweep began is fresh, not from the future. */
    if (answer == FILES_KEPT_FUTURE) {
        clock_gettime(CLOCK_REALTIME, &w->now);
        answer = files_judge_age(t, w->options->cutoff, w->now);
    }
    if (answer == FILES_NOT_KEPT && w->options->spare &&
        !files_is_before(t, w->options->spare_from))
        answer = FILES_KEPT_ENOUGH;
    return answer;
}

enum files_kept entry_judge_times(struct walk *w, const struct statx *stx, unsigned age_by)
{
    const struct statx_timestamp times[] = {[FILES_AGE_MTIME] = stx->stx_mtime,
                                            [FILES_AGE_ATIME] = stx->stx_atime,
                                            [FILES_AGE_CTIME] = stx->stx_ctime,
                                            [FILES_AGE_BTIME] = stx->stx_btime};
    struct timespec youngest = {.tv_sec = INT64_MIN};
    if (!age_by)
        age_by = FILES_AGE_BIT(FILES_AGE_MTIME);
    if ((age_by & FILES_AGE_BIT(FILES_AGE_BTIME)) && !(stx->stx_mask & STATX_BTIME))
        return FILES_KEPT_NO_TIME;
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        struct timespec t = fsys_time(times[i]);
        if ((age_by & FILES_AGE_BIT(i)) && files_is_before(youngest, t))
            youngest = t;
    }
    w->judged = youngest;
    return entry_judge_time(w, youngest);
}

enum files_kept entry_judge_age(struct walk *w, const struct statx *stx)
{
    return w->wipe && !w->options->young_stay ? FILES_NOT_KEPT
                                              : entry_judge_times(w, stx, w->options->age_by);
}
