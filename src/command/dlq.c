/* pgsweep dlq and pgsweep objects: what could not go, and what still has to. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/state.h"
#include "pgsweep/state_queue.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

/* Where the statements of the verbs are. */
static const char DLQ[] = "sql/dlq.sql";

/* A subcommand and its statements: names of templates. What it takes: cli_verb_find(). */
struct verb {
    const char *name;
    const char
        *sql; /* $1: with POLICY_OR_NONE its name, else an array of ids; NULL when not given */
    const char *done;  /* what was done, for verbs that change something; NULL: prints rows */
    const char *all;   /* for machines: the same rows with all columns; NULL: as sql */
    bool upright;      /* for people: a line for each column */
    bool binds;        /* $2, $3: endpoint and bucket that the environment names */
    bool buries;       /* {key}: the key of an entry's letter */
    const char *thing; /* what the ids are of, and which is wrong; NULL: as the subject says */
    const char *wrong;
};

/* What a command is about. */
struct subject {
    const char *command;
    const char *thing; /* "a dead letter" */
    const struct verb *verbs;
    const char *of_policy; /* $1: a policy's name; the ids that it has, as an array */
    const char *wrong; /* $1: an array of ids, $2: are they going to be changed; one that cannot be,
                        * and whether it is because it is not there */
};

static const struct verb dlq_verbs[] = {
    {.name = "list", .sql = "letters_list", .all = "letters_list_all"},
    {.name = "show", .upright = true, .sql = "letters_show"},
    {.name = "retry",

     .done = "will be tried again",
     .sql = "letters_retry"},
    {.name = "discard", .done = "discarded", .sql = "letters_discard"},
    {.name = NULL},
};

static const struct verb object_verbs[] = {
    {.name = "list", .sql = "objects_list"},
    {.name = "drain"},
    {.name = "sources", .sql = "objects_sources"},
    {.name = "forget",

     .done = "forgotten",
     .sql = "objects_forget",
     .thing = "a column (\"pgsweep objects sources\")",
     .wrong = "objects_forget_wrong"},
    {.name = "rebind",

     .binds = true,
     .sql = "objects_rebind",
     .done = "belong to the bucket and store that are configured now, and are due"},
    {.name = "retry",

     .sql = "objects_retry",
     .done = "due now; the next run or \"pgsweep objects drain\" tries again"},
    {.name = "discard",

     .done = "discarded",
     .sql = "objects_discard",
     .buries = true},
    {.name = NULL},
};

static const struct subject letters = {.command = "dlq",
                                       .thing = "a dead letter",
                                       .verbs = dlq_verbs,
                                       .of_policy = "letters_of_policy",
                                       .wrong = "letters_wrong"};

static const struct subject objects = {.command = "objects",
                                       .thing = "an entry of the queue",
                                       .verbs = object_verbs,
                                       .of_policy = "objects_of_policy",
                                       .wrong = "objects_wrong"};

/* Its statements; the command line has made sure that there is such a subcommand. */
static const struct verb *find_verb(const struct subject *subject, const char *name)
{
    const struct verb *verb = subject->verbs;
    while (strcmp(verb->name, name) != 0)
        verb++;
    return verb;
}

static enum cli_operands operands_of(const struct cli_options *options)
{
    return cli_verb_find(options->command, options->verb)->operands;
}

/* "dlq retry mocs": all that the policy has. */
static bool names_policy(const struct cli_options *options)
{
    enum cli_operands operands = operands_of(options);
    return (operands == OPERANDS_IDS_OR_POLICY || operands == OPERANDS_IDS_OR_POLICY_OR_NONE) &&
           options->operand_count == 1 && policy_name_valid(options->operands[0]);
}

