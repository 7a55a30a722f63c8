/* What the files of the effects room share. */
#ifndef PGSWEEP_EFFECTS_INTERNAL_H
#define PGSWEEP_EFFECTS_INTERNAL_H

#include "pgsweep/effects_directories.h"
#include "pgsweep/effects_file_rules.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/files.h"
#include "pgsweep/gate.h"
#include "pgsweep/state.h"
#include "pgsweep/state_queue.h"
#include "pgsweep/state_sources.h"
#include "pgsweep/store.h"

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

/* Adds a column; prefixes must outlive the bounds. */
void bounds_add(const void *ctx, struct object_bounds *bounds, const char *policy,
                const char *column, const char **prefixes, size_t count);

/* Why the key of the item must not be deleted: it is outside of what was stated when it was queued,
 * or is now. NULL: it may be. Owned by ctx. */
char *bounds_breach(const void *ctx, const struct queue_item *item,
                    const struct object_bounds *recorded, const struct object_bounds *stated);

/* Sets the verdict of items that name objects. since: a snapshot (survivors_snapshot): only rows
 * that became visible after it are looked at, and verdicts other than VERDICT_FREE stay; NULL: all
 * rows. */
bool survivors_mark(struct state *state, const void *ctx, const struct store_config *config,
                    struct queue_item **items, size_t count, const char *since, struct error *err);

/* A text that stands for now; owned by ctx. */
bool survivors_snapshot(struct state *state, const void *ctx, const char **snapshot,
                        struct error *err);

/* The value of an entry, or of a row, for a person: no user name or password, no query string
 * (signatures). Owned by ctx. */
char *object_shown(const void *ctx, const char *value);

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

#endif
