/*
 * Stopping on SIGINT and SIGTERM: the only mutable globals of the program. The first signal asks
 * the sweep to finish the chunk in flight, commit, report and exit; the second cancels the query,
 * and ends the program soon, whatever the network does. */
#ifndef PGSWEEP_STOP_H
#define PGSWEEP_STOP_H

#include <stdbool.h>

/* Installs the handlers for SIGINT and SIGTERM (and ignores SIGPIPE). */
void stop_install(void);

/* True once a signal came. */
bool stop_requested(void);

/* True once a second signal came: give up at once. */
bool stop_forced(void);

/* The number of the first signal, or 0. */
int stop_signal(void);

/* How many signals have come so far. */
int stop_count(void);

/* True when a query that is under way is to be cancelled: at the second signal, or at the first
 * while stop_cancel_early is set. */
bool stop_cancels(void);

/* After a second signal whoever waits for a network gives up this much later, so that the program
 * ends within five seconds. */
enum { STOP_FORCED_MS = 3500 };
bool stop_out_of_time(void);

/* While true, the first signal cancels too: for queries that change nothing and are worth nothing
 * half done, such as counting. */
void stop_cancel_early(bool early);

#endif
