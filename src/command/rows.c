/* Prints rows of the state schema, as a table or as JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/report_json.h"
#include "pgsweep/text.h"

static void set_value(json_t *entry, const char *name, const char *value)
{
    if (value && (strcmp(name, "id") == 0 || strcmp(name, "attempts") == 0))
        json_object_set_new(entry, name, json_integer(strtoll(value, NULL, 10)));
    else
        report_json_name(entry, name, value);
}

void rows_print_ids(const struct db_rows *rows)
{
    json_t *doc = json_pack("{s:[]}", "ids");
    for (int r = 0; r < db_rows_count(rows); r++)
        json_array_append_new(json_object_get(doc, "ids"), json_integer(db_rows_int(rows, r, 0)));
    json_dumpf(doc, stdout, 0);
    putchar('\n');
    json_decref(doc);
}

static void print_json(const struct db_rows *rows, const char *const *names, int columns)
{
    json_t *list = json_array();
    for (int r = 0; r < db_rows_count(rows); r++) {
        json_t *entry = json_object();
        for (int c = 0; c < columns; c++)
            set_value(entry, names[c], db_rows_get(rows, r, c));
        json_array_append_new(list, entry);
    }
    json_dumpf(list, stdout, REPORT_JSON_FLAGS);
    putchar('\n');
    json_decref(list);
}

/* Each column is as wide as its widest value; the last one is not padded. */
static void print_table(void *ctx, const struct db_rows *rows, const char *const *names,
                        int columns)
{
    int *width = mem_array(ctx, int, columns);
    for (int c = 0; c < columns; c++) {
        width[c] = (int)strlen(names[c]);
        for (int r = 0; r < db_rows_count(rows); r++) {
            const char *value = db_rows_get(rows, r, c);
            int length = value ? (int)strlen(text_escape(ctx, value, strlen(value))) : 0;
            width[c] = length > width[c] ? length : width[c];
        }
    }
    for (int r = -1; r < db_rows_count(rows); r++) {
        for (int c = 0; c < columns; c++) {
            const char *value = r < 0 ? names[c] : db_rows_get(rows, r, c);
            value = value ? text_escape(ctx, value, strlen(value)) : "";
            printf("%-*s%s", c == columns - 1 ? 0 : width[c], value, c == columns - 1 ? "" : "  ");
        }
        putchar('\n');
    }
}

/* One line per column ("error     must stay"), with an empty line between rows. */
static void print_upright(void *ctx, const struct db_rows *rows, const char *const *names,
                          int columns)
{
    for (int r = 0; r < db_rows_count(rows); r++) {
        if (r > 0)
            putchar('\n');
        for (int c = 0; c < columns; c++) {
            const char *value = db_rows_get(rows, r, c);
            printf("%-10s%s\n", names[c], value ? text_escape(ctx, value, strlen(value)) : "");
        }
    }
}

void rows_print(void *ctx, const struct db_rows *rows, bool json, bool upright)
{
    int columns = db_rows_columns(rows);
    const char **names = mem_array(ctx, const char *, columns + 1);
    for (int c = 0; c < columns; c++)
        names[c] = db_rows_name(rows, c);
    if (json)
        print_json(rows, names, columns);
    else if (db_rows_count(rows) == 0)
        puts("nothing");
    else if (upright)
        print_upright(ctx, rows, names, columns);
    else
        print_table(ctx, rows, names, columns);
}
