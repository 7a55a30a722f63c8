/* Connecting, in a thread of its own: looking up a name, TLS and Kerberos wait for the network in
 * ways that nobody can interrupt. The main thread looks at signals meanwhile, and leaves the thread
 * alone when one ends the wait. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

enum { DIAL_TICK_MS = 100, PARAMETERS_MAX = 32 };

enum { UNDER_WAY, DONE, LEFT };

/* Owned by the thread once it was left alone, else by the main thread. */
struct dial {
    char *keys[PARAMETERS_MAX];
    char *values[PARAMETERS_MAX];
    PGconn *conn;
    atomic_int state;
};

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
    for (size_t i = 0; keys[i] && i < PARAMETERS_MAX - 1; i++) {
        dial->keys[i] = mem_check(strdup(keys[i]));
        dial->values[i] = values[i] ? mem_check(strdup(values[i])) : NULL;
    }
    return dial;
}

static void *run(void *arg)
{
    struct dial *dial = arg;
    dial->conn =
        PQconnectdbParams((const char *const *)dial->keys, (const char *const *)dial->values, 1);
    if (atomic_exchange(&dial->state, DONE) == LEFT) {
        PQfinish(dial->conn);
        dial_free(dial);
    }
    return NULL;
}

PGconn *db_dial(const char *const *keys, const char *const *values, bool first)
{
    struct dial *dial = dial_new(keys, values);
    pthread_t thread;
    if (!db_start_thread(&thread, run, dial)) {
        (void)run(dial); /* no thread to be had: wait here */
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
    dial_free(dial);
    return conn;
}
