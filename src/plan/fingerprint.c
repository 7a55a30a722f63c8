/* What a plan rests on in the catalog: its fingerprint, which each transaction compares. The plan
 * is made again when something changed while it was made. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char FILE_NAME[] = "sql/fingerprint.sql";

/* tables: an array, with partitions, and own: without them; NULL: of the whole database. */
static char *fingerprint_sql(const void *ctx, const char *tables, const char *own)
{
    static const char none[] = "'{}'::pg_catalog.oid[]";
    /* Temporary tables come and go, with their indexes and columns: of the whole database those are
     * left out. */
    return template_fill(ctx, FILE_NAME, "fingerprint",
                         TEMPLATE_SLOTS({"tables", tables}, {"of_plan", tables ? tables : none},
                                        {"own", own ? own : none}));
}

/* How many tables the plan has, each counted once. */
static size_t own_tables(const struct plan *plan)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        size_t j = 0;
        while (j < i && strcmp(plan->nodes[j]->table.oid, plan->nodes[i]->table.oid) != 0)
            j++;
        count += j == i;
    }
    return count;
}

/* The plan's tables as a parameter, the own ones first. A subquery hides how many there are:
 * PostgreSQL would plan a statement that knows it anew for each chunk. */
#define UNNESTED "SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])"

/* A single table, said to be one: it is looked up through the indexes of the catalog, which takes
 * half the time of reading a small catalog from end to end. For two tables it takes as long. */
#define SINGLE "ARRAY[(SELECT ($1::pg_catalog.oid[])[1])]"

char *plan_check_sql(const void *ctx, const struct plan *plan)
{
    bool single = strchr(plan->relations, ',') == NULL;
    const char *tables = single ? SINGLE : "ARRAY(" UNNESTED ")";
    const char *own =
        single ? SINGLE : mem_printf(ctx, "ARRAY(" UNNESTED " LIMIT %zu)", own_tables(plan));
    /* The name of a policy has nothing in it that would have to be quoted (policy_name_valid). */
    return template_fill(ctx, FILE_NAME, "check",
                         TEMPLATE_SLOTS({"fingerprint", fingerprint_sql(ctx, tables, own)},
                                        {"not", plan->obeys_letters ? "" : "NOT "},
                                        {"policy", plan->policy->name}));
}

char *plan_check_why(const void *ctx)
{
    return template_why(ctx, FILE_NAME, "check");
}

bool fingerprint_database(void *ctx, struct db *db, char **fingerprint, struct error *err)
{
    struct db_rows *rows;
    char *sql = template_fill(ctx, FILE_NAME, "read_database",
                              TEMPLATE_SLOTS({"of_database", fingerprint_sql(ctx, NULL, NULL)}));
    bool ok = db_query(db, ctx, sql, 0, NULL, &rows, err);
    if (ok)
        *fingerprint = mem_strdup(ctx, db_rows_get(rows, 0, 0));
    return ok;
}

static char *table_oids(struct plan *plan)
{
    const char **oids = mem_array(plan, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        oids[i] = plan->nodes[i]->table.oid;
    return db_array(plan, oids, plan->node_count);
}

bool fingerprint_read(struct plan *plan, struct db *db, char **of_database, struct error *err)
{
    enum { RELATIONS, PARTITIONED, OF_PLAN, OF_DATABASE };
    struct db_rows *rows;
    const char *params[] = {table_oids(plan)};
    char *sql =
        template_fill(plan, FILE_NAME, "read",
                      TEMPLATE_SLOTS({"of_plan", fingerprint_sql(plan, "ARRAY(SELECT r.oid FROM r)",
                                                                 "$1::pg_catalog.oid[]")},
                                     {"of_database", fingerprint_sql(plan, NULL, NULL)}));
    if (!db_query(db, plan, sql, 1, params, &rows, err))
        return false;
    plan->relations = mem_strdup(plan, db_rows_get(rows, 0, RELATIONS));
    plan->partitioned = db_rows_bool(rows, 0, PARTITIONED);
    plan->fingerprint = mem_strdup(plan, db_rows_get(rows, 0, OF_PLAN));
    *of_database = mem_strdup(plan, db_rows_get(rows, 0, OF_DATABASE));
    return true;
}
