/* The plan stays true while the run lasts: where the tables changed under it, it is made again. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/mem.h"

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
static void carry_over(struct report *report, struct plan *to)
{
    const struct plan *from = report->plan;
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

void recompile_is_due(struct sweep *sweep, const char *cause)
{
    sweep->replan.due = true;
    sweep->replan.times++;
    snprintf(sweep->replan.cause, sizeof sweep->replan.cause, "%s", cause);
}

/* Why the plan was made again, for the report. */
static const char *reason(const struct sweep *sweep, const struct plan *old)
{
    return sweep->replan.by_statement && plan_has_cascades(old) &&
                   strcmp(old->fingerprint, sweep->plan->fingerprint) == 0
               ? "PostgreSQL does not count the rows that foreign keys delete (see "
                 "track_counts): the run deletes "
                 "dependents by statements of its own"
               : "the tables of the policy changed during the run: the plan was made again";
}

bool sweep_recompile(struct sweep *sweep, struct error *err)
{
    const struct plan *old = sweep->plan;
    struct plan *plan;
    if (sweep->replan.times > RECOMPILES_MAX)
        return error_set(
            err, SWEEP_SOME_FAILED,
            "the tables of the policy changed %d times in a row, with no row deleted in between",
            RECOMPILES_MAX);
    if (!make_plan(sweep, &plan, err))
        return false;
    carry_over(sweep->report, plan);
    if (plan->key_count != old->key_count)
        sweep->set_aside.count = 0;
    sweep_walk_anew(sweep);
    sweep->position.high.known = false;
    /* From here on the new plan is the one in hand, also where the next failure makes it due again.
     */
    if (!sweep_take_plan(sweep, plan, err) ||
        !objects_note_sources(sweep->state, sweep->report, err))
        return false;
    report_remark(sweep->report, "%s", reason(sweep, old));
    sweep->replan.due = false;
    return true;
}
