/* Checks, before anything is deleted, that the clocks that decide what is old can be right. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/files.h"
#include "pgsweep/instant.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

static bool is_trusted(const struct cli_options *options, const struct policy *policy)
{
    return options->trust_clock || policy->clock == CLOCK_TRUST ||
           options->command != COMMAND_SWEEP;
}

bool command_check_host_clock(const struct cli_options *options, const struct policy *policy,
                              struct error *err)
{
    struct clock_facts facts;
    if (is_trusted(options, policy))
        return true;
    clock_read_facts(&facts);
    return clock_judge_host(&facts, err);
}

bool command_check_database_clock(const struct cli_options *options, const struct policy *policy,
                                  struct db *db, const char **now, bool *standby, struct error *err)
{
    struct db_rows *rows;
    int64_t before_ms = clock_wall_ms();
    if (!db_query(db, db, template_fill(db, "sql/session.sql", "server_state", NULL), 0, NULL,
                  &rows, err))
        return false;
    *now = db_rows_get(rows, 0, 0);
    *standby = db_rows_bool(rows, 0, 1);
    return is_trusted(options, policy) ||
           clock_judge_database(before_ms, db_rows_int(rows, 0, 2), clock_wall_ms(), err);
}

/* With a clock that runs far ahead, everything looks expired and the latest change in the root is
 * long ago. */
static bool check_root(const struct files_options *how, struct error *err)
{
    int64_t now = clock_wall_ms() / 1000;
    int64_t youngest;
    bool found;
    void *scratch = talloc_new(NULL);
    if (!files_youngest(how, now - CLOCK_IDLE_S, &youngest, &found, err)) {
        talloc_free(scratch);
        return false;
    }
    bool idle = found && clock_looks_idle(now, youngest, how->cutoff.tv_sec);
    if (idle) {
        struct timespec then = {.tv_sec = (time_t)youngest};
        struct timespec today = {.tv_sec = (time_t)now};
        error_set(err, SWEEP_REFUSED,
                  "nothing in %s has changed for more than a year: this host's clock may be wrong",
                  text_escape(scratch, how->root, strlen(how->root)));
        error_detail(err,
                     "The clock says %s; the last change was at %s. Everything in this root is "
                     "older than the cutoff.",
                     instant_text(scratch, today), instant_text(scratch, then));
        error_hint(
            err,
            "Nothing was deleted. If the clock is right, run once with --trust-clock, or write "
            "\"clock: trust\" into the "
            "policy.");
    }
    talloc_free(scratch);
    return !idle;
}

bool command_check_idle_roots(const struct cli_options *options, const struct policy *policy,
                              const struct files_options *how, struct error *err)
{
    struct files_options one = *how;
    if (is_trusted(options, policy) ||
        options->cutoff) /* with a given cutoff the clock decides nothing */
        return true;
    for (size_t i = 0; i < policy->root_count; i++) {
        one.root = policy->roots[i].value;
        if (!check_root(&one, err))
            return false;
    }
    return true;
}
