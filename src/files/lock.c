/* The lock of a root: one sweep per user at a time. Other users cannot take it, so they cannot
 * block a sweep. If there is no directory for the lock file, the sweep runs without it: two sweeps
 * at once do each other no harm. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

#define RUN_DIRECTORY "/run/pgsweep"

/* Opens a directory into which nobody else can write, and creates it if make is set. -1: there is
 * none. */
static int open_place(const char *path, bool make)
{
    struct statx stx;
    if (make)
        mkdir(path, 0700);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fsys_stat(fd, "", &stx) && stx.stx_uid == geteuid() && !(stx.stx_mode & 022))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_runtime_place(bool make)
{
    char path[4096];
    const char *said = getenv("XDG_RUNTIME_DIR");
    int fd = open_place(RUN_DIRECTORY, make && geteuid() == 0);
    if (fd >= 0)
        return fd;
    int length = said && *said == '/'
                     ? snprintf(path, sizeof path, "%s", said)
                     : snprintf(path, sizeof path, "/run/user/%u", (unsigned)geteuid());
    if (length < 0 || (size_t)length + sizeof "/pgsweep" > sizeof path ||
        (fd = open_place(path, false)) < 0)
        return -1;
    close(fd);
    memcpy(path + length, "/pgsweep", sizeof "/pgsweep");
    return open_place(path, make);
}

/* Finds the directory for the lock file and the name of the file. False: there is none. */
static bool find_place(struct root_lock *lock, int root_fd, struct file_id root, bool make)
{
    *lock = (struct root_lock){.fd = -1, .dir_fd = open_runtime_place(make)};
    if (lock->dir_fd >= 0) {
        snprintf(lock->name, sizeof lock->name, "root-%" PRIx64 "-%" PRIu64, root.dev, root.ino);
        return true;
    }
    lock->dir_fd = root_fd < 0 ? -1 : fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    snprintf(lock->name, sizeof lock->name, FILES_OWN_PREFIX "lock.%u", (unsigned)geteuid());
    return lock->dir_fd >= 0;
}

void lock_release(struct root_lock *lock)
{
    if (lock->fd >= 0) {
        unlinkat(
            lock->dir_fd, lock->name,
            0); /* before the lock is released: a process that waits for it checks the name again */
        close(lock->fd);
    }
    if (lock->dir_fd >= 0)
        close(lock->dir_fd);
    *lock = (struct root_lock){.fd = -1, .dir_fd = -1};
}

/* Opens the lock file, which other users must not be able to open: an existing file of that name
 * may be theirs. */
static bool open_lock(struct root_lock *lock, bool make)
{
    struct statx stx;
    lock->fd = openat(
        lock->dir_fd, lock->name,
        O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    if (lock->fd < 0)
        return false;
    lock->id = (struct file_id){0};
    if (fsys_stat(lock->fd, "", &stx) && S_ISREG(stx.stx_mode) && stx.stx_uid == geteuid() &&
        !(stx.stx_mode & 077)) {
        lock->id = fsys_id(&stx);
        return true;
    }
    close(lock->fd);
    lock->fd = -1;
    return false;
}

static void let_go(struct root_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    lock->fd = -1;
    lock->id = (struct file_id){0};
    lock_release(lock);
}

enum lock_state lock_take(struct root_lock *lock, const struct files_root *root, bool look_only)
{
    struct statx stx;
    if (!find_place(lock, root->fd, root->id, !look_only))
        return LOCK_NOWHERE;
    for (;;) {
        if (!open_lock(lock, !look_only)) {
            let_go(lock);
            return LOCK_NOWHERE;
        }
        if (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
            enum lock_state state = errno == EWOULDBLOCK ? LOCK_HELD : LOCK_NOWHERE;
            let_go(lock);
            return state;
        }
        /* The sweep that held the lock removes the file. */
        if (fsys_stat(lock->dir_fd, lock->name, &stx) && fsys_same(fsys_id(&stx), lock->id))
            break;
        close(lock->fd);
    }
    struct file_id id = lock->id;
    if (look_only)
        let_go(lock);
    lock->id = id; /* a dry run skips the lock file too */
    return LOCK_TAKEN;
}

/* The process that holds a flock on the file; 0: unknown (another pid namespace, an NFS client, no
 * /proc). */
static int find_holder(struct file_id id)
{
    char line[256];
    int found = 0;
    FILE *locks = fopen("/proc/locks", "re");
    while (locks && found == 0 && fgets(line, sizeof line, locks)) {
        uint64_t inode;
        unsigned major;
        unsigned minor;
        int pid;
        if (sscanf(line, "%*s FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &major, &minor, &inode) ==
                4 &&
            inode == id.ino && makedev(major, minor) == id.dev && pid > 0)
            found = pid;
    }
    if (locks)
        fclose(locks);
    return found;
}

static int find_root_holder(const char *root)
{
    struct root_lock lock;
    struct statx stx;
    int pid = 0;
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fsys_stat(fd, "", &stx) && find_place(&lock, fd, fsys_id(&stx), false)) {
        if (fsys_stat(lock.dir_fd, lock.name, &stx))
            pid = find_holder(fsys_id(&stx));
        let_go(&lock);
    }
    if (fd >= 0)
        close(fd);
    return pid;
}

char *files_lock_holder(const void *ctx, const char *root)
{
    char name[64] = "";
    int pid = find_root_holder(root);
    if (pid == 0)
        return NULL;
    char *path = mem_printf(ctx, "/proc/%d/comm", pid);
    FILE *comm = fopen(path, "re");
    talloc_free(path);
    if (comm && fgets(name, sizeof name, comm))
        name[strcspn(name, "\n")] = '\0';
    if (comm)
        fclose(comm);
    if (!*name)
        return mem_printf(ctx, "process %d", pid);
    char *shown = text_escape(ctx, name, strlen(name));
    char *holder = mem_printf(ctx, "%s, process %d", shown, pid);
    talloc_free(shown);
    return holder;
}
