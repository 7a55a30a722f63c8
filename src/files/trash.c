/* The trash of a run: creates it, recognises one that a killed run left, removes it. Decides
 * nothing about its content. */
#define _GNU_SOURCE
#include "trash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

static const char MAGIC[16] = "pgsweep trash 1";

enum { LIST_BYTES = 4096, XFS_MAGIC = 0x58465342 };

void trash_start(struct trash *t)
{
    *t = (struct trash){.fd = -1, .root_fd = -1, .record_fd = -1, .held_fd = -1};
}

bool trash_has_name(const char *name)
{
    return strncmp(name, TRASH_PREFIX, strlen(TRASH_PREFIX)) == 0;
}

bool trash_move(int from, const char *name, int to, const char *new_name)
{
    return renameat2(from, name, to, new_name, RENAME_NOREPLACE) == 0;
}

/* Empty if the boot id is unknown: then nothing counts as being of the same boot. */
static void read_boot(char boot[40])
{
    memset(boot, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, boot, 36) != 36)
        memset(boot, 0, 40);
    if (fd >= 0)
        close(fd);
}

/* A store to a mapped page is cheap and survives the process. But if the file system cannot
 * allocate the page, the store raises SIGBUS, which ends the run. So the record is mapped only on
 * file systems that keep the space of an allocated page. */
static bool may_map(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 &&
           (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC || fs.f_type == TMPFS_MAGIC);
}

/* Writes the record under another name and renames it, so that it exists completely or not at all.
 * The rename also shows whether the file system supports renaming without replacing. */
