/* The walk over a tree: an explicit stack of directories, entered, emptied and removed. */
#define _GNU_SOURCE
#include "walk.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"

static struct frame *top(const struct walk *w)
{
    return &w->frames[w->depth - 1];
}

/* "literal*" needs no fnmatch; that is what the default patterns are. */
static struct pattern compile(const char *text, bool any_case)
{
    size_t literal = strcspn(text, "*?[\\/");
    bool simple = literal > 0 && text[literal] == '*' && text[literal + 1] == '\0';
    return (struct pattern){.text = text, .prefix = simple ? literal : 0, .any_case = any_case};
}

static void add_pattern(struct walk *w, const char *text, bool any_case)
{
    size_t i = mem_grow(w, &w->patterns, &w->pattern_count);
    w->patterns[i] = compile(text, any_case);
}

static void add_patterns(struct walk *w)
{
    const struct files_options *o = w->options;
    for (size_t i = 0; !o->no_default_protect && files_default_protect[i]; i++)
        add_pattern(w, files_default_protect[i], o->protect_case != FILES_CASE_MATCH);
    for (size_t i = 0; i < o->protect_count; i++)
        add_pattern(w, o->protect[i], o->protect_case == FILES_CASE_IGNORE);
}

static void describe(struct walk *w, struct frame *f, const struct statx *stx)
{
    f->id = fsys_id(stx);
    f->mtime = fsys_time(stx->stx_mtime);
    f->uid = stx->stx_uid;
    f->mode = stx->stx_mode;
    f->append_only = stx->stx_attributes & (STATX_ATTR_APPEND | STATX_ATTR_IMMUTABLE);
    f->write_error = -1;
    f->lost = FILES_NOT_KEPT;
    f->age = FILES_NOT_KEPT;
    if (w->wipe)
        return;
    f->age = entry_judge_time(w, f->mtime);
    unsigned others =
        w->options->age_by & (FILES_AGE_BIT(FILES_AGE_CTIME) | FILES_AGE_BIT(FILES_AGE_BTIME));
    if (f->age == FILES_NOT_KEPT && others)
        f->age = entry_judge_times(w, stx, others);
}

struct walk *walk_new(const void *ctx, const struct files_options *options,
                      const struct files_root *root, struct files_report *report, int fd,
                      const char *base_path, const char *only_name)
{
    struct walk *w = mem_new(ctx, struct walk);
    struct statx stx;
    w->options = options;
    w->shared = options->shared ? options->shared : files_shared_new(w);
    w->root = root;
    w->report = report;
    w->sys.no_openat2 = options->no_openat2;
    w->base_path = base_path;
    w->wipe = only_name != NULL;
    w->dry_run = options->dry_run;
    w->has_fowner = fsys_has_fowner();
    w->has_lease = fsys_has_lease();
    w->euid = geteuid();
    w->checked_ms = clock_now_ms();
    clock_gettime(CLOCK_REALTIME, &w->now);
    inuse_prepare(w);
    w->path = mem_strdup(w, "");
    w->path_room = 1;
    w->links = mem_new(w, struct links);
    add_patterns(w);
    mem_grow(w, &w->frames, &w->depth);
    struct frame *base = top(w);
    memset(&stx, 0, sizeof stx);
    fsys_stat(fd, "", &stx); /* of an open directory: does not fail */
    describe(w, base, &stx);
    base->fd = fd;
    if (only_name) {
        base->finished = true;
        base->pending = mem_strdup(w, only_name);
        base->pending_size = strlen(only_name) + 1;
        w->pending_total = base->pending_size;
    } else {
        report->directories++;
    }
    return w;
}

void walk_free_names(struct walk *w)
{
    talloc_free(w->names);
    talloc_free(w->entries);
    w->names = NULL;
    w->entries = NULL;
    w->names_room = w->entry_room = 0;
}

