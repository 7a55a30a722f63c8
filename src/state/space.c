/* What a run costs in WAL and leaves in the files of its tables: read when it begins and when it
 * ends. What follows from it is in src/report/space.c. */
#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SPACE[] = "sql/space.sql";

enum { WITH_FLUSH = 150000, WITH_SESSION_WAL = 180000 };

static const char *session_wal(const void *ctx, const struct db *db)
{
    return db_server_version(db) >= WITH_SESSION_WAL
               ? template_fill(ctx, SPACE, "session_wal", NULL)
               : "NULL::pg_catalog.numeric";
}

char *space_marks_sql(const void *ctx, const struct db *db)
{
    return template_fill(ctx, SPACE, "marks",
                         TEMPLATE_SLOTS({"session_wal", session_wal(ctx, db)}));
}

void space_note_marks(struct report *report, const struct db_rows *rows, int column)
{
    const char **marks[] = {&report->space.backend, &report->space.wal_position,
                            &report->space.session_wal, &report->space.began,
                            &report->space.tables_then};
    for (int i = 0; i < (int)(sizeof marks / sizeof *marks); i++) {
        const char *value = db_rows_get(rows, 0, column + i);
        *marks[i] = value ? mem_strdup(report, value) : NULL;
    }
}

/* The tables of the plan, with the rows that were deleted in each, and those that were changed. */
static void table_params(const void *ctx, const struct report *report, const char **params)
{
    const struct plan *plan = report->plan;
    const char **oids = mem_array(ctx, const char *, plan->node_count);
    const char **deleted = mem_array(ctx, const char *, plan->node_count);
    const char **changed = mem_array(ctx, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        const char *rows = mem_printf(ctx, "%lld", (long long)report->deleted[i]);
        bool stays = node->action == ACTION_DETACH || node->action == ACTION_REASSIGN;
        oids[i] = node->table.oid;
        deleted[i] = stays ? "0" : rows;
        changed[i] = stays ? rows : "0";
    }
    params[0] = db_array(ctx, oids, plan->node_count);
    params[1] = db_array(ctx, deleted, plan->node_count);
    params[2] = db_array(ctx, changed, plan->node_count);
}

static int64_t number_or_unknown(const struct db_rows *rows, int row, int column)
{
    return db_rows_get(rows, row, column) ? db_rows_int(rows, row, column) : -1;
}

static void note_wal(struct report_space *space, const struct db_rows *rows)
{
    enum { SERVER, SESSION };
    int64_t server = number_or_unknown(rows, 0, SERVER);
    int64_t session = number_or_unknown(rows, 0, SESSION);
    space->wal_of = session >= 0 ? WAL_OF_RUN : server >= 0 ? WAL_OF_SERVER : WAL_UNKNOWN;
    space->wal_bytes = session >= 0 ? session : server;
}

static void note_tables(struct report *report, const struct db_rows *rows)
{
    enum { LABEL, PARTITION, DELETED, DEAD, VACUUMED, BYTES, ROWS, AUTOVACUUM };
    struct report_space *space = &report->space;
    space->table_count = (size_t)db_rows_count(rows);
    space->tables = mem_array(report, struct report_space_table, space->table_count);
    for (size_t i = 0; i < space->table_count; i++) {
        int row = (int)i;
        space->tables[i] =
            (struct report_space_table){.table = mem_strdup(report, db_rows_get(rows, row, LABEL)),
                                        .partition = db_rows_bool(rows, row, PARTITION),
                                        .deleted = number_or_unknown(rows, row, DELETED),
                                        .dead = number_or_unknown(rows, row, DEAD),
                                        .vacuumed = db_rows_bool(rows, row, VACUUMED),
                                        .bytes = number_or_unknown(rows, row, BYTES),
                                        .rows = number_or_unknown(rows, row, ROWS),
                                        .autovacuum = db_rows_bool(rows, row, AUTOVACUUM)};
    }
}

static bool deleted_something(const struct report *report)
{
    for (size_t i = 0; i < report->plan->node_count; i++)
        if (report->deleted[i] > 0)
            return true;
    return false;
}

void space_look(struct state *state, struct report *report)
{
    enum { FLUSH, WAL, TABLES, HOLDER, COUNT };
    struct report_space *space = &report->space;
    if (!space->wal_position || db_is_lost(state->db) || !deleted_something(report))
        return;
    void *scratch = talloc_new(report);
    struct error ignored = ERROR_INIT;
    bool flushes = db_server_version(state->db) >= WITH_FLUSH;
    const char *wal[] = {space->wal_position, space->backend, space->session_wal};
    const char *tables[] = {NULL, NULL, NULL, space->tables_then, report->started};
    const char *holder[] = {space->began};
    table_params(scratch, report, tables);
    struct db_question questions[COUNT] = {
        {.sql = template_fill(scratch, SPACE, flushes ? "flush" : "nothing", NULL)},
        {.sql = template_fill(scratch, SPACE, "wal",
                              TEMPLATE_SLOTS({"session_wal", session_wal(scratch, state->db)})),
         .nparams = 3,
         .params = wal},
        {.sql = template_fill(scratch, SPACE, "tables", NULL), .nparams = 5, .params = tables},
        {.sql = template_fill(scratch, SPACE, "holder", NULL), .nparams = 1, .params = holder}};
    /* The run is over and has done its work: what is not known is left out. */
    if (!db_ask(state->db, scratch, questions, COUNT, &ignored))
        error_clear(&ignored);
    if (questions[WAL].rows)
        note_wal(space, questions[WAL].rows);
    if (questions[TABLES].rows)
        note_tables(report, questions[TABLES].rows);
    if (questions[HOLDER].rows && db_rows_count(questions[HOLDER].rows) > 0)
        space->holder = mem_strdup(report, db_rows_get(questions[HOLDER].rows, 0, 0));
    talloc_free(scratch);
}
