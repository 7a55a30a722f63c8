/* What the files of the effects room share. */
#ifndef PGSWEEP_EFFECTS_INTERNAL_H
#define PGSWEEP_EFFECTS_INTERNAL_H

#include "pgsweep/effects.h"
#include "pgsweep/files.h"
#include "pgsweep/plan.h"
#include "pgsweep/store.h"

/* The locks that this process holds, by name (src/effects/lease.c). */
struct lease {
    char *token;          /* who holds them */
    const char *names[2]; /* a policy and a queue; borrowed */
    size_t count;
    char *names_text;
    struct db_statement enter, row, look, occupy, occupy_own, keep, release, release_one;
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

struct effects {
    struct lease lease;
    struct db *db;
    bool dry_run;
    const struct queue_bounds *stated; /* for queue_drain; NULL: nothing beside what is noted */
    struct places *places;             /* for queue_drain_directories */
    struct db_statement commit_waits;  /* see run_make_durable */
    struct db_statement touch;
    struct db_statement letter_waits; /* see letter_note */
    struct db_statement letter_note;
};

/* Sets the statements that are sent again and again (src/effects/runs.c). */
void run_statements(struct effects *effects);

/* Before anything else about locks. */
void lease_begin(struct effects *effects);

/* Tries once to take a lock; name must live as long as it is held. *got: it is held now; else facts
 * (texts owned by ctx) says by whom. */
bool lease_try(struct effects *effects, const void *ctx, const char *name,
               struct lease_facts *facts, bool *got, struct error *err);

/* The same after the connection was lost; before: as in lease_decide. Nothing that the lost one has
 * sent takes effect after that. All other locks are given back. */
bool lease_try_again(struct effects *effects, const void *ctx, const char *name, const char *before,
                     struct lease_facts *facts, bool *got, struct error *err);

/* Gives it back. Failures do not matter. */
void lease_end(struct effects *effects, const char *name);

/* The same for those of letters (src/effects/letters.c). */
void letter_statements(struct effects *effects);

/* False, with SWEEP_INTERNAL, in a dry run. */
bool effects_allowed(const struct effects *effects, struct error *err);

/* Columns of begin_run that space_look compares with; space_note_marks takes them over, from that
 * column on. */
char *space_marks_sql(const void *ctx, const struct db *db);
void space_note_marks(struct report *report, const struct db_rows *rows, int column);

/* db_query through the gate. */
bool effects_query(struct effects *effects, const void *ctx, const char *sql, int nparams,
                   const char *const *params, struct db_rows **rows, struct error *err);

#define QUEUE "sql/queue.sql"

/* May an object go? */
enum verdict {
    VERDICT_FREE,   /* no row names it */
    VERDICT_IN_USE, /* a row names it */
    VERDICT_HELD    /* not known: it stays queued */
};

/* A key of the object queue that is due. */
struct queue_item {
    const char *id;
    const char *value;
    const char *policy;
    const char *state;
    const char *last_error; /* may be NULL */
    const char *source;     /* the column that it is from */
    const char **prefixes;  /* what its key must begin with, as stated when it was queued */
    size_t prefix_count;    /* 0: nothing was */
    struct store_location where;
    bool outside; /* where: foreign, because its key is outside of the prefixes */
    enum verdict verdict;
    const char *why; /* VERDICT_HELD */
};

/* What has become of a column that names objects or directories. */
enum source_state {
    SOURCE_THERE,
    SOURCE_LOST,  /* its table is there, and it is not; or it has a type now that names nothing */
    SOURCE_DENIED /* this role may not read it */
};

struct source {
    const char *id, *policy;
    enum source_state state;
    const char *noted; /* "public"."t"."c", as it was called when a run used it last */
    const char *table, *column, *type; /* as they are now; NULL where it is lost */
    struct plan_object object;
    const char **prefixes;         /* what its keys must begin with */
    size_t prefix_count;           /* 0: nothing was stated */
    const char *endpoint, *bucket; /* where a bare key lives; NULL: nobody has said so yet */
    bool is_heap;                  /* all of the table is: its rows have an xmin */
};

/* The columns that name objects ("object") or directories ("directory"). Those whose table is gone
 * are left out: they cannot name anything. Owned by ctx. */
bool sources_read(struct db *db, const void *ctx, const char *kind, struct source **sources,
                  size_t *count, struct error *err);

/* Why nothing can be said about this column, and what to do about it; owned by ctx. */
char *source_trouble(const void *ctx, struct db *db, const struct source *source);

/* Prefixes as JSON; NULL: none are stated. One without a text in it is bound by a prefix that no
 * key has. Owned by ctx. */
const char **bounds_parse(const void *ctx, const char *json, size_t *count);

/* Adds a column; prefixes must outlive the bounds. */
void bounds_add(const void *ctx, struct queue_bounds *bounds, const char *policy,
                const char *column, const char **prefixes, size_t count);

/* Why the key of the item must not be deleted: it is outside of what was stated when it was queued,
 * or is now. NULL: it may be. Owned by ctx. */
char *bounds_breach(const void *ctx, const struct queue_item *item,
                    const struct queue_bounds *recorded, const struct queue_bounds *stated);

/* Sets the verdict of items that name objects. since: a snapshot (survivors_snapshot): only rows
 * that became visible after it are looked at, and verdicts other than VERDICT_FREE stay; NULL: all
 * rows. */
bool survivors_mark(struct effects *effects, const void *ctx, const struct store_config *config,
                    struct queue_item **items, size_t count, const char *since, struct error *err);

/* A text that stands for now; owned by ctx. */
bool survivors_snapshot(struct effects *effects, const void *ctx, const char **snapshot,
                        struct error *err);

/* What is queued is tried this often, then it becomes a dead letter. */
enum { QUEUE_ATTEMPTS = 10 };

/* One more attempt failed for these entries of the queue: they wait longer and longer, and those
 * that were tried often enough become dead letters (*dead). */
bool queue_note_failed(struct effects *effects, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err);

/* Why these entries stay as they are. state: "foreign" (none to act on; a person looks), or
 * "queued". */
bool queue_note_held(struct effects *effects, const void *ctx, const char *const *ids,
                     const char *const *reasons, size_t count, const char *state,
                     struct error *err);

/* The value of an entry, or of a row, for a person: no user name or password, no query string
 * (signatures). Owned by ctx. */
char *queue_shown(const void *ctx, const char *value);

/* Takes these entries off the queue. */
bool queue_remove(struct effects *effects, const void *ctx, const char *const *ids, size_t count,
                  struct error *err);

/* The root and rules of queued directories of a policy, looked at once. */
struct place {
    const char *policy;
    const char *root;
    const char *rules; /* as the queue has them; "": none */
    struct files_options how;
    bool missing;          /* not on this host: its directories wait for the host that has them */
    const char *elsewhere; /* why it is no root of its policy on this host; NULL: it is one */
    const char *unusable;  /* why the rules cannot be followed; NULL: they can */
    const char *error; /* why what a killed run left in its trash is still there; NULL: it is not */
};

struct places {
    void *ctx;
    struct report *report;
    const struct policy *const *present; /* the policies as this host has them now */
    size_t present_count;
    struct place *all;
    size_t count;
    int told;
};

/* The place of an entry of the queue, valid until the next call. When it is met first, it is
 * compared with the root of its policy, and what a killed run left in its trash is finished. */
const struct place *places_find(struct places *places, const char *policy, const char *root,
                                const char *rules);

/* The trash was kept from one directory to the next: what did not go from it is tried once more. */
void places_finish(struct places *places);

/* Of all that went wrong in a directory, what came first. */
struct first_error {
    const void *ctx;
    const char *text;
};

/* files_options.on_event, with a struct first_error. */
void places_note_error(void *first, const struct files_event *event);

/* Calls drain, if entries of the kind are due and no other session is at it; then counts the ones
 * left. */
typedef bool queue_drainer(struct effects *effects, struct report *report, const char *policy,
                           struct error *err);
bool queue_drain_alone(struct effects *effects, struct report *report, const char *kind,
                       const char *policy, queue_drainer *drain, int64_t *waiting,
                       struct error *err);

#endif
