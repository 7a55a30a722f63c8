/* What the files of the state room share. */
#ifndef PGSWEEP_STATE_INTERNAL_H
#define PGSWEEP_STATE_INTERNAL_H

#include "pgsweep/gate.h"
#include "pgsweep/state.h"
#include "pgsweep/state_dead_letters.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_queue.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/state_sources.h"
#include "pgsweep/state_space.h"
#include "pgsweep/state_spared.h"

/* The locks that this process holds, by name (src/state/lease.c). */
struct lease {
    char *token;          /* who holds them */
    const char *names[2]; /* a policy and a queue; borrowed */
    size_t count;
    char *names_text;
    struct db_statement enter, row, look, occupy, occupy_own, keep, release, release_one, unlock;
    const char *params[3]; /* of keep */
};

/* What the database says about a lock. Texts are NULL where its row was not looked at. */
struct lease_facts {
    bool session;       /* another session has the advisory lock */
    const char *holder; /* token; "": nobody */
    const char *application, *host, *role, *since, *expires;
    bool leased;        /* the row has a lease, expired or not */
    int64_t ends_in_ms; /* 0: it has expired */
    bool at_work;       /* a transaction of that run is under way */
    bool locked;        /* so it is, or another run is looking at the row */
};

enum lease_verdict { LEASE_FREE, LEASE_HELD, LEASE_OF_SESSION };

/* May the holder of this token take the lock? before: its application name before it was cut off
 * from the server and began anew; NULL: it did not. */
enum lease_verdict lease_decide(const struct lease_facts *facts, const char *token,
                                const char *before);

struct state {
    struct lease lease;
    struct gate *gate;
    struct db *db;                    /* behind the gate */
    struct db_statement commit_waits; /* see run_make_durable */
    struct db_statement touch;
    struct db_statement letter_waits; /* see letter_note */
    struct db_statement letter_note;
};

/* Sets the statements that are sent again and again (src/state/runs.c). */
void run_statements(struct state *state);

/* Before anything else about locks. */
void lease_begin(struct state *state);

/* Tries once to take a lock; name must live as long as it is held. *got: it is held now; else facts
 * (texts owned by ctx) says by whom. */
bool lease_try(struct state *state, const void *ctx, const char *name, struct lease_facts *facts,
               bool *got, struct error *err);

/* The same after the connection was lost; before: as in lease_decide. Nothing that the lost one has
 * sent takes effect after that. All other locks are given back. */
bool lease_try_again(struct state *state, const void *ctx, const char *name, const char *before,
                     struct lease_facts *facts, bool *got, struct error *err);

/* Gives it back. Failures do not matter. */
void lease_end(struct state *state, const char *name);

/* The same for those of letters (src/state/dead_letters.c). */
void letter_statements(struct state *state);

/* Columns of begin_run that space_look compares with; space_note_marks takes them over, from that
 * column on. */
char *space_marks_sql(const void *ctx, const struct db *db);
void space_note_marks(struct report *report, const struct db_rows *rows, int column);

#define QUEUE "sql/queue.sql"

#endif
