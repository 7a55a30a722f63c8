/* What the files of the sweep room share. */
#ifndef PGSWEEP_SWEEP_INTERNAL_H
#define PGSWEEP_SWEEP_INTERNAL_H

#include "parts.h"
#include "pgsweep/sweep.h"
#include "pgsweep/template.h"
#include "statements.h"

#define SWEEP_SQL "sql/sweep.sql"

enum chunk_outcome {
    CHUNK_DONE,  /* committed; the cursor has moved */
    CHUNK_END,   /* nothing (more) to do in this pass */
    CHUNK_ERROR, /* nothing of it took effect, or the connection was lost: see sweep_recover */
};

/* What a chunk did, or tried. Owned by its own context. */
struct chunk {
    void *ctx;
    int64_t *added;      /* rows by node index */
    struct cursor end;   /* where the cursor goes once it is committed */
    int64_t asked;       /* how many candidates it was to take at most */
    bool fatal;          /* the error ends the run, whatever its class; what was committed counts */
    bool last;           /* no candidate lies behind end */
    bool committed;      /* it is in the report */
    bool commit_sent;    /* the COMMIT was sent: if the connection is lost, ask what became of it */
    int64_t queued;      /* objects that entered the queue */
    int64_t directories; /* working directories that did */
    int64_t transactions; /* that were committed */
    int64_t spared;       /* locked, and found to be no candidate any more */
    bool table_locked;    /* another session has, or waits for, a lock on one of its tables */
    bool plan_changed;    /* the tables are not what they were when the plan was made */
    bool looked_ahead;    /* what was locked was found first, and is not in its keys */
    bool uncounted;       /* the session does not count what it deletes */
    bool too_many;        /* a range held more rows than a transaction may delete */
    int64_t candidates;   /* what it counts against max_rows */
    const char ***keys;   /* key values of single candidates, for the log and for failures */
    size_t key_count;
    struct failure *failures; /* single rows: those that cannot go */
    size_t failure_count;
    int row_tries; /* single rows: how often some were sent again after transient errors */
    struct error error;
};

/* Names some of the candidates that are left, with the tables whose rows are locked, in the
 * report. */
bool locked_name(struct sweep *sweep, void *arg, struct error *err);

/* The failure is a lock that could not be had in time. */
bool locked_is(const struct error *err);

/* Forgets what the pass before knew about locked rows. */
void locked_begin_pass(struct sweep *sweep);

/* A locked row was met: the next chunks look for others before they touch any row. */
void locked_look_ahead(struct sweep *sweep);

/* Nothing could go because of a lock that nothing had found before. all: so it was with many
 * candidates, each tried by itself. */
void locked_in_the_way(struct sweep *sweep, bool all);

/* How many candidates are stepped over at once, while none of them can go. */
int64_t locked_grain(const struct sweep *sweep);

/* Notes a candidate that is passed over because rows of the table (NULL: not known) are locked. */
void locked_note(struct sweep *sweep, const char *const *key, const char *table);

/* Takes the answer of find_locked: the keys of the chunk are those that can go now; the others are
 * passed over. */
void locked_take(struct sweep *sweep, struct chunk *chunk, const struct db_rows *rows);

/* How many failed keys a later pass can leave alone. */
enum { SWEEP_FAILED_KEYS_MAX = 1000 };

/* True when chunks must be cut between two rows, and not between two ages. */
bool sweep_is_exact(const struct plan *plan, const struct sweep_budget *budget);

/* Builds all statements of the plan. */
void statements_build(struct sweep *sweep);

/* The condition that a root row t is one of the keys in the parameters from number first on. */
char *statements_keys_sql(const struct sweep *sweep, int first);

/* Builds the work of one transaction. */
void work_build(struct sweep *sweep);

/* From now on a new plan is due: nothing else is done before it is made. cause: the SQLSTATE that
 * it may cure; "": the plan is known not to hold. */
void recompile_is_due(struct sweep *sweep, const char *cause);

/* Tries to make the plan again, with the same cutoff, because the tables of the old one changed;
 * the sweep goes on from the beginning. False, with err set as a new run would set it: it is still
 * due, or the policy does not fit the tables any more. */
bool sweep_recompile(struct sweep *sweep, struct error *err);

/* Makes the plan that is due, if one is, as sweep_insist does. */
bool sweep_insist_on_plan(struct sweep *sweep, struct error *err);

/* Takes a plan in hand: its statements, its report. False: the connection failed. */
bool sweep_take_plan(struct sweep *sweep, const struct plan *plan, struct error *err);

/* All that the report has as gone is on the server's disk. */
void durable_note(struct sweep *sweep);

