/* When a run or a command begins anew: the database is away for a reason that passes by itself, for
 * up to retry_for. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

enum { BASE_MS = 100, CAP_MS = 10000 };

bool command_retry_for(const struct setting *setting, int64_t *ms, struct error *err)
{
    const struct timespec now = {.tv_sec = 1000000000000};
    struct timespec then;
    *ms = 0;
    if (!setting->value) {
        *ms = SWEEP_RETRY_FOR_MS;
        return true;
    }
    if (!interval_check(setting, "retry_for", err))
        return false;
    if (!strpbrk(setting->value, "123456789"))
        return true; /* "0 s": one try */
    if (!interval_before(setting, "retry_for", now, &then, err))
        return false;
    *ms = (now.tv_sec - then.tv_sec) * 1000 - then.tv_nsec / 1000000;
    return true;
}

/* A deadlock or a conflict with other transactions: the same may work the next time. */
static bool is_conflict(const struct error *why)
{
    return sqlstate_is_of(why, SQLSTATE_CLASS_ROLLBACK);
}

/* Whether the failure is temporary: a table may be locked for a while; after a failover the name
 * may lead to a standby that is not promoted yet. */
static bool may_pass(const struct again *again, const struct db *db, const struct error *why)
{
    return db_may_come_back(db, why) || db_failed_for_lock(why) ||
           (again->conflicts && is_conflict(why)) ||
           (again->attempts > 0 && sqlstate_is(why, SQLSTATE_READ_ONLY_TRANSACTION));
}

static void warn(const struct again *again, const struct error *why)
{
    char *text = error_text(NULL, why, "; ");
    text_tell("warning", "%s; trying again for up to %lld s", text,
              (long long)(again->retry_for_ms + 999) / 1000);
    talloc_free(text);
}

bool command_again(struct again *again, const struct db *db, bool quiet, const struct error *why)
{
    if (again->attempts == 0)
        again->end_ms = clock_now_ms() + again->retry_for_ms;
    if (stop_requested() || !may_pass(again, db, why) || clock_now_ms() >= again->end_ms)
        return false;
    if (again->attempts++ == 0 && !quiet)
        warn(again, why);
    int64_t left_ms = again->end_ms - clock_now_ms();
    int64_t nap_ms = clock_backoff_ms(again->attempts, BASE_MS, CAP_MS);
    clock_sleep_ms(nap_ms < left_ms ? nap_ms : left_ms);
    return !stop_requested();
}

bool command_patiently(const struct cli_options *options, const struct setting *retry_for,
                       const char *application_name, command_work *work, void *arg,
                       struct error *err)
{
    struct again again = {.conflicts = true};
    if (!command_retry_for(retry_for, &again.retry_for_ms, err))
        return false;
    for (;;) {
        struct attempt attempt = {.options = options, .ctx = talloc_new(NULL), .again = &again};
        bool ok = command_connect(attempt.ctx, options, application_name, &command_limits,
                                  &attempt.db, err) &&
                  work(&attempt, arg, err);
        bool anew = !ok && command_again(&again, attempt.db, options->quiet, err);
        talloc_free(attempt.ctx);
        if (!anew)
            return ok;
        error_clear(err);
    }
}
