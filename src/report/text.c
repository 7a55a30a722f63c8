/* The report for people: the plan tree of a dry run and the summary of a live run. */
#include <inttypes.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

/* "12 running, 3 queued" for one guard, or just the number. */
static void print_spared(const struct report *report, void *scratch, FILE *out)
{
    const struct plan_counts *counts = &report->counts;
    for (size_t i = 0; i < counts->spared_count;) {
        const char *guard = counts->spared[i].guard;
        int64_t sum = 0;
        size_t end = i;
        char *labels = mem_strdup(scratch, "");
        for (; end < counts->spared_count && !strcmp(counts->spared[end].guard, guard); end++) {
            const struct plan_spared *spared = &counts->spared[end];
            sum += spared->rows;
            if (spared->label)
                labels = talloc_asprintf_append(
                    labels, "%s%s %s", *labels ? ", " : "", text_count(scratch, spared->rows),
                    text_escape(scratch, spared->label, strlen(spared->label)));
        }
        fprintf(out, "  spared by \"%s\": %s%s%s%s\n", text_line(scratch, guard),
                text_count(scratch, sum), *labels ? " (" : "", labels, *labels ? ")" : "");
        i = end;
    }
}

/* Adds a detail to those of an action. */
static char *append_detail(char *details, const char *label, const char *detail)
{
    return mem_check(talloc_asprintf_append(details, "%s%s%s",
                                            !*details ? ""
                                            : *label  ? "; "
                                                      : ", ",
                                            label, detail));
}

/* Shared rows that lose a reference and stay, and which references keep them. One row may be kept
 * by several. */
static char *kept_text(const struct report *report, void *scratch, const struct plan_node *node)
{
    const struct plan_counts *counts = &report->counts;
    char *text = mem_printf(scratch, "%s", text_count(scratch, counts->kept_by_node[node->index]));
    const char *separator = ": ";
    for (size_t i = 0; i < counts->kept_count; i++) {
        if (counts->kept[i].node != node->index)
            continue;
        text = mem_printf(scratch, "%s%s%s by %s", text, separator,
                          text_count(scratch, counts->kept[i].rows), counts->kept[i].by);
        separator = ", ";
    }
    return text;
}

static bool has_kept(const struct report *report, const struct plan_node *node)
{
    return report->dry_run && node->action == ACTION_DELETE_ORPHANS &&
           report->counts.kept_by_node && report->counts.kept_by_node[node->index] > 0;
}

/* The action, what is set, what else goes, the name it is counted by, and what keeps rows. */
static const char *action_text(const struct report *report, void *scratch,
                               const struct plan_node *node)
{
    static const char *const names[] = {"delete", "detach",         "reassign",
                                        "keep",   "delete orphans", "ignore"};
    const struct policy_dependent *rule = node->rule;
    char *details = mem_strdup(scratch, "");
    if (rule && node->action == ACTION_REASSIGN)
        details = append_detail(details, "to ", rule->to.value);
    for (size_t i = 0; i < node->set_count; i++)
        details = append_detail(details, "",
                                mem_printf(scratch, "%s = %s", node->set[i].name,
                                           node->set[i].value ? node->set[i].value : "NULL"));
    for (size_t i = 0; i < node->object_count; i++)
        details = append_detail(details, i ? "" : "objects: ", node->objects[i].name);
    if (rule && rule->count_as.value)
        details = append_detail(details, "counted as ", rule->count_as.value);
    if (rule && node->action == ACTION_IGNORE)
        details = append_detail(details, "because: ", rule->reason.value);
    if (has_kept(report, node))
        details = append_detail(details, "kept ", kept_text(report, scratch, node));
    return mem_printf(scratch, *details ? "%-16s %s" : "%s", names[node->action],
                      text_line(scratch, details));
}

/* A number of rows; "~" marks an estimate. */
static const char *rows_text(const struct report *report, void *scratch, int64_t n)
{
    if (n < 0)
        return "not counted";
    return mem_printf(scratch, "%s%s",
                      report->dry_run && report->counted == COUNTED_ROUGHLY ? "~" : "",
                      text_count(scratch, n));
}

/* A name with a line break would make a line of its own. */
static const char *shown_name(void *scratch, const struct plan_node *node)
{
    return text_line(scratch, node->table.name);
}

