/* The record of a run in pgsweep.runs. */
#define _GNU_SOURCE
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char RUNS[] = "sql/runs.sql";

char *run_new_id(const void *ctx)
{
    char now[32];
    struct tm tm;
    time_t seconds = time(NULL);
    uint32_t noise = 0;
    if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        noise = (uint32_t)getpid();
    gmtime_r(&seconds, &tm);
    strftime(now, sizeof now, "%Y%m%dT%H%M%S", &tm);
    return mem_printf(ctx, "%s-%08x", now, (unsigned)noise);
}

static char *dump(const void *ctx, json_t *json)
{
    char *text = mem_check(json_dumps(json, JSON_COMPACT));
    char *copy = mem_strdup(ctx, text);
    free(text);
    json_decref(json);
    return copy;
}

/* {"public.jobs": 0, ...} */
static char *deleted_json(const void *ctx, const struct report *report)
{
    json_t *json = json_object();
    for (size_t i = 0; i < report->plan->node_count; i++) {
        const struct plan_node *node = report->plan->nodes[i];
        if (plan_acts(node))
            json_object_set_new(json, node->label, json_integer(report->deleted[i]));
    }
    return dump(ctx, json);
}

static char *spared_json(const void *ctx, const struct report *report)
{
    json_t *json = json_array();
    for (size_t i = 0; i < report->counts.spared_count; i++) {
        const struct plan_spared *spared = &report->counts.spared[i];
        json_array_append_new(json, json_pack("{s:s, s:s?, s:I}", "guard", spared->guard, "label",
                                              spared->label, "rows", (json_int_t)spared->rows));
    }
    return dump(ctx, json);
}

static char *number(const void *ctx, int64_t n)
{
    return mem_printf(ctx, "%lld", (long long)n);
}

bool run_note_unfinished(struct effects *effects, struct report *report, struct error *err)
{
    const char *params[] = {report->policy->name};
    struct db_rows *rows;
    if (!effects_query(effects, report, template_fill(report, RUNS, "note_unfinished", NULL), 1, params, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++)
        report_remark(report, "run %s, started %s on %s, did not finish; it had deleted %s; this run goes on from there",
                      db_rows_get(rows, i, 0), db_rows_get(rows, i, 1), db_rows_get(rows, i, 2),
                      db_rows_get(rows, i, 3));
    return true;
}

bool run_begin(struct effects *effects, struct report *report, struct error *err)
{
    static const char sql[] =
        "INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, cutoff, retain, role, os_user, host,"
        "                          pid, version, total, eligible, spared, deleted)"
        " VALUES ($1, $2, 'live', 'running', $3::pg_catalog.timestamptz, $4, session_user, $5, $6,"
        "         $7::pg_catalog.int4, $8, $9::pg_catalog.int8, $10::pg_catalog.int8,"
        "         $11::pg_catalog.jsonb, $12::pg_catalog.jsonb)"
        " RETURNING started";
    void *scratch = talloc_new(report);
    char host[256] = "?";
    struct passwd *user = getpwuid(geteuid());
    gethostname(host, sizeof host - 1);
    const char *params[] = {
        report->run_id, report->policy->name, report->plan->cutoff, report->policy->retain.value,
        user ? user->pw_name : NULL, host, number(scratch, getpid()), PGSWEEP_VERSION,
        report->counts.total < 0 ? NULL : number(scratch, report->counts.total),
        report->counts.eligible < 0 ? NULL : number(scratch, report->counts.eligible), spared_json(scratch, report),
        deleted_json(scratch, report)};
    struct db_rows *rows;
    bool ok = effects_query(effects, scratch, sql, 12, params, &rows, err);
    if (ok) {
        report->started = mem_strdup(report, db_rows_get(rows, 0, 0));
        report->recorded = true;
    }
    talloc_free(scratch);
    return ok;
}

/* The number of a node in this transaction. */
static void append_number(PQExpBuffer out, int node)
{
    appendPQExpBuffer(out, "coalesce(nullif(pg_catalog.current_setting('pgsweep.n%d', true), ''), '0')"
                           "::pg_catalog.int8", node);
}

void run_append_counted(PQExpBuffer out, int node, const char *rows)
{
    void *scratch = talloc_new(NULL);
    PQExpBuffer so_far = createPQExpBuffer();
    append_number(so_far, node);
    appendPQExpBufferStr(out, template_fill(scratch, RUNS, "counted",
                                            TEMPLATE_SLOTS({"rows", rows}, {"node", mem_printf(scratch, "%d", node)},
                                                           {"number", buffer_take(scratch, so_far)})));
    talloc_free(scratch);
}

void run_append_assertion(PQExpBuffer out, int node)
{
    /* The cast of a text that is no number is the plainest way to fail in SQL. */
    appendPQExpBufferStr(out, "SELECT CASE WHEN ");
    append_number(out, node);
    appendPQExpBufferStr(out, " = $1::pg_catalog.int8 THEN 0 ELSE ('only ' || ");
    append_number(out, node);
    appendPQExpBufferStr(out, " || ' rows')::pg_catalog.int4 END");
}

void run_append_record(PQExpBuffer out, const struct plan *plan)
{
    int param = 2;
    appendPQExpBufferStr(out, "UPDATE pgsweep.runs SET chunks = chunks + 1,"
                              " last_chunk = pg_catalog.clock_timestamp(),"
                              " deleted = deleted || pg_catalog.jsonb_build_object(");
    for (size_t i = 0; i < plan->node_count; i++) {
        if (!plan_acts(plan->nodes[i]))
            continue;
        appendPQExpBuffer(out, "%s$%d::pg_catalog.text, coalesce((deleted ->> $%d)::pg_catalog.int8, 0) + ",
                          param > 2 ? ", " : "", param, param);
        append_number(out, (int)i);
        param++;
    }
    appendPQExpBufferStr(out, ") WHERE run_id = $1");
}

int run_record_params(const struct report *report, const char **params)
{
    int n = 0;
    params[n++] = report->run_id;
    for (size_t i = 0; i < report->plan->node_count; i++)
        if (plan_acts(report->plan->nodes[i]))
            params[n++] = report->plan->nodes[i]->label;
    return n;
}

void run_append_record_gone(PQExpBuffer out, int first)
{
    appendPQExpBuffer(out,
                      "UPDATE pgsweep.runs AS r SET chunks = chunks + 1,"
                      " last_chunk = pg_catalog.clock_timestamp(),"
                      " deleted = pg_catalog.jsonb_build_object($%d::pg_catalog.text,"
                      " coalesce((r.deleted ->> $%d)::pg_catalog.int8, 0)"
                      " + (SELECT pg_catalog.count(*) FROM gone)) WHERE r.run_id = $%d",
                      first + 1, first + 1, first);
}

void run_append_record_counted(PQExpBuffer out)
{
    appendPQExpBufferStr(out, "UPDATE pgsweep.runs SET chunks = chunks + 1,"
                              " last_chunk = pg_catalog.clock_timestamp(),"
                              " deleted = pg_catalog.jsonb_build_object($2::pg_catalog.text,"
                              " coalesce((deleted ->> $2)::pg_catalog.int8, 0) + $3::pg_catalog.int8)"
                              " WHERE run_id = $1");
}

void run_append_numbers(PQExpBuffer out, const struct plan *plan)
{
    int param = 1;
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan_acts(plan->nodes[i])) {
            appendPQExpBuffer(out, "%spg_catalog.set_config('pgsweep.n%zu', $%d, true)",
                              param > 1 ? ", " : "SELECT ", i, param);
            param++;
        }
}

