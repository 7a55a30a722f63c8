/* Removes one file, and never another file that has taken its name. Linux cannot unlink "this
 * inode": between the check of a name and its unlinking, another file can be renamed over it. So
 * the file is moved into the slot of the trash, where nobody else can reach it, and is checked
 * again there. The next file that is moved there replaces it, and at that moment the file system
 * removes it: this costs one system call more than unlinking, not two. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

enum { ASIDE_TRIES = 16 };

static struct verdict kept(enum files_kept reason)
{
    return (struct verdict){.kept = reason};
}

static struct verdict failed(int error, const char *action)
{
    return (struct verdict){.kept = FILES_NOT_KEPT, .error = error, .action = action};
}

/* The ctime is not compared because the rename changed it. */
enum files_kept slot_judge(struct walk *w, const struct statx *seen, const struct statx *moved,
                           enum files_kept use)
{
    struct statx now = *moved;
    if (!fsys_same(fsys_id(seen), fsys_id(moved)))
        return FILES_KEPT_CHANGED;
    if (use != FILES_NOT_KEPT)
        return use;
    bool written = seen->stx_mtime.tv_sec != moved->stx_mtime.tv_sec ||
                   seen->stx_mtime.tv_nsec != moved->stx_mtime.tv_nsec ||
                   seen->stx_size != moved->stx_size;
    if (!written || (w->wipe && !w->options->young_stay))
        return FILES_NOT_KEPT;
    now.stx_ctime = seen->stx_ctime;
    enum files_kept age = entry_judge_age(w, &now);
    return age != FILES_NOT_KEPT ? age : FILES_KEPT_CHANGED;
}

/* Moves a file from the trash to another name in its directory, because its own name is taken. */
static bool set_aside(struct walk *w, int trash_fd, const char *from, int dirfd, const char *name)
{
    char new_name[NAME_MAX + 1];
    uint32_t chance;
    for (int i = 0; i < ASIDE_TRIES; i++) {
        if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
            return false;
        snprintf(new_name, sizeof new_name, "%.220s.pgsweep-kept-%08" PRIx32, name, chance);
        if (trash_move(trash_fd, from, dirfd, new_name)) {
            tally_aside(w, new_name);
            return true;
        }
        if (errno != EEXIST)
            return false;
    }
    return false;
}

/* Leaves the file in the trash, which then stays; the next run sweeps it by the same rules. */
static void keep_in_trash(struct trash *t)
{
    char name[64];
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof chance, 0) == sizeof chance) {
        snprintf(name, sizeof name, "kept-%016" PRIx64, chance);
        if (trash_move(t->fd, TRASH_SLOT, t->fd, name))
            t->slot = (struct file_id){0};
    }
}

bool slot_give_back(struct walk *w, int trash_fd, const char *from, int dirfd, const char *name)
{
    return trash_move(trash_fd, from, dirfd, name) ||
           (errno == EEXIST && set_aside(w, trash_fd, from, dirfd, name));
}

/* Removes the file by its name, right after a last check. */
static struct verdict remove_by_name(struct walk *w, const char *name, const struct statx *stx,
                                     const struct hold *held)
{
    int dirfd = w->frames[w->depth - 1].fd;
    struct statx now;
    if (!fsys_stat(dirfd, name, &now))
        return failed(errno, NULL);
    if (!fsys_same(fsys_id(&now), fsys_id(stx)))
        return kept(FILES_KEPT_CHANGED);
    enum files_kept reason = entry_judge_age(w, &now);
    if (reason == FILES_NOT_KEPT && held->looked_up)
        reason = inuse_reason(inuse_look_again(w, fsys_id(&now)));
    if (reason != FILES_NOT_KEPT)
        return kept(reason);
    if (unlinkat(dirfd, name, 0) != 0)
        return errno == EISDIR ? kept(FILES_KEPT_CHANGED) : failed(errno, NULL);
    w->report->unguarded++;
    return kept(FILES_NOT_KEPT);
}

/* Moves the file into the slot; this removes the file that was there, if any. */
static bool move_into_slot(struct walk *w, struct trash *t, const char *name)
{
    const struct frame *f = &w->frames[w->depth - 1];
    trash_note(t, f->id, w->path, f->path_length, name);
    /* If the slot should be empty, the rename must not replace anything: something there would be
     * unknown. */
    return renameat2(f->fd, name, t->fd, TRASH_SLOT, t->slot.ino ? 0 : RENAME_NOREPLACE) == 0;
}

static struct verdict move_refused(struct walk *w, const char *name, const struct statx *stx,
                                   const struct hold *held, int error)
{
    switch (error) {
    case EXDEV: /* another quota, other encryption keys, or a sandbox */
        return remove_by_name(w, name, stx, held);
    case ENOTDIR: /* a directory took the name */
    case EISDIR:
    case ENOTEMPTY:
        return kept(FILES_KEPT_CHANGED);
    default:
        return failed(error, NULL);
    }
}

struct verdict slot_remove(struct walk *w, const char *name, const struct statx *stx,
                           const struct hold *held)
{
    const struct files_options *o = w->options;
    struct trash *t = &w->shared->trash;
    int dirfd = w->frames[w->depth - 1].fd;
    struct statx moved;
    if (!trash_make(t, w->root) || !t->gives_back)
        return remove_by_name(w, name, stx, held);
    if (held->looked_up) {
        if (!trash_make_held(t))
            return remove_by_name(w, name, stx, held);
        struct verdict v = waiting_add(w, t, name, stx);
        return v.error ? move_refused(w, name, stx, held, v.error) : v;
    }
    /* A rename from one link of a file to another link of it does nothing and reports success. */
    if (fsys_same(t->slot, fsys_id(stx)) && !trash_empty_slot(t))
        return failed(errno, NULL);
    if (!move_into_slot(w, t, name))
        return move_refused(w, name, stx, held, errno);
    if (o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_MOVED, dirfd, name);
    if (!fsys_stat(t->fd, TRASH_SLOT, &moved))
        return failed(errno, NULL);
    t->slot = fsys_id(&moved);
    struct verdict v = kept(
        slot_judge(w, stx, &moved, inuse_is_still_free(held) ? FILES_NOT_KEPT : FILES_KEPT_OPEN));
    if (v.kept == FILES_NOT_KEPT) {
        trash_note_gone(t, &moved);
        if (moved.stx_nlink > 1) /* so that the link count is right for the next link */
            trash_empty_slot(t);
    } else if (slot_give_back(w, t->fd, TRASH_SLOT, dirfd, name)) {
        t->slot = (struct file_id){0};
        w->frames[w->depth - 1].touched = true;
    } else {
        v = failed(errno, "bring back");
        keep_in_trash(t);
    }
    return v;
}
