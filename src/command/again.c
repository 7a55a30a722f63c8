/* When a run begins anew because the database went away before anything was deleted: while it is
 * away for a reason that passes by itself, up to the run's retry_for. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

enum { BASE_MS = 100, CAP_MS = 10000 };

bool command_retry_for(const struct policy *policy, int64_t *ms, struct error *err)
{
    const struct setting *setting = &policy->retry_for;
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

/* A table may be locked for a while. After a failover the name may lead to a standby that is not
 * promoted yet. */
static bool may_pass(const struct again *again, const struct db *db, const struct error *why)
{
    return db_may_come_back(db, why) || db_failed_for_lock(why) ||
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
