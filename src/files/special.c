/* Finds out whether a process uses a socket or fifo. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "walk.h"

static struct verdict kept(enum files_kept reason)
{
    return (struct verdict){.kept = reason};
}

/* Whether fd is still the file that was judged. */
static bool is_same(int fd, const struct statx *stx)
{
    struct statx now;
    return fsys_stat(fd, "", &now) && fsys_same(fsys_id(&now), fsys_id(stx)) &&
           now.stx_mode == stx->stx_mode;
}

/* Connecting a datagram socket sends nothing, and a server does not notice it. The connection is
 * refused if nothing is bound to the name (unix(7)); for a stream socket it fails with the wrong
 * type, whether or not that listens. */
static struct verdict test_socket(int dirfd, const char *name, const struct statx *stx)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct verdict v = kept(FILES_KEPT_SPECIAL); /* if it cannot be found out */
    int file = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return (struct verdict){.kept = FILES_NOT_KEPT, .error = errno};
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The path of a socket may be longer than a socket address can hold; this one never is. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", file);
    if (!is_same(file, stx))
        v = kept(FILES_KEPT_CHANGED);
    else if (probe >= 0 && connect(probe, (const struct sockaddr *)&address, sizeof address) == 0)
        v = kept(FILES_KEPT_OPEN);
    else if (probe >= 0 && errno == ECONNREFUSED)
        v = kept(FILES_NOT_KEPT);
    else if (probe >= 0 && (errno == EPROTOTYPE || errno == EAGAIN || errno == EPERM))
        v = kept(FILES_KEPT_OPEN);
    if (probe >= 0)
        close(probe);
    close(file);
    return v;
}

/* The write end can only be opened if a process reads or waits to read (fifo(7)). The read end can
 * always be opened: EAGAIN then means that a process has the write end open, and end of file that
 * none has. */
static struct verdict test_fifo(int dirfd, const char *name, const struct statx *stx)
{
    const int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    char byte;
    int waiting = 0;
    int fd = openat(dirfd, name, O_WRONLY | flags);
    if (fd >= 0) {
        bool same = is_same(fd, stx);
        close(fd);
        return kept(same ? FILES_KEPT_OPEN : FILES_KEPT_CHANGED);
    }
    if (errno != ENXIO)
        return errno == ENOENT ? (struct verdict){.kept = FILES_NOT_KEPT, .error = ENOENT}
                               : kept(FILES_KEPT_SPECIAL);
    fd = openat(dirfd, name, O_RDONLY | flags);
    if (fd < 0)
        return errno == ENOENT ? (struct verdict){.kept = FILES_NOT_KEPT, .error = ENOENT}
                               : kept(FILES_KEPT_SPECIAL);
    struct verdict v = kept(FILES_KEPT_OPEN);
    if (!is_same(fd, stx))
        v = kept(FILES_KEPT_CHANGED);
    else if (ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0 && read(fd, &byte, 1) == 0)
        v = kept(FILES_NOT_KEPT);
    close(fd);
    return v;
}

struct verdict special_test(const struct walk *w, const char *name, const struct statx *stx)
{
    int dirfd = w->frames[w->depth - 1].fd;
    if (S_ISSOCK(stx->stx_mode))
        return test_socket(dirfd, name, stx);
    return test_fifo(dirfd, name, stx);
}
