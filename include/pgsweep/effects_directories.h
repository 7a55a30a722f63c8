/* Removing working directories whose row is gone. */
#ifndef PGSWEEP_EFFECTS_DIRECTORIES_H
#define PGSWEEP_EFFECTS_DIRECTORIES_H

#include <stdbool.h>

#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct state;

/* Removes the working directories that are queued and due (policy NULL: of all policies), below the
 * roots of this host. What is in use or protected stays; a name that could lead out of its root is
 * refused and reported. */
bool directories_drain(struct state *state, struct report *report, const char *policy,
                       struct error *err);

#endif