/* Makes name, in the top frame, the end of walk.path, for a frame that is about to be the top. */
static void extend_path(struct walk *w, struct frame *f, const char *name)
{
    size_t above = top(w)->path_length;
    size_t length = strlen(name);
    f->name_at = above + (above > 0);
    f->path_length = f->name_at + length;
    if (f->path_length + 1 > w->path_room) {
        w->path_room = (f->path_length + 1) * 2;
        w->path = mem_check(talloc_realloc_size(w, w->path, w->path_room));
    }
    if (above > 0)
        w->path[above] = '/';
    memcpy(w->path + f->name_at, name, length + 1);
}

/* Something at name, which was a directory when it was listed, stays or is gone. */
static void settle_child(struct walk *w, const char *name, struct verdict v)
{
    if (v.kept != FILES_NOT_KEPT) {
        tally_kept(w, v.kept);
    } else if (v.error == ENOENT) {
        w->report->vanished++;
        return;
    } else {
        tally_failed(w, name, 'd', v.error, "open");
    }
    top(w)->stays = true;
}

static struct verdict open_refused(int error)
{
    switch (error) {
    case EXDEV:
        return (struct verdict){.kept = FILES_KEPT_OTHER_FS};
    case ELOOP:
    case ENOTDIR:
        return (struct verdict){.kept = FILES_KEPT_CHANGED};
    default:
        return (struct verdict){.kept = FILES_NOT_KEPT, .error = error};
    }
}

static bool is_below_root(const struct walk *w)
{
    return w->depth == 1 && (w->base_path == w->root->path || w->in_left);
}

/* What the name alone decides, before anything is opened. */
static enum files_kept judge_name(const struct walk *w, const char *name)
{
    const struct files_options *o = w->options;
    if (is_below_root(w) && o->is_active && o->is_active(o->is_active_arg, name))
        return FILES_KEPT_ACTIVE_JOB;
    return entry_is_protected(w, name, NULL) ? FILES_KEPT_PROTECTED : FILES_NOT_KEPT;
}

