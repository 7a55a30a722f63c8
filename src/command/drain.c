/* pgsweep objects drain: what the queue holds goes now, without a sweep. */
#include <jansson.h>
#include <stdio.h>

#include "internal.h"
#include "pgsweep/effects_directories.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/gate.h"
#include "pgsweep/state.h"
#include "pgsweep/state_queue.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/report_json.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

/* A number of a report: for machines, for people. */
struct count {
    const char *key;
    const char *text;
    int64_t value;
};

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
    const struct count object_counts[] = {{"deleted", "deleted", o->deleted},
                                          {"in_use", "still in use", o->in_use},
                                          {"foreign", "foreign", o->foreign},
                                          {"outside", "outside the stated prefixes", o->outside},
                                          {"elsewhere", "of another store or bucket", o->elsewhere},
                                          {"held", "perhaps in use", o->held},
                                          {"failed", "failed", o->failed},
                                          {"dead", "given up", o->dead},
                                          {"waiting", "waiting", o->waiting}};
    const struct count directories[] = {{"removed", "removed", d->removed},
                                        {"kept", "kept", d->kept},
                                        {"in_use", "still named by a row", d->in_use},
                                        {"refused", "refused", d->refused},
                                        {"elsewhere", "below another root", d->elsewhere},
                                        {"busy", "in use", d->busy},
                                        {"failed", "failed", d->failed},
                                        {"dead", "given up", d->dead},
                                        {"waiting", "waiting", d->waiting},
                                        {"bytes_freed", "bytes freed", d->bytes_freed}};
    size_t object_count = sizeof object_counts / sizeof *object_counts;
    size_t directory_count = sizeof directories / sizeof *directories;
    if (json) {
        json_t *doc = drained_json(object_counts, object_count);
        json_object_set_new(doc, "directories", drained_json(directories, directory_count));
        json_dumpf(doc, stdout, REPORT_JSON_FLAGS);
        putchar('\n');
        json_decref(doc);
        return;
    }
    print_drained("objects", object_counts, object_count);
    print_drained("directories", directories, directory_count);
    if (o->waiting + d->waiting > 0)
        puts("What waits has its time (\"pgsweep objects list\"); \"pgsweep objects retry\" makes "
             "it now.");
}

/* What the policies of the queue state now, as this host has them. */
struct present {
    struct object_bounds bounds; /* of keys of objects */
    const struct policy **policies;
    size_t count;
};

/* A prefix or a root counts from when it is stated, not from the next run. A policy that is not
 * found states nothing: what its latest run noted about objects counts all the same, and its
 * directories stay. */
static bool read_policies(void *ctx, struct db *db, const struct cli_options *options,
                          const char *name, struct present *present, struct error *err)
{
    struct db_rows *rows;
    if (!queue_policies(db, ctx, name, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++) {
        struct policy *policy;
        const char *asked = db_rows_get(rows, i, 0);
        if (!policy_load(ctx, asked, options->policy_dir, &policy, err))
            return error_prefix(err, "what policy %s states about objects and directories", asked);
        if (!policy || policy->kind != KIND_ROWS)
            continue;
        if (policy_working_root(policy).value && !command_settle_retention(policy, db, err))
            return false;
        bounds_add_policy(ctx, &present->bounds, policy);
        size_t k = mem_grow(ctx, &present->policies, &present->count);
        present->policies[k] = policy;
    }
    return true;
}

bool command_drain(const struct attempt *attempt, struct report *report, const char *name,
                   struct error *err)
{
    struct state *state = state_open(attempt->ctx, gate_open(attempt->ctx, attempt->db, false));
    struct present present = {0};
    if (!objects_check_settings(err) ||
        !read_policies(attempt->ctx, attempt->db, attempt->options, name, &present, err) ||
        !objects_drain(state, report, name, &present.bounds, err) ||
        !directories_drain(state, report, name, present.policies, present.count, err))
        return false;
    if (attempt->options->json || !attempt->options->quiet)
        print_drains(report, attempt->options->json);
    for (size_t i = 0; i < report->remark_count; i++)
        text_tell("warning", "%s", report->remarks[i]);
    if (report->undrained || report_objects_failed(report) > 0)
        return error_set(err, SWEEP_SOME_FAILED, "some objects could not be deleted");
    if (report_directories_failed(report) > 0)
        return error_set(err, SWEEP_SOME_FAILED, "some working directories could not be removed");
    return true;
}
