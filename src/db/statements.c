/* What other rooms call to run SQL: each statement as it is, or, through a pooler, in a transaction
 * with all settings (pooled.c). */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* The quickest answer so far is what the way takes. */
static void note_answer(struct db *db, int64_t sent_us)
{
    int64_t took = clock_now_us() - sent_us;
    if (db->fastest_us == 0 || took < db->fastest_us)
        db->fastest_us = took > 0 ? took : 1;
}

bool db_query(struct db *db, const void *ctx, const char *sql, int nparams,
              const char *const *params, struct db_rows **rows, struct error *err)
{
    if (db_needs_settings(db))
        return db_pooled_query(db, ctx, sql, nparams, params, rows, err);
    db_echo(db, sql, nparams, params);
    int64_t before = clock_now_us();
    PGresult *result =
        db_only(db, PQsendQueryParams(db->conn, sql, nparams, NULL, params, NULL, NULL, 0));
    note_answer(db, before);
    return db_take_result(db, ctx, result, rows, err);
}

static bool check(struct db *db, const char *sql, struct error *err)
{
    PGresult *result = db_only(db, PQsendPrepare(db->conn, "", sql, 0, NULL));
    return db_take_result(db, NULL, result, NULL, err);
}

static bool infer(struct db *db, const char *sql, unsigned *types, size_t count, struct error *err)
{
    struct db_rows *described;
    if (!check(db, sql, err))
        return false;
    PGresult *result = db_only(db, PQsendDescribePrepared(db->conn, ""));
    if (!db_take_result(db, NULL, result, &described, err))
        return false;
    for (size_t i = 0; i < count; i++)
        types[i] = PQparamtype(described->result, (int)i);
    talloc_free(described);
    return true;
}

/* Begins a transaction for the questions about a text where the session is not ours. *begun: it has
 * to be ended. */
static bool enter(struct db *db, bool *begun, struct error *err)
{
    *begun = db_needs_settings(db);
    return !*begun || db_execute(db, NULL, &db_begin_read_only, 0, NULL, NULL, err);
}

static void leave(struct db *db, bool begun)
{
    if (begun)
        db_rollback(db);
}

bool db_infer(struct db *db, const char *sql, unsigned *types, size_t count, struct error *err)
{
    bool begun;
    bool ok = enter(db, &begun, err) && infer(db, sql, types, count, err);
    leave(db, begun);
    return ok;
}

bool db_check(struct db *db, const char *sql, struct error *err)
{
    bool begun;
    bool ok = enter(db, &begun, err) && check(db, sql, err);
    leave(db, begun);
    return ok;
}

bool db_script(struct db *db, const char *sql, struct error *err)
{
    db_echo(db, sql, 0, NULL);
    return db_take_result(db, NULL, db_only(db, PQsendQuery(db->conn, sql)), NULL, err);
}

bool db_execute(struct db *db, const void *ctx, const struct db_statement *statement, int nparams,
                const char *const *params, struct db_rows **rows, struct error *err)
{
    if (db->pooled || !db_is_prepared(db, statement)) {
        struct db_step step = {.statement = statement, .nparams = nparams, .params = params};
        bool ok = db_batch(db, ctx, &step, 1, NULL, err);
        if (ok && rows)
            *rows = step.rows;
        else
            talloc_free(step.rows);
        return ok;
    }
    db_echo(db, statement->sql, nparams, params);
    PGresult *result =
        db_only(db, PQsendQueryPrepared(db->conn, statement->name, nparams, params, NULL, NULL, 0));
    return db_take_result(db, ctx, result, rows, err);
}

bool db_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
              struct error *err)
{
    return (db->pooled ? db_pooled_batch : db_send_batch)(db, ctx, steps, count, failed, err);
}

