/* The report for machines: one JSON document. */
#include <string.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/report_json.h"
#include "pgsweep/text.h"

/* A list of names, and beside it, where one of them is not UTF-8, one of their bytes (null for the
 * others). */
static void set_roots(json_t *object, const struct setting *names, size_t count)
{
    json_t *list = json_array();
    json_t *encoded = json_array();
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i].value;
        bool plain = text_is_utf8(name);
        char *base64 = plain ? NULL : text_base64(NULL, name, strlen(name));
        json_array_append_new(list, report_json_text(name));
        json_array_append_new(encoded, report_json_text(base64));
        talloc_free(base64);
        any = any || !plain;
    }
    json_object_set_new(object, "roots", list);
    if (any)
        json_object_set(object, "roots_base64", encoded);
    json_decref(encoded);
}

/* A number, or null where nobody counted. */
static json_t *counted(int64_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

/* The references that keep rows of a shared table. */
static json_t *kept_by(const struct plan_counts *counts, int node)
{
    json_t *list = json_array();
    for (size_t i = 0; i < counts->kept_count; i++) {
        if (counts->kept[i].node != node)
            continue;
        json_t *entry = json_object();
        report_json_name(entry, "table", counts->kept[i].by);
        report_json_name(entry, "constraint", counts->kept[i].constraint);
        json_object_set_new(entry, "rows", json_integer(counts->kept[i].rows));
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *tables(const struct report *report)
{
    json_t *list = json_array();
    const int64_t *counts = report->dry_run ? report->counts.by_node : report->deleted;
    for (size_t i = 0; i < report->plan->node_count; i++) {
        const struct plan_node *node = report->plan->nodes[i];
        json_t *entry = json_object();
        report_json_name(entry, "table", node->label);
        json_object_set_new(entry, "action", report_json_text(policy_action_names[node->action]));
        json_object_set_new(entry, "rows", counted(!plan_acts(node) ? 0 : counts[i]));
        if (report->dry_run && node->action == ACTION_DELETE_ORPHANS &&
            report->counts.kept_by_node) {
            json_object_set_new(entry, "kept", json_integer(report->counts.kept_by_node[i]));
            json_object_set_new(entry, "kept_by", kept_by(&report->counts, (int)i));
        }
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *spared(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->counts.spared_count; i++) {
        const struct plan_spared *from = &report->counts.spared[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "guard", report_json_text(from->guard));
        report_json_name(entry, "label", from->label);
        json_object_set_new(entry, "rows", json_integer(from->rows));
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *failures(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->failure_count; i++) {
        json_t *entry = json_object();
        report_json_name(entry, "key", report->failures[i].key);
        const struct error *why = report->failures[i].why;
        json_object_set_new(entry, "sqlstate", report_json_text(why->sqlstate));
        json_object_set_new(entry, "error", report_json_text(why->message));
        json_object_set_new(entry, "detail", report_json_text(why->detail));
        json_object_set_new(entry, "hint", report_json_text(why->hint));
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *locked(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->locked_count; i++) {
        json_t *entry = json_object();
        report_json_name(entry, "key", report->locked[i].key);
        report_json_name(entry, "table", report->locked[i].table);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *lines(const char *const *from, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, report_json_text(from[i]));
    return list;
}

/* Triggers, rules and functions of users that fire. */
static json_t *code(const struct plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->code_count; i++) {
        const struct plan_code *from = &plan->code[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "table", report_json_text(from->table));
        json_object_set_new(entry, "kind", report_json_text(from->kind));
        json_object_set_new(entry, "name", report_json_text(from->name));
        json_object_set_new(entry, "when", report_json_text(from->when));
        json_object_set_new(entry, "function", report_json_text(from->function));
        json_object_set_new(entry, "owner", report_json_text(from->owner));
        json_object_set_new(entry, "table_owner", report_json_text(from->table_owner));
        json_object_set_new(entry, "trusted", json_boolean(from->trusted));
        json_array_append_new(list, entry);
    }
    return list;
}

static void add_plan(json_t *doc, const struct report *report)
{
    const struct plan *plan = report->plan;
    report_json_name(doc, "table", plan->nodes[0]->table.label);
    report_json_name(doc, "age", plan->age->name);
    json_object_set_new(doc, "cutoff", report_json_text(plan->cutoff));
    json_object_set_new(doc, "strategy",
                        report_json_text(plan->strategy == STRATEGY_RANGE ? "range" : "locked"));
    json_object_set_new(doc, "walk", report_json_text(plan->walk == WALK_AGE ? "age" : "key"));
    json_object_set_new(doc, "count", report_json_text(report_count_kind_names[report->counted]));
    json_object_set_new(doc, "count_limit", report_json_text(report->count_limit));
    json_object_set_new(doc, "total", counted(report->counts.total));
    json_object_set_new(doc, "eligible", counted(report->counts.eligible));
    if (report->counted == COUNTED_ROUGHLY)
        json_object_set_new(doc, "old_enough", counted(report->counts.old_enough));
    report_json_name(doc, "directory_root", plan->directory ? plan->directory_root : NULL);
    json_object_set_new(doc, "tables", tables(report));
    json_object_set_new(doc, "spared",
                        report->counted == COUNTED_EXACTLY ? spared(report) : json_null());
    json_object_set_new(doc, "triggers", code(plan));
    json_object_set_new(doc, "notes", lines(plan->notes, plan->note_count));
}

static json_t *objects(const struct report_objects *from)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "queued",
                     (json_int_t)from->queued, "deleted", (json_int_t)from->deleted, "in_use",
                     (json_int_t)from->in_use, "foreign", (json_int_t)from->foreign, "outside",
                     (json_int_t)from->outside, "elsewhere", (json_int_t)from->elsewhere, "held",
                     (json_int_t)from->held, "failed", (json_int_t)from->failed, "dead",
                     (json_int_t)from->dead, "waiting",
                     from->waiting < 0 ? json_null() : json_integer(from->waiting));
}

/* What a monitoring system asks for, under the names that the policy gives. */
static json_t *metrics(const struct report *report)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "processed", json_integer(report_processed(report)));
    json_object_set_new(entry, "failed", json_integer(report->failed));
    json_object_set_new(entry, "objects_deleted", json_integer(report->objects.deleted));
    for (size_t i = 1; report->plan && i < report->plan->node_count; i++) {
        int64_t sum;
        const char *name = report_counted(report, i, &sum);
        if (name)
            json_object_set_new(entry, name, json_integer(sum));
    }
    json_object_set_new(entry, "duration_ms", json_integer(report->duration_ms));
    return entry;
}

static json_t *directories(const struct report_directories *from)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "queued",
                     (json_int_t)from->queued, "removed", (json_int_t)from->removed, "kept",
                     (json_int_t)from->kept, "files_protected", (json_int_t)from->files_protected,
                     "files_young", (json_int_t)from->files_young, "in_use",
                     (json_int_t)from->in_use, "refused", (json_int_t)from->refused, "elsewhere",
                     (json_int_t)from->elsewhere, "busy", (json_int_t)from->busy, "failed",
                     (json_int_t)from->failed, "dead", (json_int_t)from->dead, "waiting",
                     (json_int_t)from->waiting, "bytes_freed", (json_int_t)from->bytes_freed);
}

