/* One object that is no directory: judging it and, right after, removing it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "walk.h"

enum { CLOCK_EVERY = 32 };

static struct frame *top(const struct walk *w)
{
    return &w->frames[w->depth - 1];
}

static bool matches_patterns(const struct walk *w, const char *name)
{
    char *path = NULL;
    for (size_t i = 0; i < w->pattern_count; i++) {
        const struct pattern *p = &w->patterns[i];
        if (p->prefix > 0) {
            if ((p->any_case ? strncasecmp : strncmp)(name, p->text, p->prefix) == 0)
                goto yes;
            continue;
        }
        /* The path is put together only for the patterns that need more than the start of a name.
         */
        if (!path) {
            size_t length = top(w)->path_length;
            path = mem_printf(NULL, "%.*s%s%s", (int)length, w->path, length ? "/" : "", name);
        }
        if (files_match_pattern(p->text, path, p->any_case))
            goto yes;
    }
    talloc_free(path);
    return false;
yes:
    talloc_free(path);
    return true;
}

bool entry_is_protected(const struct walk *w, const char *name, const struct file_id *id)
{
    for (size_t i = 0; id && i < w->root->protected_count; i++)
        if (fsys_same(w->root->protected[i], *id))
            return true;
    return name && matches_patterns(w, name);
}

/* Devices never go. */
static bool may_be_of_type(const struct walk *w, unsigned mode)
{
    return S_ISREG(mode) || S_ISLNK(mode) ||
           (w->options->delete_special && (S_ISSOCK(mode) || S_ISFIFO(mode)));
}

bool entry_is_owned(const struct walk *w, uint32_t uid)
{
    const struct files_options *o = w->options;
    for (size_t i = 0; i < o->owner_count; i++)
        if (o->owners[i] == uid)
            return true;
    return o->owner_count == 0;
}

static enum files_kept judge(struct walk *w, const char *name, const struct statx *stx)
{
    struct file_id id = fsys_id(stx);
    /* A file, too, can be mounted over. */
    if (id.dev != top(w)->id.dev || (stx->stx_attributes & STATX_ATTR_MOUNT_ROOT))
        return FILES_KEPT_OTHER_FS;
    if (!w->wipe && !may_be_of_type(w, stx->stx_mode))
        return FILES_KEPT_SPECIAL;
    if (!w->wipe && !entry_is_owned(w, stx->stx_uid))
        return FILES_KEPT_OWNER;
    enum files_kept age = entry_judge_age(w, stx);
    if (age != FILES_NOT_KEPT)
        return age;
    return entry_is_protected(w, name, &id) ? FILES_KEPT_PROTECTED : FILES_NOT_KEPT;
}

bool entry_within_limit(struct walk *w)
{
    int64_t max = w->options->max_deletions;
    if (max > 0 && files_deleted(w->report) + (int64_t)waiting_count(w) >= max)
        waiting_settle(w);
    if (max <= 0 || files_deleted(w->report) < max)
        return true;
    w->report->limit_reached = true;
    w->ended = true;
    return false;
}

int entry_predict(const struct walk *w, struct frame *f, const struct statx *stx)
{
    if (f->write_error < 0)
        f->write_error = faccessat(f->fd, ".", W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
    if (f->write_error)
        return f->write_error;
    if ((f->mode & S_ISVTX) && !w->has_fowner && f->uid != w->euid && stx->stx_uid != w->euid)
        return EPERM;
    if (f->append_only || (stx->stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)))
        return EPERM;
    return 0;
}

void entry_count_removal(struct walk *w, struct frame *f)
{
    f->touched = true;
    w->since_check++;
    const struct files_options *o = w->options;
    if (w->dry_run || o->pause_every <= 0 || files_deleted(w->report) % o->pause_every != 0)
        return;
    trash_empty_slot(&w->shared->trash);
    closer_drain(w); /* nobody waits for us while we wait */
    clock_sleep_ms(o->pause_ms);
    w->since_check = PLACE_CHECK_NOW; /* much may have happened meanwhile */
    w->ticks = CLOCK_EVERY - 1;       /* and the deadline may be over */
}

