/* System calls of the file sweep, with their fallbacks; private to src/files. */
#ifndef FILES_FSYS_H
#define FILES_FSYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* The identity of a file, independent of its name. */
struct file_id {
    uint64_t dev;
    uint64_t ino;
};

struct linux_dirent {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

/* System calls that the kernel was found to lack. */
struct fsys {
    bool no_openat2;
};

struct file_id fsys_id(const struct statx *stx);
bool fsys_same(struct file_id a, struct file_id b);

/* Reads everything that the sweep needs to know about name in dirfd (never following a link) or, if
 * name is "", about dirfd itself. */
bool fsys_stat(int dirfd, const char *name, struct statx *stx);

/* Opens the directory name in dirfd for reading: not through a symbolic link, not on another file
 * system (EXDEV; without openat2 the caller uses fsys_crosses). -1 and errno on failure. */
int fsys_open_child(struct fsys *sys, int dirfd, const char *name);

/* Opens an absolute path that contains no symbolic link; path_only opens with O_PATH. -1 and errno
 * on failure (ELOOP: a symbolic link). */
int fsys_open_absolute(struct fsys *sys, const char *path, bool path_only);

/* Opens ".." of a directory for reading. */
int fsys_open_parent(int fd);

/* Whether the directory (fd, and its fsys_stat) is on another mount than base_fd. */
bool fsys_crosses(const struct fsys *sys, int fd, const struct statx *stx, int base_fd,
                  const struct file_id *base);

/* getdents64: 0 at the end, -1 with errno on failure. */
ssize_t fsys_list(int fd, void *buffer, size_t size);

/* Whether the process may remove other users' files from sticky directories; whether it may take
 * leases on other users' files. */
bool fsys_has_fowner(void);
bool fsys_has_lease(void);

struct timespec fsys_time(struct statx_timestamp t);

/* The number of processors that this process may use. */
int fsys_processors(void);

/* Starts a thread to which no signals are delivered; the main thread handles them. False: no thread
 * could be created. */
bool fsys_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
