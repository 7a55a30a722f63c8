/* The statements of a run in the order in which they are sent, for people: nothing is sent here. */
#include "internal.h"
#include "pgsweep/mem.h"

struct list {
    const void *ctx;
    struct sweep_statement *items;
    size_t count;
};

static void add(struct list *list, const char *when, const struct db_statement *statement)
{
    size_t i = mem_grow(list->ctx, &list->items, &list->count);
    list->items[i] = (struct sweep_statement){.when = when,
                                              .name = statement->name,
                                              .why = statement->why,
                                              .sql = statement->sql,
                                              .parameters = statement->parameters};
}

static const char locked_met[] = "a chunk that has met a locked row", first[] = "first chunk",
                  later[] = "each later chunk", last[] = "last chunk", each[] = "each chunk";

static void add_range(struct list *list, const struct sweep *sweep)
{
    const struct statements *s = &sweep->statements;
    const enum bound_by to = sweep->pace.exact ? BY_ALL : BY_AGE;
    const struct db_statement *bound = sweep->pace.exact ? s->bound : s->bound_age;
    const struct {
        const char *when;
        enum bound_by from, to;
    } chunks[] = {{first, BY_NOTHING, to}, {later, to, to}, {last, to, BY_NOTHING}};
    add(list, first, &bound[BY_NOTHING]);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        add(list, chunks[i].when, &db_begin);
        add(list, chunks[i].when, s->limit_waits);
        add(list, chunks[i].when, &s->plain[chunks[i].from][chunks[i].to]);
        if (i == 1)
            add(list, locked_met, &s->unlocked[to][to]);
        add(list, chunks[i].when, &s->record_counted);
        add(list, chunks[i].when, &s->check);
        add(list, chunks[i].when, &db_commit);
        if (chunks[i].to != BY_NOTHING)
            add(list, chunks[i].when, &bound[to]);
    }
}

static void add_work(struct list *list, const struct sweep *sweep, const char *when, bool counted)
{
    for (size_t i = 0; i < (counted ? sweep->work.counted : sweep->work.count); i++)
        add(list, when, &sweep->work.steps[i].statement);
    if (counted) {
        add(list, when, &sweep->statements.record_counted);
        add(list, when, &sweep->statements.check);
    }
    add(list, when, &db_commit);
}

static void add_begin(struct list *list, const struct sweep *sweep, const char *when)
{
    for (int i = 0; i < sweep->statements.begin_count; i++)
        add(list, when, &sweep->statements.begin[i]);
}

static void add_locked(struct list *list, const struct sweep *sweep)
{
    const struct statements *s = &sweep->statements;
    add_begin(list, sweep, first);
    add(list, first, &s->lock[BY_NOTHING]);
    add_begin(list, sweep, later);
    add(list, later, &s->lock[BY_ALL]);
    if (s->finds_locked)
        add(list, locked_met, &s->find_locked);
    if (plan_has_below(sweep->plan))
        add(list, each, &s->lock_below);
    for (size_t i = 0; i < s->lock_dependent_count; i++)
        add(list, each, &s->lock_dependents[i]);
    if (sweep->plan->looks_beyond)
        add(list, each, &s->verify);
    add_work(list, sweep, each, true);
}

static void add_rows(struct list *list, const struct sweep *sweep)
{
    static const char row[] = "each candidate";
    const struct statements *s = &sweep->statements;
    add(list, first, &s->list[BY_NOTHING]);
    add(list, later, &s->list[BY_ALL]);
    if (s->finds_locked)
        add(list, locked_met, &s->find_locked);
    add_begin(list, sweep, row);
    add(list, row, &s->lock_row);
    for (size_t i = 0; i < s->lock_dependent_count; i++)
        add(list, row, &s->lock_dependents[i]);
    add(list, row, &s->verify_row);
    add_work(list, sweep, row, false);
}

size_t sweep_statements(const void *ctx, const struct plan *plan, const struct sweep_budget *budget,
                        struct sweep_statement **statements)
{
    struct list list = {.ctx = ctx};
    struct report *report = report_new(ctx, plan->policy, true);
    struct sweep sweep = {.plan = plan,
                          .budget = budget,
                          .report = report,
                          .pace = {.near = true, .exact = sweep_is_exact(plan, budget)}};
    report_set_plan(report, (struct plan *)plan);
    statements_build(&sweep);
    work_build(&sweep);
    if (plan->strategy == STRATEGY_RANGE)
        add_range(&list, &sweep);
    else if (plan->by_row)
        add_rows(&list, &sweep);
    else
        add_locked(&list, &sweep);
    *statements = list.items;
    return list.count;
}
