/* Dead letters: candidates that could not go, how often they were tried, and when to stop trying. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

bool letter_note(struct effects *effects, const struct report *report, const char *const *key,
                 const struct error *why, int64_t *attempts, bool *parked, struct error *err)
{
    static const struct db_statement wait = {
        .name = "letter_waits", .sql = "SELECT pg_catalog.set_config('synchronous_commit', $1, true)"};
    static const struct db_statement note = {
        .name = "letter_note", .sql =
        "INSERT INTO pgsweep.dead_letters AS l (policy, key, error, sqlstate, run_id)"
        " VALUES ($1, $2::pg_catalog.text[], $3, nullif($4, ''), $5)"
        " ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE SET"
        "   attempts = CASE WHEN l.state = 'closed' THEN 1 WHEN l.run_id = excluded.run_id THEN l.attempts"
        "                   ELSE l.attempts + 1 END,"
        "   first_at = CASE WHEN l.state = 'closed' THEN pg_catalog.now() ELSE l.first_at END,"
        "   state = CASE WHEN l.state = 'closed' THEN 'waiting'"
        "                WHEN l.state = 'waiting' AND l.run_id <> excluded.run_id"
        "                     AND l.attempts >= $6::pg_catalog.int4 THEN 'parked' ELSE l.state END,"
        "   error = excluded.error, sqlstate = excluded.sqlstate, run_id = excluded.run_id,"
        "   last_at = pg_catalog.now()"
        " RETURNING l.attempts, l.state = 'parked'"};
    void *scratch = talloc_new(report);
    const char *on[] = {db_synchronous_commit(effects->db)};
    const char *params[] = {report->policy->name, db_array(scratch, key, report->plan->key_count),
                            why->message ? why->message : "unknown error", why->sqlstate,
                            report->run_id, mem_printf(scratch, "%d", LETTER_RETRIES)};
    /* The two are one transaction, up to the synchronisation point. */
    struct db_step steps[] = {{.statement = &wait, .nparams = 1, .params = on},
                              {.statement = &note, .nparams = 6, .params = params, .sync = true}};
    bool ok = effects_batch(effects, scratch, steps, 2, NULL, err);
    if (ok) {
        *attempts = db_rows_int(steps[1].rows, 0, 0);
        *parked = db_rows_bool(steps[1].rows, 0, 1);
    }
    talloc_free(scratch);
    return ok;
}

/* as_text: compares keys as text, which reads the whole table, but cannot fail. */
static bool close_settled(struct effects *effects, const struct plan *plan, bool as_text, struct error *err)
{
    void *scratch = talloc_new(plan);
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "UPDATE pgsweep.dead_letters AS l SET state = 'closed', last_at = pg_catalog.now()"
                           " WHERE l.policy = $2 AND l.kind = 'row' AND l.state IN ('waiting', 'parked')"
                           " AND NOT EXISTS (SELECT FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    for (size_t k = 0; k < plan->key_count; k++)
        appendPQExpBuffer(sql, "t.%s%s = (l.key)[%zu]::%s AND ", plan->key[k]->ident,
                          as_text ? "::pg_catalog.text" : "", k + 1, as_text ? "pg_catalog.text" : plan->key[k]->type);
    plan_append_unparked(sql, plan);
    appendPQExpBufferChar(sql, ')');
    const char *params[] = {plan->cutoff_value, plan->policy->name};
    bool ok = effects_query(effects, scratch, buffer_take(scratch, sql), 2, params, NULL, err);
    talloc_free(scratch);
    return ok;
}

bool letter_close_settled(struct effects *effects, const struct plan *plan, struct error *err)
{
    if (close_settled(effects, plan, false, err))
        return true;
    if (strncmp(err->sqlstate, "22", 2) != 0)
        return false;
    /* Class 22, data exception: a letter is older than the type that its key has now. */
    error_clear(err);
    return close_settled(effects, plan, true, err);
}

bool letter_depth(struct db *db, const char *policy, int64_t *depth, struct error *err)
{
    const char *params[] = {policy};
    struct db_rows *rows;
    if (!db_query(db, db, "SELECT pg_catalog.count(*) FROM pgsweep.dead_letters"
                          " WHERE policy = $1 AND state IN ('waiting', 'parked')", 1, params, &rows, err))
        return false;
    *depth = db_rows_int(rows, 0, 0);
    talloc_free(rows);
    return true;
}
