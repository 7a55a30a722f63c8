/* pgsweep dlq and pgsweep objects: what could not go, and what still has to. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/effects.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

/* A verb, the SQL behind it, and whether it takes ids. */
struct verb {
    const char *name;
    const char *sql;   /* $1: a policy's name or NULL; with ids: an array of them, or those of a policy */
    bool ids;
    const char *done;  /* what was done, for verbs that change something; NULL: prints rows */
    const char *all;   /* for machines: the same rows with all columns; NULL: as sql */
    bool upright;      /* for people: a line for each column */
};

/* A number of a report: for machines, for people. */
struct count {
    const char *key;
    const char *text;
    int64_t value;
};

#define LETTER_COLUMNS                                                                             \
    "id, policy, kind, pg_catalog.array_to_string(key, ', ', 'NULL') AS key, state, attempts, sqlstate, error, " \
    "first_at::pg_catalog.timestamptz(0) AS first, last_at::pg_catalog.timestamptz(0) AS last, run_id"
#define OPEN_LETTERS                                                                               \
    " FROM pgsweep.dead_letters WHERE state IN ('waiting', 'parked')"                              \
    " AND ($1::pg_catalog.text IS NULL OR policy = $1) ORDER BY policy, id"

static const struct verb dlq_verbs[] = {
    {"list", "SELECT id, policy, kind, pg_catalog.array_to_string(key, ', ', 'NULL') AS key, state, attempts,"
             " sqlstate, error, last_at::pg_catalog.timestamptz(0) AS last" OPEN_LETTERS, false, NULL,
             "SELECT " LETTER_COLUMNS OPEN_LETTERS, false},
    {"show", "SELECT " LETTER_COLUMNS " FROM pgsweep.dead_letters"
             " WHERE id = ANY ($1::pg_catalog.int8[]) ORDER BY id", true, NULL, NULL, true},
    /* An object's letter goes back into the queue; a row's waits for the next run. */
    {"retry", "WITH back AS (DELETE FROM pgsweep.dead_letters WHERE id = ANY ($1::pg_catalog.int8[])"
              "  AND kind <> 'row' RETURNING policy, kind, key, root, run_id, id),"
              " queued AS (INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root)"
              "  SELECT kind, policy, run_id, 'dlq retry', key[1], root FROM back),"
              " rows AS (UPDATE pgsweep.dead_letters SET state = 'waiting', attempts = 0"
              "  WHERE id = ANY ($1::pg_catalog.int8[]) AND kind = 'row' RETURNING id)"
              " SELECT id FROM back UNION ALL SELECT id FROM rows", true, "will be tried again", NULL, false},
    {"discard", "UPDATE pgsweep.dead_letters SET state = 'discarded', last_at = pg_catalog.now()"
                " WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING id", true, "discarded", NULL, false},
    {NULL, NULL, false, NULL, NULL, false},
};

static const struct verb object_verbs[] = {
    {"list", "SELECT id, policy, kind, source, CASE WHEN root IS NULL THEN value ELSE root || '/' || value END AS value,"
             " state, attempts,"
             " next_attempt::pg_catalog.timestamptz(0) AS next_attempt, last_error"
             " FROM pgsweep.object_queue WHERE $1::pg_catalog.text IS NULL OR policy = $1 ORDER BY id", false, NULL, NULL, false},
    {"drain", NULL, false, NULL, NULL, false},
    {NULL, NULL, false, NULL, NULL, false},
};

static const struct verb *find_verb(const struct verb *verbs, const char *command,
                                    const struct cli_options *options, struct error *err)
{
    const char *names[8];
    size_t count = 0;
    char list[128] = "";
    for (const struct verb *verb = verbs; verb->name; verb++) {
        if (strcmp(verb->name, options->verb) == 0)
            return verb;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", count ? ", " : "", verb->name);
        names[count++] = verb->name;
    }
    const char *nearest = text_nearest(options->verb, names, count);
    error_set(err, SWEEP_USAGE, "pgsweep %s cannot \"%s\"", command, options->verb);
    error_hint(err, "%s%s%sIt can: %s.", nearest ? "Did you mean \"" : "", nearest ? nearest : "",
               nearest ? "\"? " : "", list);
    return NULL;
}

/* "dlq retry POLICY": all of its letters. */
static bool names_policy(const struct verb *verb, const struct cli_options *options)
{
    return verb->ids && verb->done && strcmp(verb->name, "retry") == 0 && options->operand_count == 1 &&
           policy_name_valid(options->operands[0]);
}