/* Makes what was committed durable if it is long since that was done; a failure is left to the next
 * chunk. */
void durable_settle_in_time(struct sweep *sweep);

/* The database is gone for good: only what is known to be on its disk is reported as gone. */
void durable_tell(struct sweep *sweep);

/* Makes what was committed durable, so that something irreversible may follow. False: the
 * connection or the server failed, and nothing may follow now. */
bool sweep_settle(struct sweep *sweep, struct error *err);

/* The last parameter of the step is how many candidates there are. */
bool work_takes_number(const struct work_step *step);

/* Fills steps (room for BEGIN_STEPS_MAX) with BEGIN and the locks of tables; returns how many. */
int work_begin(const struct sweep *sweep, struct db_step *steps);

/* Notes in the chunk whether a transaction of it could not have its tables at once: the step number
 * failed of it (-1: none) ended with why, and it is one that work_begin made. */
void work_note_table(const struct sweep *sweep, int failed, const struct error *why,
                     struct chunk *chunk);

/* Fills steps (room for work.count + 1) with the work on the rows of the key arrays and the COMMIT;
 * returns how many. */
int work_add(struct sweep *sweep, const void *ctx, const char *const *keys, int64_t rows,
             struct db_step *steps);

/* Where the caller has counted the rows (by node index): the record, the check of the plan and the
 * COMMIT; returns how many steps. Room for 3. */
int work_add_counted_end(struct sweep *sweep, const void *ctx, const int64_t *rows,
                         struct db_step *steps);

/* The step that fails when the plan does not hold any more. */
struct db_step work_check_step(const struct sweep *sweep, const void *ctx);

/* Adds the COMMIT behind n steps; returns the new count. */
int work_end(struct db_step *steps, int n);

/* Adds what the results of the steps count to added, by node, and what was queued to the chunk. */
void work_count(const struct sweep *sweep, const struct db_step *steps, struct chunk *chunk,
                int64_t *added);

/* The step that locked fewer rows of its node than were deleted (added, by node), or NULL. */
const struct work_step *work_unlocked(const struct sweep *sweep, const struct db_step *steps,
                                      const int64_t *added);

/* The step of that number; for any other number one that expects nothing. */
const struct work_step *work_step_at(const struct sweep *sweep, int step);

/* Puts the failure of a step that expects something into words, or notes in the chunk that the plan
 * changed. */
void work_explain(const struct sweep *sweep, const struct work_step *step, int64_t rows,
                  struct chunk *chunk, struct error *err);

/* The number under which locked rows of the node are counted in the transaction. */
int work_locked_number(const struct sweep *sweep, const struct plan_node *node);

/* Adds a statement, whose why stands in the template of that name. */
struct work_step *work_step(struct sweep *sweep, const char *name, const struct plan_node *about,
                            const char *sql);

/* Remembers what the rows of the node refer to and are referred to by, where no constraint stands
 * behind a reference; adds the last looks. */
void looks_remember(struct sweep *sweep, const struct plan_node *node);
void looks_add(struct sweep *sweep);

/* Tries one chunk. */
enum chunk_outcome range_chunk(struct sweep *sweep, struct chunk *chunk);
enum chunk_outcome locked_chunk(struct sweep *sweep, struct chunk *chunk);
enum chunk_outcome rows_chunk(struct sweep *sweep, struct chunk *chunk);

/* The transaction of a chunk, on no candidate at all: does it cost the connection too? */
enum chunk_outcome control_chunk(struct sweep *sweep, struct chunk *chunk);

/* True when this candidate could not go earlier in this run. */
bool sweep_failed_before(const struct sweep *sweep, const char *const *key);

/* A candidate that cannot go, with a copy of its key, and the reason, which moves there; owned by
 * ctx. */
struct failure failure_new(const void *ctx, const struct plan *plan, const char *const *key,
                           struct error *why);

/* The keys are the same. */
bool key_is(const struct plan *plan, const char *const *a, const char *const *b);

/* A copy of the key of a candidate. */
const char **key_copy(const void *ctx, const struct plan *plan, const char *const *key);

/* One candidate cannot go: reports it and notes its dead letter, once in a run. False when not even
 * that works. The chunk in hand must be in the report, or not have taken effect. */
bool sweep_set_aside(struct sweep *sweep, const struct failure *failure, struct error *err);

/* The key of the one candidate that the chunk consisted of; NULL when it is not known. */
const char **sweep_failing_key(struct sweep *sweep, const struct chunk *chunk);

/* A later pass leaves this candidate alone. */
void sweep_remember_failed(struct sweep *sweep, const char *const *key);

