/* Which files and directories processes have open, execute, map or work in, according to /proc: for
 * files on which no lease can be taken. Read as a whole into a table of devices and inodes, and
 * read again when it is old. It is complete only if every process of the host can be examined. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "walk.h"

/* Reading takes at most a twentieth of the time. */
enum { OLD_MS = 100, OLD_FACTOR = 20, ROOM_LEAST = 1024 };

/* The initial pid namespace, which contains all processes of the host (PROC_PID_INIT_INO in the
 * kernel's proc_ns.h). */
static const char ALL_PROCESSES[] = "pid:[4026531836]";

struct users {
    struct file_id *table;
    size_t room;
    size_t used;
    bool complete;
    bool assume_complete;
    bool first_seen; /* process 1 was seen; it is not if processes are hidden */
    int64_t read_ms; /* clock_now_ms() */
    int64_t cost_ms;
};

static size_t slot_of(const struct users *u, struct file_id id)
{
    size_t at = (size_t)(((id.ino ^ (id.dev << 17)) * 0x9e3779b97f4a7c15U) >> 20) & (u->room - 1);
    while (u->table[at].ino != 0 && !fsys_same(u->table[at], id))
        at = (at + 1) & (u->room - 1);
    return at;
}

static void grow(struct users *u)
{
    struct file_id *old = u->table;
    size_t room = u->room;
    u->room = room ? room * 2 : ROOM_LEAST;
    u->table = mem_array(u, struct file_id, u->room);
    for (size_t i = 0; i < room; i++)
        if (old[i].ino != 0)
            u->table[slot_of(u, old[i])] = old[i];
    talloc_free(old);
}

static void add(struct users *u, struct file_id id)
{
    if (id.ino == 0)
        return;
    if (u->used * 2 >= u->room)
        grow(u);
    size_t at = slot_of(u, id);
    u->used += u->table[at].ino == 0;
    u->table[at] = id;
}

/* A process that has ended has nothing open. Any other process that cannot be examined may use the
 * file. */
static void note_trouble(struct users *u, int error)
{
    if (error != ENOENT && error != ESRCH)
        u->complete = false;
}

/* Follows a link of /proc to the file itself, whatever its name is now. No network file system is
 * contacted. */
static void add_link(struct users *u, int dirfd, const char *name)
{
    struct statx stx;
    if (statx(dirfd, name, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO, &stx) == 0)
        add(u, fsys_id(&stx));
    else
        note_trouble(u, errno);
}

static DIR *open_dir(struct users *u, int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        note_trouble(u, errno);
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

static void add_descriptors(struct users *u, int task_fd)
{
    const struct dirent *d;
    DIR *dir = open_dir(u, task_fd, "fd");
    while (dir && (d = readdir(dir)) != NULL)
        if (*d->d_name != '.')
            add_link(u, dirfd(dir), d->d_name);
    if (dir)
        closedir(dir);
}

/* Adds mapped files, which need not be open any more. A line has the device of the file system,
 * which on some (btrfs, overlayfs) differs from the one of statx: there the inode alone decides,
 * with device 0. */
static void add_maps(struct users *u, int task_fd)
{
    char *line = NULL;
    size_t room = 0;
    uint64_t last = 0;
    int fd = openat(task_fd, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
    if (!maps) {
        note_trouble(u, errno);
        if (fd >= 0)
            close(fd);
        return;
    }
    errno = 0;
    while (getline(&line, &room, maps) > 0) {
        unsigned major;
        unsigned minor;
        uint64_t ino;
        if (sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major, &minor, &ino) != 3 || ino == 0 ||
            ino == last)
            continue;
        add(u, (struct file_id){.dev = makedev(major, minor), .ino = ino});
        add(u, (struct file_id){.dev = 0, .ino = ino});
        last = ino;
    }
    if (ferror(maps))
        note_trouble(u, errno);
    free(line);
    fclose(maps);
}

/* Threads can have their own descriptors and working directories. */
static void add_tasks(struct users *u, int process_fd, const char *process)
{
    const struct dirent *d;
    DIR *dir = open_dir(u, process_fd, "task");
    while (dir && (d = readdir(dir)) != NULL) {
        if (*d->d_name == '.' || strcmp(d->d_name, process) == 0)
            continue;
        int fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            note_trouble(u, errno);
            continue;
        }
        add_descriptors(u, fd);
        add_link(u, fd, "cwd");
        add_link(u, fd, "root");
        close(fd);
    }
    if (dir)
        closedir(dir);
}

static void add_process(struct users *u, int proc_fd, const char *process)
{
    int fd = openat(proc_fd, process, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        note_trouble(u, errno);
        return;
    }
    u->first_seen = u->first_seen || strcmp(process, "1") == 0;
    add_descriptors(u, fd);
    add_maps(u, fd);
    add_link(u, fd, "exe");
    add_link(u, fd, "cwd");
    add_link(u, fd, "root");
    add_tasks(u, fd, process);
    close(fd);
}

static bool sees_all_processes(void)
{
    char link[64];
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
    link[n < 0 ? 0 : n] = '\0';
    return strcmp(link, ALL_PROCESSES) == 0;
}

static void read_all(struct users *u)
{
    char self[32];
    const struct dirent *d;
    int64_t start = clock_now_ms();
    snprintf(self, sizeof self, "%ld", (long)getpid());
    talloc_free(u->table);
    u->table = NULL;
    u->room = u->used = 0;
    grow(u);
    u->complete = sees_all_processes();
    u->first_seen = false;
    DIR *proc = open_dir(u, AT_FDCWD, "/proc");
    u->complete = u->complete && proc;
    while (proc && (d = readdir(proc)) != NULL)
        if (isdigit((unsigned char)*d->d_name) && strcmp(d->d_name, self) != 0)
            add_process(u, dirfd(proc), d->d_name);
    if (proc)
        closedir(proc);
    u->complete = (u->complete && u->first_seen) || u->assume_complete;
    u->read_ms = clock_now_ms();
    u->cost_ms = u->read_ms - start;
}

struct users *users_read(const void *ctx, bool assume_complete)
{
    struct users *u = mem_new(ctx, struct users);
    u->assume_complete = assume_complete;
    read_all(u);
    return u;
}

void users_refresh(struct users *u, bool now)
{
    int64_t old = u->cost_ms * OLD_FACTOR > OLD_MS ? u->cost_ms * OLD_FACTOR : OLD_MS;
    if (now || clock_now_ms() - u->read_ms > old)
        read_all(u);
}

enum in_use users_look(const struct users *u, struct file_id id, bool by_inode)
{
    struct file_id anywhere = {.dev = 0, .ino = id.ino};
    if (u->table[slot_of(u, id)].ino != 0)
        return IN_USE;
    if (by_inode && u->table[slot_of(u, anywhere)].ino != 0)
        return IN_USE;
    return u->complete ? IN_USE_NOT : IN_USE_UNKNOWN;
}