/* The one parameter: a policy's name, or an array of ids. */
static bool read_operands(const void *ctx, const struct verb *verb, const struct cli_options *options,
                          const char **param, struct error *err)
{
    int n = options->operand_count;
    *param = NULL;
    if (!verb->ids || names_policy(verb, options)) {
        if (n > 1)
            return error_set(err, SWEEP_USAGE, "one word too many: \"%s\"", options->operands[1]);
        *param = n == 1 ? options->operands[0] : NULL;
        return true;
    }
    if (n == 0)
        return error_set(err, SWEEP_USAGE, "\"%s\" needs the id of a dead letter (see \"pgsweep dlq list\")", verb->name);
    const char **ids = mem_array(ctx, const char *, n);
    size_t count = 0;
    for (int i = 0; i < n; i++) {
        int64_t id;
        size_t k = 0;
        if (!text_to_count(options->operands[i], INT64_MAX, &id))
            return error_set(err, SWEEP_USAGE, "\"%s\" is not the id of a dead letter", options->operands[i]);
        char *text = mem_printf(ctx, "%lld", (long long)id);
        while (k < count && strcmp(ids[k], text) != 0)
            k++;
        if (k == count)
            ids[count++] = text;
    }
    *param = db_array(ctx, ids, count);
    return true;
}

static json_t *json_value(const char *name, const char *value)
{
    if (!value)
        return json_null();
    if (strcmp(name, "id") == 0 || strcmp(name, "attempts") == 0)
        return json_integer(strtoll(value, NULL, 10));
    json_t *text = json_string(value);
    return text ? text : json_string("(not valid UTF-8)");
}

/* The ids of the letters that something was done with. */
static void print_ids(const struct db_rows *rows)
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
            json_object_set_new(entry, names[c], json_value(names[c], db_rows_get(rows, r, c)));
        json_array_append_new(list, entry);
    }
    json_dumpf(list, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(list);
}

/* Columns as wide as their widest value, the last one as it comes. */
static void print_table(void *ctx, const struct db_rows *rows, const char *const *names, int columns)
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

/* "error     must stay": a line for each column, an empty one between rows. */
static void print_upright(void *ctx, const struct db_rows *rows, const char *const *names, int columns)
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

/* All of the letters must be there, and to be changed still be open, before anything is done with one. */
static bool check_ids(void *ctx, struct db *db, const struct verb *verb, const char *ids, struct error *err)
{
    static const char sql[] =
        "SELECT i, l.id IS NULL FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i"
        " LEFT JOIN pgsweep.dead_letters AS l ON l.id = i"
        " WHERE l.id IS NULL OR ($2::pg_catalog.bool AND l.state = 'closed') LIMIT 1";
    const char *params[] = {ids, verb->done ? "true" : "false"};
    struct db_rows *wrong;
    if (!db_query(db, ctx, sql, 2, params, &wrong, err))
        return false;
    if (db_rows_count(wrong) == 0)
        return true;
    if (db_rows_bool(wrong, 0, 1))
        error_set(err, SWEEP_USAGE, "there is no dead letter with the id %s", db_rows_get(wrong, 0, 0));
    else
        error_set(err, SWEEP_USAGE, "dead letter %s is closed: its row is gone, or not to be deleted any more",
                  db_rows_get(wrong, 0, 0));
    return error_hint(err, "Nothing was changed. \"pgsweep dlq list\" lists the open ones.");
}

/* The ids of all open letters of a policy, as an array. */
static bool find_ids(void *ctx, struct db *db, const char *policy, const char **ids, struct error *err)
{
    static const char sql[] =
        "SELECT pg_catalog.array_agg(id) FROM pgsweep.dead_letters WHERE policy = $1 AND state IN ('waiting', 'parked')";
    struct db_rows *rows;
    if (!db_query(db, ctx, sql, 1, &policy, &rows, err))
        return false;
    *ids = db_rows_get(rows, 0, 0);
    if (*ids)
        return true;
    error_set(err, SWEEP_USAGE, "\"%s\" is neither a policy with open dead letters nor the id of one", policy);
    return error_hint(err, "\"pgsweep dlq list\" lists them.");
}

