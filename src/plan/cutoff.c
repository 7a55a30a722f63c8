/* The cutoff: taken once, from the database's clock, or given by hand and checked. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char CUTOFF[] = "sql/cutoff.sql";

static bool wrong_cutoff(const struct db_rows *rows, const struct policy *policy,
                         const char *by_hand, struct error *err)
{
    const char *youngest = db_rows_get(rows, 0, 7);
    if (!db_rows_bool(rows, 0, 3)) {
        error_set(err, SWEEP_USAGE, "%s: the retention \"%s\" is not a positive interval",
                  policy->retain.origin, policy->retain.value);
        return error_hint(err,
                          "A retention is a positive interval with a unit, such as \"30 days\".");
    }
    if (!by_hand)
        return true;
    if (!db_rows_bool(rows, 0, 6))
        return error_set(err, SWEEP_USAGE, "option --cutoff: \"%s\" is not a point in time",
                         by_hand);
    if (db_rows_bool(rows, 0, 4))
        error_set(err, SWEEP_USAGE, "option --cutoff: %s is in the future",
                  db_rows_get(rows, 0, 0));
    else if (db_rows_bool(rows, 0, 5))
        error_set(err, SWEEP_USAGE, "option --cutoff: %s is later than the retention (%s) allows",
                  db_rows_get(rows, 0, 0), policy->retain.value);
    else
        return true;
    return error_hint(err, "The youngest cutoff possible now is %s.", youngest);
}

/* "tomorrow" or "now" is another moment each time that it is read. */
static bool is_in_digits(const char *by_hand)
{
    return strspn(by_hand, "0123456789") >= 4;
}

/* By itself, so that what is wrong with it cannot be taken for a fault of the retention. */
static bool check_by_hand(struct db *db, const char *by_hand, struct error *err)
{
    if (!is_in_digits(by_hand)) {
        error_set(err, SWEEP_USAGE,
                  "option --cutoff: \"%s\" is not a point in time written in digits", by_hand);
        return error_hint(err, "Write a date or a timestamp, the year first: 2026-10-21 or "
                               "\"2026-10-21 03:00:00+00\".");
    }
    char *sql = template_fill(db, CUTOFF, "by_hand", NULL);
    bool ok = db_query(db, db, sql, 1, &by_hand, NULL, err);
    talloc_free(sql);
    return ok || error_prefix(err, "option --cutoff");
}

bool cutoff_build(struct plan *plan, struct db *db, const char *by_hand, struct error *err)
{
    const struct policy *policy = plan->policy;
    const char *params[] = {policy->retain.value, by_hand, policy->time_zone.value};
    struct db_rows *rows;
    if (by_hand && !check_by_hand(db, by_hand, err))
        return false;
    if (!db_query(db, plan, template_fill(plan, CUTOFF, "cutoff", NULL), 3, params, &rows, err)) {
        /* invalid_parameter_value: the zone is not known */
        if (sqlstate_is(err, SQLSTATE_INVALID_PARAMETER_VALUE))
            return error_prefix(err, "%s: time_zone", policy->time_zone.origin);
        if (sqlstate_is_of(err, SQLSTATE_CLASS_DATA))
            return error_prefix(err, "%s: retain", policy->retain.origin) ||
                   error_hint(
                       err, "A retention is a positive interval with a unit, such as \"30 days\".");
        return false;
    }
    if (!wrong_cutoff(rows, policy, by_hand, err))
        return false;
    plan->cutoff = db_rows_get(rows, 0, 0);
    plan->cutoff_local = db_rows_get(rows, 0, 1);
    plan->cutoff_date = db_rows_get(rows, 0, 2);
    if (plan->age->base_type == TYPE_TIMESTAMPTZ)
        plan->cutoff_value = plan->cutoff;
    else if (plan->age->base_type == TYPE_TIMESTAMP)
        plan->cutoff_value = plan->cutoff_local;
    else if (plan->age->base_type == TYPE_DATE)
        /* A date goes when the whole of it lies before the cutoff. */
        plan->cutoff_value = plan->cutoff_date;
    else
        return error_set(
            err, SWEEP_USAGE,
            "%s: column %s of %s is of type %s; an age is a timestamp, a timestamp with "
            "time zone or a date",
            policy->age.origin, plan->age->name, plan->nodes[0]->table.label, plan->age->type);
    return true;
}