int run_number_params(const void *ctx, const struct plan *plan, const int64_t *numbers, const char **params)
{
    int n = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan_acts(plan->nodes[i]))
            params[n++] = number(ctx, numbers[i]);
    return n;
}

bool run_make_durable(struct effects *effects, const struct report *report, struct error *err)
{
    static const struct db_statement set = {
        "commit_waits", "SELECT pg_catalog.set_config('synchronous_commit', $1, false)"};
    static const struct db_statement touch = {
        "run_touch", "UPDATE pgsweep.runs SET last_chunk = pg_catalog.clock_timestamp() WHERE run_id = $1"};
    void *scratch = talloc_new(report);
    const char *wait[] = {db_synchronous_commit(effects->db)};
    const char *off[] = {db_is_async(effects->db) ? "off" : wait[0]};
    const char *which[] = {report->run_id};
    /* The first two are one transaction by themselves, up to the synchronisation point. */
    struct db_step steps[] = {{.statement = &set, .nparams = 1, .params = wait},
                              {.statement = &touch, .nparams = 1, .params = which, .sync = true},
                              {.statement = &set, .nparams = 1, .params = off, .sync = true}};
    bool ok = effects_batch(effects, scratch, steps, 3, NULL, err);
    talloc_free(scratch);
    return ok;
}

bool run_read_back(struct effects *effects, const struct report *report, int64_t *chunks,
                   int64_t *deleted, struct error *err)
{
    /* FOR UPDATE waits for a transaction of the lost session that is still about to end. */
    static const char sql[] = "SELECT chunks FROM pgsweep.runs WHERE run_id = $1 FOR UPDATE";
    static const char by_table[] =
        "SELECT (deleted ->> $2)::pg_catalog.int8 FROM pgsweep.runs WHERE run_id = $1";
    void *scratch = talloc_new(report);
    const char *params[] = {report->run_id, NULL};
    struct db_rows *rows;
    bool ok = effects_query(effects, scratch, sql, 1, params, &rows, err);
    if (ok && db_rows_count(rows) != 1)
        ok = error_set(err, SWEEP_UNREACHABLE, "the record of run %s is gone", report->run_id);
    if (ok)
        *chunks = db_rows_int(rows, 0, 0);
    for (size_t i = 0; ok && i < report->plan->node_count; i++) {
        params[1] = report->plan->nodes[i]->label;
        ok = db_query(effects->db, scratch, by_table, 2, params, &rows, err);
        if (ok)
            deleted[i] = db_rows_int(rows, 0, 0);
    }
    talloc_free(scratch);
    return ok;
}

bool run_finish(struct effects *effects, const struct report *report, struct error *err)
{
    static const char sql[] =
        "UPDATE pgsweep.runs SET outcome = $2, finished = pg_catalog.clock_timestamp(),"
        " failed = $3::pg_catalog.int8, left_locked = $4::pg_catalog.int8, error = $5"
        " WHERE run_id = $1";
    void *scratch = talloc_new(report);
    const char *params[] = {report->run_id, report_outcome_names[report->outcome],
                            number(scratch, report->failed), number(scratch, report->left_locked),
                            report->error.message};
    bool ok = effects_query(effects, scratch, sql, 5, params, NULL, err);
    talloc_free(scratch);
    return ok;
}
