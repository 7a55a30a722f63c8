/* Deleting stored objects that no row names any more. */
#ifndef PGSWEEP_EFFECTS_OBJECTS_H
#define PGSWEEP_EFFECTS_OBJECTS_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"
#include "pgsweep/policy.h"
#include "pgsweep/report.h"

struct state;

/* The store and bucket that the environment names: objects that are queued now belong to them. NULL
 * where it names none, or where it cannot be understood; a drain says so. Owned by ctx. */
void objects_binding(const void *ctx, const char **endpoint, const char **bucket);

/* Writes down which columns name objects and directories, with that store and bucket. */
bool objects_note_sources(struct state *state, const struct report *report, struct error *err);

/* False where PGSWEEP_S3_ALIASES cannot be right: a row that names an object by such a URL would
 * not protect it. */
bool objects_check_settings(struct error *err);

/* What keys of a column must begin with. */
struct object_bound {
    const char *policy;
    const char *column;    /* without quotes: public.t.c, or as the policy has it, t.c */
    const char **prefixes; /* none: not stated */
    size_t prefix_count;
};

struct object_bounds {
    struct object_bound *all;
    size_t count;
};

/* Adds what the policy states about its columns. Owned by ctx. */
void bounds_add_policy(const void *ctx, struct object_bounds *bounds, const struct policy *policy);

/* Deletes the objects whose keys are queued and due (policy NULL: of all policies), and adds to the
 * report's objects. What the store refuses stays queued, with a remark: that is no error, but
 * report_objects_failed counts. So does a key outside of what the entry, the column as the latest
 * run noted it, or stated (NULL: nothing more) allow. Objects that were queued for another store or
 * bucket stay as they are. Must not be called inside a transaction. False: the database failed. */
bool objects_drain(struct state *state, struct report *report, const char *policy,
                   const struct object_bounds *stated, struct error *err);

#endif
