/* Connections through a pooler. Each transaction may get another session of the server, and other
 * clients use that session in between: pgsweep must leave nothing in it and cannot rely on anything
 * in it. So every statement runs in a transaction that begins with all settings, for this
 * transaction only; statements have no names. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SESSION[] = "sql/session.sql";

/* Settings of the role that another client of the pooler may have changed, apart from those that
 * "set_up" pins to one value for all roles. */
static const char *const role_settings[] = {
    "role",       "search_path", "synchronous_commit", "default_text_search_config", "lc_monetary",
    "lc_numeric", "lc_time"};
enum { ROLE_SETTINGS = sizeof role_settings / sizeof *role_settings };

/* How often the opening is sent while no transaction writes. */
enum { OPENING_DUE_MS = 2 * 1000 };

/* The port of our end of a TCP connection; -1: it is a local socket; 0: unknown. */
static int local_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    switch (address.ss_family) {
    case AF_UNIX:
        return -1;
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)&address)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    default:
        return 0;
    }
}

/* There is no pooler in between if the server sees our own address and port as its client's. (A
 * pooler may forward the number of a server process, but its ports differ.) Something that changes
 * ports without pooling (a tunnel, address translation) is treated as a pooler, which costs only
 * some speed. */
bool db_session_is_own(const struct db *db, const struct db_rows *answer)
{
    enum { PID, CLIENT_PORT, SERVER_PORT };
    int port = local_port(PQsocket(db->conn));
    bool local = !db_rows_get(answer, 0, CLIENT_PORT) || db_rows_int(answer, 0, CLIENT_PORT) < 0;
    if (db_rows_int(answer, 0, PID) != PQbackendPID(db->conn))
        return false;
    if (port < 0)
        return local && PQport(db->conn) &&
               strcmp(PQport(db->conn), db_rows_get(answer, 0, SERVER_PORT)) == 0;
    return port > 0 && !local && db_rows_int(answer, 0, CLIENT_PORT) == port;
}

bool db_is_pooled(const struct db *db)
{
    return db->pooled;
}

bool db_needs_settings(const struct db *db)
{
    return db->pooled && !db_in_transaction(db);
}

void db_set_opening(struct db *db, const struct db_step *opening)
{
    db->opening = opening ? *opening : (struct db_step){.statement = NULL};
    db->opened_ms = clock_now_ms();
}

bool db_keep_open(struct db *db, struct error *err)
{
    struct db_step step = {.statement = &db_begin};
    struct db_step end = {.statement = &db_commit};
    if (!db->pooled || !db->opening.statement || db_is_lost(db) || db_in_transaction(db) ||
        clock_now_ms() - db->opened_ms < OPENING_DUE_MS)
        return true;
    void *scratch = talloc_new(db);
    step.sync = true;
    struct db_step steps[] = {step, end};
    bool ok = db_batch(db, scratch, steps, 2, NULL, err);
    talloc_free(scratch);
    return ok;
}

