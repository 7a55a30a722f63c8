/* Threads beside the main one, and the request to cancel a statement, which is sent by one. */
#define _GNU_SOURCE
#include <signal.h>

#include "internal.h"

/* After a cancellation was answered for, its request is waited for: it must not meet the next
 * statement. */
enum { CANCEL_WAIT_MS = 1000 };

static void *send_cancel(void *what)
{
    char reason[256];
    PQcancel(what, reason, (int)sizeof reason);
    PQfreeCancel(what);
    return NULL;
}

bool db_start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

bool db_join_thread(pthread_t thread, int64_t timeout_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += timeout_ms % 1000 * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return pthread_timedjoin_np(thread, NULL, &end) == 0;
}

void db_begin_cancel(PGconn *conn, struct db_cancel *cancel)
{
    cancel->what = PQgetCancel(conn);
    cancel->under_way = cancel->what && db_start_thread(&cancel->thread, send_cancel, cancel->what);
    if (cancel->what && !cancel->under_way)
        PQfreeCancel(cancel->what);
}

void db_end_cancel(const struct db_cancel *cancel)
{
    if (cancel->under_way && !db_join_thread(cancel->thread, CANCEL_WAIT_MS))
        pthread_detach(cancel->thread);
}
