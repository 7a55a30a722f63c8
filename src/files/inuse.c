/* Finds out whether another process uses a file. A lease answers with certainty. Where no lease can
 * be taken (other users' files without CAP_LEASE, some file systems), /proc answers if all of it
 * can be read. A file that cannot be tested stays. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "walk.h"

static struct verdict kept(enum files_kept reason)
{
    return (struct verdict){.kept = reason};
}

static struct verdict failed(int error)
{
    return (struct verdict){.kept = FILES_NOT_KEPT, .error = error};
}

/* O_NONBLOCK: neither a fifo that took the place of the file nor another process's lease may block
 * the sweep. Opening alone does not change the access time. */
static int open_file(int dirfd, const char *name)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(dirfd, name, O_RDONLY | flags);
    if (fd < 0 && errno == EACCES)
        fd = openat(dirfd, name, O_WRONLY | flags);
    return fd;
}

static struct verdict open_refused(int error)
{
    switch (error) {
    case EWOULDBLOCK: /* another process has a lease */
    case ETXTBSY:     /* opened for writing because it cannot be read, and a process executes it */
        return kept(FILES_KEPT_OPEN);
    case ELOOP: /* now it is a symbolic link, a socket or a device */
    case ENXIO:
        return kept(FILES_KEPT_CHANGED);
    default:
        return failed(error);
    }
}

/* A write lease is granted only if no other open file description of the file exists, through
 * whichever link (fcntl(2), "Leases"). It is held until after the removal, so that nobody can open
 * the file in between. */
static struct verdict take_hold(struct walk *w, struct hold *held, struct file_id id)
{
    if (fcntl(held->fd, F_SETLEASE, F_WRLCK) == 0) {
        held->leased = true;
        return kept(FILES_NOT_KEPT);
    }
    if (errno == EAGAIN)
        return kept(FILES_KEPT_OPEN);
    enum in_use found = inuse_look(w, id);
    if (found == IN_USE)
        return kept(FILES_KEPT_OPEN);
    if (flock(held->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return kept(FILES_KEPT_LOCKED);
    held->looked_up = found == IN_USE_NOT;
    return kept(held->looked_up ? FILES_NOT_KEPT : FILES_KEPT_UNTESTED);
}

static void read_users(struct walk *w)
{
    struct files_shared *shared = w->shared;
    if (!shared->users)
        shared->users = users_read(shared, w->options->sees_all_processes);
    else
        users_refresh(shared->users, false);
}

void inuse_prepare(struct walk *w)
{
    struct statfs fs;
    w->maps_by_inode = fstatfs(w->root->fd, &fs) != 0 || fs.f_type == OVERLAYFS_SUPER_MAGIC ||
                       fs.f_type == BTRFS_SUPER_MAGIC;
    if (w->options->in_use && w->dry_run && !w->shared->users)
        read_users(w);
}

enum in_use inuse_look(struct walk *w, struct file_id id)
{
    if (!w->dry_run)
        read_users(w);
    return users_look(w->shared->users, id, w->maps_by_inode);
}

enum in_use inuse_look_again(struct walk *w, struct file_id id)
{
    users_refresh(w->shared->users, true);
    return users_look(w->shared->users, id, w->maps_by_inode);
}

enum files_kept inuse_reason(enum in_use use)
{
    switch (use) {
    case IN_USE:
        return FILES_KEPT_OPEN;
    case IN_USE_UNKNOWN:
        return FILES_KEPT_UNTESTED;
    case IN_USE_NOT:
        break;
    }
    return FILES_NOT_KEPT;
}

/* A dry run takes no lease: a process that opens the file would have to wait for it. */
struct verdict inuse_predict(struct walk *w, const char *name, const struct statx *stx)
{
    int dirfd = w->frames[w->depth - 1].fd;
    bool leases = w->has_lease || stx->stx_uid == w->euid;
    enum in_use found = inuse_look(w, fsys_id(stx));
    if (w->euid != 0 && faccessat(dirfd, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) != 0 &&
        faccessat(dirfd, name, W_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) != 0)
        return failed(errno);
    if (found == IN_USE)
        return kept(FILES_KEPT_OPEN);
    if (found == IN_USE_UNKNOWN && !leases)
        return kept(FILES_KEPT_UNTESTED);
    w->report->untested += found == IN_USE_UNKNOWN;
    return kept(FILES_NOT_KEPT);
}

struct verdict inuse_test(struct walk *w, const char *name, const struct statx *stx,
                          struct hold *held)
{
    const struct files_options *o = w->options;
    int dirfd = w->frames[w->depth - 1].fd;
    struct stat opened;
    held->fd = open_file(dirfd, name);
    if (held->fd < 0)
        return open_refused(errno);
    if (fstat(held->fd, &opened) != 0)
        return failed(errno);
    if (opened.st_ino != stx->stx_ino || !S_ISREG(opened.st_mode))
        return kept(FILES_KEPT_CHANGED);
    struct verdict v = take_hold(w, held, fsys_id(stx));
    if (v.kept == FILES_NOT_KEPT && !v.error && o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_HELD, dirfd, name);
    return v;
}

/* When a process opens the file, F_GETLEASE no longer returns our lease but the one that it has to
 * become. */
bool inuse_is_still_free(const struct hold *held)
{
    return !held->leased || fcntl(held->fd, F_GETLEASE) == F_WRLCK;
}

void inuse_let_go(struct hold *held)
{
    if (held->leased)
        fcntl(held->fd, F_SETLEASE, F_UNLCK);
    held->leased = false;
}
