/* One look at what a run has to wait for: files, and the database in one round trip. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"
#include "throttle.h"

static const char THROTTLE[] = "sql/throttle.sql";

/* How long the policy's own condition may take. */
enum { OWN_TIMEOUT_MS = 5000 };

static char *number(const void *ctx, int64_t n)
{
    return mem_printf(ctx, "%lld", (long long)n);
}

static void add_part(PQExpBuffer parts, char *sql)
{
    appendPQExpBuffer(parts, "%s(\n", parts->len > 0 ? "\n UNION ALL\n" : "");
    template_append(parts, sql, 0);
    appendPQExpBufferStr(parts, "\n)");
}

static void add(PQExpBuffer parts, const void *ctx, const char *name)
{
    add_part(parts, template_fill(ctx, THROTTLE, name, NULL));
}

static void add_hidden_sessions(PQExpBuffer parts, const void *ctx, const char *key)
{
    add_part(parts, template_fill(ctx, THROTTLE, "hidden_sessions", TEMPLATE_SLOTS({"key", key})));
}

/* Where a version of the server keeps its numbers about checkpoints (manual: "The Cumulative
 * Statistics System", pg_stat_bgwriter and, since 17, pg_stat_checkpointer). */
static void add_checkpoints(PQExpBuffer parts, const void *ctx, int version)
{
    const struct template_slot old[] = {
        {"view", "pg_catalog.pg_stat_bgwriter"}, {"requested", "c.checkpoints_req"},
        {"written", "c.buffers_checkpoint"},     {"write_time", "c.checkpoint_write_time"},
        {"sync_time", "c.checkpoint_sync_time"}, {NULL, NULL}};
    const struct template_slot since_17[] = {{"view", "pg_catalog.pg_stat_checkpointer"},
                                             {"requested", "c.num_requested"},
                                             {"written", "c.buffers_written"},
                                             {"write_time", "c.write_time"},
                                             {"sync_time", "c.sync_time"},
                                             {NULL, NULL}};
    add_part(parts,
             template_fill(ctx, THROTTLE, "checkpoints", version >= 170000 ? since_17 : old));
}

static void take_limit(struct throttle_look *look, struct policy_limit limit, int by_time,
                       int by_other)
{
    if (limit.unit == LIMIT_TIME)
        look->params[by_time] = number(look, limit.value);
    else if (limit.unit != LIMIT_NONE)
        look->params[by_other] = number(look, limit.value);
}

/* Numbers of parameters of the statement, less one. */
enum { LAG_MS, LAG_BYTES, SLOT, IGNORED, SESSIONS, AGE_MS, AGE_XIDS, TABLES, OPENS, CLOSES, ZONE };

static void add_loads(struct throttle_look *look, PQExpBuffer parts, int version)
{
    const struct policy_throttle *t = &look->policy->throttle;
    const struct policy_limit lag =
        policy_limit(&t->replica_lag, LIMIT_TIME | LIMIT_BYTES, POLICY_REPLICA_LAG);
    const struct policy_limit slot = policy_limit(&t->slot_wal, LIMIT_BYTES, POLICY_LIMIT_NONE);
    const struct policy_limit sessions =
        policy_limit(&t->active_sessions, LIMIT_NUMBER, POLICY_LIMIT_NONE);
    const struct policy_limit age =
        policy_limit(&t->snapshot_age, LIMIT_TIME | LIMIT_NUMBER, POLICY_LIMIT_NONE);
    take_limit(look, lag, LAG_MS, LAG_BYTES);
    take_limit(look, slot, SLOT, SLOT);
    take_limit(look, sessions, SESSIONS, SESSIONS);
    take_limit(look, age, AGE_MS, AGE_XIDS);
    if (lag.unit != LIMIT_NONE) {
        add(parts, look, "replica_lag");
        add(parts, look, "hidden_replicas");
    }
    if (slot.unit != LIMIT_NONE)
        add_part(parts, template_fill(look, THROTTLE, "slot_wal",
                                      TEMPLATE_SLOTS({"status", version >= 130000
                                                                    ? "r.wal_status"
                                                                    : "NULL::pg_catalog.text"})));
    if (t->lock_waiters == LOCK_WAITERS_GIVE_WAY)
        add(parts, look, "lock_waiters");
    if (sessions.unit != LIMIT_NONE) {
        add(parts, look, "active_sessions");
        add_hidden_sessions(parts, look, "active_sessions");
    }
    if (age.unit != LIMIT_NONE)
        add(parts, look, "snapshot_age");
    if (age.unit == LIMIT_TIME)
        add_hidden_sessions(parts, look, "snapshot_age");
    if (t->autovacuum == PRESSURE_WAIT)
        add(parts, look, "autovacuum");
    if (t->checkpoints == PRESSURE_WAIT)
        add_checkpoints(parts, look, version);
}

