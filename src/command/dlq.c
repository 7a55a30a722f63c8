/* pgsweep dlq and pgsweep objects: what could not go, and what still has to. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/effects.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"
#include "pgsweep/text.h"

/* What a verb takes. */
enum operands { POLICY_OR_NONE, IDS, IDS_OR_POLICY, IDS_OR_POLICY_OR_NONE };

/* A verb and the SQL behind it. */
struct verb {
    const char *name;
    enum operands operands;
    const char *sql;   /* $1: with POLICY_OR_NONE its name, else an array of ids; NULL when not given */
    const char *done;  /* what was done, for verbs that change something; NULL: prints rows */
    const char *all;   /* for machines: the same rows with all columns; NULL: as sql */
    bool upright;      /* for people: a line for each column */
    bool binds;        /* $2, $3: endpoint and bucket that the environment names */
    const char *thing; /* what the ids are of, and which is wrong; NULL: as the subject says */
    const char *wrong;
};

/* What a command is about. */
struct subject {
    const char *command;
    const char *thing; /* "a dead letter" */
    const struct verb *verbs;
    const char *of_policy; /* $1: a policy's name; the ids that it has, as an array */
    const char *wrong;     /* $1: an array of ids, $2: are they going to be changed; one that cannot be, and
                            * whether it is because it is not there */
};

#define LETTER_COLUMNS                                                                             \
    "id, policy, kind, pg_catalog.array_to_string(key, ', ', 'NULL') AS key, state, attempts, sqlstate, error, " \
    "first_at::pg_catalog.timestamptz(0) AS first, last_at::pg_catalog.timestamptz(0) AS last, run_id"
#define OPEN_LETTERS                                                                               \
    " FROM pgsweep.dead_letters WHERE state IN ('waiting', 'parked')"                              \
    " AND ($1::pg_catalog.text IS NULL OR policy = $1) ORDER BY policy, id"

static const struct verb dlq_verbs[] = {
    {.name = "list",
     .sql = "SELECT id, policy, kind, pg_catalog.array_to_string(key, ', ', 'NULL') AS key, state, attempts,"
            " sqlstate, error, last_at::pg_catalog.timestamptz(0) AS last" OPEN_LETTERS,
     .all = "SELECT " LETTER_COLUMNS OPEN_LETTERS},
    {.name = "show", .operands = IDS, .upright = true,
     .sql = "SELECT " LETTER_COLUMNS " FROM pgsweep.dead_letters WHERE id = ANY ($1::pg_catalog.int8[]) ORDER BY id"},
    /* An object's letter goes back into the queue; a row's waits for the next run. */
    {.name = "retry", .operands = IDS_OR_POLICY, .done = "will be tried again",
     .sql = "WITH back AS (DELETE FROM pgsweep.dead_letters WHERE id = ANY ($1::pg_catalog.int8[])"
            "  AND kind <> 'row' RETURNING policy, kind, key, root, run_id, id),"
            " queued AS (INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root, bucket, endpoint)"
            "  SELECT kind, policy, run_id, 'dlq retry', key[1], root, CASE WHEN kind = 'object' THEN key[2] END, key[3] FROM back),"
            " rows AS (UPDATE pgsweep.dead_letters SET state = 'waiting', attempts = 0"
            "  WHERE id = ANY ($1::pg_catalog.int8[]) AND kind = 'row' RETURNING id)"
            " SELECT id FROM back UNION ALL SELECT id FROM rows"},
    {.name = "discard", .operands = IDS, .done = "discarded",
     .sql = "UPDATE pgsweep.dead_letters SET state = 'discarded', last_at = pg_catalog.now()"
            " WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING id"},
    {.name = NULL},
};