static bool make_record(struct trash *t, const struct files_root *root, const struct statx *stx)
{
    static const char NEW[] = TRASH_RECORD ".new";
    struct trash_record r = {.ino = stx->stx_ino,
                             .born_s = stx->stx_btime.tv_sec,
                             .born_ns = stx->stx_btime.tv_nsec,
                             .root_ino = root->id.ino};
    memcpy(r.magic, MAGIC, sizeof r.magic);
    read_boot(r.boot);
    t->record_fd = openat(t->fd, NEW, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (t->record_fd < 0)
        return false;
    if (pwrite(t->record_fd, &r, sizeof r, 0) != (ssize_t)sizeof r) {
        unlinkat(t->fd, NEW, 0);
        return false;
    }
    t->gives_back = trash_move(t->fd, NEW, t->fd, TRASH_RECORD);
    if (!t->gives_back && renameat(t->fd, NEW, t->fd, TRASH_RECORD) != 0) {
        unlinkat(t->fd, NEW, 0);
        return false;
    }
    void *map = may_map(t->record_fd)
                    ? mmap(NULL, sizeof r, PROT_READ | PROT_WRITE, MAP_SHARED, t->record_fd, 0)
                    : MAP_FAILED;
    t->mapped = map != MAP_FAILED;
    t->record = t->mapped ? map : mem_new(NULL, struct trash_record);
    if (!t->mapped)
        *t->record = r;
    return true;
}

/* Whether other users cannot read the open directory. Some file systems have no owners. */
static bool is_private(int fd, const struct files_root *root, struct statx *stx)
{
    struct fsys sys = {0};
    return fsys_stat(fd, "", stx) && S_ISDIR(stx->stx_mode) && stx->stx_uid == geteuid() &&
           !(stx->stx_mode & 077) && !fsys_crosses(&sys, fd, stx, root->fd, &root->id);
}

void trash_leave(struct trash *t)
{
    if (t->mapped && t->record)
        munmap(t->record, sizeof *t->record);
    else
        talloc_free(t->record);
    if (t->record_fd >= 0)
        close(t->record_fd);
    if (t->held_fd >= 0)
        close(t->held_fd);
    if (t->fd >= 0)
        close(t->fd);
    if (t->root_fd >= 0)
        close(t->root_fd);
    talloc_free(t->path);
    trash_start(t);
}

bool trash_make(struct trash *t, const struct files_root *root)
{
    struct fsys sys = {0};
    struct statx stx;
    uint64_t chance;
    if (t->tried)
        return t->fd >= 0;
    t->tried = true;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        return false;
    snprintf(t->name, sizeof t->name, TRASH_PREFIX "%016" PRIx64, chance);
    if (mkdirat(root->fd, t->name, 0700) != 0)
        return false;
    t->fd = fsys_open_child(&sys, root->fd, t->name);
    t->root_fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
    if (t->fd >= 0 && t->root_fd >= 0 && is_private(t->fd, root, &stx) &&
        flock(t->fd, LOCK_EX | LOCK_NB) == 0 && make_record(t, root, &stx)) {
        t->id = fsys_id(&stx);
        t->path = mem_printf(NULL, "%s/%s", root->path, t->name);
        return true;
    }
    unlinkat(root->fd, t->name, AT_REMOVEDIR);
    trash_leave(t);
    t->tried = true;
    return false;
}

bool trash_make_held(struct trash *t)
{
    struct fsys sys = {0};
    if (t->held_fd < 0 && (mkdirat(t->fd, TRASH_HELD, 0700) == 0 || errno == EEXIST))
        t->held_fd = fsys_open_child(&sys, t->fd, TRASH_HELD);
    return t->held_fd >= 0;
}

static bool record_is_ours(const struct trash_record *r, const struct statx *dir,
                           const struct files_root *root)
{
    return memcmp(r->magic, MAGIC, sizeof r->magic) == 0 && r->ino == dir->stx_ino &&
           r->born_s == dir->stx_btime.tv_sec && r->born_ns == dir->stx_btime.tv_nsec &&
           r->root_ino == root->id.ino && memchr(r->name, '\0', sizeof r->name) &&
           memchr(r->path, '\0', sizeof r->path);
}

static bool read_record(struct trash *t, const struct statx *dir, const struct files_root *root)
{
    struct statx stx;
    t->record_fd =
        openat(t->fd, TRASH_RECORD, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
    t->record = mem_new(NULL, struct trash_record);
    return t->record_fd >= 0 && fsys_stat(t->record_fd, "", &stx) && S_ISREG(stx.stx_mode) &&
           stx.stx_uid == geteuid() && !(stx.stx_mode & 077) && stx.stx_nlink == 1 &&
           pread(t->record_fd, t->record, sizeof *t->record, 0) == (ssize_t)sizeof *t->record &&
           record_is_ours(t->record, dir, root);
}

/* The lock comes before the record is read: until the run that made the trash ends, it is that
 * run's. */
enum trash_kind trash_open_left(struct trash *t, const struct files_root *root, const char *name)
{
    struct fsys sys = {0};
    struct statx stx;
    char boot[40];
    enum trash_kind kind = TRASH_FOREIGN;
    trash_start(t);
    if (strlen(name) >= sizeof t->name)
        return TRASH_FOREIGN;
    t->fd = fsys_open_child(&sys, root->fd, name);
    if (t->fd < 0 && errno == EACCES)
        return TRASH_IN_HAND; /* belongs to another user who sweeps here too */
    if (t->fd < 0 || !is_private(t->fd, root, &stx))
        goto not_left;
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0) {
        kind = errno == EWOULDBLOCK ? TRASH_IN_HAND : TRASH_FOREIGN;
        goto not_left;
    }
    if (!read_record(t, &stx, root))
        goto not_left;
    read_boot(boot);
    if (!*boot || strcmp(boot, t->record->boot) != 0)
        t->record->path_known = false;
    t->root_fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
    t->tried = t->gives_back = true;
    t->id = fsys_id(&stx);
    memcpy(t->name, name, strlen(name) + 1);
    t->path = mem_printf(NULL, "%s/%s", root->path, name);
    if (fsys_stat(t->fd, TRASH_SLOT, &stx))
        t->slot = fsys_id(&stx);
    return TRASH_LEFT;
not_left:
    trash_leave(t);
    return kind;
}

/* Writes a note if the record is not mapped. If that fails and the run is killed right then, a file
 * loses its name. */
static void write_note(struct trash *t, size_t from, size_t size)
{
    if (!t->mapped && pwrite(t->record_fd, (char *)t->record + from, size, (off_t)from) < 0)
        t->record->path_known = false;
}

void trash_note(struct trash *t, struct file_id from, const char *path, size_t path_length,
                const char *name)
{
    struct trash_record *r = t->record;
    size_t length = strlen(name) + 1;
    if (!fsys_same(r->from, from)) {
        r->from = from;
        r->path_known = path_length < sizeof r->path;
        memcpy(r->path, path, r->path_known ? path_length : 0);
        r->path[r->path_known ? path_length : 0] = '\0';
        write_note(t, 0, sizeof *r);
    }
    if (length > sizeof r->name)
        return;
    memcpy(r->name, name, length);
    write_note(t, offsetof(struct trash_record, name), length);
}

void trash_note_gone(struct trash *t, const struct statx *stx)
{
    struct trash_record *r = t->record;
    r->gone_ino = stx->stx_ino;
    r->gone_s = stx->stx_ctime.tv_sec;
    r->gone_ns = stx->stx_ctime.tv_nsec;
    write_note(t, offsetof(struct trash_record, gone_ino), 3 * sizeof r->gone_ino);
}

bool trash_slot_is_gone(const struct trash *t)
{
    const struct trash_record *r = t->record;
    struct statx stx;
    return fsys_stat(t->fd, TRASH_SLOT, &stx) && stx.stx_ino == r->gone_ino &&
           stx.stx_ctime.tv_sec == r->gone_s && stx.stx_ctime.tv_nsec == r->gone_ns;
}

bool trash_empty_slot(struct trash *t)
{
    if (t->slot.ino != 0 && unlinkat(t->fd, TRASH_SLOT, 0) != 0 && errno != ENOENT)
        return false;
    t->slot = (struct file_id){0};
    return true;
}

/* Whether the trash holds anything but the record. True if that cannot be found out. */
static bool holds_something(int fd)
{
    _Alignas(struct linux_dirent) char buffer[LIST_BYTES];
    ssize_t size;
    if (lseek(fd, 0, SEEK_SET) != 0)
        return true;
    while ((size = fsys_list(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < size;) {
            const struct linux_dirent *d = (const void *)(buffer + at);
            at += d->d_reclen;
            if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
                strcmp(d->d_name, TRASH_RECORD) != 0)
                return true;
        }
    return size < 0;
}

void trash_close(struct trash *t)
{
    struct statx stx;
    if (t->fd >= 0)
        unlinkat(t->fd, TRASH_HELD, AT_REMOVEDIR); /* fails if something is in it */
    if (t->fd >= 0 && trash_empty_slot(t) && !holds_something(t->fd)) {
        unlinkat(t->fd, TRASH_RECORD, 0);
        if (fsys_stat(t->root_fd, t->name, &stx) && fsys_same(fsys_id(&stx), t->id))
            unlinkat(t->root_fd, t->name, AT_REMOVEDIR);
    }
    trash_leave(t);
}
