/* Deletes the oldest expired files until enough space is free: finds the youngest file that has to
 * be deleted, then sweeps up to its time. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "walk.h"

/* The number of files remembered at a time (8 MiB); if they are not enough, the tree is read
 * again. */
enum { REMEMBERED = 500000, NS_PER_S = 1000000000 };

/* A file that would be deleted. */
struct item {
    int64_t time; /* nanoseconds; the youngest of the times that age_by names */
    int64_t bytes;
};

/* The oldest files that would be deleted: a heap with the youngest of them on top. */
struct plan {
    struct item *items;
    size_t count;
    size_t room;
    int64_t after; /* older files were handled before */
    bool full;     /* there are more files than fit */
    bool failed;
};

static int64_t nanoseconds(struct timespec t)
{
    if (t.tv_sec > INT64_MAX / NS_PER_S - 1)
        return INT64_MAX;
    if (t.tv_sec < INT64_MIN / NS_PER_S + 1)
        return INT64_MIN + 1;
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static struct timespec from_nanoseconds(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += NS_PER_S;
    }
    return t;
}

static void swap(struct item *a, struct item *b)
{
    struct item kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct plan *plan, size_t at)
{
    while (at > 0 && plan->items[(at - 1) / 2].time < plan->items[at].time) {
        swap(&plan->items[(at - 1) / 2], &plan->items[at]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct plan *plan)
{
    for (size_t at = 0;;) {
        size_t largest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < plan->count; child++)
            if (plan->items[child].time > plan->items[largest].time)
                largest = child;
        if (largest == at)
            return;
        swap(&plan->items[at], &plan->items[largest]);
        at = largest;
    }
}

static void remember(void *arg, const struct files_event *event)
{
    struct plan *plan = arg;
    struct item item = {.time = nanoseconds(event->time), .bytes = event->bytes};
    if (event->kind != FILES_EVENT_DELETED || event->type == 'd' || item.time <= plan->after)
        return;
    if (plan->count < plan->room) {
        plan->items[plan->count++] = item;
        sift_up(plan, plan->count - 1);
        return;
    }
    plan->full = true;
    if (item.time < plan->items[0].time) {
        plan->items[0] = item;
        sift_down(plan);
    }
}

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    return x->time < y->time ? -1 : x->time > y->time;
}

/* Finds out, without changing anything, which files have to be deleted to free so many bytes: *last
 * is the time of the youngest of them. False: nothing is left to delete. *need: the bytes that are
 * still missing after that. */
static bool find_last(const struct files_options *o, struct plan *plan, struct files_report *report,
                      int64_t *need, int64_t *last, struct error *err)
{
    struct files_report look = {0};
    struct files_options quiet = *o;
    quiet.dry_run = true;
    quiet.max_deletions = 0;
    quiet.on_step = NULL;
    quiet.errors_only = false;
    quiet.on_event = remember;
    quiet.on_event_arg = plan;
    plan->count = 0;
    plan->full = false;
    if (!files_sweep(&quiet, &look, err)) {
        plan->failed = true;
        return false;
    }
    report->stopped = report->stopped || look.stopped;
    report->limit_reached = report->limit_reached || look.limit_reached;
    if (plan->count == 0)
        return false;
    qsort(plan->items, plan->count, sizeof *plan->items, compare_items);
    for (size_t i = 0; i<plan->count && * need> 0; i++) {
        *need -= plan->items[i].bytes;
        *last = plan->items[i].time;
    }
    return true;
}

/* The size of the file system for this user and its free part, as df(1) shows them. */
static bool measure(const struct files_root *root, int64_t *all, int64_t *unused)
{
    struct statvfs fs;
    if (fstatvfs(root->fd, &fs) != 0)
        return false;
    *all = (int64_t)((fs.f_blocks - fs.f_bfree + fs.f_bavail) * fs.f_frsize);
    *unused = (int64_t)(fs.f_bavail * fs.f_frsize);
    return true;
}

/* Before a repeated sweep: kept and failed files count only from the last sweep, deleted files from
 * all of them. */
static void forget_kept(struct files_report *report, const struct files_report *before)
{
    int64_t gone =
        files_deleted(report) + report->vanished - files_deleted(before) - before->vanished;
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        report->kept[i] = before->kept[i];
    for (int i = 0; i < FILES_ERRORS_MAX; i++)
        report->errors[i] = before->errors[i];
    report->error_count = before->error_count;
    report->failed = before->failed;
    report->directories = before->directories;
    report->scanned = before->scanned + gone;
}

/* Sweeps once, up to the files of that time or (up_to NULL) everything that is expired, and
 * measures the free space. *known: the measurement succeeded. */
static bool sweep_up_to(const struct files_options *options, const int64_t *up_to,
                        const struct files_root *root, struct files_room *room,
                        struct files_report *report, bool *known, struct error *err)
{
    struct files_options o = *options;
    int64_t freed = report->bytes_freed;
    int64_t all;
    o.spare = up_to != NULL;
    if (up_to)
        o.spare_from = from_nanoseconds(*up_to < INT64_MAX ? *up_to + 1 : *up_to);
    if (!files_sweep(&o, report, err))
        return false;
    if (o.dry_run)
        room->after = room->before + report->bytes_freed - freed;
    else /* some file systems free space with a delay */
        *known = syncfs(root->fd) == 0 && measure(root, &all, &room->after);
    return true;
}

static bool is_ended(const struct files_report *report)
{
    return report->stopped || report->limit_reached;
}

/* Sweeps as far as needed, and repeats that while it was not enough and more expired files
 * exist. */
static bool make_room(const struct files_options *options, const struct files_root *root,
                      struct files_room *room, struct plan *plan, struct files_report *report,
                      struct error *err)
{
    const struct files_report before = *report;
    bool known = true;
    int64_t need = room->wanted - room->before;
    for (bool first = true; known && room->after < room->wanted && !is_ended(report);
         first = false) {
        int64_t last = plan->after;
        bool some = find_last(options, plan, report, &need, &last, err);
        bool enough =
            some &&
            (need <= 0 ||
             plan->full); /* otherwise everything expired is deleted, including directories */
        plan->after = last;
        if (plan->failed)
            return false;
        if (is_ended(report) || (!some && !first))
            return true;
        if (options->dry_run && some && plan->full && need > 0)
            continue; /* the last pass finds how far to go in total */
        if (!first)
            forget_kept(report, &before);
        if (!sweep_up_to(options, enough ? &last : NULL, root, room, report, &known, err))
            return false;
        known = known && some && !options->dry_run;
        need = room->wanted - room->after;
    }
    return true;
}

bool files_sweep_for_room(const struct files_options *options, struct files_room *room,
                          struct files_report *report, struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_root root;
    struct plan plan = {.after = INT64_MIN,
                        .room = room->remembered > 0 ? room->remembered : REMEMBERED};
    int64_t all = 0;
    bool ok = root_open(ctx, options, &root, err);
    room->found = false;
    if (ok && root.fd >= 0 && !measure(&root, &all, &room->before)) {
        ok = error_set(err, SWEEP_USAGE, "cannot read the free space below the root \"%s\"",
                       root.path);
    } else if (ok && root.fd >= 0) {
        room->found = true;
        room->after = room->before;
        room->wanted = room->share >= 0 ? (int64_t)(room->share * (double)all) : room->bytes;
        plan.items = mem_array(ctx, struct item, plan.room);
        ok = make_room(options, &root, room, &plan, report, err);
        room->reached = room->after >= room->wanted;
    }
    root_close(&root);
    talloc_free(ctx);
    return ok;
}