/* True when so many candidates failed in a row that the run has to end. */
bool sweep_all_fail(const struct sweep *sweep);

/* Does act until it works, as long as what follows from its failures allows it. act must be one
 * that may be done twice. False, with err set, when it failed for good; true also when a signal
 * ended it. */
typedef bool sweep_act(struct sweep *sweep, void *arg, struct error *err);
bool sweep_insist(struct sweep *sweep, sweep_act *act, void *arg, struct error *err);

/* Copies values of a result row, from column first on, as a cursor owned by ctx. */
struct cursor cursor_from_row(const void *ctx, const struct db_rows *rows, int row, int first,
                              size_t columns);
struct cursor cursor_copy(const void *ctx, const struct cursor *from);
enum bound_by cursor_bound(const struct cursor *cursor, const struct plan *plan);
/* Appends the cursor's values to params; returns the new count. */
int cursor_add(const char **params, int n, const struct cursor *cursor);
/* Forgets the position: before the first. */
void cursor_reset(struct cursor *cursor);

/* The key's values in a result row, from column first on, as an array owned by ctx (the values by
 * rows). */
const char **key_from_row(const void *ctx, const struct plan *plan, const struct db_rows *rows,
                          int row, int first);

/* The keys of the rows as array parameters, one for each column of the key; owned by ctx. */
const char **key_arrays(const void *ctx, const struct plan *plan, const char *const *const *keys,
                        size_t count);

/* "(id)=(42)" from the key's values. */
char *key_text(const void *ctx, const struct plan *plan, const char *const *values);

struct chunk *chunk_new(struct sweep *sweep);
void chunk_free(struct chunk *chunk);

/* Goes on behind the candidates of the chunk, which did not take effect. */
void chunk_skip(struct sweep *sweep, const struct chunk *chunk);

/* The walk begins at the first candidate, and what was seen before counts for no circle. */
void sweep_walk_anew(struct sweep *sweep);

/* After a chunk that has moved the cursor. False, with err set: the walk goes in a circle. */
bool circle_check(struct sweep *sweep, struct error *err);

/* Puts a committed chunk into the report and the log, and moves the cursor. */
void chunk_committed(struct sweep *sweep, struct chunk *chunk);

/* Acts on what follows from a failure of the chunk, or of an act (a chunk without candidates): see
 * decide.h. Then the chunk's failures are the candidates to set aside, and a new plan may be due.
 * False, with err set: the run ends. */
bool sweep_recover(struct sweep *sweep, struct chunk *chunk, struct error *err);

/* Makes the lost connection again, as long as the budget allows, and finds out what took effect of
 * the chunk. False, with err set: it could not be made, or the run may not go on. */
bool sweep_reconnect(struct sweep *sweep, struct chunk *chunk, struct error *err);

/* Waits, outside any transaction, until another session may be done with a table of the chunk. */
void table_wait(struct sweep *sweep, struct chunk *chunk);

/* Sets aside the candidates that have been found to cost the connection. */
bool sweep_confirm(struct sweep *sweep, struct error *err);

/* How often a transient error is worth another try now. */
int sweep_tries_allowed(const struct sweep *sweep, const struct error *why);

/* Waits before the next attempt, longer each time, and counts it. */
void sweep_back_off(struct sweep *sweep, int attempt);

/* Between two chunks, outside any transaction: waits as long as the policy's "throttle" says so. It
 * may have set the report's limit when it returns. False, with err set: the database could not be
 * asked. */
bool throttle_hold(struct sweep *sweep, struct error *err);
void throttle_start(struct sweep *sweep);

/* A wait of the sweep itself, outside any transaction, for a reason that "throttle" has too: it is
 * told and reported like one. */
void throttle_note(struct sweep *sweep, enum report_wait wait, int64_t ms, const char *what);

/* The next time it looks at once: a chunk met a lock. */
void throttle_look_now(struct sweep *sweep);

/* When a chunk began, and what it took: the work of the server, and the way to it and back. */
struct pace_start_of {
    int64_t us, round_trips;
};
struct pace_spent {
    int64_t work_us, way_us;
};
struct pace_start_of pace_begin(const struct sweep *sweep);
struct pace_spent pace_end(const struct sweep *sweep, struct pace_start_of begun);

/* Size of the next chunk after one that took so long. */
void pace_adjust(struct sweep *sweep, struct pace_spent spent);
void pace_start(struct sweep *sweep);

/* The number of candidates that the next chunk may take, within max_rows, when a chunk of ahead is
 * still to come before it. */
int64_t pace_rows(const struct sweep *sweep, int64_t ahead);

#endif
