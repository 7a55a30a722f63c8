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

/* What a file is, whatever it is called. */
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

/* What the kernel was found to lack. */
struct fsys {
    bool no_openat2;
};

struct file_id fsys_id(const struct statx *stx);
bool fsys_same(struct file_id a, struct file_id b);

/* All that the sweep wants to know, of name in dirfd (never following) or, name "", of dirfd. */
bool fsys_stat(int dirfd, const char *name, struct statx *stx);

/* Opens the directory name in dirfd for reading: no symbolic link, no other file system (EXDEV;
 * without openat2 the caller asks fsys_crosses). -1 and errno on failure. */
int fsys_open_child(struct fsys *sys, int dirfd, const char *name);

/* Opens an absolute path that contains no symbolic link; path_only gives a handle without access
 * rights. -1 and errno on failure (ELOOP: a symbolic link). */
int fsys_open_absolute(struct fsys *sys, const char *path, bool path_only);

/* Opens ".." of a directory for reading. */
int fsys_open_parent(int fd);

/* True when the directory (fd, and what fsys_stat said of it) is not on the mount of base_fd. */
bool fsys_crosses(const struct fsys *sys, int fd, const struct statx *stx, int base_fd,
                  const struct file_id *base);

/* getdents64; 0 at the end, -1 and errno. */
ssize_t fsys_list(int fd, void *buffer, size_t size);

/* True when the process may remove other people's files from sticky directories; may have leases of
 * them. */
bool fsys_has_fowner(void);
bool fsys_has_lease(void);

struct timespec fsys_time(struct statx_timestamp t);

/* The processors that this process may use. */
int fsys_processors(void);

/* Starts a thread in which no signal is delivered: the handlers are for the first one. False: the
 * system has none to give. */
bool fsys_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
