/* System calls of the file sweep and their fallbacks on older kernels. No decisions. */
#define _GNU_SOURCE
#include "fsys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

struct file_id fsys_id(const struct statx *stx)
{
    return (struct file_id){.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
                            .ino = stx->stx_ino};
}

bool fsys_same(struct file_id a, struct file_id b)
{
    return a.ino == b.ino && a.dev == b.dev;
}

bool fsys_stat(int dirfd, const char *name, struct statx *stx)
{
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    return statx(dirfd, name, flags, STATX_BASIC_STATS | STATX_BTIME, stx) == 0;
}

struct timespec fsys_time(struct statx_timestamp t)
{
    return (struct timespec){.tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec};
}

static int call_openat2(int dirfd, const char *name, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, dirfd, name, &how, sizeof how);
}

/* EPERM has two causes: O_NOATIME on a directory of someone else, and a seccomp filter that knows
 * no openat2. Leaving out O_NOATIME cures the first; the plain openat avoids the second. */
static int open_one(struct fsys *sys, int dirfd, const char *name, int flags, uint64_t resolve)
{
    int fd = -1;
    if (!sys->no_openat2) {
        fd = call_openat2(dirfd, name, flags, resolve);
        if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
            fd = call_openat2(dirfd, name, flags & ~O_NOATIME, resolve);
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return fd;
    }
    fd = openat(dirfd, name, flags);
    if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
        fd = openat(dirfd, name, flags & ~O_NOATIME);
    if (fd >= 0)
        sys->no_openat2 = true;
    return fd;
}

int fsys_open_child(struct fsys *sys, int dirfd, const char *name)
{
    return open_one(sys, dirfd, name, DIR_FLAGS | O_NOATIME,
                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

int fsys_open_parent(int fd)
{
    int parent = openat(fd, "..", DIR_FLAGS | O_NOATIME);
    return parent < 0 && errno == EPERM ? openat(fd, "..", DIR_FLAGS) : parent;
}

/* Opens one component, which must be a directory and not a symbolic link (ELOOP, as with
 * openat2). */
static int open_component(int dirfd, const char *part, int flags)
{
    struct stat st;
    int fd = openat(dirfd, part, flags);
    if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
        fd = openat(dirfd, part, flags & ~O_NOATIME);
    if (fd < 0 && errno == ENOTDIR && fstatat(dirfd, part, &st, AT_SYMLINK_NOFOLLOW) == 0)
        errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
    return fd;
}

/* Fallback without openat2: opens one component at a time. */
static int open_by_components(const char *path, int flags)
{
    char part[NAME_MAX + 1];
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX) {
            close(fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(part, path, length);
        part[length] = '\0';
        path += length;
        bool last = path[strspn(path, "/")] == '\0';
        int next =
            open_component(fd, part, last ? flags : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = next;
        if (last)
            break;
    }
    return fd;
}

int fsys_open_absolute(struct fsys *sys, const char *path, bool path_only)
{
    int flags = path_only ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : DIR_FLAGS | O_NOATIME;
    if (!sys->no_openat2) {
        int fd = call_openat2(AT_FDCWD, path, flags, RESOLVE_NO_SYMLINKS);
        if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
            fd = call_openat2(AT_FDCWD, path, flags & ~O_NOATIME, RESOLVE_NO_SYMLINKS);
        if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
            return fd;
    }
    int fd = open_by_components(path, flags);
    if (fd >= 0)
        sys->no_openat2 = true;
    return fd;
}

/* The id of the mount that fd is on, or -1 (no /proc). */
static int mount_number(int fd)
{
    char line[256];
    int number = -1;
    snprintf(line, sizeof line, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(line, "re");
    if (!info)
        return -1;
    while (number < 0 && fgets(line, sizeof line, info))
        if (sscanf(line, "mnt_id: %d", &number) != 1)
            number = -1;
    fclose(info);
    return number;
}

bool fsys_crosses(const struct fsys *sys, int fd, const struct statx *stx, int base_fd,
                  const struct file_id *base)
{
    if (fsys_id(stx).dev != base->dev)
        return true;
    if (!sys->no_openat2)
        return false; /* RESOLVE_NO_XDEV has checked it */
    if (stx->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
        return stx->stx_attributes & STATX_ATTR_MOUNT_ROOT;
    /* If the mount is unknown, the safe answer is not to enter. */
    int number = mount_number(fd);
    return number < 0 || number != mount_number(base_fd);
}

ssize_t fsys_list(int fd, void *buffer, size_t size)
{
    return syscall(SYS_getdents64, fd, buffer, size);
}

static bool has_capability(unsigned capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0)
        return geteuid() == 0;
    return data[capability / 32].effective & (1U << (capability % 32));
}

bool fsys_has_fowner(void)
{
    return has_capability(CAP_FOWNER);
}

bool fsys_has_lease(void)
{
    return has_capability(CAP_LEASE);
}

int fsys_processors(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool fsys_start_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}
