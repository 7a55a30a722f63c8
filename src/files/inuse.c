/* Is a file in use by another process? Leases, and locks where leases are not to be had. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
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

/* O_NONBLOCK: a fifo that took the place of the file must not hang the sweep, nor may someone else's
 * lease. Opening alone leaves the access time as it is. */
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
    case EWOULDBLOCK: /* under a lease of someone else */
    case ETXTBSY:     /* opened for writing because it cannot be read, and someone runs it */
        return kept(FILES_KEPT_OPEN);
    case ELOOP: /* now a symbolic link, a socket, a device */
    case ENXIO:
        return kept(FILES_KEPT_CHANGED);
    default:
        return failed(error);
    }
}

/* A write lease is granted only when no other open file description exists, whichever the link it
 * came by (fcntl(2), "Leases"). Held until after the removal, it keeps new ones from slipping in. */
static struct verdict take_hold(struct hold *held)
{
    if (fcntl(held->fd, F_SETLEASE, F_WRLCK) == 0) {
        held->leased = true;
        return kept(FILES_NOT_KEPT);
    }
    if (errno == EAGAIN)
        return kept(FILES_KEPT_OPEN);
    if (flock(held->fd, LOCK_EX | LOCK_NB) == 0)
        return kept(FILES_NOT_KEPT);
    return errno == EWOULDBLOCK ? kept(FILES_KEPT_LOCKED) : failed(errno);
}

struct verdict inuse_test(struct walk *w, const char *name, const struct statx *stx, struct hold *held)
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
    struct verdict v = take_hold(held);
    if (v.kept == FILES_NOT_KEPT && !v.error && o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_HELD, dirfd, name);
    return v;
}

/* When someone opens the file, the kernel tells by another answer: the lease that ours is to become. */
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