static void print_row(const struct report *report, void *scratch, const struct plan_node *node,
                      const char *branch, int width, FILE *out)
{
    const int64_t *counts = report->dry_run ? report->counts.by_node : report->deleted;
    char *name = mem_printf(scratch, "%s%s%s", branch, shown_name(scratch, node),
                            node->label == node->table.label ? "" : " *");
    fprintf(out, "  %-*s %12s  %s\n", width, name,
            counts && plan_acts(node) ? rows_text(report, scratch, counts[node->index]) : "-",
            action_text(report, scratch, node));
}

/* Children of node in the order of discovery, each with the rail of the levels above. */
static void print_children(const struct report *report, void *scratch, const struct plan_node *node,
                           const char *rail, int width, FILE *out)
{
    const struct plan *plan = report->plan;
    const struct plan_node *last = NULL;
    for (size_t i = 1; i < plan->node_count; i++)
        if (plan->nodes[i]->parent == node)
            last = plan->nodes[i];
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *child = plan->nodes[i];
        if (child->parent != node)
            continue;
        bool shared = child->action == ACTION_DELETE_ORPHANS; /* it is referred to, not referring */
        char *branch =
            mem_printf(scratch, "%s%c%c ", rail, child == last ? '`' : '|', shared ? '>' : '-');
        print_row(report, scratch, child, branch, width, out);
        print_children(report, scratch, child,
                       mem_printf(scratch, "%s%s", rail, child == last ? "   " : "|  "), width,
                       out);
    }
}

static int tree_width(void *scratch, const struct plan *plan)
{
    int width = 24;
    for (size_t i = 0; i < plan->node_count; i++) {
        int need = (int)strlen(shown_name(scratch, plan->nodes[i]));
        for (const struct plan_node *n = plan->nodes[i]->parent; n; n = n->parent)
            need += 3;
        if (need > width)
            width = need;
    }
    return width;
}

static void print_tables(const struct report *report, void *scratch, FILE *out)
{
    int width = tree_width(scratch, report->plan);
    print_row(report, scratch, report->plan->nodes[0], "", width, out);
    print_children(report, scratch, report->plan->nodes[0], "", width, out);
}

static void print_heading(const struct report *report, void *scratch, FILE *out)
{
    const struct plan *plan = report->plan;
    fprintf(out, "%s: %s, %s < %s (%s)\n", report->policy->name,
            text_line(scratch, plan->nodes[0]->table.label), text_line(scratch, plan->age->name),
            plan->cutoff, report->policy->retain.value);
}

static void print_remarks(const struct report *report, FILE *out)
{
    for (size_t i = 0; i < report->remark_count; i++)
        fprintf(out, "  note: %s\n", report->remarks[i]);
}

/* Shared rows that lose a reference and stay, with the references that keep them. */
static void print_kept(const struct report *report, void *scratch, FILE *out)
{
    const struct plan_counts *counts = &report->counts;
    for (size_t i = 0; counts->kept_by_node && i < report->plan->node_count; i++) {
        char *by = mem_strdup(scratch, "");
        if (counts->kept_by_node[i] <= 0)
            continue;
        for (size_t k = 0; k < counts->kept_count; k++)
            if (counts->kept[k].node == (int)i)
                by = mem_check(talloc_asprintf_append(
                    by, "%sby %s (%s) %s", *by ? ", " : "; ", counts->kept[k].by,
                    counts->kept[k].constraint, text_count(scratch, counts->kept[k].rows)));
        fprintf(out, "  kept %s: %s%s\n", text_line(scratch, report->plan->nodes[i]->table.label),
                text_count(scratch, counts->kept_by_node[i]), text_line(scratch, by));
    }
}

