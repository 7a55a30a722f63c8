/* One run of a policy at a time, on any host. */
#ifndef PGSWEEP_STATE_LOCK_H
#define PGSWEEP_STATE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/error.h"

struct state;

/* The advisory lock of a policy or a queue: its key in this database. */
int64_t run_lock_key(const char *name);

/* The application_name of a run, "pgsweep/POLICY/RUN-ID", owned by ctx. The server cuts it after 63
 * bytes: a policy's name is shortened to what leaves the run's id whole, since a run finds its own
 * lost session by it. */
char *run_application_name(const void *ctx, const char *policy, const char *run_id);

/* Takes the lock of a policy (the name must live as long as the state); SWEEP_LOCKED when another
 * run holds it, with who that is. Through a pooler the lock is a lease, which a run that was killed
 * cannot give back: it is waited for as long as it is not renewed, at most 70 seconds. */
bool run_lock(struct state *state, const char *policy, struct error *err);

/* Gives the lock back at the end of a run. The server would do so when the session ends, but that
 * may be some time after this process has ended, and a run right after this one must not be
 * refused. Failures do not matter. */
void run_unlock(struct state *state, const char *policy);

/* Takes the lock again after the connection was lost. A session of this very run that the server
 * has not given up yet is terminated first. Waits up to wait_ms. */
bool run_lock_again(struct state *state, const char *policy, const char *run_id, int64_t wait_ms,
                    struct error *err);

/* Waits between transactions, and keeps the lease alive; every wait of a second or more has to be
 * done so. Ends early on a signal. A lease that is lost, the next transaction finds out. */
void state_wait(struct state *state, int64_t ms);

#endif
