/* Dead letters: candidates that could not go, how often they were tried, and when to stop trying.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char LETTERS[] = "sql/letters.sql";

static struct db_statement statement(const void *ctx, const char *name, const char *parameters)
{
    return (struct db_statement){.name = name,
                                 .sql = template_fill(ctx, LETTERS, name, NULL),
                                 .why = template_why(ctx, LETTERS, name),
                                 .parameters = parameters};
}

void letter_statements(struct state *state)
{
    state->letter_waits = statement(state, "letter_waits", "$1 value of synchronous_commit");
    state->letter_note = statement(state, "letter_note",
                                   "$1 policy, $2 key, $3 error, $4 SQLSTATE, $5 run id, "
                                   "$6 how many attempts are enough, $7 detail, $8 hint");
}

bool letter_note(struct state *state, const struct report *report, const char *const *key,
                 const struct error *why, int64_t *attempts, bool *parked, struct error *err)
{
    void *scratch = talloc_new(report);
    const char *on[] = {db_synchronous_commit(state->db)};
    const char *params[] = {report->policy->name,
                            db_array(scratch, key, report->plan->key_count),
                            why->message ? why->message : "unknown error",
                            why->sqlstate,
                            report->run_id,
                            mem_printf(scratch, "%d", LETTER_RETRIES),
                            why->detail,
                            why->hint};
    /* The two are one transaction, up to the synchronisation point. */
    struct db_step steps[] = {
        {.statement = &state->letter_waits, .nparams = 1, .params = on},
        {.statement = &state->letter_note, .nparams = 8, .params = params, .sync = true}};
    bool ok = gate_batch(state->gate, scratch, steps, 2, NULL, err);
    if (ok) {
        *attempts = db_rows_int(steps[1].rows, 0, 0);
        *parked = db_rows_bool(steps[1].rows, 0, 1);
    }
    talloc_free(scratch);
    return ok;
}

/* as_text: compares keys as text, which reads the whole table, but cannot fail. */
static bool close_settled(struct state *state, const struct plan *plan, bool as_text,
                          struct error *err)
{
    void *scratch = talloc_new(plan);
    PQExpBuffer key = createPQExpBuffer();
    PQExpBuffer candidate = createPQExpBuffer();
    /* The "=" of the key's own type, which may be of any schema, or that of texts. */
    for (size_t k = 0; k < plan->key_count; k++) {
        const struct plan_column *column = plan->key[k];
        appendPQExpBufferStr(key, k ? "\nAND " : "");
        if (as_text) {
            plan_append_text(key, "t", column);
            appendPQExpBuffer(key, " OPERATOR(pg_catalog.=) (l.key)[%zu]", k + 1);
        } else
            appendPQExpBuffer(key, "t.%s%s %s (l.key)[%zu]::%s%s", column->ident, column->operand,
                              column->equal, k + 1, column->value_type, column->operand);
    }
    plan_append_unparked(candidate, plan);
    char *sql = template_fill(scratch, LETTERS, "close_settled",
                              TEMPLATE_SLOTS({"root", plan->nodes[0]->table.ident},
                                             {"key", buffer_take(scratch, key)},
                                             {"candidate", buffer_take(scratch, candidate)}));
    const char *params[] = {plan->cutoff_value, plan->policy->name};
    bool ok = gate_query(state->gate, scratch, sql, 2, params, NULL, err);
    talloc_free(scratch);
    return ok;
}

bool letter_close_settled(struct state *state, const struct plan *plan, struct error *err)
{
    if (close_settled(state, plan, false, err))
        return true;
    /* A dead letter may be older than the type that its key has now. And not every text that a type
     * writes can be read back: a regclass of a table that was dropped is a number. */
    if (!sqlstate_is_of(err, SQLSTATE_CLASS_DATA) && !sqlstate_is_of(err, SQLSTATE_CLASS_SYNTAX))
        return false;
    error_clear(err);
    return close_settled(state, plan, true, err);
}

bool letter_depth(struct db *db, const char *policy, int64_t *depth, struct error *err)
{
    const char *params[] = {policy};
    struct db_rows *rows;
    char *sql = template_fill(db, LETTERS, "depth", NULL);
    bool ok = db_query(db, db, sql, 1, params, &rows, err);
    talloc_free(sql);
    if (!ok)
        return false;
    *depth = db_rows_int(rows, 0, 0);
    talloc_free(rows);
    return true;
}