/* A batch with everything that has to be sent in addition to its steps. */
struct batch {
    struct db *db;
    struct db_step *steps;
    int *owners; /* the caller's step that each one belongs to */
    bool *own;   /* it is the caller's step itself */
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

/* Adds the settings after a BEGIN, and the opening if the transaction may write. */
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

/* COMMIT comes after a synchronisation point, so that it is never skipped. */
static void add_commit(struct batch *batch, int owner)
{
    batch->steps[batch->count - 1].sync = true;
    add(batch, (struct db_step){.statement = &db_commit, .sync = true}, owner, false);
}

/* Sends the opening in a transaction of its own if it is due: transactions that only read do not
 * send it. */
static void renew(struct batch *batch, int owner)
{
    if (!batch->db->opening.statement || clock_now_ms() - batch->db->opened_ms < OPENING_DUE_MS)
        return;
    add_begin(batch, owner);
    add_commit(batch, owner);
}

/* Steps outside a transaction, up to a synchronisation point, become a transaction: they get a
 * BEGIN and a COMMIT. */
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

/* Copies the results to the caller's steps. If something that was sent in addition to a step
 * failed, the step failed. */
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
    /* At most this is added to a step: BEGIN, settings, opening and COMMIT, twice. */
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

static bool no_transactions(const struct db *db, struct error *err)
{
    error_clear(err);
    error_set(err, SWEEP_USAGE,
              "the pooler in front of %s pools statements: it allows no transactions", db->where);
    return error_hint(err, "Nothing was touched. Connect to the server itself, or to a pool with "
                           "pool_mode = transaction or session.");
}

/* Reads the settings of the role, whatever other clients have set; the transaction stays open. */
static bool read_defaults(struct db *db, void *scratch, struct error *err)
{
    struct db_statement defaults[ROLE_SETTINGS];
    struct db_statement path = {.sql = template_fill(scratch, SESSION, "read_defaults", NULL)};
    struct db_statement shared = {.sql = template_fill(scratch, SESSION, "shared_defaults", NULL)};
    struct db_statement patient = {.sql = template_fill(scratch, SESSION, "patient", NULL)};
    struct db_step steps[ROLE_SETTINGS + 4] = {{.statement = &db_begin_read_only},
                                               {.statement = &patient}};
    int n = 2;
    for (int i = 0; i < ROLE_SETTINGS; i++) {
        defaults[i] = (struct db_statement){
            .sql = template_fill(scratch, SESSION, "role_default",
                                 TEMPLATE_SLOTS({"setting", role_settings[i]}))};
        steps[n++] = (struct db_step){.statement = &defaults[i]};
    }
    steps[n++] = (struct db_step){.statement = &path};
    steps[n++] = (struct db_step){.statement = &shared};
    if (!db_send_batch(db, scratch, steps, n, NULL, err))
        return err->message && strstr(err->message, "statement pooling") ? no_transactions(db, err)
                                                                         : false;
    if (db->search_path)
        return true;
    db->search_path = mem_strdup(db, db_rows_get(steps[n - 2].rows, 0, 0));
    db->synchronous_commit = mem_strdup(db, db_rows_get(steps[n - 2].rows, 0, 1));
    db->role = mem_strdup(db, db_rows_get(steps[n - 1].rows, 0, 0));
    for (int i = 0; i < DB_LOCALE_SETTINGS; i++)
        db->locale[i] = mem_strdup(db, db_rows_get(steps[n - 1].rows, 0, i + 1));
    return true;
}

/* Whether we are still in the transaction that the previous statement began. */
static bool check_transaction(struct db *db, void *scratch, struct error *err)
{
    struct db_rows *rows;
    if (!db_in_transaction(db))
        return no_transactions(db, err);
    char *sql = template_fill(scratch, SESSION, "in_transaction", NULL);
    return db_query(db, scratch, sql, 0, NULL, &rows, err) &&
           (db_rows_bool(rows, 0, 0) || no_transactions(db, err));
}

bool db_pooled_setup(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    bool ok = read_defaults(db, scratch, err) && check_transaction(db, scratch, err);
    db_rollback(db);
    talloc_free((void *)db->settings.sql);
    char *shared = template_fill(scratch, SESSION, "shared", NULL);
    db->settings = (struct db_statement){
        .name = "settings",
        .sql = template_fill(db, SESSION, "set_up",
                             TEMPLATE_SLOTS({"transaction", "true"}, {"shared", shared}))};
    /* Find out whether the role may change all the settings. */
    struct db_step empty[] = {{.statement = &db_begin_read_only, .sync = true},
                              {.statement = &db_end}};
    ok = ok && db_pooled_batch(db, scratch, empty, 2, NULL, err);
    if (!ok && strcmp(err->sqlstate, "42501") == 0 && err->message &&
        strstr(err->message, "session_replication_role"))
        ok = db_refuse_replica(db, err);
    talloc_free(scratch);
    return ok;
}
