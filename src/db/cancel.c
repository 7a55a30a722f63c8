/* Cancelling the running query from the signal handler, with PQcancel and nothing else. */
#include <signal.h>
#include <stddef.h>

#include "internal.h"
#include "pgsweep/stop.h"

/* The handler must find the connection by itself: the one global of this room. */
static PGcancel *volatile current;

static void cancel_current(void)
{
    char reason[256];
    PGcancel *cancel = current;
    if (cancel)
        PQcancel(cancel, reason, (int)sizeof reason); /* documented as safe in a signal handler */
}

void db_cancel_register(PGconn *conn)
{
    stop_on_cancel(NULL);
    PGcancel *old = current;
    current = NULL;
    if (old)
        PQfreeCancel(old);
    if (conn) {
        current = PQgetCancel(conn);
        stop_on_cancel(cancel_current);
    }
}