static void add_window(struct throttle_look *look, PQExpBuffer parts)
{
    const struct setting *setting = &look->policy->throttle.window;
    struct policy_window window;
    if (!setting->value || !policy_window_read(setting->value, &window))
        return;
    look->params[OPENS] = mem_strdup(look, window.from);
    look->params[CLOSES] = mem_strdup(look, window.to);
    look->params[ZONE] = mem_strdup(look, window.zone);
    add(parts, look, "window");
}

static char *own_sql(const void *ctx, const struct policy *policy)
{
    if (!policy->throttle.wait_while.value)
        return NULL;
    PQExpBuffer text = createPQExpBuffer();
    condition_append(text, policy->throttle.wait_while.value, NULL, 0);
    return template_fill(ctx, THROTTLE, "own",
                         TEMPLATE_SLOTS({"condition", buffer_take(ctx, text)}));
}

void throttle_look_at_plan(struct throttle_look *look, const struct plan *plan)
{
    const char **tables = mem_array(look, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        tables[i] = plan->nodes[i]->table.oid;
    look->params[TABLES] = db_array(look, tables, plan->node_count);
}

struct throttle_look *throttle_look_new(const void *ctx, const struct policy *policy,
                                        const struct plan *plan, int server_version)
{
    struct throttle_look *look = mem_new(ctx, struct throttle_look);
    PQExpBuffer parts = createPQExpBuffer();
    const struct policy_throttle *t = &policy->throttle;
    const char **names = mem_array(look, const char *, t->ignore_replica_count + 1);
    look->policy = policy;
    for (size_t i = 0; i < t->ignore_replica_count; i++)
        names[i] = t->ignore_replicas[i].value;
    look->params[IGNORED] = db_array(look, names, t->ignore_replica_count);
    if (plan) {
        throttle_look_at_plan(look, plan);
        add_loads(look, parts, server_version);
        look->own = own_sql(look, policy);
    }
    add_window(look, parts);
    char *text = buffer_take(look, parts);
    if (*text)
        look->statement = (struct db_statement){
            .name = "throttle",
            .sql = template_fill(look, THROTTLE, "look", TEMPLATE_SLOTS({"parts", text})),
            .why = template_why(look, THROTTLE, "look")};
    return look;
}

static int find_wait(const char *reason)
{
    int i = 0;
    while (report_wait_names[i] && strcmp(report_wait_names[i], reason) != 0)
        i++;
    return i;
}

static void note_hidden(struct db *db, struct report *report, const char *what)
{
    if (!report)
        return;
    char *role = db_quote_ident(db, NULL, db_user(db));
    report_remark(report,
                  "role %s may not see %s: the run does not wait for it (GRANT pg_read_all_stats "
                  "TO %s)",
                  role, what, role);
    talloc_free(role);
}

static void take_rows(struct db *db, const struct db_rows *rows, struct report *report,
                      struct throttle_found *found)
{
    for (int i = 0; i < db_rows_count(rows); i++) {
        const char *reason = db_rows_get(rows, i, 0);
        const char *what = db_rows_get(rows, i, 1);
        int wait = find_wait(reason);
        if (strcmp(reason, "hidden") == 0) {
            note_hidden(db, report, what);
        } else if (strcmp(reason, "window") == 0) {
            found->limit = "window";
            found->detail = what;
        } else if (wait == WAIT_CHECKPOINTS) {
            found->checkpoints = (struct checkpoints){
                true, db_rows_int(rows, i, 2), db_rows_int(rows, i, 3), db_rows_int(rows, i, 4)};
        } else {
            found->waits[wait] = what;
        }
    }
}

/* A role may have been shut out of the views that everybody may read otherwise. That is no reason
 * not to run. */
static bool is_shut_out(const struct error *err)
{
    return sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE);
}

