/*
 * What a run asks about candidates that are left because of rows which other sessions have
 * locked. */
#ifndef PGSWEEP_PLAN_LOCKED_H
#define PGSWEEP_PLAN_LOCKED_H

#include "pgsweep/plan.h"

/* A transaction locks, changes or deletes rows of node, a dependent or shared table, because they
 * hang on its candidates (and not only because a shared row turns out to go). */
bool plan_is_locked_with(const struct plan_node *node);

/* For such a node: "WHEN ... THEN its number", a branch of CASE that is true where another session
 * has locked rows that go, or lose a reference, with the root row t of the query around; it locks
 * the others. */
void plan_append_find_locked(PQExpBuffer out, const struct plan *plan,
                             const struct plan_node *node);

/* The keys (as texts, one column for each of the key) of the first candidates that are there now,
 * in the order of the walk, at most limit; owned by ctx. failed_in: as of plan_count_remaining. */
bool plan_name_remaining(const void *ctx, struct db *db, const struct plan *plan,
                         const char *failed_in, int64_t limit, struct db_rows **rows,
                         struct error *err);

#endif
