/* The cutoff: taken once, from the database's clock, or given by hand and checked. */
#include <string.h>

#include "internal.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"

/* Oids of the types that an age column may have; they never change (pg_type.dat). */
enum { TYPE_DATE = 1082, TYPE_TIMESTAMP = 1114, TYPE_TIMESTAMPTZ = 1184 };

static bool wrong_cutoff(const struct db_rows *rows, const struct policy *policy,
                         const char *by_hand, struct error *err)
{
    const char *youngest = db_rows_get(rows, 0, 7);
    if (!db_rows_bool(rows, 0, 3)) {
        error_set(err, SWEEP_USAGE, "%s: the retention \"%s\" is not longer than nothing",
                  policy->retain.origin, policy->retain.value);
        return error_hint(err, "A retention is a positive interval with a unit, such as \"30 days\".");
    }
    if (!by_hand)
        return true;
    if (!db_rows_bool(rows, 0, 6))
        return error_set(err, SWEEP_USAGE, "option --cutoff: \"%s\" is not a point in time", by_hand);
    if (db_rows_bool(rows, 0, 4))
        error_set(err, SWEEP_USAGE, "option --cutoff: %s lies in the future", db_rows_get(rows, 0, 0));
    else if (db_rows_bool(rows, 0, 5))
        error_set(err, SWEEP_USAGE, "option --cutoff: %s is younger than the retention (%s) allows",
                  db_rows_get(rows, 0, 0), policy->retain.value);
    else
        return true;
    return error_hint(err, "The youngest cutoff possible now is %s.", youngest);
}

/* By itself, so that what is wrong with it cannot be taken for a fault of the retention. */
static bool check_by_hand(struct db *db, const char *by_hand, struct error *err)
{
    return db_query(db, db, "SELECT $1::pg_catalog.timestamptz", 1, &by_hand, NULL, err) ||
           error_prefix(err, "option --cutoff");
}

bool cutoff_build(struct plan *plan, struct db *db, const char *by_hand, struct error *err)
{
    const struct policy *policy = plan->policy;
    const char *params[] = {policy->retain.value, by_hand, policy->time_zone.value};
    struct db_rows *rows;
    if (by_hand && !check_by_hand(db, by_hand, err))
        return false;
    if (!db_query(db, plan, embedded_text("sql/cutoff.sql"), 3, params, &rows, err)) {
        /* invalid_parameter_value: the zone is not known */
        if (strcmp(err->sqlstate, "22023") == 0)
            return error_prefix(err, "%s: time_zone", policy->time_zone.origin);
        if (strncmp(err->sqlstate, "22", 2) == 0)
            return error_prefix(err, "%s: retain", policy->retain.origin);
        return false;
    }
    if (!wrong_cutoff(rows, policy, by_hand, err))
        return false;
    plan->cutoff = db_rows_get(rows, 0, 0);
    if (plan->age->base_type == TYPE_TIMESTAMPTZ)
        plan->cutoff_value = plan->cutoff;
    else if (plan->age->base_type == TYPE_TIMESTAMP)
        plan->cutoff_value = db_rows_get(rows, 0, 1);
    else if (plan->age->base_type == TYPE_DATE)
        /* A date goes when the whole of it lies before the cutoff. */
        plan->cutoff_value = db_rows_get(rows, 0, 2);
    else
        return error_set(err, SWEEP_USAGE,
                         "%s: column %s of %s is of type %s; an age is a timestamp, a timestamp with "
                         "time zone or a date",
                         policy->age.origin, plan->age->name, plan->nodes[0]->table.label,
                         plan->age->type);
    return true;
}

bool plan_interval_ms(struct db *db, const struct setting *setting, const char *what, int64_t *ms,
                      struct error *err)
{
    static const char sql[] =
        "SELECT least(pg_catalog.ceil(extract(epoch FROM $1::pg_catalog.interval) * 1000), 1e15)"
        "::pg_catalog.int8";
    const char *params[] = {setting->value};
    struct db_rows *rows;
    if (!db_query(db, db, sql, 1, params, &rows, err))
        return error_prefix(err, "%s: %s", setting->origin, what);
    *ms = db_rows_int(rows, 0, 0);
    talloc_free(rows);
    return true;
}
