/* A condition as a statement that PostgreSQL is asked about. */

#include "internal.h"

static const char CONDITIONS[] = "sql/conditions.sql";

char *condition_probe(const struct plan *plan, const char *sql, bool boolean)
{
    return template_fill(plan, CONDITIONS, boolean ? "probe" : "probe_text",
                         TEMPLATE_SLOTS({"root", plan->nodes[0]->table.ident}, {"condition", sql}));
}