static const struct verb object_verbs[] = {
    {.name = "list",
     .sql = "SELECT id, policy, kind, source, CASE WHEN root IS NULL THEN value ELSE root || '/' || value END AS value,"
            " state, attempts, next_attempt::pg_catalog.timestamptz(0) AS next_attempt, last_error"
            " FROM pgsweep.object_queue WHERE $1::pg_catalog.text IS NULL OR policy = $1 ORDER BY id"},
    {.name = "drain"},
    {.name = "sources",
     .sql = "SELECT id, policy, kind, table_ident || '.' || column_ident AS \"column\", path, bucket, endpoint"
            " FROM pgsweep.object_sources WHERE $1::pg_catalog.text IS NULL OR policy = $1 ORDER BY id"},
    /* A column that cannot be looked at any more keeps the objects of its policy: a person says that it names none. */
    {.name = "forget", .operands = IDS, .done = "forgotten",
     .thing = "a column (\"pgsweep objects sources\")",
     .wrong = "SELECT i, true FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i WHERE $2::pg_catalog.bool IS NOT NULL"
              " AND NOT EXISTS (SELECT FROM pgsweep.object_sources AS o WHERE o.id = i) LIMIT 1",
     .sql = "DELETE FROM pgsweep.object_sources WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING id"},
    {.name = "rebind", .operands = IDS_OR_POLICY, .binds = true,
     .done = "belong to the bucket and store that are configured now, and are due",
     .sql = "UPDATE pgsweep.object_queue SET endpoint = $2, bucket = $3, state = 'queued', attempts = 0,"
            " next_attempt = pg_catalog.now() WHERE id = ANY ($1::pg_catalog.int8[]) AND kind = 'object' RETURNING id"},
    /* What is foreign is looked at again too: the configuration may have another bucket now. */
    {.name = "retry", .operands = IDS_OR_POLICY_OR_NONE,
     .done = "due now; the next run or \"pgsweep objects drain\" tries again",
     .sql = "UPDATE pgsweep.object_queue SET state = 'queued', attempts = 0, next_attempt = pg_catalog.now()"
            " WHERE $1::pg_catalog.int8[] IS NULL OR id = ANY ($1::pg_catalog.int8[]) RETURNING id"},
    /* It stays known, as a letter that nobody tries again. */
    {.name = "discard", .operands = IDS, .done = "discarded",
     .sql = "WITH gone AS (DELETE FROM pgsweep.object_queue WHERE id = ANY ($1::pg_catalog.int8[]) RETURNING *),"
            " kept AS (INSERT INTO pgsweep.dead_letters (policy, kind, key, root, state, attempts, error, run_id)"
            "  SELECT DISTINCT ON (policy, kind, k.key) policy, kind, k.key, root, 'discarded', attempts,"
            "         coalesce(last_error, ''), run_id FROM gone, LATERAL (SELECT " QUEUE_LETTER_KEY ") AS k(key)"
            "  ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE SET state = 'discarded', last_at = pg_catalog.now())"
            " SELECT id FROM gone"},
    {.name = NULL},
};

static const struct subject letters = {
    .command = "dlq", .thing = "a dead letter", .verbs = dlq_verbs,
    .of_policy = "SELECT pg_catalog.array_agg(id) FROM pgsweep.dead_letters"
                 " WHERE policy = $1 AND state IN ('waiting', 'parked')",
    .wrong = "SELECT i, l.id IS NULL FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i"
             " LEFT JOIN pgsweep.dead_letters AS l ON l.id = i"
             " WHERE l.id IS NULL OR ($2::pg_catalog.bool AND l.state = 'closed') LIMIT 1"};

static const struct subject objects = {
    .command = "objects", .thing = "an entry of the queue", .verbs = object_verbs,
    .of_policy = "SELECT pg_catalog.array_agg(id) FROM pgsweep.object_queue WHERE policy = $1",
    .wrong = "SELECT i, true FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i WHERE $2::pg_catalog.bool IS NOT NULL"
             " AND NOT EXISTS (SELECT FROM pgsweep.object_queue AS q WHERE q.id = i) LIMIT 1"};

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

/* "dlq retry mocs": all that the policy has. */
static bool names_policy(const struct verb *verb, const struct cli_options *options)
{
    return (verb->operands == IDS_OR_POLICY || verb->operands == IDS_OR_POLICY_OR_NONE) &&
           options->operand_count == 1 && policy_name_valid(options->operands[0]);
}

