/* Whose code a run executes: the path in which the names of a policy are looked up, and the state
 * schema. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

static const char TRUST[] = "sql/trust.sql";

/* How many findings a message names one by one. */
enum { NAMED_MAX = 10 };

static char *state_sql(const void *ctx)
{
    return template_fill(ctx, TRUST, "state",
                         TEMPLATE_SLOTS({"members", template_fill(ctx, TRUST, "members", NULL)}));
}

static char *path_sql(const void *ctx)
{
    return template_fill(ctx, TRUST, "path",
                         TEMPLATE_SLOTS({"members", template_fill(ctx, TRUST, "members", NULL)},
                                        {"state", state_sql(ctx)}));
}

/* The row of the schema that the policy names, as it is or in double quotes; -1: there is none. */
static int find_schema(const struct db_rows *schemas, const char *name)
{
    for (int i = 0; i < db_rows_count(schemas); i++)
        if (strcmp(db_rows_get(schemas, i, 0), name) == 0 ||
            strcmp(db_rows_get(schemas, i, 1), name) == 0)
            return i;
    return -1;
}

static bool no_schema(const void *ctx, struct db *db, const struct setting *name,
                      const struct db_rows *schemas, struct error *err)
{
    size_t count = (size_t)db_rows_count(schemas);
    const char **names = mem_array(ctx, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = db_rows_get(schemas, (int)i, 0);
    const char *nearest = text_nearest(name->value, names, count);
    error_set(err, SWEEP_USAGE, "%s: search_path: there is no schema \"%s\" in %s", name->origin,
              name->value, db_where(db));
    if (strcmp(name->value, "pg_temp") == 0)
        return error_hint(err, "Leave it out: temporary objects always come last.");
    if (nearest)
        return error_hint(err, "Did you mean \"%s\"?", nearest);
    return error_hint(err, "Name schemas of this database: search_path: [app, public].");
}

bool trust_set_path(const void *ctx, struct db *db, const struct policy *policy, struct error *err)
{
    struct db_rows *schemas;
    if (policy->search_path_count == 0)
        return true;
    void *scratch = talloc_new(ctx);
    char *path = mem_strdup(scratch, "pg_catalog");
    bool ok = db_query(db, scratch, template_fill(scratch, TRUST, "schemas", NULL), 0, NULL,
                       &schemas, err);
    for (size_t i = 0; ok && i < policy->search_path_count; i++) {
        const struct setting *name = &policy->search_path[i];
        int row = find_schema(schemas, name->value);
        if (row < 0) {
            ok = no_schema(scratch, db, name, schemas, err);
        } else if (!db_rows_bool(schemas, row, 2)) {
            error_set(err, SWEEP_USAGE, "%s: search_path: role %s may not use schema %s",
                      name->origin, db_user(db), db_rows_get(schemas, row, 1));
            ok = error_hint(err, "GRANT USAGE ON SCHEMA %s TO %s;", db_rows_get(schemas, row, 1),
                            db_quote_ident(db, scratch, db_user(db)));
        } else if (strcmp(db_rows_get(schemas, row, 0), "pg_catalog") != 0) {
            path = mem_printf(scratch, "%s, %s", path, db_rows_get(schemas, row, 1));
        }
    }
    ok = ok && db_set_search_path(db, mem_printf(scratch, "%s, pg_temp", path), err);
    talloc_free(scratch);
    return ok;
}

/* What is found about the path. */
struct findings {
    const struct db_rows *rows;
    int count; /* of the first kind: the others are for the next run */
    const char *kind, *running, *database_owner, *table_owner;
};

/* Every finding on a line of its own, as format makes it of what and role. */
static char *list(const void *ctx, const struct db_rows *rows, int count)
{
    char *text = mem_strdup(ctx, "");
    for (int i = 0; i < count && i < NAMED_MAX; i++)
        text = mem_printf(ctx, "%s%s%s of role %s", text, i ? ", " : "", db_rows_get(rows, i, 1),
                          db_rows_get(rows, i, 2));
    if (count > NAMED_MAX)
        text = mem_printf(ctx, "%s and %d more", text, count - NAMED_MAX);
    return text;
}

/* The statements that end it, to be pasted as they are. Who granted a privilege has to take it back
 * himself. */
static char *remedy(const void *ctx, const struct findings *f)
{
    char *text = mem_strdup(ctx, "");
    for (int i = 0; i < f->count; i++) {
        const char *what = db_rows_get(f->rows, i, 1);
        const char *grantor = db_rows_get(f->rows, i, 3);
        char *one = strcmp(f->kind, "owner") == 0
                        ? mem_printf(ctx, "ALTER SCHEMA %s OWNER TO %s;", what, f->database_owner)
                        : mem_printf(ctx, "%s%s%sREVOKE CREATE ON SCHEMA %s FROM %s%s;%s",
                                     grantor ? "SET ROLE " : "", grantor ? grantor : "",
                                     grantor ? "; " : "", what, db_rows_get(f->rows, i, 2),
                                     db_rows_bool(f->rows, i, 8) ? " CASCADE" : "",
                                     grantor ? " RESET ROLE;" : "");
        text = mem_printf(ctx, "%s%s%s", text, i ? " " : "", one);
    }
    return text;
}

/* PGSWEEP_JOBS_SEARCH_PATH */
static char *path_variable(const void *ctx, const struct policy *policy)
{
    return policy_variable(ctx, policy->name, "search_path");
}

static void explain(const void *ctx, const struct plan *plan, const struct findings *f,
                    struct error *err)
{
    error_detail(
        err,
        "A function or operator that another role puts there can take the place of a built-in one, "
        "and would run "
        "with the rights of role %s. Trusted are superusers, %s, %s (owner of the database), %s "
        "(owner of %s), and "
        "members of these. If the schema has to stay as it is, give the policy schemas that only "
        "they write to: "
        "search_path: [SCHEMA, ...] in its file, or %s=SCHEMA,...",
        f->running, f->running, f->database_owner, f->table_owner, plan->nodes[0]->table.label,
        path_variable(ctx, plan->policy));
}

static bool refuse_path(const void *ctx, const struct plan *plan, const struct findings *f,
                        struct error *err)
{
    const char *name = plan->policy->name, *what = db_rows_get(f->rows, 0, 1),
               *role = db_rows_get(f->rows, 0, 2);
    bool everybody = strcmp(role, "PUBLIC") == 0;
    if (strcmp(f->kind, "object") == 0) {
        error_set(err, SWEEP_REFUSED,
                  "policy %s looks its names up where a role without trust has put something: %s",
                  name, list(ctx, f->rows, f->count));
        explain(ctx, plan, f, err);
        return error_hint(err,
                          "Read what it does. To keep it: ALTER %s OWNER TO %s; else: DROP %s;",
                          what, f->database_owner, what);
    }
    if (strcmp(f->kind, "owner") == 0)
        error_set(err, SWEEP_REFUSED,
                  "policy %s looks its names up in schema %s, which belongs to role %s", name, what,
                  role);
    else
        error_set(err, SWEEP_REFUSED,
                  "policy %s looks its names up in schema %s, where %s%s may create objects", name,
                  what, everybody ? "every role" : "role ", everybody ? "" : role);
    explain(ctx, plan, f, err);
    return error_hint(err, "%s", remedy(ctx, f));
}

bool trust_check_path(struct plan *plan, struct db *db, struct error *err)
{
    struct db_rows *rows;
    struct findings f = {.count = 0};
    const char *params[] = {plan->nodes[0]->table.oid};
    void *scratch = talloc_new(plan);
    bool ok = db_query(db, scratch, path_sql(scratch), 1, params, &rows, err);
    if (ok) {
        plan->superuser = db_rows_bool(rows, 0, 5);
        plan->role = mem_strdup(plan, db_rows_get(rows, 0, 4));
        f = (struct findings){.rows = rows,
                              .kind = db_rows_get(rows, 0, 0),
                              .running = plan->role,
                              .database_owner = db_rows_get(rows, 0, 6),
                              .table_owner = db_rows_get(rows, 0, 7)};
        while (f.kind && f.count < db_rows_count(rows) &&
               strcmp(db_rows_get(rows, f.count, 0), f.kind) == 0)
            f.count++;
        ok = (!f.kind || refuse_path(scratch, plan, &f, err)) &&
             (!db_rows_bool(rows, 0, 9) || trust_check_state(db, err));
    }
    talloc_free(scratch);
    return ok;
}

bool trust_check_state(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool ok = db_query(db, scratch, state_sql(scratch), 0, NULL, &rows, err);
    int count = ok ? db_rows_count(rows) : 0;
    if (count > 0) {
        const char *running = db_rows_get(rows, 0, 2);
        char *text = mem_strdup(scratch, "");
        for (int i = 0; i < count && i < NAMED_MAX; i++)
            text = mem_printf(scratch, "%s%s%s%s%s", text, i ? ", " : "", db_rows_get(rows, i, 0),
                              db_rows_get(rows, i, 1) ? " of role " : "",
                              db_rows_get(rows, i, 1) ? db_rows_get(rows, i, 1) : "");
        if (count > NAMED_MAX)
            text = mem_printf(scratch, "%s and %d more", text, count - NAMED_MAX);
        error_set(err, SWEEP_REFUSED,
                  "the state schema \"pgsweep\" in %s holds what role %s does not trust: %s",
                  db_where(db), running, text);
        error_detail(
            err,
            "A trigger, rule or default there would run with the rights of role %s. It trusts "
            "superusers%s.",
            running,
            db_rows_bool(rows, 0, 3)
                ? " alone, being one"
                : ", itself, the roles that it is a member of, and the owner of the database");
        ok = error_hint(
            err,
            "If that role set the schema up in good faith, run pgsweep as that role, or as one "
            "that is "
            "no superuser "
            "(\"pgsweep grants POLICY\" prints the rights that it needs). If nobody here knows it: "
            "DROP SCHEMA pgsweep CASCADE; and \"pgsweep init\".");
    }
    talloc_free(scratch);
    return ok;
}
