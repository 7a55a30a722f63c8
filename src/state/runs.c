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
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/policy.h"
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

bool run_note_unfinished(struct state *state, struct report *report, struct error *err)
{
    const char *params[] = {report->policy->name};
    struct db_rows *rows;
    if (!gate_query(state->gate, report, template_fill(report, RUNS, "note_unfinished", NULL), 1,
                    params, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++)
        report_remark(report,
                      "run %s, started %s on %s, did not finish; it had deleted %s; this run goes "
                      "on from there",
                      db_rows_get(rows, i, 0), db_rows_get(rows, i, 1), db_rows_get(rows, i, 2),
                      db_rows_get(rows, i, 3));
    return true;
}

/* The policy as it is used, as YAML; NULL without one, or where it cannot be written. Owned by ctx.
 */
static char *policy_text(const void *ctx, const struct policy *policy)
{
    struct error ignored = ERROR_INIT;
    PQExpBuffer text = createPQExpBuffer();
    bool ok = policy && policy_print(policy, text, &ignored);
    char *copy = ok ? mem_strdup(ctx, text->data) : NULL;
    destroyPQExpBuffer(text);
    error_clear(&ignored);
    return copy;
}

/* Who runs this, and where. */
struct whereabouts {
    const char *user;
    char host[256];
};

static struct whereabouts find_whereabouts(void)
{
    struct passwd *user = getpwuid(geteuid());
    struct whereabouts found = {.user = user ? user->pw_name : NULL, .host = "?"};
    gethostname(found.host, sizeof found.host - 1);
    return found;
}

/* A database of another encoding than UTF-8 may have no room for a character of a text that is only
 * kept: those that are not ASCII are written as \\xNN then. */
static char *ascii_only(const void *ctx, const char *text)
{
    char *out = text ? mem_array(ctx, char, 4 * strlen(text) + 1) : NULL;
    char *w = out;
    for (const char *p = text; p && *p; p++)
        if ((unsigned char)*p < 0x80)
            *w++ = *p;
        else
            w += sprintf(w, "\\x%02x", (unsigned char)*p);
    return out;
}

/* Inserts a record; the parameters from first_text on are texts that are only kept. */
static bool insert_record(struct state *state, const void *ctx, const char *sql,
                          const char **params, int count, int first_text, struct db_rows **rows,
                          struct error *err)
{
    if (gate_query(state->gate, ctx, sql, count, params, rows, err))
        return true;
    if (!sqlstate_is(err, SQLSTATE_UNTRANSLATABLE_CHARACTER))
        return false;
    error_clear(err);
    for (int i = first_text; i < count; i++)
        params[i] = ascii_only(ctx, params[i]);
    return gate_query(state->gate, ctx, sql, count, params, rows, err);
}

void run_record_refused(struct state *state, const struct run_refusal *refusal)
{
    struct error ignored = ERROR_INIT;
    const struct error *why = refusal->why;
    struct db *db = state->db;
    void *scratch = talloc_new(db);
    struct whereabouts here = find_whereabouts();
    const struct policy *policy = refusal->policy;
    const char *params[] = {refusal->run_id,
                            refusal->name,
                            refusal->cutoff,
                            policy ? policy->retain.value : NULL,
                            here.user,
                            here.host,
                            number(scratch, getpid()),
                            PGSWEEP_VERSION,
                            error_text(scratch, why, "\n"),
                            policy_text(scratch, policy)};
    if (!db_is_lost(db)) {
        db_rollback(db);
        if (state_check(db, &ignored))
            (void)insert_record(state, scratch, template_fill(scratch, RUNS, "refuse_run", NULL),
                                params, 10, 8, NULL, &ignored);
    }
    error_clear(&ignored);
    talloc_free(scratch);
}

bool run_begin(struct state *state, struct report *report, struct error *err)
{
    void *scratch = talloc_new(report);
    struct whereabouts here = find_whereabouts();
    const char *params[] = {report->run_id,
                            report->policy->name,
                            report->plan->cutoff,
                            report->policy->retain.value,
                            here.user,
                            here.host,
                            number(scratch, getpid()),
                            PGSWEEP_VERSION,
                            report->counts.total < 0 ? NULL : number(scratch, report->counts.total),
                            report->counts.eligible < 0 ? NULL
                                                        : number(scratch, report->counts.eligible),
                            spared_json(scratch, report),
                            deleted_json(scratch, report),
                            policy_text(scratch, report->policy),
                            report->plan->relations};
    struct db_rows *rows;
    char *sql = template_fill(scratch, RUNS, "begin_run",
                              TEMPLATE_SLOTS({"marks", space_marks_sql(scratch, state->db)}));
    bool ok = insert_record(state, scratch, sql, params, 14, 12, &rows, err);
    if (ok) {
        report->started = mem_strdup(report, db_rows_get(rows, 0, 0));
        space_note_marks(report, rows, 1);
        report->recorded = true;
    }
    talloc_free(scratch);
    return ok;
}

/* The number of a node in this transaction, as SQL. */
static char *node_number(const void *ctx, int node)
{
    return mem_printf(
        ctx,
        "pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n%d', true))::pg_catalog.int8",
        node);
}

char *run_counted_sql(const void *ctx, int node, const char *rows)
{
    void *scratch = talloc_new(NULL);
    char *sql =
        template_fill(ctx, RUNS, "counted",
                      TEMPLATE_SLOTS({"rows", rows}, {"node", mem_printf(scratch, "%d", node)},
                                     {"number", node_number(scratch, node)}));
    talloc_free(scratch);
    return sql;
}

char *run_note_counters_sql(const void *ctx)
{
    return template_fill(ctx, RUNS, "note_counters", NULL);
}

char *run_count_cascaded_sql(const void *ctx, int node)
{
    char *number = mem_printf(NULL, "%d", node);
    char *sql = template_fill(ctx, RUNS, "count_cascaded", TEMPLATE_SLOTS({"node", number}));
    talloc_free(number);
    return sql;
}

char *run_assertion_sql(const void *ctx, int node)
{
    char *so_far = node_number(NULL, node);
    char *sql = template_fill(ctx, RUNS, "assert_counted", TEMPLATE_SLOTS({"number", so_far}));
    talloc_free(so_far);
    return sql;
}

char *run_assert_locked_sql(const void *ctx, int node, int locked)
{
    void *scratch = talloc_new(NULL);
    char *sql = template_fill(ctx, RUNS, "assert_locked",
                              TEMPLATE_SLOTS({"number", node_number(scratch, node)},
                                             {"locked", node_number(scratch, locked)}));
    talloc_free(scratch);
    return sql;
}

char *run_record_gone_sql(const void *ctx, int first)
{
    void *scratch = talloc_new(NULL);
    char *sql = template_fill(ctx, RUNS, "record_gone",
                              TEMPLATE_SLOTS({"run", mem_printf(scratch, "$%d", first)},
                                             {"label", mem_printf(scratch, "$%d", first + 1)},
                                             {"limit", mem_printf(scratch, "$%d", first + 2)}));
    talloc_free(scratch);
    return sql;
}

static struct db_statement statement(const void *ctx, const char *name, const char *parameters)
{
    return (struct db_statement){.name = name,
                                 .sql = template_fill(ctx, RUNS, name, NULL),
                                 .why = template_why(ctx, RUNS, name),
                                 .parameters = parameters};
}

struct db_statement run_record(const void *ctx)
{
    return statement(ctx, "record", "$1 run id, $2 tables, $3 their numbers in the plan");
}

struct db_statement run_record_counted(const void *ctx)
{
    return statement(ctx, "record_counted", "$1 run id, $2 tables, $3 rows of each");
}

/* Run id, the labels of the nodes that act, and a number of each: of rows or, where there are none,
 * its own. */
static int record_params(const void *ctx, const struct report *report, const int64_t *rows,
                         const char **params)
{
    const struct plan *plan = report->plan;
    const char **labels = mem_array(ctx, const char *, plan->node_count);
    const char **numbers = mem_array(ctx, const char *, plan->node_count);
    size_t n = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        if (!plan_acts(plan->nodes[i]))
            continue;
        labels[n] = plan->nodes[i]->label;
        numbers[n++] = number(ctx, rows ? rows[i] : (int64_t)i);
    }
    params[0] = report->run_id;
    params[1] = db_array(ctx, labels, n);
    params[2] = db_array(ctx, numbers, n);
    return RUN_RECORD_PARAMS;
}