/* The types that the server expects in the place of each :cutoff, 0 where it cannot tell. All at
 * once, and one by one where some of them fails. */
static bool infer_types(const struct plan *plan, struct db *db, const char *text, bool boolean,
                        const char *instant, unsigned *types, size_t uses, void *scratch,
                        struct error *err)
{
    const char **marks = mem_array(scratch, const char *, uses);
    for (size_t one = 0; one <= uses; one++) {
        unsigned found[1] = {0};
        for (size_t i = 0; i < uses; i++)
            marks[i] = one == 0       ? mem_printf(scratch, "$%zu", i + 1)
                       : one == i + 1 ? "$1"
                                      : instant;
        PQExpBuffer sql = createPQExpBuffer();
        condition_append(sql, text, marks, uses);
        char *probe = condition_probe(plan, buffer_take(scratch, sql), boolean);
        bool ok = db_infer(db, probe, one == 0 ? types : found, one == 0 ? uses : 1, err);
        talloc_free(probe);
        if (db_is_lost(db))
            return false;
        error_clear(err);
        if (one > 0)
            types[one - 1] = found[0];
        else if (ok)
            return true;
    }
    return true;
}

/* The instant and the local time are written alike but for the offset: which of them it is does not
 * matter. */
static bool is_utc(const struct plan *plan)
{
    size_t length = strlen(plan->cutoff_local);
    return strncmp(plan->cutoff, plan->cutoff_local, length) == 0 &&
           strcmp(plan->cutoff + length, "+00") == 0;
}

static bool cannot_tell(const struct plan *plan, const char *what, const struct setting *condition,
                        struct error *err)
{
    error_set(err, SWEEP_USAGE,
              "%s: %s: the type of :cutoff cannot be inferred from what it is compared with",
              condition->origin, what);
    error_detail(err, "Condition: %s", condition->value);
    return error_hint(
        err,
        "Write :cutoff::timestamptz for the moment itself, or :cutoff::timestamp for the time "
        "that clocks in %s "
        "show then: they differ.",
        plan->policy->time_zone.value);
}

bool cutoff_append_condition(PQExpBuffer out, const struct plan *plan, struct db *db,
                             const char *what, const struct setting *condition, bool boolean,
                             struct error *err)
{
    size_t uses = condition_cutoffs(condition->value);
    void *scratch = talloc_new(plan);
    unsigned *types = mem_array(scratch, unsigned, uses + 1);
    const char **values = mem_array(scratch, const char *, uses + 1);
    /* Written out, for there is one parameter ($1) wherever a condition may stand; made by the
     * database, so without quotes. */
    const char *instant = mem_printf(scratch, "'%s'::pg_catalog.timestamptz", plan->cutoff);
    const char *local = mem_printf(scratch, "'%s'::pg_catalog.timestamp", plan->cutoff_local);
    const char *date = mem_printf(scratch, "'%s'::pg_catalog.date", plan->cutoff_date);
    bool ok = uses == 0 ||
              infer_types(plan, db, condition->value, boolean, instant, types, uses, scratch, err);
    values[0] = instant;
    for (size_t i = 0; ok && i < uses; i++) {
        values[i] = types[i] == TYPE_TIMESTAMP ? local : types[i] == TYPE_DATE ? date : instant;
        if (types[i] != TYPE_TIMESTAMP && types[i] != TYPE_DATE && types[i] != TYPE_TIMESTAMPTZ &&
            !is_utc(plan))
            ok = cannot_tell(plan, what, condition, err);
    }
    condition_append(out, condition->value, values, uses + 1);
    talloc_free(scratch);
    return ok;
}

bool plan_interval_ms(struct db *db, const struct setting *setting, const char *what, int64_t *ms,
                      struct error *err)
{
    const char *params[] = {setting->value};
    struct db_rows *rows;
    char *sql = template_fill(db, CUTOFF, "milliseconds", NULL);
    bool ok = db_query(db, db, sql, 1, params, &rows, err);
    talloc_free(sql);
    if (!ok)
        return error_prefix(err, "%s: %s", setting->origin, what);
    *ms = db_rows_int(rows, 0, 0);
    talloc_free(rows);
    return true;
}