static bool check_each(struct db *db, const char *const *sql, size_t count, size_t *failed,
                       struct error *err)
{
    bool failed_before = false;
    void *scratch = talloc_new(NULL);
    bool sent = PQenterPipelineMode(db->conn);
    for (size_t i = 0; sent && i < count; i++)
        sent = PQsendPrepare(db->conn, "", sql[i], 0, NULL);
    sent = sent && PQpipelineSync(db->conn);
    db->broken = db->broken || !sent;
    *failed = count;
    for (size_t i = 0; i < count && !db_is_lost(db); i++) {
        struct db_step step = {.rows = NULL};
        bool before = failed_before;
        db_read_step(db, scratch, &step, &failed_before, err);
        if (failed_before && !before)
            *failed = i;
    }
    if (!db_is_lost(db))
        db_read_sync(db, &failed_before, err);
    talloc_free(scratch);
    return db_leave_pipeline(db, err) && !failed_before;
}

bool db_check_each(struct db *db, const char *const *sql, size_t count, size_t *failed,
                   struct error *err)
{
    bool begun;
    *failed = count;
    bool ok = enter(db, &begun, err) && check_each(db, sql, count, failed, err);
    leave(db, begun);
    return ok;
}

/* Reads the answers of questions up to the next synchronisation point. */
static void read_answers(struct db *db, const void *ctx, struct db_question *questions,
                         size_t count, bool *failed, struct error *err)
{
    for (size_t i = 0; i < count && !db_is_lost(db); i++) {
        struct db_step step = {.rows = NULL};
        db_read_step(db, ctx, &step, failed, err);
        questions[i].rows = step.rows;
        questions[i].error = step.error;
    }
    if (!db_is_lost(db))
        db_read_sync(db, failed, err);
}

/* In groups of so many questions, each up to a synchronisation point; the last one may be smaller.
 */
static bool ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                size_t group, struct error *err)
{
    bool failed = false;
    if (db_needs_settings(db))
        return db_pooled_ask(db, ctx, questions, count, group, err);
    int64_t before = clock_now_us();
    bool sent = PQenterPipelineMode(db->conn);
    for (size_t i = 0; i < count; i++) {
        const struct db_question *q = &questions[i];
        db_echo(db, q->sql, q->nparams, q->params);
        sent = sent &&
               PQsendQueryParams(db->conn, q->sql, q->nparams, NULL, q->params, NULL, NULL, 0) &&
               ((i + 1) % group != 0 || PQpipelineSync(db->conn));
        questions[i].rows = NULL;
        questions[i].error = NULL;
    }
    sent = sent && (count % group == 0 || PQpipelineSync(db->conn));
    db->broken = db->broken || !sent; /* what has been sent is not known */
    db->round_trips++;
    for (size_t i = 0; i < count && !db_is_lost(db); i += group)
        read_answers(db, ctx, questions + i, count - i < group ? count - i : group, &failed, err);
    note_answer(db, before);
    return db_leave_pipeline(db, err) && !failed;
}

bool db_ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
            struct error *err)
{
    return ask(db, ctx, questions, count, 1, err);
}

bool db_ask_one_state(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                      int64_t timeout_ms, struct error *err)
{
    void *scratch = talloc_new(ctx);
    struct db_question *all = mem_array(scratch, struct db_question, count + 3);
    char *limit = mem_printf(scratch, "%lld", (long long)timeout_ms);
    size_t before = 0;
    all[before++].sql = db_begin_read_only.sql;
    if (timeout_ms > 0)
        all[before++] = (struct db_question){
            .sql = template_fill(scratch, "sql/session.sql", "limit_transaction",
                                 TEMPLATE_SLOTS({"milliseconds", limit}))};
    memcpy(all + before, questions, count * sizeof *all);
    all[before + count].sql = db_end.sql;
    /* The transaction ends whatever became of the questions. */
    bool ok = ask(db, ctx, all, before + count + 1, before + count, err);
    memcpy(questions, all + before, count * sizeof *all);
    talloc_free(scratch);
    return ok;
}