int run_record_params(const void *ctx, const struct report *report, const char **params)
{
    return record_params(ctx, report, NULL, params);
}

int run_counted_params(const void *ctx, const struct report *report, const int64_t *rows,
                       const char **params)
{
    return record_params(ctx, report, rows, params);
}

void run_statements(struct state *state)
{
    state->commit_waits = statement(state, "commit_waits", "$1 value of synchronous_commit");
    state->touch = statement(state, "touch", "$1 run id");
}

bool run_make_durable(struct state *state, const struct report *report, struct error *err)
{
    void *scratch = talloc_new(report);
    const char *wait[] = {db_synchronous_commit(state->db)};
    const char *which[] = {report->run_id};
    /* One transaction, up to the synchronisation point. */
    struct db_step steps[] = {{.statement = &state->commit_waits, .nparams = 1, .params = wait},
                              {.statement = &state->touch, .nparams = 1, .params = which}};
    bool ok = gate_batch(state->gate, scratch, steps, 2, NULL, err);
    talloc_free(scratch);
    return ok;
}

bool run_read_back(struct state *state, const struct report *report, int64_t *chunks,
                   int64_t *deleted, struct error *err)
{
    const struct plan *plan = report->plan;
    void *scratch = talloc_new(report);
    const char **labels = mem_array(scratch, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        labels[i] = plan->nodes[i]->label;
    const char *params[] = {report->run_id, db_array(scratch, labels, plan->node_count)};
    struct db_rows *rows;
    bool ok = gate_query(state->gate, scratch, template_fill(scratch, RUNS, "read_back", NULL), 2,
                         params, &rows, err);
    if (ok && db_rows_count(rows) != (int)plan->node_count)
        ok = error_set(err, SWEEP_UNREACHABLE, "the record of run %s is gone", report->run_id);
    for (size_t i = 0; ok && i < plan->node_count; i++) {
        *chunks = db_rows_int(rows, (int)i, 0);
        deleted[i] = db_rows_int(rows, (int)i, 1);
    }
    talloc_free(scratch);
    return ok;
}

/* {"public.jobs": 1204}; NULL where it is not known. */
static char *dead_json(const void *ctx, const struct report *report)
{
    if (report_space_dead(report) < 0)
        return NULL;
    json_t *json = json_object();
    for (size_t i = 0; i < report->space.table_count; i++)
        json_object_set_new(json, report->space.tables[i].table,
                            json_integer(report->space.tables[i].dead));
    return dump(ctx, json);
}

/* {"replica_lag": 1500}: milliseconds */
static char *waited_json(const void *ctx, const struct report *report)
{
    json_t *json = json_object();
    for (int i = 0; i < REPORT_WAITS; i++)
        if (report->waited[i].ms > 0)
            json_object_set_new(json, report_wait_names[i], json_integer(report->waited[i].ms));
    return dump(ctx, json);
}

bool run_finish(struct state *state, const struct report *report, struct error *err)
{
    int64_t changed = 0;
    bool known = report_changed(report, &changed);
    void *scratch = talloc_new(report);
    const struct report_space *space = &report->space;
    const char *wal_of = report_wal_names[space->wal_of];
    const char *params[] = {report->run_id,
                            report_outcome_names[report->outcome],
                            number(scratch, report->failed),
                            number(scratch, report->left_locked),
                            report->error.message ? error_text(scratch, &report->error, "\n")
                                                  : NULL,
                            number(scratch, report->waited_ms),
                            waited_json(scratch, report),
                            wal_of ? number(scratch, space->wal_bytes) : NULL,
                            wal_of,
                            dead_json(scratch, report),
                            number(scratch, report->spared_late),
                            report->looked_up ? number(scratch, report->left) : NULL,
                            known ? number(scratch, changed > 0 ? changed : 0) : NULL,
                            known ? number(scratch, changed < 0 ? -changed : 0) : NULL};
    bool ok = gate_query(state->gate, scratch, template_fill(scratch, RUNS, "finish_run", NULL), 14,
                         params, NULL, err);
    talloc_free(scratch);
    return ok;
}