/* How much is free, for each root that exists. */
static json_t *rooms(const struct report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->policy->root_count && report->rooms; i++) {
        const struct files_room *room = &report->rooms[i];
        if (!room->found)
            continue;
        json_t *entry = json_object();
        report_json_name(entry, "root", report->policy->roots[i].value);
        json_object_set_new(entry, "wanted", json_integer(room->wanted));
        json_object_set_new(entry, "before", json_integer(room->before));
        json_object_set_new(entry, "after", json_integer(room->after));
        json_object_set_new(entry, "reached", json_boolean(room->reached));
        json_array_append_new(list, entry);
    }
    return list;
}

static void add_files(json_t *doc, const struct report *report)
{
    const struct files_report *files = report->files;
    json_t *kept = json_object();
    json_t *errors = json_array();
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        json_object_set_new(kept, files_kept_word((enum files_kept)i),
                            json_integer(files->kept[i]));
    for (size_t i = 0; i < files->error_count; i++)
        json_array_append_new(
            errors, json_pack("{s:i, s:s, s:I}", "errno", files->errors[i].code, "error",
                              files->errors[i].code ? strerror(files->errors[i].code) : "others",
                              "count", (json_int_t)files->errors[i].count));
    set_roots(doc, report->policy->roots, report->policy->root_count);
    json_object_set_new(doc, "cutoff", report_json_text(report->file_cutoff));
    char *age_by = policy_age_by_text(NULL, report->policy->files.age_by);
    json_object_set_new(doc, "age_by", report_json_text(age_by));
    talloc_free(age_by);
    json_object_set_new(doc, "min_free", rooms(report));
    json_object_set_new(doc, "scanned", json_integer(files->scanned));
    json_object_set_new(doc, "files_deleted", json_integer(files->deleted_files));
    json_object_set_new(doc, "links_deleted", json_integer(files->deleted_links));
    json_object_set_new(doc, "directories_deleted", json_integer(files->deleted_directories));
    json_object_set_new(doc, "special_deleted", json_integer(files->deleted_special));
    json_object_set_new(doc, "bytes_freed", json_integer(files->bytes_freed));
    json_object_set_new(doc, "kept", kept);
    json_object_set_new(doc, "vanished", json_integer(files->vanished));
    json_object_set_new(doc, "untested", json_integer(files->untested));
    json_object_set_new(doc, "unguarded", json_integer(files->unguarded));
    json_object_set_new(doc, "set_aside", json_integer(files->set_aside));
    json_object_set_new(doc, "errors", errors);
}

