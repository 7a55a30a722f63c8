/* How statements are sent and results read: one at a time, or a batch in one round trip. */
#define _GNU_SOURCE
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

const struct db_statement db_begin = {
    .name = "begin",
    .sql = "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
    .why = "Begins a transaction in which every statement sees what is committed when it starts."};
const struct db_statement db_begin_read_only = {
    .name = "begin_read_only",
    .sql = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    .why = "Begins a transaction that cannot write and sees one state of the database throughout."};
const struct db_statement db_commit = {
    .name = "commit",
    .sql = "COMMIT",
    .why = "Ends the transaction; pgsweep checks that the server answers COMMIT."};

const struct db_statement db_end = {.name = "rollback", .sql = "ROLLBACK"};

static void echo_value(const char *value)
{
    char *shown = value ? text_escape(NULL, value, strnlen(value, 200)) : NULL;
    fprintf(stderr, value ? "'%s%s'" : "NULL", shown ? shown : "",
            shown && strlen(value) > 200 ? "..." : "");
    talloc_free(shown);
}

void db_echo(const struct db *db, const char *sql, int nparams, const char *const *params)
{
    if (!db->options.echo)
        return;
    char *shown = text_lines(NULL, sql);
    fprintf(stderr, "%s;", shown);
    talloc_free(shown);
    for (int i = 0; i < nparams; i++) {
        fprintf(stderr, "%s$%d = ", i ? ", " : "  -- ", i + 1); /* no SQL */
        echo_value(params[i]);
    }
    fputc('\n', stderr);
}

void db_set_echo(struct db *db, bool echo)
{
    db->options.echo = echo;
}

static bool result_ok(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

bool db_take_result(struct db *db, const void *ctx, PGresult *result, struct db_rows **rows,
                    struct error *err)
{
    if (!result || !result_ok(result)) {
        db_result_error(db, result, err);
        PQclear(result);
        return false;
    }
    if (rows)
        *rows = db_rows_wrap(ctx, result);
    else
        PQclear(result);
    return true;
}

bool db_is_prepared(const struct db *db, const struct db_statement *statement)
{
    for (size_t i = 0; i < db->prepared_count; i++)
        if (db->prepared[i] == statement)
            return true;
    return false;
}

static void note_prepared(struct db *db, const struct db_statement *statement)
{
    size_t i = mem_grow(db, &db->prepared, &db->prepared_count);
    db->prepared[i] = statement;
}

/* Sends the preparation of every statement that the steps need and that is not prepared yet, behind
 * a synchronisation point of its own: a step that fails must not cost the statements of later
 * transactions their preparation. prepares[i]: step i is the first that needs it. */
static bool send_prepares(struct db *db, const struct db_step *steps, int count, bool *prepares)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        const struct db_statement *statement = steps[i].statement;
        prepares[i] = !db_is_prepared(db, statement);
        for (int j = 0; j < i && prepares[i]; j++)
            if (steps[j].statement == statement)
                prepares[i] = false;
        if (prepares[i] && !PQsendPrepare(db->conn, statement->name, statement->sql, 0, NULL))
            return false;
        any = any || prepares[i];
    }
    return !any || PQpipelineSync(db->conn);
}

static bool send_steps(struct db *db, const struct db_step *steps, int count)
{
    for (int i = 0; i < count; i++) {
        const struct db_statement *statement = steps[i].statement;
        db_echo(db, statement->sql, steps[i].nparams, steps[i].params);
        if (!(db->pooled ? PQsendQueryParams(db->conn, statement->sql, steps[i].nparams, NULL,
                                             steps[i].params, NULL, NULL, 0)
                         : PQsendQueryPrepared(db->conn, statement->name, steps[i].nparams,
                                               steps[i].params, NULL, NULL, 0)))
            return false;
        if ((steps[i].sync || i == count - 1) && !PQpipelineSync(db->conn))
            return false;
    }
    return true;
}

