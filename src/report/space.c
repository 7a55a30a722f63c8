/* The space that a run leaves free inside the files of its tables, and how to return it to the
 * disk. */
#include <jansson.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/report_json.h"
#include "pgsweep/text.h"

const char *const report_wal_names[] = {NULL, "run", "server"};

/* The number of hints printed; further tables and partitions are only counted. */
enum { HINTS_MAX = 3 };

double report_space_share(const struct report_space_table *table)
{
    if (table->rows <= 0 || table->deleted < 0)
        return -1;
    return table->deleted >= table->rows ? 1 : (double)table->deleted / (double)table->rows;
}

int64_t report_space_freed(const struct report_space_table *table)
{
    if (table->rows <= 0 || table->bytes <= 0 || table->deleted < 0)
        return -1;
    return (int64_t)((double)table->bytes / (double)table->rows * (double)table->deleted);
}

bool report_space_is_large(const struct report_space_table *table)
{
    return report_space_freed(table) >= SPACE_LARGE_BYTES &&
           report_space_share(table) * 100 >= SPACE_LARGE_PERCENT;
}

/* When new rows can use the space, and what has to happen before that. */
static const char *reuse_text(const void *ctx, const struct report_space *space,
                              const struct report_space_table *table)
{
    if (space->holder)
        return mem_printf(ctx,
                          "VACUUM cannot free it while %s holds a snapshot from before this run; "
                          "after that new rows can use it",
                          space->holder);
    if (table->vacuumed && table->dead == 0)
        return "new rows can use it";
    if (!table->autovacuum)
        return mem_printf(ctx,
                          "autovacuum is off for this table: new rows can use it after VACUUM %s",
                          table->table);
    return "new rows can use it after the next autovacuum";
}

/* How to return the space to the disk. */
static const char *return_text(const void *ctx, const struct report *report,
                               const struct report_space_table *table)
{
    enum { NEARLY_ALL_PERCENT = 95 };
    const struct plan_table *root = &report->plan->nodes[0]->table;
    if (table->partition && report_space_share(table) * 100 >= NEARLY_ALL_PERCENT)
        return "if no row is left in this partition, detaching and dropping it returns its files "
               "at once";
    bool by_age = !table->partition && root->kind == 'r' && strcmp(root->label, table->table) == 0;
    return mem_printf(
        ctx,
        "to return it to the disk: VACUUM FULL %s (locks the table meanwhile) or pg_repack%s%s%s",
        table->table, by_age ? "; partitioned by " : "", by_age ? report->plan->age->name : "",
        by_age ? ", it could drop whole partitions instead of deleting rows" : "");
}

char *report_space_hint(const void *ctx, const struct report *report,
                        const struct report_space_table *table)
{
    if (!report_space_is_large(table))
        return NULL;
    return mem_printf(
        ctx,
        "about %s inside %s (%.0f%% of its rows) became free: %s; its files do not get smaller; %s",
        text_bytes(ctx, report_space_freed(table)), table->table, report_space_share(table) * 100,
        reuse_text(ctx, &report->space, table), return_text(ctx, report, table));
}

int64_t report_space_dead(const struct report *report)
{
    if (!report->space.tables)
        return -1;
    int64_t sum = 0;
    for (size_t i = 0; i < report->space.table_count; i++) {
        if (report->space.tables[i].dead < 0)
            return -1;
        sum += report->space.tables[i].dead;
    }
    return sum;
}

void report_print_space(const struct report *report, FILE *out)
{
    void *scratch = talloc_new(NULL);
    const struct report_space *space = &report->space;
    int64_t dead = report_space_dead(report);
    int hints = 0;
    if (space->wal_of != WAL_UNKNOWN)
        fprintf(out, "  WAL: %s%s%s\n", space->wal_of == WAL_OF_RUN ? "" : "at most ",
                text_bytes(scratch, space->wal_bytes),
                space->wal_of == WAL_OF_RUN ? "" : " (of the whole server, during the run)");
    if (dead >= 0)
        fprintf(out, "  dead rows until the next VACUUM: %s\n", text_count(scratch, dead));
    for (size_t i = 0; i < space->table_count; i++) {
        const char *hint = report_space_hint(scratch, report, &space->tables[i]);
        if (hint && hints++ < HINTS_MAX)
            fprintf(out, "  space: %s\n", text_line(scratch, hint));
    }
    if (hints > HINTS_MAX)
        fprintf(out, "  space: similar in %d more tables or partitions (--format json)\n",
                hints - HINTS_MAX);
    talloc_free(scratch);
}

static json_t *known(int64_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

static json_t *table_json(const struct report *report, const struct report_space_table *table)
{
    void *scratch = talloc_new(NULL);
    json_t *entry = json_object();
    double share = report_space_share(table);
    char *hint = report_space_hint(scratch, report, table);
    report_json_name(entry, "table", table->table);
    json_object_set_new(entry, "partition", json_boolean(table->partition));
    json_object_set_new(entry, "deleted", known(table->deleted));
    json_object_set_new(entry, "dead_rows", known(table->dead));
    json_object_set_new(entry, "vacuumed", json_boolean(table->vacuumed));
    json_object_set_new(entry, "autovacuum", json_boolean(table->autovacuum));
    json_object_set_new(entry, "freed_bytes", known(report_space_freed(table)));
    json_object_set_new(entry, "table_bytes", known(table->bytes));
    json_object_set_new(entry, "share", share < 0 ? json_null() : json_real(share));
    report_json_name(entry, "hint", hint);
    talloc_free(scratch);
    return entry;
}

void report_json_space(json_t *doc, const struct report *report)
{
    const struct report_space *space = &report->space;
    const char *of = report_wal_names[space->wal_of];
    json_t *tables = json_array();
    for (size_t i = 0; i < space->table_count; i++)
        json_array_append_new(tables, table_json(report, &space->tables[i]));
    json_object_set_new(doc, "wal_bytes", of ? json_integer(space->wal_bytes) : json_null());
    json_object_set_new(doc, "wal_of", of ? json_string(of) : json_null());
    json_object_set_new(doc, "dead_rows", known(report_space_dead(report)));
    json_object_set_new(doc, "space", tables);
    report_json_name(doc, "snapshot_held_by", space->holder);
}