static char type_letter(unsigned mode)
{
    return S_ISREG(mode) ? 'f' : S_ISLNK(mode) ? 'l' : 's';
}

/* Of a removed file the closing can wait, unless it has another name, under which the sweep would
 * find it open. */
static void let_go(struct walk *w, struct hold *held, bool several, bool removed)
{
    inuse_let_go(held);
    if (removed && !several)
        closer_close(w, held->fd);
    else
        close(held->fd);
}

/* Between the look and what follows others can act: see slot.c. */
static struct verdict remove_entry(struct walk *w, const char *name, const struct statx *stx)
{
    struct hold held = {.fd = -1};
    const struct files_options *o = w->options;
    struct verdict v = {.kept = FILES_NOT_KEPT};
    if (o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_CHECKED, top(w)->fd, name);
    if (o->in_use && S_ISREG(stx->stx_mode))
        v = w->dry_run ? inuse_predict(w, name, stx) : inuse_test(w, name, stx, &held);
    else if (!w->wipe && !S_ISREG(stx->stx_mode) && !S_ISLNK(stx->stx_mode))
        v = special_test(w, name, stx);
    if (v.kept == FILES_NOT_KEPT && !v.error && w->dry_run)
        v.error = entry_predict(w, top(w), stx);
    else if (v.kept == FILES_NOT_KEPT && !v.error)
        v = slot_remove(w, name, stx, &held);
    if (held.fd >= 0)
        let_go(w, &held, stx->stx_nlink > 1, v.kept == FILES_NOT_KEPT && !v.error && !v.waits);
    return v;
}

void entry_settle(struct walk *w, const char *name, const struct statx *stx, struct verdict v)
{
    struct frame *f = top(w);
    char type = type_letter(stx->stx_mode);
    if (v.kept != FILES_NOT_KEPT) {
        tally_kept(w, v.kept);
        f->stays = true;
    } else if (v.error == ENOENT && !v.action) {
        w->report->vanished++;
    } else if (v.error) {
        tally_failed(w, name, type, v.error, v.action ? v.action : "remove");
        f->stays = true;
    } else {
        tally_deleted(w, name, type, tally_bytes(w, stx));
        entry_count_removal(w, f);
    }
}

/* Looks at the signals at each item, at the clock at some. */
bool entry_may_go_on(struct walk *w)
{
    if (stop_requested()) {
        w->report->stopped = true;
        w->ended = true;
    } else if (w->options->deadline_ms > 0 && ++w->ticks % CLOCK_EVERY == 0 &&
               clock_now_ms() >= w->options->deadline_ms) {
        w->report->limit_reached = true;
        w->ended = true;
    }
    return !w->ended;
}

bool entry_examine(struct walk *w, const char *name)
{
    struct statx stx;
    if (!entry_may_go_on(w) || !place_is_kept(w)) {
        top(w)->stays = true;
        return false;
    }
    if (w->in_left && w->depth == 1 && strcmp(name, TRASH_RECORD) == 0)
        return false;
    if (!fsys_stat(top(w)->fd, name, &stx)) {
        w->report->scanned++;
        if (errno == ENOENT) {
            w->report->vanished++;
            return false;
        }
        tally_failed(w, name, '?', errno, "examine");
        top(w)->stays = true;
        return false;
    }
    if (S_ISDIR(stx.stx_mode))
        return true;
    if (w->lock_id.ino != 0 && fsys_same(fsys_id(&stx), w->lock_id))
        return false;
    w->report->scanned++;
    struct verdict v = {.kept = judge(w, name, &stx)};
    if (v.kept == FILES_NOT_KEPT)
        v = entry_within_limit(w) ? remove_entry(w, name, &stx)
                                  : (struct verdict){.kept = FILES_KEPT_UNFINISHED};
    if (!v.waits)
        entry_settle(w, name, &stx, v);
    return false;
}
