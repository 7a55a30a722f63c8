/* The rows that a run spares although its own deletions could make them candidates. */
#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SPARED[] = "sql/spared.sql";

/* One statement with one parameter, in a transaction of its own that waits for the disk. */
static bool patiently(struct state *state, void *scratch, const char *sql, const char *param,
                      struct error *err)
{
    const char *on[] = {db_synchronous_commit(state->db)};
    const char *params[] = {param};
    bool ok = gate_check(state->gate, err) &&
              db_execute(state->db, scratch, &db_begin, 0, NULL, NULL, err) &&
              gate_query(state->gate, scratch, template_fill(scratch, SPARED, "patient", NULL), 1,
                         on, NULL, err) &&
              gate_query(state->gate, scratch, sql, 1, params, NULL, err) &&
              db_execute(state->db, scratch, &db_commit, 0, NULL, NULL, err);
    if (!ok)
        db_rollback(state->db);
    return ok;
}

char *spared_record_sql(const void *ctx, struct db *db, const struct plan *plan, char **why)
{
    if (!plan->spared_run)
        return NULL;
    PQExpBuffer digest = createPQExpBuffer();
    PQExpBuffer held = createPQExpBuffer();
    plan_append_digest(digest, plan);
    plan_append_held(held, plan);
    if (why)
        *why = template_why(ctx, SPARED, "record");
    return template_fill(ctx, SPARED, "record",
                         TEMPLATE_SLOTS({"run_id", db_quote_literal(db, ctx, plan->spared_run)},
                                        {"digest", buffer_take(ctx, digest)},
                                        {"root", plan->nodes[0]->table.ident},
                                        {"held", buffer_take(ctx, held)}));
}

bool spared_record(struct state *state, const struct plan *plan, struct error *err)
{
    if (!plan->spared_run)
        return true;
    void *scratch = talloc_new(plan);
    char *sql = spared_record_sql(scratch, state->db, plan, NULL);
    db_give_way(state->db, true);
    bool ok = patiently(state, scratch, sql, plan->cutoff_value, err);
    db_give_way(state->db, false);
    talloc_free(scratch);
    return ok || error_prefix(err, "the rows that this run spares could not be written down");
}

bool spared_forget(struct state *state, const struct plan *plan, struct error *err)
{
    void *scratch = talloc_new(plan);
    const char *params[] = {plan->policy->name};
    struct db_rows *rows;
    bool ok =
        db_query(state->db, scratch, template_fill(scratch, SPARED, "anything", NULL), 1, params,
                 &rows, err) &&
        (!db_rows_bool(rows, 0, 0) ||
         patiently(state, scratch, template_fill(scratch, SPARED, "forget", NULL), params[0], err));
    talloc_free(scratch);
    return ok;
}
