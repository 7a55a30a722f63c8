/* What a run costs in WAL and leaves in the files of its tables. */
#ifndef PGSWEEP_STATE_SPACE_H
#define PGSWEEP_STATE_SPACE_H

#include "pgsweep/report.h"

struct state;

/* Reads, after the last transaction of a run that deleted something, how much WAL was written since
 * it began and what it leaves in the files of its tables, into report->space. One round trip, no
 * lock; what cannot be read stays unknown. */
void space_look(struct state *state, struct report *report);

#endif
