/* The columns that name stored objects and directories, pgsweep.object_sources. */
#ifndef PGSWEEP_STATE_SOURCES_H
#define PGSWEEP_STATE_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"

struct state;

/* Writes down which columns name objects and directories, for the look before an object is deleted.
 * endpoint, bucket: where a bare key of them lives (NULL: not known now). */
bool sources_note(struct state *state, const struct report *report, const char *endpoint,
                  const char *bucket, struct error *err);

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
    bool has_text_casts;           /* the database has casts of users to text */
};

/* The columns that name objects ("object") or directories ("directory"). Those whose table is gone
 * are left out: they cannot name anything. Owned by ctx. */
bool sources_read(struct db *db, const void *ctx, const char *kind, struct source **sources,
                  size_t *count, struct error *err);

/* Why nothing can be said about this column, and what to do about it; owned by ctx. */
char *source_trouble(const void *ctx, struct db *db, const struct source *source);

#endif