static struct verdict open_child(struct walk *w, const char *name, struct frame *child)
{
    struct statx stx;
    struct verdict v = {.kept = FILES_NOT_KEPT};
    const struct frame *base = &w->frames[0];
    child->fd = fsys_open_child(&w->sys, top(w)->fd, name);
    if (child->fd < 0)
        return open_refused(errno);
    if (!fsys_stat(child->fd, "", &stx)) {
        v.error = errno;
        return v;
    }
    describe(w, child, &stx);
    if (fsys_crosses(&w->sys, child->fd, &stx, base->fd, &base->id))
        v.kept = FILES_KEPT_OTHER_FS;
    else if (entry_is_protected(w, NULL, &child->id))
        v.kept = FILES_KEPT_PROTECTED;
    else if (flock(child->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        v.kept = FILES_KEPT_LOCKED;
    else if (w->dry_run)
        flock(child->fd, LOCK_UN); /* a dry run must not stand in the way of others */
    return v;
}

void walk_enter(struct walk *w, const char *name)
{
    struct frame child = {.fd = -1};
    if (is_below_root(w) && trash_has_name(name) && left_sweep(w, name))
        return;
    child.uncounted = w->in_left && w->depth == 1 && strcmp(name, TRASH_HELD) == 0;
    w->report->scanned += !child.uncounted;
    struct verdict v = {.kept = judge_name(w, name)};
    if (v.kept == FILES_NOT_KEPT)
        v = open_child(w, name, &child);
    if (v.kept != FILES_NOT_KEPT || v.error) {
        if (child.fd >= 0)
            close(child.fd);
        settle_child(w, name, v);
        return;
    }
    extend_path(w, &child, name);
    size_t at = mem_grow(w, &w->frames, &w->depth);
    w->frames[at] = child;
    w->report->directories += !child.uncounted;
    place_close_far(w);
}

/* What the time of the directory says right before its removal. Once the sweep itself removed
 * something in it, its time says nothing any more. */
static enum files_kept judge_again(struct walk *w, const struct frame *f, const struct statx *stx)
{
    if (w->wipe || f->touched)
        return FILES_NOT_KEPT;
    return entry_judge_time(w, fsys_time(stx->stx_mtime));
}

static int unlink_directory(struct walk *w, int dirfd, const char *name)
{
    int error = unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : errno;
    /* On some network file systems what is still open keeps its directory. */
    if ((error == ENOTEMPTY || error == EEXIST) && closer_drain(w))
        error = unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : errno;
    return error;
}

/* Removes the directory of the top frame, if it still is what the name in its parent means. */
static struct verdict remove_directory(struct walk *w)
{
    struct frame *f = top(w);
    struct frame *parent = f - 1;
    struct statx stx;
    struct verdict v = {.kept = FILES_NOT_KEPT};
    enum in_use use = IN_USE_NOT;
    const char *name = w->path + f->name_at;
    w->path[f->path_length] = '\0';
    if (!place_is_kept(w)) {
        v.kept = FILES_KEPT_MOVED;
    } else if (!fsys_stat(parent->fd, name, &stx)) {
        /* Moved away, or removed by another: only the count of its links can tell. */
        v.error = errno;
        if (errno == ENOENT && fsys_stat(f->fd, "", &stx) && stx.stx_nlink > 0)
            v = (struct verdict){.kept = FILES_KEPT_MOVED};
    } else if (!fsys_same(fsys_id(&stx), f->id)) {
        v.kept = FILES_KEPT_MOVED;
    } else if ((v.kept = judge_again(w, f, &stx)) != FILES_NOT_KEPT) {
        ; /* someone made and removed something in it meanwhile */
    } else if (w->options->in_use && (use = inuse_look(w, f->id)) == IN_USE) {
        v.kept = FILES_KEPT_OPEN; /* or the working directory of a process */
    } else if (!entry_within_limit(w)) {
        v.kept = FILES_KEPT_UNFINISHED;
    } else if (w->dry_run) {
        v.error = entry_predict(w, parent, &stx);
    } else {
        v.error = unlink_directory(w, parent->fd, name);
        if (v.error == ENOTEMPTY || v.error == EEXIST) {
            v = (struct verdict){.kept = FILES_KEPT_NOT_EMPTY}; /* filled again meanwhile: */
            f->touched = false; /* then its new time is not of our making alone, and stays */
        }
    }
    if (use == IN_USE_UNKNOWN && v.kept == FILES_NOT_KEPT && !v.error)
        w->report
            ->untested++; /* what is lost with an empty directory is little: it need not stay */
    return v;
}

static struct verdict judge_directory(struct walk *w)
{
    struct frame *f = top(w);
    bool unfinished = f->pending_at < f->pending_size || !f->finished;
    if (!place_reopen_parent(w) && f->lost == FILES_NOT_KEPT)
        f->lost = FILES_KEPT_MOVED;
    if (f->lost != FILES_NOT_KEPT)
        return (struct verdict){.kept = f->lost};
    if (unfinished)
        return (struct verdict){.kept = FILES_KEPT_UNFINISHED};
    if (f->stays)
        return (struct verdict){.kept = FILES_KEPT_NOT_EMPTY};
    if (f->age != FILES_NOT_KEPT)
        return (struct verdict){.kept = f->age};
    if (!w->wipe && !entry_is_owned(w, f->uid))
        return (struct verdict){.kept = FILES_KEPT_OWNER};
    return remove_directory(w);
}

/* The next run is to find the age of the directory as it was: a sweep is no sign of life. */
static void restore_mtime(const struct walk *w, const struct frame *f)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, f->mtime};
    if (f->touched && !w->dry_run && f->lost == FILES_NOT_KEPT && f->fd >= 0)
        (void)futimens(f->fd, times); /* not ours: then it stays as young as it looks */
}

static void pop(struct walk *w)
{
    struct frame *f = top(w);
    if (w->depth == 1 && f->lost == FILES_KEPT_MOVED) {
        w->report->scanned++; /* the root itself; it counts only when it is in the way */
        tally_kept(w, f->lost);
    }
    if (f->fd >= 0 && w->depth > 1)
        close(f->fd);
    w->pending_total -= f->pending_size;
    talloc_free(f->pending);
    w->depth--;
}