void report_print_tree(const struct report *report, FILE *out)
{
    const struct plan *plan = report->plan;
    void *scratch = talloc_new(NULL);
    print_heading(report, scratch, out);
    print_tables(report, scratch, out);
    if (report->counts.total >= 0)
        fprintf(out, "  of %s in all\n", rows_text(report, scratch, report->counts.total));
    if (report->counted == COUNTED_ROUGHLY)
        fprintf(out, "  older than the cutoff, before condition and guards: %s\n",
                rows_text(report, scratch, report->counts.old_enough));
    bool at_most;
    int64_t goal = report_goal(report, &at_most);
    if (at_most || goal < report->counts.eligible)
        fprintf(out, "  a live run stops after %s of them (max_rows)\n", text_count(scratch, goal));
    print_spared(report, scratch, out);
    print_kept(report, scratch, out);
    if (plan->directory)
        fprintf(out, "  working directories: %s/<%s>\n", text_line(scratch, plan->directory_root),
                text_line(scratch, plan->directory->name));
    fprintf(out, "  strategy: %s (%s), along %s (%s)\n",
            plan->strategy == STRATEGY_RANGE ? "range" : "locked", plan->strategy_reason,
            plan->walk == WALK_AGE ? "age and key" : "the key", plan->walk_reason);
    for (size_t i = 0; i < plan->code_count; i++)
        fprintf(out, "  %s: %s\n", plan->code[i].trusted ? "fires" : "fires, of another role",
                text_line(scratch, plan_code_text(scratch, &plan->code[i])));
    for (size_t i = 0; i < plan->note_count; i++)
        fprintf(out, "  note: %s\n", text_line(scratch, plan->notes[i]));
    print_remarks(report, out);
    if (report->counted == COUNTED_ROUGHLY)
        fputs("  the numbers with ~ are estimates from the statistics of the tables: good for "
              "ages, often poor for\n"
              "  conditions and guards; what guards spare is not estimated\n",
              out);
    if (report->signal)
        fprintf(out, "  stopped by signal %d: what was not counted by then is \"not counted\"\n",
                report->signal);
    fputs("  dry run: nothing was changed\n", out);
    talloc_free(scratch);
}

static void print_failures(const struct report *report, void *scratch, FILE *out)
{
    for (size_t i = 0; i < report->failure_count; i++) {
        const struct error *why = report->failures[i].why;
        fprintf(out, "  failed: %s: %s%s%s%s\n", report->failures[i].key,
                text_escape(scratch, why->message, strlen(why->message)),
                *why->sqlstate ? " (" : "", why->sqlstate, *why->sqlstate ? ")" : "");
        if (why->detail)
            fprintf(out, "    detail: %s\n", text_line(scratch, why->detail));
        if (why->hint)
            fprintf(out, "    hint: %s\n", text_line(scratch, why->hint));
    }
    if (report->failed > (int64_t)report->failure_count)
        fprintf(out, "  failed: %s more\n",
                text_count(scratch, report->failed - (int64_t)report->failure_count));
}

/* "about 980 eligible rows are left", as far as anybody knows. */
static const char *left_text(const struct report *report, void *scratch, int64_t left)
{
    if (report->counts.eligible < 0)
        return "how many eligible rows are left was not counted; the next run takes them";
    return mem_printf(scratch, "about %s eligible rows are left for the next run",
                      text_count(scratch, left > 0 ? left : 0));
}

/* What a limit, a window or a stop file left. */
static void print_limit(const struct report *report, void *scratch, FILE *out)
{
    const char *detail = report->limit_detail ? text_line(scratch, report->limit_detail) : NULL;
    if (report->not_begun)
        fprintf(out, "  not begun because of %s%s%s: nothing was counted or deleted\n",
                report->limit, detail ? ": " : "", detail ? detail : "");
    else if (report->limit)
        fprintf(out, "  stopped at %s%s%s%s; %s%s eligible rows are left for the next run\n",
                report->limit, detail ? " (" : "", detail ? detail : "", detail ? ")" : "",
                report->left >= REPORT_LEFT_MAX ? "at least " : "",
                text_count(scratch, report->left));
}

static void print_signal(const struct report *report, void *scratch, FILE *out)
{
    int64_t left =
        report->counts.eligible - report->deleted[0] - report->spared_late - report->failed;
    int64_t waiting =
        (report->objects.waiting > 0 ? report->objects.waiting : 0) + report->directories.waiting;
    if (report->signal && report->counts.eligible >= 0 && left <= 0 && waiting > 0)
        fprintf(out,
                "  stopped by signal %d when the rows were gone; objects or directories that wait: "
                "%s\n",
                report->signal, text_count(scratch, waiting));
    else if (report->signal)
        fprintf(out, "  stopped by signal %d after the chunk in flight; %s\n", report->signal,
                left_text(report, scratch, left));
}

static void print_locked(const struct report *report, void *scratch, FILE *out)
{
    if (report->left_locked > 0)
        fprintf(out,
                "  left because other sessions keep them locked: %s row%s; the next run takes what "
                "is left\n",
                text_count(scratch, report->left_locked), report->left_locked == 1 ? "" : "s");
    for (size_t i = 0; i < report->locked_count; i++) {
        const struct report_locked *one = &report->locked[i];
        fprintf(out, "    %s: %s%s is locked\n", one->key,
                one->table ? "a row of " : "a row that it needs",
                one->table ? text_line(scratch, one->table) : "");
    }
    if (report->left_locked > (int64_t)report->locked_count && report->locked_count > 0)
        fprintf(out, "    and %s more\n",
                text_count(scratch, report->left_locked - (int64_t)report->locked_count));
}

