/* Waiting for the server. Nothing here blocks for longer than a tick, so that a signal is seen
 * whatever the network does: a second signal cancels the query and ends the wait soon after. */
#include <poll.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/stop.h"

/* So often signals are looked at. It also bounds how long bytes may lie in the TLS layer, which
 * poll does not see. */
enum { TICK_MS = 100 };

/* After the limit for a statement, which the server keeps, it has this long to say so. */
enum { GRACE_MS = 60 * 1000 };

/* Nothing is asked of this connection any more. */
static void give_up(struct db *db, const char *why)
{
    db->broken = true;
    db->given_up = why;
}

/* One tick, or until the server has said something. False: the connection is lost. */
static bool tick(struct db *db, bool *heard)
{
    int unsent = PQflush(db->conn);
    struct pollfd polled = {.fd = PQsocket(db->conn),
                            .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};
    if (polled.fd < 0)
        return false;
    *heard = poll(&polled, 1, TICK_MS) > 0 && (polled.revents & ~POLLOUT) != 0;
    return PQconsumeInput(db->conn) == 1;
}

bool db_await(struct db *db)
{
    struct db_cancel cancel = {.under_way = false};
    int signals = stop_count();
    int64_t limit_ms = db->options.limits.statement_timeout_ms;
    int64_t heard_ms = clock_now_ms();
    bool asked = false;
    while (!db->broken && PQisBusy(db->conn)) {
        bool heard = false;
        if (!tick(db, &heard))
            break; /* PQgetResult tells why, and does not wait */
        if (heard)
            heard_ms = clock_now_ms();
        else
            db_watch_begin(db);
        if (!asked && stop_count() > signals && stop_cancels()) {
            asked = true;
            db_begin_cancel(db->conn, &cancel);
        }
        if (stop_out_of_time())
            give_up(db, "a second signal came, and the server did not answer in time");
        else if (limit_ms > 0 && clock_now_ms() - heard_ms > limit_ms + GRACE_MS)
            give_up(db, "the server did not answer, not even that the statement took too long");
    }
    db_end_cancel(&cancel);
    db_watch_end(db);
    return !db->broken;
}

PGresult *db_next(struct db *db)
{
    return db_await(db) ? PQgetResult(db->conn) : NULL;
}

PGresult *db_only(struct db *db, int sent)
{
    PGresult *last = NULL;
    db->round_trips++;
    if (!sent)
        return NULL;
    for (PGresult *next; (next = db_next(db)) != NULL; last = next) {
        PQclear(last);
        if (PQresultStatus(next) == PGRES_COPY_IN || PQresultStatus(next) == PGRES_COPY_OUT)
            return next;
    }
    return last;
}

void db_close(struct db *db)
{
    db->watching = false;
    db_give_way(db, false);
    if (db->conn)
        PQsetnonblocking(db->conn, 1); /* saying good-bye must not wait */
    PQfinish(db->conn);
    db->conn = NULL;
}
