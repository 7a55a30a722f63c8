/* Makes a long statement give way. It keeps its locks on tables until it ends, and an ALTER TABLE
 * that waits for one of them makes everybody else queue behind it. So when a statement takes long,
 * a second connection makes the server check several times a second whether somebody waits for the
 * first one; if so, the server cancels the statement. The check runs on the server because a round
 * trip for each check would take too long on a distant server. */
#include <poll.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SESSION[] = "sql/session.sql";

/* How long to wait for the answer of a watch that was cancelled; without one the second connection
 * is closed. */
enum { ANSWER_MS = 2000, TICK_MS = 20 };

/* The server says that it looks as soon as it begins to. A pooler may keep the second connection
 * waiting for a server session; after so long nobody has looked. */
enum { BEGIN_MS = 1000 };

void db_give_way(struct db *db, bool give_way)
{
    db->gives_way = give_way;
    db->gave_way = false;
    if (give_way) {
        db->unwatched = false;
        return;
    }
    if (db->watcher)
        PQsetnonblocking(db->watcher, 1); /* closing must not wait */
    PQfinish(db->watcher);
    db->watcher = NULL;
}

/* The condition that finds our server process; NULL: no condition identifies it alone. */
static const char *which_process(struct db *db, void *scratch)
{
    enum { SHOWN_MAX = 63 }; /* the server truncates longer names */
    const char *name = db->options.application_name;
    if (!db->pooled)
        return template_fill(
            scratch, SESSION, "watch_process",
            TEMPLATE_SLOTS({"pid", mem_printf(scratch, "%d", PQbackendPID(db->conn))}));
    if (!strchr(name, '/') || strchr(name, '$') || strlen(name) > SHOWN_MAX)
        return NULL;
    return template_fill(scratch, SESSION, "watch_run",
                         TEMPLATE_SLOTS({"name", db_quote_literal(db, scratch, name)}));
}

/* The watch has begun, or is about to cancel the statement. */
static void note(void *arg, const PGresult *result)
{
    struct db *db = arg;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (sqlstate && strcmp(sqlstate, sqlstate_code(SQLSTATE_GAVE_WAY)) == 0)
        db->gave_way = true;
    if (sqlstate && strcmp(sqlstate, sqlstate_code(SQLSTATE_WATCH_LOOKS)) == 0)
        db->looks = true;
}

/* A long statement is not watched: the first reason is kept. */
static void note_unwatched(struct db *db, const char *why)
{
    size_t line = strcspn(why, "\n");
    db->unwatched = true;
    if (!db->unwatched_why)
        db->unwatched_why = mem_printf(db, "%.*s", (int)line, why);
}

const char *db_unwatched(const struct db *db)
{
    return db->unwatched_why;
}

/* Opens the second connection where there is none yet. */
static bool has_watcher(struct db *db)
{
    if (db->watcher)
        return true;
    db->watcher = db_open_beside(db);
    if (db->watcher && PQstatus(db->watcher) == CONNECTION_OK) {
        PQsetNoticeReceiver(db->watcher, note, db);
        return true;
    }
    note_unwatched(db,
                   db->watcher ? PQerrorMessage(db->watcher) : "it could not be opened in time");
    PQfinish(db->watcher);
    db->watcher = NULL;
    return false;
}

void db_watch_begin(struct db *db)
{
    if (!db->gives_way || db->watching || db->unwatched)
        return;
    if (!has_watcher(db))
        return; /* the statement goes on without */
    void *scratch = talloc_new(db);
    const char *who = which_process(db, scratch);
    db->looks = false;
    db->watch_since_ms = clock_now_ms();
    db->watching =
        who && PQsendQuery(db->watcher, template_fill(scratch, SESSION, "watch",
                                                      TEMPLATE_SLOTS({"who", who}))) == 1;
    if (!db->watching)
        note_unwatched(db, who ? PQerrorMessage(db->watcher)
                               : "behind a pooler the name of the session has to be its own");
    talloc_free(scratch);
}

/* The answer of the watch; NULL: none came in time. */
static PGresult *answer(PGconn *conn)
{
    int64_t end_ms = clock_now_ms() + ANSWER_MS;
    while (PQisBusy(conn) && clock_now_ms() < end_ms) {
        int unsent = PQflush(conn);
        struct pollfd polled = {.fd = PQsocket(conn),
                                .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};
        if (polled.fd < 0 || poll(&polled, 1, TICK_MS) < 0 || PQconsumeInput(conn) != 1)
            return NULL;
    }
    return PQisBusy(conn) ? NULL : PQgetResult(conn);
}

void db_watch_end(struct db *db)
{
    if (!db->watching)
        return;
    db->watching = false;
    struct db_cancel cancel = {.under_way = false};
    /* The next statement may be sent only after the watch is over, so that the watch cannot cancel
     * it. */
    if (PQconsumeInput(db->watcher) == 1 && PQisBusy(db->watcher))
        db_begin_cancel(db->watcher, &cancel);
    PGresult *result = answer(db->watcher);
    db_end_cancel(&cancel);
    bool over = result != NULL;
    PQclear(result);
    PGresult *more = over ? answer(db->watcher) : NULL;
    PQclear(more);
    if (!db->looks && clock_now_ms() - db->watch_since_ms >= BEGIN_MS)
        note_unwatched(db, "it was given no session of the server");
    if (!over || more || PQisBusy(db->watcher)) {
        PQfinish(db->watcher);
        db->watcher = NULL;
    }
}
