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

/* A verb and the SQL behind it. */
struct verb {
    const char *name;
    const char *sql;   /* $1: a policy's name or NULL; with ids: an array of them, or NULL */
    enum { TAKES_POLICY, TAKES_IDS, TAKES_IDS_OR_NONE } takes;
    const char *done;  /* what was done, for verbs that change something; NULL: prints rows */
};

/* What a command is about. */
struct subject {
    const char *command;
    const struct verb *verbs;
    const char *thing; /* "a dead letter" */
    const char *missing_sql; /* $1: an array of ids; the ones that are not there */
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

static const struct verb dlq_verbs[] = {
    {"list", "SELECT id, policy, kind, pg_catalog.array_to_string(key, ', ', 'NULL') AS key, state, attempts,"
             " sqlstate, error, last_at::pg_catalog.timestamptz(0) AS last FROM pgsweep.dead_letters"
             " WHERE state IN ('waiting', 'parked') AND ($1::pg_catalog.text IS NULL OR policy = $1)"
             " ORDER BY policy, id", TAKES_POLICY, NULL},
    {"show", "SELECT " LETTER_COLUMNS " FROM pgsweep.dead_letters"
             " WHERE id = ANY ($1::pg_catalog.int8[]) ORDER BY id", TAKES_IDS, NULL},
    /* An object's letter goes back into the queue; a row's waits for the next run. */
    {"retry", "WITH back AS (DELETE FROM pgsweep.dead_letters WHERE id = ANY ($1::pg_catalog.int8[])"
              "  AND kind <> 'row' RETURNING policy, kind, key, root, run_id, id),"
              " queued AS (INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root)"
              "  SELECT kind, policy, run_id, 'dlq retry', key[1], root FROM back),"
              " rows AS (UPDATE pgsweep.dead_letters SET state = 'waiting', attempts = 0"
              "  WHERE id = ANY ($1::pg_catalog.int8[]) AND kind = 'row' RETURNING id)"
              " SELECT id FROM back UNION ALL SELECT id FROM rows", TAKES_IDS, "will be tried again"},
    {"discard", "UPDATE pgsweep.dead_letters SET state = 'discarded', last_at = pg_catalog.now()"
                " WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING id", TAKES_IDS, "discarded"},
    {NULL, NULL, TAKES_POLICY, NULL},
};

static const struct verb object_verbs[] = {
    {"list", "SELECT id, policy, kind, source, CASE WHEN root IS NULL THEN value ELSE root || '/' || value END AS value,"
             " state, attempts,"
             " next_attempt::pg_catalog.timestamptz(0) AS next_attempt, last_error"
             " FROM pgsweep.object_queue WHERE $1::pg_catalog.text IS NULL OR policy = $1 ORDER BY id", TAKES_POLICY, NULL},
    {"drain", NULL, TAKES_POLICY, NULL},
    /* What is foreign is looked at again too: the configuration may have another bucket now. */
    {"retry", "UPDATE pgsweep.object_queue SET state = 'queued', attempts = 0, next_attempt = pg_catalog.now()"
              " WHERE $1::pg_catalog.int8[] IS NULL OR id = ANY ($1::pg_catalog.int8[]) RETURNING id",
     TAKES_IDS_OR_NONE, "due now; the next run or \"pgsweep objects drain\" tries again"},
    /* It stays known, as a letter that nobody tries again. A URL may be longer than an index can hold. */
    {"discard", "WITH gone AS (DELETE FROM pgsweep.object_queue WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING *),"
                " kept AS (INSERT INTO pgsweep.dead_letters (policy, kind, key, root, state, attempts, error, run_id)"
                "  SELECT DISTINCT ON (policy, kind, k.key) policy, kind, k.key, root, 'discarded', attempts,"
                "         coalesce(last_error, ''), run_id FROM gone, LATERAL (SELECT"
                "         CASE WHEN root IS NOT NULL THEN ARRAY[value, root] ELSE ARRAY["
                "         CASE WHEN pg_catalog.octet_length(value) > 2000 THEN pg_catalog.left(value, 500) ELSE value END] END) AS k(key)"
                "  ON CONFLICT (policy, kind, key) DO UPDATE SET state = 'discarded', last_at = pg_catalog.now())"
                " SELECT id FROM gone", TAKES_IDS, "discarded"},
    {NULL, NULL, TAKES_POLICY, NULL},
};

static const struct subject letters = {
    "dlq", dlq_verbs, "a dead letter",
    "SELECT i FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i"
    " WHERE NOT EXISTS (SELECT FROM pgsweep.dead_letters AS l WHERE l.id = i) LIMIT 1"};

static const struct subject objects = {
    "objects", object_verbs, "an entry of the queue",
    "SELECT i FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i"
    " WHERE NOT EXISTS (SELECT FROM pgsweep.object_queue AS q WHERE q.id = i) LIMIT 1"};

static const struct verb *find_verb(const struct subject *subject, const struct cli_options *options,
                                    struct error *err)
{
    const char *names[8];
    size_t count = 0;
    char list[128] = "";
    for (const struct verb *verb = subject->verbs; verb->name; verb++) {
        if (strcmp(verb->name, options->verb) == 0)
            return verb;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", count ? ", " : "", verb->name);
        names[count++] = verb->name;
    }
    const char *nearest = text_nearest(options->verb, names, count);
    error_set(err, SWEEP_USAGE, "pgsweep %s cannot \"%s\"", subject->command, options->verb);
    error_hint(err, "%s%s%sIt can: %s.", nearest ? "Did you mean \"" : "", nearest ? nearest : "",
               nearest ? "\"? " : "", list);
    return NULL;
}

/* The one parameter: a policy's name, or an array of ids. */
static bool read_operands(const void *ctx, const struct subject *subject, const struct verb *verb,
                          const struct cli_options *options, const char **param, struct error *err)
{
    int n = options->operand_count;
    *param = NULL;
    if (verb->takes == TAKES_POLICY) {
        if (n > 1)
            return error_set(err, SWEEP_USAGE, "one word too many: \"%s\"", options->operands[1]);
        *param = n == 1 ? options->operands[0] : NULL;
        return true;
    }
    if (n == 0 && verb->takes == TAKES_IDS_OR_NONE)
        return true;
    if (n == 0)
        return error_set(err, SWEEP_USAGE, "\"%s\" needs the id of %s (see \"pgsweep %s list\")", verb->name,
                         subject->thing, subject->command);
    const char **ids = mem_array(ctx, const char *, n);
    size_t count = 0;
    for (int i = 0; i < n; i++) {
        int64_t id;
        size_t k = 0;
        if (!text_to_count(options->operands[i], INT64_MAX, &id))
            return error_set(err, SWEEP_USAGE, "\"%s\" is not the id of %s", options->operands[i], subject->thing);
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

/* All of them must be there before anything is done with one of them. */
static bool check_ids(void *ctx, struct db *db, const struct subject *subject, const char *ids, struct error *err)
{
    struct db_rows *missing;
    if (!db_query(db, ctx, subject->missing_sql, 1, &ids, &missing, err))
        return false;
    if (db_rows_count(missing) == 0)
        return true;
    error_set(err, SWEEP_USAGE, "there is no %s with the id %s", strchr(subject->thing, ' ') + 1,
              db_rows_get(missing, 0, 0));
    return error_hint(err, "Nothing was changed. \"pgsweep %s list\" lists them.", subject->command);
}

static bool run_verb(void *ctx, struct db *db, const struct subject *subject, const struct verb *verb,
                     const struct cli_options *options, const char *param, struct error *err)
{
    const char *params[] = {param};
    struct db_rows *rows;
    bool by_id = verb->takes != TAKES_POLICY && param;
    if ((by_id && !check_ids(ctx, db, subject, param, err)) || !db_query(db, ctx, verb->sql, 1, params, &rows, err))
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
    const struct count object_counts[] = {
        {"deleted", "deleted", o->deleted}, {"in_use", "still in use", o->in_use}, {"foreign", "foreign", o->foreign},
        {"failed", "failed", o->failed}, {"dead", "given up", o->dead}, {"waiting", "waiting", o->waiting}};
    const struct count directories[] = {
        {"removed", "removed", d->removed}, {"kept", "kept", d->kept}, {"in_use", "still named by a row", d->in_use},
        {"refused", "refused", d->refused}, {"busy", "in use", d->busy}, {"failed", "failed", d->failed}, {"dead", "given up", d->dead},
        {"waiting", "waiting", d->waiting}, {"bytes_freed", "bytes freed", d->bytes_freed}};
    size_t object_count = sizeof object_counts / sizeof *object_counts;
    size_t directory_count = sizeof directories / sizeof *directories;
    if (json) {
        json_t *doc = drained_json(object_counts, object_count);
        json_object_set_new(doc, "directories", drained_json(directories, directory_count));
        json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(doc);
        return;
    }
    print_drained("objects", object_counts, object_count);
    print_drained("directories", directories, directory_count);
    if (o->waiting + d->waiting > 0)
        puts("What waits has its time (\"pgsweep objects list\"); \"pgsweep objects retry\" makes it now.");
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
    if (report_directories_failed(report) > 0)
        return error_set(err, SWEEP_SOME_FAILED, "some working directories could not be removed");
    return true;
}

static int run(const struct subject *subject, const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    struct db *db = NULL;
    const char *param;
    char *application = mem_printf(ctx, "pgsweep/%s", subject->command);
    const struct verb *verb = find_verb(subject, options, err);
    stop_install();
    bool ok = verb && read_operands(ctx, subject, verb, options, &param, err) &&
              command_connect(ctx, options, application, &db, err) && state_check(db, err);
    if (ok)
        ok = verb->sql ? run_verb(ctx, db, subject, verb, options, param, err) : drain(ctx, db, options, param, err);
    int code = ok ? SWEEP_OK : (int)err->code;
    talloc_free(ctx);
    return code;
}

int command_dlq(const struct cli_options *options, struct error *err)
{
    return run(&letters, options, err);
}

int command_objects(const struct cli_options *options, struct error *err)
{
    return run(&objects, options, err);
}
