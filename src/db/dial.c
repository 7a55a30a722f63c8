/* Connects in a thread of its own, because name look-up, TLS and Kerberos wait for the network in
 * ways that cannot be interrupted. Meanwhile the main thread watches for signals, and abandons the
 * thread when a signal ends the wait. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

enum { DIAL_TICK_MS = 100, PARAMETERS_MAX = 32 };

enum { UNDER_WAY, DONE, LEFT };

/* Owned by the main thread, or by the other thread after that was abandoned. */
struct dial {
    char *keys[PARAMETERS_MAX];
    char *values[PARAMETERS_MAX];
    bool choosy; /* only certain servers are acceptable */
    PGconn *conn;
    struct db_refusal why;
    atomic_int state;
};

/* sqlclient_unable_to_establish_sqlconnection */

static void set_refusal(struct dial *dial, const char *sqlstate)
{
    memcpy(dial->why.sqlstate, sqlstate, sizeof dial->why.sqlstate);
}

static void dial_free(struct dial *dial)
{
    for (size_t i = 0; i < PARAMETERS_MAX; i++) {
        free(dial->keys[i]);
        if (dial->values[i])
            explicit_bzero(dial->values[i], strlen(dial->values[i])); /* one is the password */
        free(dial->values[i]);
    }
    free(dial);
}

static struct dial *dial_new(const char *const *keys, const char *const *values)
{
    struct dial *dial = mem_check(calloc(1, sizeof *dial));
    for (size_t i = 0; i < PARAMETERS_MAX - 1 && keys[i]; i++) {
        dial->keys[i] = mem_check(strdup(keys[i]));
        dial->values[i] = values[i] ? mem_check(strdup(values[i])) : NULL;
        if (strcmp(keys[i], "dbname") == 0)
            dial->choosy = db_is_choosy(values[i]);
    }
    return dial;
}

/* Finds the SQLSTATE with which a server refused the connection. libpq gives only a text in the
 * server's language unless verbose errors are set before it connects. */
static void find_refusal(struct dial *dial, const char *const *keys, const char *const *values)
{
    enum { WAITS_MAX = 100, WAIT_MS = 100 };
    PGconn *conn = PQconnectStartParams(keys, values, 1);
    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    for (int waits = 0; waits < WAITS_MAX && PQstatus(conn) != CONNECTION_BAD &&
                        next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED;) {
        struct pollfd polled = {.fd = PQsocket(conn),
                                .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (poll(&polled, 1, WAIT_MS) > 0)
            next = PQconnectPoll(conn);
        else
            waits++;
    }
    /* The next try may meet another server, or the same one as primary. */
    bool passes = next == PGRES_POLLING_OK || dial->choosy;
    set_refusal(dial, passes ? sqlstate_code(SQLSTATE_CONNECTION_UNABLE)
                             : sqlstate_code(SQLSTATE_CONNECTION_REFUSED));
    (void)db_find_sqlstate(PQerrorMessage(conn), dial->why.sqlstate);
    PQfinish(conn);
}

static void *run(void *arg)
{
    struct dial *dial = arg;
    const char *const *keys = (const char *const *)dial->keys;
    const char *const *values = (const char *const *)dial->values;
    dial->conn = PQconnectdbParams(keys, values, 1);
    if (PQconnectionNeedsPassword(dial->conn)) {
        set_refusal(dial, sqlstate_code(SQLSTATE_CONNECTION_REFUSED));
    } else if (PQstatus(dial->conn) != CONNECTION_OK) {
        PGPing ping = PQpingParams(keys, values, 1);
        set_refusal(dial, ping == PQPING_NO_ATTEMPT ? sqlstate_code(SQLSTATE_CONNECTION_REFUSED)
                                                    : sqlstate_code(SQLSTATE_CONNECTION_UNABLE));
        if (ping == PQPING_OK)
            find_refusal(dial, keys, values);
    }
    if (atomic_exchange(&dial->state, DONE) == LEFT) {
        PQfinish(dial->conn);
        dial_free(dial);
    }
    return NULL;
}

PGconn *db_dial(const char *const *keys, const char *const *values, bool first,
                struct db_refusal *why)
{
    struct dial *dial = dial_new(keys, values);
    pthread_t thread;
    if (!db_start_thread(&thread, run, dial)) {
        (void)run(dial); /* no thread is available: connect here */
    } else {
        bool ended = false;
        while (!ended && !stop_forced() && !(first && stop_requested()))
            ended = db_join_thread(thread, DIAL_TICK_MS);
        if (!ended) {
            pthread_detach(thread);
            if (atomic_exchange(&dial->state, LEFT) == UNDER_WAY)
                return NULL;
        }
    }
    PGconn *conn = dial->conn;
    *why = dial->why;
    dial_free(dial);
    return conn;
}
