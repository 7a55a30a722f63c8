/* The plan stays true while the run lasts: where the tables changed under it, it is made again. */
#include <string.h>

#include "internal.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/stop.h"

/* So often in a row, with no row deleted in between, the schema may change: each new plan begins at
 * the first row again. */
enum { RECOMPILES_MAX = 20 };

bool sweep_take_plan(struct sweep *sweep, const struct plan *plan, struct error *err)
{
    struct report *report = sweep->report;
    sweep->plan = plan;
    sweep->durability.rows = mem_array(report, int64_t, plan->node_count);
    memcpy(sweep->durability.rows, report->deleted,
           plan->node_count * sizeof *sweep->durability.rows);
    sweep->pace.exact = sweep_is_exact(plan, sweep->budget);
    if (!plan->has_objects)
        report->objects.waiting = 0;
    statements_build(sweep);
    work_build(sweep);
    /* A generic plan of a partitioned table locks every partition, a custom one those that it
     * needs. */
    return !plan->partitioned || db_set_custom_plans(sweep->db, true, err);
}

/* The counts of the report, by the labels of the tables. */
static void carry_over(struct report *report, const struct plan *from, struct plan *to)
{
    const int64_t *deleted = report->deleted;
    const struct plan_counts before = report->counts;
    const enum report_count_kind counted = report->counted;
    report_set_plan(report, to);
    int64_t *by_node = report->counts.by_node;
    for (size_t i = 0; i < from->node_count; i++)
        for (size_t k = 0; k < to->node_count; k++)
            if (strcmp(from->nodes[i]->label, to->nodes[k]->label) == 0) {
                report->deleted[k] = deleted[i];
                by_node[k] = before.by_node ? before.by_node[i] : -1;
            }
    report->counted = counted;
    report->counts = before;
    report->counts.by_node = by_node;
    report->counts.kept_by_node = mem_array(report, int64_t, to->node_count);
}

/* What was committed is to stay so, and the tables are read again. */
static bool make_plan(struct sweep *sweep, struct plan **plan, struct error *err)
{
    const struct plan_request request = {.live = true,
                                         .cutoff = sweep->plan->cutoff,
                                         .allow_missing_index = sweep->budget->allow_missing_index,
                                         .by_statement = sweep->replan.by_statement,
                                         .run_id = sweep->report->run_id};
    if (!sweep_settle(sweep, err) || !db_forget_statements(sweep->db, err) ||
        !plan_build(sweep->report, sweep->db, sweep->plan->policy, &request, plan, err))
        return false;
    /* More conditions may be freeable now; what was written down before stays spared in any case.
     */
    if ((*plan)->spared_run)
        return spared_record(sweep->state, *plan, err);
    (*plan)->spared_run = sweep->plan->spared_run ? request.run_id : NULL;
    return true;
}

static bool is_temporary(const struct sweep *sweep, const struct error *why)
{
    return db_is_lost(sweep->db) ||
           (*why->sqlstate && db_failure_class(sweep->db, why) == DB_FAILURE_TRANSIENT);
}

static bool insist(struct sweep *sweep, struct plan **plan, struct error *err)
{
    bool done = false, ok = true;
    sweep->replan.under_way = true;
    while (ok && !done && !stop_requested()) {
        struct chunk *none = chunk_new(sweep);
        done = make_plan(sweep, plan, &none->error);
        if (!done && is_temporary(sweep, &none->error)) {
            ok = sweep_failed(sweep, none, err);
        } else if (!done) {
            error_move(err, &none->error);
            ok = false;
        }
        chunk_free(none);
    }
    sweep->replan.under_way = false;
    return ok;
}

bool sweep_recompile(struct sweep *sweep, struct error *err)
{
    struct report *report = sweep->report;
    const struct plan *old = sweep->plan;
    struct plan *plan = NULL;
    if (++sweep->replan.times > RECOMPILES_MAX)
        return error_set(
            err, SWEEP_SOME_FAILED,
            "the tables of the policy changed %d times in a row, with no row deleted in between",
            RECOMPILES_MAX);
    bool ok = insist(sweep, &plan, err);
    if (!ok && err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED; /* something may have been deleted before */
    if (!ok || !plan)
        return stop_requested() && !err->message;
    carry_over(report, old, plan);
    if (sweep->replan.by_statement && plan_has_cascades(old) &&
        strcmp(old->fingerprint, plan->fingerprint) == 0)
        report_remark(report, "PostgreSQL does not count the rows that foreign keys delete (see "
                              "track_counts): the run deletes "
                              "dependents by statements of its own");
    else
        report_remark(report,
                      "the tables of the policy changed during the run: the plan was made again");
    if (plan->key_count != old->key_count)
        sweep->set_aside.count = 0;
    sweep_walk_anew(sweep);
    sweep->position.high.known = false;
    return objects_note_sources(sweep->state, report, err) && sweep_take_plan(sweep, plan, err);
}