/* Milliseconds by reason. */
static json_t *waited(const struct report *report)
{
    json_t *entry = json_object();
    for (int i = 0; i < REPORT_WAITS; i++)
        if (report->waited[i].ms > 0)
            json_object_set_new(entry, report_wait_names[i], json_integer(report->waited[i].ms));
    return entry;
}

static json_t *error(const struct error *err)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "message", report_json_text(err->message));
    json_object_set_new(entry, "detail", report_json_text(err->detail));
    json_object_set_new(entry, "hint", report_json_text(err->hint));
    json_object_set_new(entry, "sqlstate",
                        *err->sqlstate ? report_json_text(err->sqlstate) : json_null());
    return entry;
}

void report_print_json(const struct report *report, FILE *out)
{
    json_t *doc = json_object();
    json_object_set_new(doc, "policy", report_json_text(report->policy->name));
    json_object_set_new(doc, "run_id", report_json_text(report->run_id));
    json_object_set_new(doc, "mode", report_json_text(report->dry_run ? "dry run" : "live"));
    json_object_set_new(doc, "outcome", report_json_text(report_outcome_names[report->outcome]));
    json_object_set_new(doc, "exit_code", json_integer(report->exit_code));
    json_object_set_new(doc, "started", report_json_text(report->started));
    json_object_set_new(doc, "duration_ms", json_integer(report->duration_ms));
    json_object_set_new(doc, "retain", report_json_text(report->policy->retain.value));
    if (report->plan)
        add_plan(doc, report);
    if (report->files)
        add_files(doc, report);
    json_object_set_new(
        doc, "deleted",
        json_integer(report->dry_run ? 0 : report_processed(report) - report->failed));
    json_object_set_new(doc, "spared_late", json_integer(report->spared_late));
    json_object_set_new(doc, "failed", json_integer(report->failed));
    json_object_set_new(doc, "failures", failures(report));
    json_object_set_new(doc, "left_locked", json_integer(report->left_locked));
    json_object_set_new(doc, "locked", locked(report));
    int64_t changed = 0;
    bool known = report_changed(report, &changed);
    json_object_set_new(doc, "changed",
                        known ? json_integer(changed > 0 ? changed : 0) : json_null());
    json_object_set_new(doc, "arrived",
                        known ? json_integer(changed < 0 ? -changed : 0) : json_null());
    json_object_set_new(doc, "chunks", json_integer(report->chunks));
    json_object_set_new(doc, "retries", json_integer(report->retries));
    report_json_space(doc, report);
    json_object_set_new(doc, "waited_ms", json_integer(report->waited_ms));
    json_object_set_new(doc, "waited", waited(report));
    json_object_set_new(doc, "objects", objects(&report->objects));
    json_object_set_new(doc, "directories", directories(&report->directories));
    json_object_set_new(doc, "dead_letters",
                        report->letter_depth < 0 ? json_null()
                                                 : json_integer(report->letter_depth));
    json_object_set_new(doc, "metrics", metrics(report));
    json_object_set_new(doc, "alerts", lines(report->alerts, report->alert_count));
    json_object_set_new(doc, "limit", report_json_text(report->limit));
    json_object_set_new(doc, "limit_detail", report_json_text(report->limit_detail));
    json_object_set_new(doc, "left",
                        report->limit && !report->not_begun && !report->files
                            ? json_integer(report->left)
                            : json_null());
    json_object_set_new(doc, "signal", report->signal ? json_integer(report->signal) : json_null());
    json_object_set_new(doc, "remarks", lines(report->remarks, report->remark_count));
    json_object_set_new(doc, "error", report->error.message ? error(&report->error) : json_null());
    json_dumpf(doc, out, REPORT_JSON_FLAGS);
    fputc('\n', out);
    json_decref(doc);
}