static bool run_verb(void *ctx, struct db *db, const struct verb *verb, const struct cli_options *options,
                     const char *param, struct error *err)
{
    const char *params[] = {param};
    const char *sql = options->json && verb->all ? verb->all : verb->sql;
    struct db_rows *rows;
    if (names_policy(verb, options) && !find_ids(ctx, db, param, &params[0], err))
        return false;
    if ((verb->ids && !check_ids(ctx, db, verb, params[0], err)) || !db_query(db, ctx, sql, 1, params, &rows, err))
        return false;
    int n = db_rows_count(rows);
    if (verb->done) {
        if (options->json)
            print_ids(rows);
        else if (!options->quiet)
            printf("%d %s\n", n, verb->done);
        return true;
    }
    int columns = db_rows_columns(rows);
    const char **names = mem_array(ctx, const char *, columns + 1);
    for (int c = 0; c < columns; c++)
        names[c] = db_rows_name(rows, c);
    if (options->json)
        print_json(rows, names, columns);
    else if (n == 0)
        puts("nothing");
    else if (verb->upright)
        print_upright(ctx, rows, names, columns);
    else
        print_table(ctx, rows, names, columns);
    return true;
}

/* One line: "objects: 3 deleted, 1 waiting". */
static void print_drained(const char *what, const struct count *counts, size_t n)
{
    printf("%s:", what);
    for (size_t i = 0; i < n; i++)
        printf("%s %lld %s", i ? "," : "", (long long)counts[i].value, counts[i].text);
    putchar('\n');
}

static json_t *drained_json(const struct count *counts, size_t n)
{
    json_t *entry = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(entry, counts[i].key, json_integer(counts[i].value));
    return entry;
}

static void print_drains(const struct report *report, bool json)
{
    const struct report_objects *o = &report->objects;
    const struct report_directories *d = &report->directories;
    const struct count objects[] = {{"deleted", "deleted", o->deleted}, {"in_use", "still in use", o->in_use},
                                    {"foreign", "foreign", o->foreign}, {"failed", "failed", o->failed},
                                    {"dead", "given up", o->dead}, {"waiting", "waiting", o->waiting}};
    const struct count directories[] = {
        {"removed", "removed", d->removed}, {"kept", "kept", d->kept}, {"in_use", "still in use", d->in_use},
        {"refused", "refused", d->refused}, {"failed", "failed", d->failed}, {"dead", "given up", d->dead},
        {"waiting", "waiting", d->waiting}, {"bytes_freed", "bytes freed", d->bytes_freed}};
    size_t object_count = sizeof objects / sizeof *objects;
    size_t directory_count = sizeof directories / sizeof *directories;
    if (json) {
        json_t *doc = drained_json(objects, object_count);
        json_object_set_new(doc, "directories", drained_json(directories, directory_count));
        json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(doc);
        return;
    }
    print_drained("objects", objects, object_count);
    print_drained("directories", directories, directory_count);
}

static bool drain(void *ctx, struct db *db, const struct cli_options *options, const char *name,
                  struct error *err)
{
    struct policy nobody = {.name = name ? name : "objects"};
    struct report *report = report_new(ctx, &nobody, false);
    struct effects *effects = effects_open(ctx, db, false);
    if (!queue_drain(effects, report, name, err) || !queue_drain_directories(effects, report, name, err))
        return false;
    if (options->json || !options->quiet)
        print_drains(report, options->json);
    for (size_t i = 0; i < report->remark_count; i++)
        fprintf(stderr, "pgsweep: warning: %s\n", report->remarks[i]);
    if (report->objects.failed + report->objects.dead > 0)
        return error_set(err, SWEEP_SOME_FAILED, "some objects could not be deleted");
    if (report->directories.failed + report->directories.dead > 0)
        return error_set(err, SWEEP_SOME_FAILED, "some working directories could not be removed");
    return true;
}

static int run(const struct verb *verbs, const char *command, const struct cli_options *options,
               struct error *err)
{
    void *ctx = talloc_new(NULL);
    struct db *db = NULL;
    const char *param;
    char *application = mem_printf(ctx, "pgsweep/%s", command);
    const struct verb *verb = find_verb(verbs, command, options, err);
    stop_install();
    bool ok = verb && read_operands(ctx, verb, options, &param, err) &&
              command_connect(ctx, options, application, &db, err) && state_check(db, err);
    if (ok)
        ok = verb->sql ? run_verb(ctx, db, verb, options, param, err) : drain(ctx, db, options, param, err);
    int code = ok ? SWEEP_OK : (int)err->code;
    talloc_free(ctx);
    return code;
}

int command_dlq(const struct cli_options *options, struct error *err)
{
    return run(dlq_verbs, "dlq", options, err);
}

int command_objects(const struct cli_options *options, struct error *err)
{
    return run(object_verbs, "objects", options, err);
}