static bool ask(const struct throttle_look *look, struct db *db, const void *ctx,
                struct db_rows **rows, struct error *err)
{
    return db_execute(db, ctx, &look->statement, (int)(sizeof look->params / sizeof *look->params),
                      look->params, rows, err);
}

/* The policy's own condition; true, with what holds in found. */
static bool ask_own(const struct throttle_look *look, struct db *db, const void *ctx,
                    struct throttle_found *found, struct error *err)
{
    const struct setting *own = &look->policy->throttle.wait_while;
    struct db_question question = {.sql = look->own};
    if (!db_ask_one_state(db, ctx, &question, 1, OWN_TIMEOUT_MS, err)) {
        if (!db_is_lost(db))
            error_prefix(err, "%s: wait_while", own->origin);
        return false;
    }
    if (db_rows_bool(question.rows, 0, 0))
        found->waits[WAIT_CONDITION] = own->value;
    return true;
}

/* What cannot be looked at counts as there: a file that is to stop a run must not fail to. */
static bool exists(const struct setting *file)
{
    struct stat status;
    return file->value &&
           (lstat(file->value, &status) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

static void look_at_stop_file(const struct throttle_look *look, struct throttle_found *found)
{
    const struct setting *file = &look->policy->throttle.stop_file;
    if (!exists(file))
        return;
    found->limit = "stop-file";
    found->detail = file->value;
}

static bool explain_zone(const struct db *db, const struct setting *window, struct error *err)
{
    if (db_is_lost(db) || !sqlstate_is(err, SQLSTATE_INVALID_PARAMETER_VALUE))
        return false;
    error_prefix(err, "%s: window", window->origin);
    return error_hint(err, "The view pg_timezone_names lists the time zones.");
}

bool throttle_look_once(const struct throttle_look *look, struct db *db, const void *ctx,
                        struct throttle_found *found, struct error *err)
{
    const struct setting *window = &look->policy->throttle.window;
    struct db_rows *rows;
    *found = (struct throttle_found){.limit = NULL};
    if (look->statement.sql) {
        if (!db_query(db, ctx, look->statement.sql,
                      (int)(sizeof look->params / sizeof *look->params), look->params, &rows, err))
            return explain_zone(db, window, err);
        take_rows(db, rows, NULL, found);
    }
    look_at_stop_file(look, found);
    return true;
}

bool throttle_look(const struct throttle_look *look, struct db *db, const void *ctx,
                   struct report *report, struct throttle_found *found, struct error *err)
{
    const struct policy_throttle *t = &look->policy->throttle;
    struct db_rows *rows = NULL;
    *found = (struct throttle_found){.limit = NULL};
    if (look->statement.sql && !ask(look, db, ctx, &rows, err)) {
        if (!is_shut_out(err))
            return false;
        note_hidden(db, report, err->message);
        error_clear(err);
    }
    if (rows)
        take_rows(db, rows, report, found);
    if (look->own && !ask_own(look, db, ctx, found, err))
        return false;
    if (exists(&t->pause_file))
        found->waits[WAIT_PAUSE_FILE] = t->pause_file.value;
    look_at_stop_file(look, found);
    return true;
}
