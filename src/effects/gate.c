/* The write gate. */
#include "internal.h"
#include "pgsweep/mem.h"

struct effects *effects_open(const void *ctx, struct db *db, bool dry_run)
{
    struct effects *effects = mem_new(ctx, struct effects);
    effects->db = db;
    effects->dry_run = dry_run;
    run_statements(effects);
    letter_statements(effects);
    lease_begin(effects);
    return effects;
}

bool effects_allowed(const struct effects *effects, struct error *err)
{
    return !effects->dry_run ||
           error_set(err, SWEEP_INTERNAL, "a write was tried in a dry run; nothing was changed");
}

bool effects_batch(struct effects *effects, const void *ctx, struct db_step *steps, int count,
                   int *failed, struct error *err)
{
    return effects_allowed(effects, err) && db_batch(effects->db, ctx, steps, count, failed, err);
}

bool effects_query(struct effects *effects, const void *ctx, const char *sql, int nparams,
                   const char *const *params, struct db_rows **rows, struct error *err)
{
    return effects_allowed(effects, err) &&
           db_query(effects->db, ctx, sql, nparams, params, rows, err);
}
