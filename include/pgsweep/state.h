/* The state schema, pgsweep: creating, upgrading and checking it, and a handle of it for those who
 * use it. */
#ifndef PGSWEEP_STATE_H
#define PGSWEEP_STATE_H

#include <stdbool.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/gate.h"

struct state;

/* The state schema behind a gate, which it writes through. Owned by ctx. */
struct state *state_open(const void *ctx, struct gate *gate);

struct gate *state_gate(const struct state *state);
struct db *state_db(const struct state *state);

/* The version of the state schema that this program needs. */
enum { STATE_VERSION = 2 };

/* Checks that the state schema is there, new enough, and usable by the role; SWEEP_USAGE with the
 * way out ("pgsweep init", the GRANT) when not. */
bool state_check(struct db *db, struct error *err);

/* Creates or upgrades the state schema in one transaction; grants its use to role when not NULL. */
bool state_init(struct db *db, const char *role, struct error *err);

/* The GRANTs that let the role (its name, not quoted) use the state schema, without the last
 * semicolon; owned by ctx. */
char *state_grants_sql(const void *ctx, struct db *db, const char *role);

/* The SQL that state_init runs, owned by ctx; role as there. db may be NULL when role is NULL. */
char *state_init_sql(const void *ctx, struct db *db, const char *role);

#endif