/* Without its parent, which cannot be found again, nothing more can be done in that either. */
static void leave(struct walk *w)
{
    if (top(w)->uncounted) { /* it goes with the trash */
        pop(w);
        return;
    }
    struct verdict v = judge_directory(w);
    struct frame *f = top(w);
    struct frame *parent = f - 1;
    if (parent->fd < 0)
        parent->lost = FILES_KEPT_MOVED;
    bool gone = v.kept == FILES_NOT_KEPT && (v.error == 0 || v.error == ENOENT);
    if (!gone)
        restore_mtime(w, f);
    parent->stays = parent->stays || !gone;
    if (v.kept == FILES_KEPT_MOVED)
        w->since_check = PLACE_CHECK_NOW; /* perhaps the parent went with it */
    if (f->read_failed) {
        ; /* counted as failed when that happened */
    } else if (v.kept != FILES_NOT_KEPT) {
        tally_kept(w, v.kept);
    } else if (v.error == ENOENT) {
        w->report->vanished++;
    } else if (v.error) {
        tally_failed(w, NULL, 'd', v.error, "remove");
    } else {
        tally_deleted(w, NULL, 'd', 0);
        entry_count_removal(w, parent);
    }
    pop(w);
}

void walk_step(struct walk *w)
{
    struct frame *f = top(w);
    bool work_left = f->pending_at < f->pending_size || !f->finished;
    bool go_on = work_left && f->lost == FILES_NOT_KEPT && !w->ended && entry_may_go_on(w);
    if (go_on && f->pending_at < f->pending_size && crew_may_share(w)) {
        crew_walk_directories(w);
    } else if (go_on && f->pending_at < f->pending_size) {
        const char *name = f->pending + f->pending_at;
        f->pending_at += strlen(name) + 1;
        walk_enter(w, name);
    } else if (go_on) {
        w->pending_total -= f->pending_size;
        talloc_free(f->pending);
        f->pending = NULL;
        f->pending_size = f->pending_at = 0;
        block_read(w);
    } else if (w->depth > 1) {
        leave(w);
    } else {
        pop(w);
    }
}

void walk_run(struct walk *w)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    int64_t start = clock_now_ms();
    if (w->options->in_use)
        sigaction(SIGIO, &ignore, &before);
    while (w->depth > 0)
        walk_step(w);
    closer_end(w);
    if (w->options->in_use)
        sigaction(SIGIO, &before, NULL);
    w->report->duration_ms += clock_now_ms() - start;
}

/* Another sweep of this user is at it. The root counts only when it is in the way. */
static void leave_root(struct files_report *report)
{
    report->scanned++;
    report->kept[FILES_KEPT_LOCKED]++;
    report->roots_locked++;
}

static void sweep_root(const void *ctx, const struct files_options *options,
                       const struct files_root *root, struct files_report *report)
{
    struct root_lock lock;
    enum lock_state state = lock_take(&lock, root, options->dry_run);
    if (state == LOCK_HELD) {
        leave_root(report);
        return;
    }
    report->unlocked += state == LOCK_NOWHERE && !options->dry_run;
    /* For other programs that clean up, and keep off what is locked; that one of them or anybody
     * else holds it is no reason to do nothing. */
    if (!options->dry_run)
        flock(root->fd, LOCK_EX | LOCK_NB);
    struct walk *w = walk_new(ctx, options, root, report, root->fd, root->path, NULL);
    w->lock_id = lock.id;
    walk_run(w);
    talloc_free(w);
    lock_release(&lock);
}

bool files_sweep(const struct files_options *options, struct files_report *report,
                 struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_root root;
    bool ok = root_open(ctx, options, &root, err) && root_check_system(options, &root, err);
    if (ok && root.fd >= 0)
        sweep_root(ctx, options, &root, report);
    root_close(&root);
    talloc_free(ctx);
    return ok;
}
