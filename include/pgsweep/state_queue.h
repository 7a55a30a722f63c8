/* The queue of the stored objects and directories to delete, pgsweep.object_queue. */
#ifndef PGSWEEP_STATE_QUEUE_H
#define PGSWEEP_STATE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct state;

/* INSERT INTO the object queue of what select (a SELECT of one text column called value) finds.
 * Parameters from number first on: run id, policy, source, kind ("object", "directory"), root (of
 * directories, else NULL), rules (file_rules_write of directories, else NULL), endpoint and bucket
 * (objects_binding), prefixes of keys (an array; NULL: none stated). */
enum { QUEUE_PARAMS = 9 };
void queue_append_insert(PQExpBuffer out, const char *select, int first);

/* Prefixes as JSON; NULL: none are stated. One without a text in it is bound by a prefix that no
 * key has. Owned by ctx. */
const char **queue_prefixes(const void *ctx, const char *json, size_t *count);

/* The next objects that are due, of a policy (NULL: all) and after an id, that belong to the store
 * at this endpoint; at most count. The columns: QUEUE_OBJECT_*. */
enum queue_object_column {
    QUEUE_OBJECT_ID,
    QUEUE_OBJECT_VALUE,
    QUEUE_OBJECT_POLICY,
    QUEUE_OBJECT_BUCKET,
    QUEUE_OBJECT_STATE,
    QUEUE_OBJECT_ERROR,
    QUEUE_OBJECT_SOURCE,
    QUEUE_OBJECT_PREFIXES
};
struct queue_store {
    const char *endpoint;
    const char *buckets; /* an array */
};
bool queue_due_objects(struct state *state, const void *ctx, const char *policy,
                       const struct queue_store *store, const char *after, int count,
                       struct db_rows **rows, struct error *err);

/* The same for directories. */
enum queue_directory_column {
    QUEUE_DIRECTORY_ID,
    QUEUE_DIRECTORY_NAME,
    QUEUE_DIRECTORY_ROOT,
    QUEUE_DIRECTORY_RULES,
    QUEUE_DIRECTORY_POLICY
};
bool queue_due_directories(struct state *state, const void *ctx, const char *policy,
                           const char *after, int count, struct db_rows **rows, struct error *err);

/* Objects of a policy (NULL: all) that are due and belong to another store or bucket: endpoint and
 * bucket (NULL: they were queued while no store was configured), how many, one of their policies.
 */
bool queue_elsewhere(struct state *state, const void *ctx, const char *policy,
                     const struct queue_store *store, struct db_rows **rows, struct error *err);

/* What the policy queued while no store was configured belongs to this bucket from now on; *bound:
 * how many entries. */
bool queue_bind(struct state *state, const void *ctx, const char *policy, const char *endpoint,
                const char *bucket, int64_t *bound, struct error *err);

/* The policies that have objects or directories in the queue: of them name alone, where it is not
 * NULL. */
bool queue_policies(struct db *db, const void *ctx, const char *name, struct db_rows **rows,
                    struct error *err);

/* The key of the dead letter of an entry of the queue, as SQL over its columns: the whole value,
 * and what else distinguishes it from others of the same value. Owned by ctx. */
char *queue_letter_key(const void *ctx);

/* What is queued is tried this often, then it becomes a dead letter. */
enum { QUEUE_ATTEMPTS = 10 };

/* One more attempt failed for these entries of the queue: they wait longer and longer, and those
 * that were tried often enough become dead letters (*dead). */
bool queue_note_failed(struct state *state, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err);

/* Why these entries stay as they are. as: "foreign" (none to act on; a person looks), or
 * "queued". */
bool queue_note_held(struct state *state, const void *ctx, const char *const *ids,
                     const char *const *reasons, size_t count, const char *as, struct error *err);

/* Takes these entries off the queue. */
bool queue_remove(struct state *state, const void *ctx, const char *const *ids, size_t count,
                  struct error *err);

/* Calls drain, if entries of the kind are due and no other session is at it; then counts the ones
 * left. */
typedef bool queue_drainer(void *arg, struct error *err);
bool queue_drain_alone(struct state *state, struct report *report, const char *kind,
                       const char *policy, queue_drainer *drain, void *arg, int64_t *waiting,
                       struct error *err);

#endif
