/* The write gate. */
#include "pgsweep/gate.h"

#include "pgsweep/mem.h"

struct gate {
    struct db *db;
    bool dry_run;
};

struct gate *gate_open(const void *ctx, struct db *db, bool dry_run)
{
    struct gate *gate = mem_new(ctx, struct gate);
    gate->db = db;
    gate->dry_run = dry_run;
    return gate;
}

struct db *gate_db(const struct gate *gate)
{
    return gate->db;
}

bool gate_check(const struct gate *gate, struct error *err)
{
    return !gate->dry_run ||
           error_set(err, SWEEP_INTERNAL, "a write was tried in a dry run; nothing was changed");
}

bool gate_batch(struct gate *gate, const void *ctx, struct db_step *steps, int count, int *failed,
                struct error *err)
{
    return gate_check(gate, err) && db_batch(gate->db, ctx, steps, count, failed, err);
}

bool gate_query(struct gate *gate, const void *ctx, const char *sql, int nparams,
                const char *const *params, struct db_rows **rows, struct error *err)
{
    return gate_check(gate, err) && db_query(gate->db, ctx, sql, nparams, params, rows, err);
}