/* The next result, and the NULL that ends its command's results. */
static PGresult *next_result(struct db *db)
{
    PGresult *result = db_next(db);
    if (result && PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        PQclear(db_next(db));
    return result;
}

static struct error *step_error(const struct db *db, const void *ctx, const PGresult *result)
{
    struct error *err = error_new(ctx);
    db_result_error(db, result, err);
    return err;
}

/* Reads one step's result; err is set at the first failure of the batch only. */
void db_read_step(struct db *db, const void *ctx, struct db_step *step, bool *failed_before,
                  struct error *err)
{
    PGresult *result = next_result(db);
    if (result && result_ok(result)) {
        step->rows = db_rows_wrap(ctx, result);
        step->tag = PQcmdStatus(result);
        return;
    }
    if (!result || PQresultStatus(result) != PGRES_PIPELINE_ABORTED) {
        step->error = step_error(db, ctx, result);
        if (!*failed_before)
            db_result_error(db, result, err);
        *failed_before = true;
    }
    PQclear(result);
}

/* Reads up to the synchronisation point. An error that the commit itself raised (a deferred
 * constraint, with an implicit transaction) comes before it. */
bool db_read_sync(struct db *db, bool *failed_before, struct error *err)
{
    for (int nothing = 0;;) {
        PGresult *result = db_next(db);
        if (!result && !db_is_lost(db) && nothing++ == 0)
            continue;
        /* libpq, with nothing outstanding, would say so for ever: the point was never sent. */
        db->broken = db->broken || !result;
        bool synced = result && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!synced && !*failed_before) {
            db_result_error(db, result, err);
            *failed_before = true;
        }
        PQclear(result);
        if (synced || db_is_lost(db))
            return synced;
    }
}

/* Reads what became of the preparations, up to their synchronisation point. When one failed the
 * steps that need it fail as well, with the transaction that they are in. */
static bool read_prepares(struct db *db, const void *ctx, const struct db_step *steps, int count,
                          const bool *prepares, int *first_failed, struct error **why,
                          struct error *err)
{
    struct db_step answer = {.statement = NULL};
    bool failed = false, any = false;
    for (int i = 0; i < count && !db_is_lost(db); i++) {
        bool had_failed = failed;
        if (!prepares[i])
            continue;
        any = true;
        answer = (struct db_step){.error = answer.error};
        db_read_step(db, ctx, &answer, &failed, err);
        if (answer.rows)
            note_prepared(db, steps[i].statement);
        talloc_free(answer.rows);
        if (failed && !had_failed)
            *first_failed = i;
    }
    if (any && !db_is_lost(db))
        db_read_sync(db, &failed, err);
    *why = answer.error;
    return !failed;
}

/* Sends the steps and, before them, the preparation of what is not prepared yet. */
static bool send_batch(struct db *db, const struct db_step *steps, int count, bool *prepares)
{
    bool sent = PQenterPipelineMode(db->conn) &&
                (db->pooled || send_prepares(db, steps, count, prepares)) &&
                send_steps(db, steps, count);
    db->round_trips++;
    return sent;
}

bool db_send_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
                   struct error *err)
{
    bool failed_before = false;
    int first_failed = count;
    struct error *why = NULL; /* a statement could not be prepared */
    bool *prepares = mem_array(NULL, bool, (size_t)count + 1);
    for (int i = 0; i < count; i++) {
        steps[i].rows = NULL;
        steps[i].tag = "";
        steps[i].error = NULL;
    }
    if (!send_batch(db, steps, count, prepares)) {
        db->broken = true; /* what has been sent of the batch is not known */
        db_result_error(db, NULL, err);
        failed_before = true;
    } else {
        failed_before = !read_prepares(db, ctx, steps, count, prepares, &first_failed, &why, err);
    }
    for (int i = 0; i < count && !db_is_lost(db); i++) {
        bool had_failed = failed_before;
        db_read_step(db, ctx, &steps[i], &failed_before, err);
        if (steps[i].sync || i == count - 1)
            db_read_sync(db, &failed_before, err);
        if (failed_before && !had_failed)
            first_failed = i;
    }
    for (int i = 0; i < count && why; i++)
        if (!steps[i].rows)
            steps[i].error = why;
    talloc_free(prepares);
    if (db_is_lost(db) && !failed_before) {
        if (!err->message)
            db_result_error(db, NULL, err);
        failed_before = true;
    }
    if (!db_is_lost(db))
        PQexitPipelineMode(db->conn);
    if (failed)
        *failed = first_failed;
    return !failed_before;
}

bool db_leave_pipeline(struct db *db, struct error *err)
{
    if (db_is_lost(db)) {
        if (!err->message)
            db_result_error(db, NULL, err);
        /* The last message of the server may have been an error of another kind. */
        err->code = SWEEP_UNREACHABLE;
        return false;
    }
    return PQexitPipelineMode(db->conn) || db_result_error(db, NULL, err);
}

bool db_committed(const struct db_step *step)
{
    return step->rows && strcmp(step->tag, "COMMIT") == 0;
}

void db_rollback(struct db *db)
{
    if (!db_is_lost(db) && db_in_transaction(db)) {
        db_echo(db, "ROLLBACK", 0, NULL);
        db->round_trips++;
        PQclear(db_only(db, PQsendQuery(db->conn, "ROLLBACK")));
    }
}
