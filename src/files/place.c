/* Checks that the directories of a walk are still where they were entered, and limits how many are
 * open. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "walk.h"

enum { OPEN_LEVELS = 16, CHECK_MS = 10 };

/* Compares each open level with its parent, by name and identity. Does not check levels further
 * up. */
static bool check_open_levels(const struct walk *w)
{
    struct statx stx;
    char name[NAME_MAX + 1];
    for (size_t i = w->depth - 1; i > 0; i--) {
        const struct frame *f = &w->frames[i];
        const struct frame *above = &w->frames[i - 1];
        if (above->fd < 0)
            break;
        size_t length = f->path_length - f->name_at;
        if (length > NAME_MAX)
            return false;
        memcpy(name, w->path + f->name_at, length);
        name[length] = '\0';
        if (!fsys_stat(above->fd, name, &stx) || !fsys_same(fsys_id(&stx), f->id))
            return false;
    }
    return true;
}

/* Opens the directory of frame f by its whole path, if it is still the one that was entered there.
 * -1 with errno: it is not there (ENOENT or similar), or ENAMETOOLONG. */
static int open_by_path(struct walk *w, const struct frame *f, bool path_only)
{
    char path[PATH_MAX];
    struct statx stx;
    int length = snprintf(path, sizeof path, "%s%s%.*s", w->base_path,
                          f->path_length > 0 ? "/" : "", (int)f->path_length, w->path);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = fsys_open_absolute(&w->sys, path, path_only);
    if (fd >= 0 && !(fsys_stat(fd, "", &stx) && fsys_same(fsys_id(&stx), f->id))) {
        close(fd);
        fd = -1;
        errno = ENOENT;
    }
    return fd;
}

/* Whether the directory of the top frame is still where it was entered. */
static bool check_place(struct walk *w)
{
    w->since_check = 0;
    w->checked_ms = clock_now_ms();
    if (w->sys.no_openat2)
        return check_open_levels(w);
    int fd = open_by_path(w, &w->frames[w->depth - 1], true);
    if (fd < 0)
        return errno == ENAMETOOLONG || errno == EMFILE || errno == ENFILE || errno == ENOMEM
                   ? check_open_levels(w)
                   : false;
    close(fd);
    return true;
}

bool place_is_kept(struct walk *w)
{
    struct frame *f = &w->frames[w->depth - 1];
    if (f->lost != FILES_NOT_KEPT)
        return false;
    if (w->since_check == 0)
        return true;
    /* A dry run does no harm in a directory that was moved; for its counts a check per number of
     * removals is enough. */
    if (w->since_check < PLACE_CHECK_NOW &&
        (w->dry_run || clock_now_ms() - w->checked_ms < CHECK_MS))
        return true;
    if (check_place(w))
        return true;
    f->lost = FILES_KEPT_MOVED;
    return false;
}

/* Frame 0 stays open: all other levels can be found again from it. */
void place_close_far(struct walk *w)
{
    if (w->depth <= OPEN_LEVELS + 1)
        return;
    struct frame *f = &w->frames[w->depth - 1 - OPEN_LEVELS];
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* The way up is "..", which depends on where the directory is now. The walk goes on only if ".."
 * is the directory that it came from. Its lock was released with the descriptor, and is taken
 * again. */
bool place_reopen_parent(struct walk *w)
{
    struct frame *f = &w->frames[w->depth - 1];
    struct frame *parent = f - 1;
    struct statx stx;
    if (parent->fd >= 0)
        return true;
    int fd = f->fd >= 0 ? fsys_open_parent(f->fd) : -1;
    if (fd >= 0 && !(fsys_stat(fd, "", &stx) && fsys_same(fsys_id(&stx), parent->id))) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) /* f itself was moved away; its parent may still be in place */
        fd = open_by_path(w, parent, false);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        parent->lost = FILES_KEPT_LOCKED;
    else if (w->dry_run)
        flock(fd, LOCK_UN);
    if (!parent->finished)
        lseek(fd, parent->position, SEEK_SET);
    parent->fd = fd;
    return true;
}
