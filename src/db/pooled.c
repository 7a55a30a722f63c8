/* Connections through a pooler. The server's session may be another one for each transaction, and
 * other clients use it in between: nothing may be left in it, and nothing that it has is taken for
 * granted. So every statement runs in a transaction that begins with all settings, for this
 * transaction only; statements have no names. */

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"

void db_set_opening(struct db *db, const struct db_step *opening)
{
    db->opening = opening ? *opening : (struct db_step){.statement = NULL};
    db->opened_ms = clock_now_ms();
}

/* A batch with all that has to be sent beside its steps. */
struct batch {
    struct db *db;
    struct db_step *steps;
    int *owners; /* the step of the caller's that each one belongs to */
    bool *own;   /* it is that step itself */
    int count;
    struct db_step settings;
};

static struct db_step *add(struct batch *batch, struct db_step step, int owner, bool own)
{
    batch->steps[batch->count] = step;
    batch->owners[batch->count] = owner;
    batch->own[batch->count] = own;
    return &batch->steps[batch->count++];
}

static bool begins(const struct db_statement *statement)
{
    return statement == &db_begin || statement == &db_begin_read_only;
}

static bool ends(const struct db_statement *statement)
{
    return statement == &db_commit || statement == &db_end;
}

/* The settings behind a BEGIN, and the opening where the transaction may write. */
static void add_opening(struct batch *batch, int owner, bool writes)
{
    add(batch, batch->settings, owner, false);
    if (!writes || !batch->db->opening.statement)
        return;
    add(batch, batch->db->opening, owner, false);
    batch->db->opened_ms = clock_now_ms();
}

static void add_begin(struct batch *batch, int owner)
{
    add(batch, (struct db_step){.statement = &db_begin}, owner, false);
    add_opening(batch, owner, true);
}

/* COMMIT stands behind a synchronisation point, so that it is never skipped. */
static void add_commit(struct batch *batch, int owner)
{
    batch->steps[batch->count - 1].sync = true;
    add(batch, (struct db_step){.statement = &db_commit, .sync = true}, owner, false);
}

/* A transaction that only reads does not renew what the opening renews. */
static void renew(struct batch *batch, int owner)
{
    if (!batch->db->opening.statement || clock_now_ms() - batch->db->opened_ms < DB_OPENING_DUE_MS)
        return;
    add_begin(batch, owner);
    add_commit(batch, owner);
}

/* What is outside of a transaction up to a synchronisation point is one of its own: it gets its
 * BEGIN and COMMIT. */
static void expand(struct batch *batch, const struct db_step *steps, int count)
{
    bool open = db_in_transaction(batch->db);
    bool ours = false;
    for (int i = 0; i < count; i++) {
        const struct db_statement *statement = steps[i].statement;
        bool first = !open && begins(statement);
        if (first && statement == &db_begin_read_only)
            renew(batch, i);
        if (!open && !first) {
            add_begin(batch, i);
            ours = true;
        }
        struct db_step *added = add(batch, steps[i], i, true);
        added->sync = false;
        if (first)
            add_opening(batch, i, statement == &db_begin);
        open = !ends(statement);
        batch->steps[batch->count - 1].sync = steps[i].sync;
        if (ours && (steps[i].sync || i == count - 1)) {
            add_commit(batch, i);
            ours = open = false;
        }
    }
}

/* The results, where the caller looks for them. What was sent beside a step and failed is that
 * step's failure. */
static void collect(const struct batch *batch, struct db_step *steps, int count)
{
    for (int i = 0; i < count; i++) {
        steps[i].rows = NULL;
        steps[i].tag = "";
        steps[i].error = NULL;
    }
    for (int i = 0; i < batch->count; i++) {
        const struct db_step *from = &batch->steps[i];
        struct db_step *to = &steps[batch->owners[i]];
        if (batch->own[i] && !to->error) {
            to->rows = from->rows;
            to->tag = from->tag;
        } else {
            talloc_free(from->rows);
        }
        if (from->error && !to->error)
            to->error = from->error;
        if (to->error) {
            talloc_free(to->rows);
            to->rows = NULL;
            to->tag = "";
        }
    }
}

static struct batch batch_new(struct db *db, const void *ctx, int count)
{
    /* At most what is added: BEGIN, settings, opening and COMMIT, twice. */
    size_t room = (size_t)count * 9 + 1;
    const char **params = mem_array(ctx, const char *, DB_SETTING_PARAMS);
    struct batch batch = {.db = db,
                          .steps = mem_array(ctx, struct db_step, room),
                          .owners = mem_array(ctx, int, room),
                          .own = mem_array(ctx, bool, room)};
    int n = db_setting_params(db, params, params);
    batch.settings = (struct db_step){.statement = &db->settings, .nparams = n, .params = params};
    return batch;
}

bool db_pooled_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
                     struct error *err)
{
    void *scratch = talloc_new(NULL);
    struct batch batch = batch_new(db, scratch, count);
    int first_failed = 0;
    expand(&batch, steps, count);
    bool ok = db_send_batch(db, ctx, batch.steps, batch.count, &first_failed, err);
    collect(&batch, steps, count);
    if (failed)
        *failed = first_failed < batch.count ? batch.owners[first_failed] : count;
    talloc_free(scratch);
    return ok;
}

bool db_pooled_query(struct db *db, const void *ctx, const char *sql, int nparams,
                     const char *const *params, struct db_rows **rows, struct error *err)
{
    const struct db_statement statement = {.sql = sql};
    struct db_step step = {.statement = &statement, .nparams = nparams, .params = params};
    bool ok = db_pooled_batch(db, ctx, &step, 1, NULL, err);
    if (ok && rows)
        *rows = step.rows;
    else
        talloc_free(step.rows);
    return ok;
}

static const struct db_statement *known(const char *sql)
{
    return sql == db_begin_read_only.sql ? &db_begin_read_only : sql == db_end.sql ? &db_end : NULL;
}

bool db_pooled_ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                   size_t group, struct error *err)
{
    void *scratch = talloc_new(NULL);
    struct db_statement *statements = mem_array(scratch, struct db_statement, count);
    struct db_step *steps = mem_array(scratch, struct db_step, count);
    for (size_t i = 0; i < count; i++) {
        const struct db_question *q = &questions[i];
        statements[i].sql = q->sql;
        steps[i] = (struct db_step){.statement = known(q->sql) ? known(q->sql) : &statements[i],
                                    .nparams = q->nparams,
                                    .params = q->params,
                                    .sync = (i + 1) % group == 0};
    }
    bool ok = db_pooled_batch(db, ctx, steps, (int)count, NULL, err);
    for (size_t i = 0; i < count; i++) {
        questions[i].rows = steps[i].rows;
        questions[i].error = steps[i].error;
    }
    talloc_free(scratch);
    return ok;
}