/* The one parameter: a policy's name, or an array of ids. */
static bool read_operands(const void *ctx, const struct subject *subject, const struct verb *verb,
                          const struct cli_options *options, const char **param, struct error *err)
{
    int n = options->operand_count;
    enum cli_operands operands = operands_of(options);
    *param = NULL;
    if (n == 0 &&
        (operands == OPERANDS_POLICY_OR_NONE || operands == OPERANDS_IDS_OR_POLICY_OR_NONE))
        return true;
    if (n > 1 && operands == OPERANDS_POLICY_OR_NONE)
        return error_set(err, SWEEP_USAGE, "too many command-line arguments (first is \"%s\")",
                         options->operands[1]);
    if (operands == OPERANDS_POLICY_OR_NONE || names_policy(options)) {
        *param = options->operands[0];
        return true;
    }
    if (n == 0)
        return error_set(err, SWEEP_USAGE, "\"%s\" needs the id of %s (see \"pgsweep %s list\")",
                         verb->name, subject->thing, subject->command);
    const char **ids = mem_array(ctx, const char *, n);
    size_t count = 0;
    for (int i = 0; i < n; i++) {
        int64_t id;
        size_t k = 0;
        if (!text_to_count(options->operands[i], INT64_MAX, &id))
            return error_set(err, SWEEP_USAGE, "\"%s\" is not the id of %s", options->operands[i],
                             subject->thing);
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

/* All of them must be there, and be such that they can be changed, before anything is done with one
 * of them. */
static bool check_ids(void *ctx, struct db *db, const struct subject *subject,
                      const struct verb *verb, const char *ids, struct error *err)
{
    const char *params[] = {ids, verb->done ? "true" : "false"};
    struct db_rows *wrong;
    char *sql = template_fill(ctx, DLQ, verb->wrong ? verb->wrong : subject->wrong, NULL);
    if (!db_query(db, ctx, sql, 2, params, &wrong, err))
        return false;
    if (db_rows_count(wrong) == 0)
        return true;
    const char *thing = strchr(verb->thing ? verb->thing : subject->thing, ' ') + 1;
    if (db_rows_bool(wrong, 0, 1))
        error_set(err, SWEEP_USAGE, "there is no %s with the id %s", thing,
                  db_rows_get(wrong, 0, 0));
    else
        error_set(err, SWEEP_USAGE,
                  "%s %s is closed: its row is gone, or not to be deleted any more", thing,
                  db_rows_get(wrong, 0, 0));
    return error_hint(err, "Nothing was changed. \"pgsweep %s list\" lists them.",
                      subject->command);
}

static bool find_ids(void *ctx, struct db *db, const struct subject *subject, const char *policy,
                     const char **ids, struct error *err)
{
    struct db_rows *rows;
    if (!db_query(db, ctx, template_fill(ctx, DLQ, subject->of_policy, NULL), 1, &policy, &rows,
                  err))
        return false;
    *ids = db_rows_get(rows, 0, 0);
    if (*ids)
        return true;
    error_set(err, SWEEP_USAGE, "\"%s\" is not the id of %s, and no policy of that name has one",
              policy, subject->thing);
    return error_hint(err, "\"pgsweep %s list\" lists them.", subject->command);
}

/* What the command line asks for. */
struct request {
    const struct subject *subject;
    const struct verb *verb;
    const char *param;     /* a policy's name, an array of ids, or NULL */
    struct report *report; /* of a drain */
};

static bool run_verb(const struct attempt *attempt, const struct request *request,
                     struct error *err)
{
    const struct cli_options *options = attempt->options;
    const struct verb *verb = request->verb;
    struct db *db = attempt->db;
    void *ctx = attempt->ctx;
    const char *params[3] = {request->param};
    struct db_rows *rows;
    if (names_policy(options) && !find_ids(ctx, db, request->subject, params[0], &params[0], err))
        return false;
    if (operands_of(options) != OPERANDS_POLICY_OR_NONE && params[0] &&
        !check_ids(ctx, db, request->subject, verb, params[0], err))
        return false;
    if (verb->binds && !read_binding(ctx, &params[1], &params[2], err))
        return false;
    char *sql = template_fill(ctx, DLQ, options->json && verb->all ? verb->all : verb->sql,
                              verb->buries ? TEMPLATE_SLOTS({"key", queue_letter_key(ctx)}) : NULL);
    int n = verb->binds ? 3 : 1;
    if (!(verb->done ? command_change(attempt, sql, n, params, &rows, err)
                     : db_query(db, ctx, sql, n, params, &rows, err)))
        return false;
    if (!verb->done)
        rows_print(ctx, rows, options->json, verb->upright);
    else if (options->json)
        rows_print_ids(rows);
    else if (!options->quiet)
        printf("%d %s\n", db_rows_count(rows), verb->done);
    return true;
}

static bool run_once(const struct attempt *attempt, void *arg, struct error *err)
{
    const struct request *request = arg;
    return trust_check_state(attempt->db, err) && state_check(attempt->db, err) &&
           (request->verb->sql ? run_verb(attempt, request, err)
                               : command_drain(attempt, request->report, request->param, err));
}

static bool check_options(const struct verb *verb, const struct cli_options *options,
                          struct error *err)
{
    if (!options->policy_dir || !verb->sql)
        return true;
    error_set(err, SWEEP_USAGE, "option --policy-dir cannot be used with this command");
    return error_hint(err, "Use it with \"pgsweep objects drain\".");
}

static int run(const struct subject *subject, const struct cli_options *options, struct error *err)
{
    void *ctx = talloc_new(NULL);
    char *application = mem_printf(ctx, "pgsweep/%s", subject->command);
    const struct setting retry_for = command_retry_option(options);
    struct request request = {.subject = subject, .verb = find_verb(subject, options->verb)};
    stop_install();
    bool ok = check_options(request.verb, options, err) &&
              (subject != &objects || command_check_environment(ctx, options, NULL, err)) &&
              read_operands(ctx, subject, request.verb, options, &request.param, err);
    if (ok) {
        const struct policy nobody = {.name = request.param ? request.param : "objects"};
        request.report = report_new(ctx, &nobody, false);
        ok = command_patiently(options, &retry_for, application, run_once, &request, err);
    }
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
