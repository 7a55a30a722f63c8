/* Removing working directories whose row is gone. */
#ifndef PGSWEEP_EFFECTS_DIRECTORIES_H
#define PGSWEEP_EFFECTS_DIRECTORIES_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"
#include "pgsweep/policy.h"
#include "pgsweep/report.h"

struct state;

/* Removes the working directories that are queued and due (policy NULL: of all policies). present:
 * the policies as this host has them now, with their retention settled. Only what is queued below
 * the root that its own policy among these names is removed, by whichever is stricter of the rules
 * in the queue and of the policy's; the rest stays queued. What is in use or protected stays; a
 * name that could lead out of its root is refused and reported. */
bool directories_drain(struct state *state, struct report *report, const char *policy,
                       const struct policy *const *present, size_t present_count,
                       struct error *err);

#endif