static void print_end(const struct report *report, void *scratch, FILE *out)
{
    print_limit(report, scratch, out);
    print_signal(report, scratch, out);
    print_locked(report, scratch, out);
}

/* What makes the numbers of the last line add up. */
static void print_changed(const struct report *report, void *scratch, FILE *out)
{
    int64_t changed;
    if (!report_changed(report, &changed) || changed == 0)
        return;
    if (changed > 0)
        fprintf(out,
                "  changed between the count and their turn: %s (other sessions renewed them, "
                "deleted them, or made a condition or guard spare them)\n",
                text_count(scratch, changed));
    else
        fprintf(out, "  became eligible after the count: %s\n", text_count(scratch, -changed));
}

static void print_objects(const struct report *report, void *scratch, FILE *out)
{
    const struct report_objects *o = &report->objects;
    const struct {
        const char *text;
        int64_t n;
    } parts[] = {{"deleted", o->deleted},
                 {"still in use", o->in_use},
                 {"not in a configured bucket", o->foreign},
                 {"outside the stated prefixes", o->outside},
                 {"of another store or bucket", o->elsewhere},
                 {"perhaps in use", o->held},
                 {"failed, to be tried again", o->failed},
                 {"given up (dead letters)", o->dead},
                 {"waiting in the queue", o->waiting}};
    if (o->queued + o->deleted + o->in_use + o->failed + o->dead + report_objects_failed(report) ==
            0 &&
        o->waiting <= 0)
        return;
    fprintf(out, "  objects: %s queued", text_count(scratch, o->queued));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].n > 0)
            fprintf(out, ", %s %s", text_count(scratch, parts[i].n), parts[i].text);
    fputc('\n', out);
}

static void print_directories(const struct report *report, void *scratch, FILE *out)
{
    const struct report_directories *d = &report->directories;
    const struct {
        const char *text;
        int64_t n;
    } parts[] = {{"removed", d->removed},
                 {"kept for files that are protected or too young", d->kept},
                 {"still named by a row", d->in_use},
                 {"refused (pgsweep objects list)", d->refused},
                 {"below another root than the policy's", d->elsewhere},
                 {"in use, to be tried again", d->busy},
                 {"failed, to be tried again", d->failed},
                 {"given up (dead letters)", d->dead},
                 {"waiting in the queue", d->waiting}};
    if (d->queued + d->removed + d->kept + d->in_use + d->refused + d->elsewhere + d->busy +
            d->failed + d->dead + d->waiting ==
        0)
        return;
    fprintf(out, "  working directories: %s queued", text_count(scratch, d->queued));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].n > 0)
            fprintf(out, ", %s %s", text_count(scratch, parts[i].n), parts[i].text);
    if (d->removed + d->kept > 0)
        fprintf(out, "; %s freed", text_bytes(scratch, d->bytes_freed));
    fputc('\n', out);
}

void report_print_summary(const struct report *report, FILE *out)
{
    void *scratch = talloc_new(NULL);
    print_heading(report, scratch, out);
    print_tables(report, scratch, out);
    print_spared(report, scratch, out);
    if (report->spared_late > 0)
        fprintf(out, "  spared when they were locked: %s (changed since they were counted)\n",
                text_count(scratch, report->spared_late));
    print_failures(report, scratch, out);
    print_objects(report, scratch, out);
    print_directories(report, scratch, out);
    report_print_space(report, out);
    if (report->letter_depth > 0)
        fprintf(out, "  dead letters: %s (pgsweep dlq list)\n",
                text_count(scratch, report->letter_depth));
    print_remarks(report, out);
    print_end(report, scratch, out);
    print_changed(report, scratch, out);
    if (report->waited_ms > 0)
        fprintf(out, "  waited %s\n", report_waited_text(scratch, report));
    if (report->count_limit)
        fprintf(out,
                "  the count before the run took longer than %s (count_timeout): the run went on "
                "without a "
                "total\n",
                report->count_limit);
    if (report->counts.total >= 0)
        fprintf(out, "  in all %s, ", text_count(scratch, report->counts.total));
    else
        fputs("  ", out);
    fprintf(out, "eligible %s, deleted %s, errors %s, in %s\n",
            rows_text(report, scratch, report->counts.eligible),
            text_count(scratch, report->deleted[0]), text_count(scratch, report->failed),
            text_duration(scratch, report->duration_ms));
    talloc_free(scratch);
}
