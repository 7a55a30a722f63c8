/* Adds a statement to the work of a transaction. */
#include "internal.h"
#include "pgsweep/mem.h"

struct work_step *work_step(struct sweep *sweep, const char *name, const struct plan_node *about,
                            const char *sql)
{
    struct work *work = &sweep->work;
    size_t i = mem_grow(sweep->report, &work->steps, &work->count);
    struct work_step *step = &work->steps[i];
    step->statement.name = mem_printf(sweep->report, "work_%zu_%s", i, name);
    step->statement.sql = sql;
    step->statement.why = template_why(sweep->report, SWEEP_SQL, name);
    step->about = about;
    return step;
}