/* The one parameter: a policy's name, or an array of ids. */
static bool read_operands(const void *ctx, const struct subject *subject, const struct verb *verb,
                          const struct cli_options *options, const char **param, struct error *err)
{
    int n = options->operand_count;
    *param = NULL;
    if (n == 0 && (verb->operands == POLICY_OR_NONE || verb->operands == IDS_OR_POLICY_OR_NONE))
        return true;
    if (n > 1 && verb->operands == POLICY_OR_NONE)
        return error_set(err, SWEEP_USAGE, "one word too many: \"%s\"", options->operands[1]);
    if (verb->operands == POLICY_OR_NONE || names_policy(verb, options)) {
        *param = options->operands[0];
        return true;
    }
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

/* The store that the environment names, for a verb that binds entries to it. */
static bool read_binding(void *ctx, const char **endpoint, const char **bucket, struct error *err)
{
    struct store_config *config;
    enum store_setup setup = store_config_load_place(ctx, NULL, &config, err);
    if (setup == STORE_NOT_CONFIGURED)
        return error_set(err, SWEEP_USAGE, "no object store is configured (PGSWEEP_S3_BUCKET)");
    if (setup != STORE_READY)
        return false;
    size_t count;
    *endpoint = store_config_place(config);
    *bucket = store_config_buckets(config, &count)[0];
    return true;
}

/* All of them must be there, and be such that they can be changed, before anything is done with one of them. */
static bool check_ids(void *ctx, struct db *db, const struct subject *subject, const struct verb *verb, const char *ids,
                      struct error *err)
{
    const char *params[] = {ids, verb->done ? "true" : "false"};
    struct db_rows *wrong;
    if (!db_query(db, ctx, verb->wrong ? verb->wrong : subject->wrong, 2, params, &wrong, err))
        return false;
    if (db_rows_count(wrong) == 0)
        return true;
    const char *thing = strchr(verb->thing ? verb->thing : subject->thing, ' ') + 1;
    if (db_rows_bool(wrong, 0, 1))
        error_set(err, SWEEP_USAGE, "there is no %s with the id %s", thing, db_rows_get(wrong, 0, 0));
    else
        error_set(err, SWEEP_USAGE, "%s %s is closed: its row is gone, or not to be deleted any more", thing,
                  db_rows_get(wrong, 0, 0));
    return error_hint(err, "Nothing was changed. \"pgsweep %s list\" lists them.", subject->command);
}

static bool find_ids(void *ctx, struct db *db, const struct subject *subject, const char *policy, const char **ids,
                     struct error *err)
{
    struct db_rows *rows;
    if (!db_query(db, ctx, subject->of_policy, 1, &policy, &rows, err))
        return false;
    *ids = db_rows_get(rows, 0, 0);
    if (*ids)
        return true;
    error_set(err, SWEEP_USAGE, "\"%s\" is not the id of %s, and no policy of that name has one", policy, subject->thing);
    return error_hint(err, "\"pgsweep %s list\" lists them.", subject->command);
}

static bool run_verb(void *ctx, struct db *db, const struct subject *subject, const struct verb *verb,
                     const struct cli_options *options, const char *param, struct error *err)
{
    struct db_rows *rows;
    if (names_policy(verb, options) && !find_ids(ctx, db, subject, param, &param, err))
        return false;
    if (verb->operands != POLICY_OR_NONE && param && !check_ids(ctx, db, subject, verb, param, err))
        return false;
    const char *params[3] = {param};
    if (verb->binds && !read_binding(ctx, &params[1], &params[2], err))
        return false;
    if (!db_query(db, ctx, options->json && verb->all ? verb->all : verb->sql, verb->binds ? 3 : 1, params, &rows, err))
        return false;
    if (!verb->done)
        rows_print(ctx, rows, options->json, verb->upright);
    else if (options->json)
        rows_print_ids(rows);
    else if (!options->quiet)
        printf("%d %s\n", db_rows_count(rows), verb->done);
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
        ok = verb->sql ? run_verb(ctx, db, subject, verb, options, param, err)
                       : command_drain(ctx, db, options, param, err);
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
