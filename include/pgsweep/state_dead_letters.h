/* Dead letters of rows, in pgsweep.dead_letters. */
#ifndef PGSWEEP_STATE_DEAD_LETTERS_H
#define PGSWEEP_STATE_DEAD_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct state;

/* A candidate could not go: one more attempt for its dead letter (of this run: one, however often
 * it is noted). attempts: of all runs; parked: that was the last. key: the values of the plan's key
 * columns. On the server's disk when it returns true. */
bool letter_note(struct state *state, const struct report *report, const char *const *key,
                 const struct error *why, int64_t *attempts, bool *parked, struct error *err);

/* Closes letters of the policy whose row is gone or no candidate any more. */
bool letter_close_settled(struct state *state, const struct plan *plan, struct error *err);

/* How many letters of the policy wait or are parked. */
bool letter_depth(struct db *db, const char *policy, int64_t *depth, struct error *err);

/* A row is tried once, and again by this many later runs; then its letter is parked. */
enum { LETTER_RETRIES = 3 };

#endif
