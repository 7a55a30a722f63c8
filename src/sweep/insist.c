/* The loop over the tries of an act that is no chunk: a look, a count, a dead letter, a new plan.
 */
#include "internal.h"
#include "pgsweep/stop.h"

/* The new plan that is due, or the act: the plan comes first, for the act may need it. */
static bool try_once(struct sweep *sweep, sweep_act *act, void *arg, bool *done, struct error *err)
{
    if (sweep->replan.due)
        return sweep_recompile(sweep, err);
    *done = act(sweep, arg, err);
    return *done;
}

bool sweep_insist(struct sweep *sweep, sweep_act *act, void *arg, struct error *err)
{
    bool done = false, ok = true;
    sweep->recovery.tries = 0;
    while (ok && !done) {
        struct chunk *none = chunk_new(sweep);
        if (stop_requested())
            sweep->replan.due = false; /* no chunk is going to begin */
        if (!try_once(sweep, act, arg, &done, &none->error))
            ok = sweep_recover(sweep, none, err);
        chunk_free(none);
        if (stop_requested())
            break;
    }
    sweep->recovery.tries = 0;
    return ok;
}

static bool nothing(struct sweep *sweep, void *arg, struct error *err)
{
    (void)sweep, (void)arg, (void)err;
    return true;
}

bool sweep_insist_on_plan(struct sweep *sweep, struct error *err)
{
    return !sweep->replan.due || sweep_insist(sweep, nothing, NULL, err);
}
