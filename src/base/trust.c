/* Resolving a path by trusted directories and links only. */
#define _GNU_SOURCE
#include "pgsweep/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"

enum { LINKS_MAX = 40, WRITABLE_BY_OTHERS = S_IWGRP | S_IWOTH };

struct way {
    void *ctx;
    const char *what; /* for messages */
    const char *path; /* as it was given */
    bool reading;     /* the content counts: nobody else may have written it */
    char *pending;    /* what is still to be resolved */
    char *here;       /* the directory in hand, for messages */
    int fd;           /* of that directory */
    bool shared;      /* others may make entries in it (sticky) */
    int links;
    int code; /* errno of what could not be opened; else 0 */
    struct error *err;
};

static char *shown(const struct way *way, const char *path)
{
    return text_escape(way->ctx, path, strlen(path));
}

static bool is_trusted_owner(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

static bool cannot_open(struct way *way, int code)
{
    way->code = code;
    if (way->reading)
        return error_set(way->err, SWEEP_USAGE, "cannot read %s %s: %s", way->what,
                         shown(way, way->path), strerror(code));
    error_set(way->err, SWEEP_USAGE, "the %s %s cannot be opened: %s", way->what,
              shown(way, way->path), strerror(code));
    return error_hint(way->err, "Nothing was touched. The directories on the way must exist, and "
                                "the user that runs pgsweep must be "
                                "allowed to use them.");
}

static bool refuse(const struct way *way, const char *which, const char *why)
{
    return error_set(way->err, SWEEP_REFUSED, "the %s %s is refused: %s%s%s", way->what,
                     shown(way, way->path), which, *which ? " " : "", why);
}

static bool refuse_owner(const struct way *way, const char *which, uid_t uid)
{
    const struct passwd *user = getpwuid(uid);
    refuse(way, which,
           user ? mem_printf(way->ctx, "belongs to user %s (%u)", user->pw_name, (unsigned)uid)
                : mem_printf(way->ctx, "belongs to user %u", (unsigned)uid));
    return error_hint(way->err, "It must belong to root or to the user that runs pgsweep (%u).",
                      (unsigned)geteuid());
}

static bool refuse_mode(const struct way *way, const char *which, const char *place, mode_t mode)
{
    refuse(
        way, which,
        mem_printf(way->ctx, "is writable by other users (mode %04o)", (unsigned)(mode & 07777)));
    return error_hint(way->err, "Take the right from group and others: chmod go-w '%s'",
                      shown(way, place));
}

static const char *join(const struct way *way, const char *name)
{
    return mem_printf(way->ctx, "%s%s%s", way->here, way->here[1] ? "/" : "", name);
}

/* Takes the directory fd as the one in hand, if it may be on the way. fd is closed if not. */
static bool step_into(struct way *way, int fd, const char *here)
{
    struct stat st;
    if (way->fd >= 0)
        close(way->fd);
    way->fd = fd;
    way->here = mem_strdup(way->ctx, here);
    if (fd < 0 || fstat(fd, &st) != 0)
        return cannot_open(way, errno);
    bool sticky = st.st_mode & S_ISVTX;
    const char *which = mem_printf(way->ctx, "the directory %s", shown(way, here));
    way->shared = st.st_mode & WRITABLE_BY_OTHERS;
    if (way->reading && !is_trusted_owner(st.st_uid))
        return refuse_owner(way, which, st.st_uid);
    mode_t forbidden = way->reading ? WRITABLE_BY_OTHERS : S_IWOTH;
    return !(st.st_mode & forbidden) || sticky || refuse_mode(way, which, here, st.st_mode);
}

static bool follow(struct way *way, int fd, const struct stat *st, const char *name,
                   const char *rest)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(fd, "", target, sizeof target - 1);
    if (length < 0 || ++way->links > LINKS_MAX)
        return cannot_open(way, length < 0 ? errno : ELOOP);
    target[length] = '\0';
    if (!is_trusted_owner(st->st_uid))
        return refuse_owner(
            way, mem_printf(way->ctx, "the symbolic link %s", shown(way, join(way, name))),
            st->st_uid);
    way->pending = mem_printf(way->ctx, "%s/%s", target, rest);
    return target[0] != '/' || step_into(way, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/");
}

/* One component that is not the last one to be kept back. *is_file: it is no directory, and nothing
 * follows. */
static bool step(struct way *way, const char *name, const char *rest, bool *is_file)
{
    struct stat st;
    int fd = openat(way->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return cannot_open(way, errno);
    if (fstat(fd, &st) != 0) {
        int saved = errno;
        close(fd);
        return cannot_open(way, saved);
    }
    if (S_ISDIR(st.st_mode))
        return step_into(way, fd,
                         strcmp(name, "..") == 0 ? mem_printf(way->ctx, "%s/..", way->here)
                                                 : join(way, name));
    bool ok = true;
    if (S_ISLNK(st.st_mode))
        ok = follow(way, fd, &st, name, rest);
    else if (*rest)
        ok = cannot_open(way, ENOTDIR);
    else
        *is_file = true;
    close(fd);
    return ok;
}

/* Resolves the path. keep_last: up to the directory of its last component, which is left in *last;
 * else *last is the name of the file that was found, in the directory in hand, or NULL for a
 * directory. */
static bool resolve(struct way *way, bool keep_last, char **last)
{
    char cwd[PATH_MAX] = "";
    *last = NULL;
    if (way->path[0] != '/' && !getcwd(cwd, sizeof cwd))
        return cannot_open(way, errno);
    way->pending = mem_printf(way->ctx, "%s/%s", cwd, way->path);
    if (!step_into(way, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "/"))
        return false;
    for (;;) {
        char *at = way->pending + strspn(way->pending, "/");
        size_t length = strcspn(at, "/");
        const char *rest = at + length + strspn(at + length, "/");
        char *name = mem_printf(way->ctx, "%.*s", (int)length, at);
        bool is_file = false;
        if (length == 0)
            return true;
        way->pending = mem_strdup(way->ctx, rest);
        if (strcmp(name, ".") == 0)
            continue;
        if (keep_last && !*rest && !at[length] && strcmp(name, "..") != 0) {
            *last = name;
            return true;
        }
        if (!step(way, name, rest, &is_file))
            return false;
        if (is_file) {
            *last = name;
            return true;
        }
    }
}

static bool refuse_links(const struct way *way, const char *place)
{
    refuse(way, "it", "has another name (a hard link)");
    return error_hint(
        way->err, "Whoever made the other name chose which file this is. Remove this one: rm '%s'",
        shown(way, place));
}

static bool check_file(const struct way *way, const char *place, const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) {
        refuse(way, "it", "is not a regular file");
        return error_hint(way->err, "Give a plain file.");
    }
    if (!is_trusted_owner(st->st_uid))
        return refuse_owner(way, "it", st->st_uid);
    return !(st->st_mode & WRITABLE_BY_OTHERS) || refuse_mode(way, "it", place, st->st_mode);
}

/* The open file is the one that is looked at. */
static bool open_file(struct way *way, const char *name, enum trust_place place, int *fd)
{
    struct stat st;
    if (way->shared && place == TRUST_OWN_DIRECTORY) {
        refuse(way, mem_printf(way->ctx, "the directory %s", shown(way, way->here)),
               "is writable by other users");
        return error_hint(way->err, "Move the file into a directory that only root or the user "
                                    "that runs pgsweep may write to.");
    }
    *fd = openat(way->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return cannot_open(way, errno);
    if (way->shared && st.st_nlink > 1)
        return refuse_links(way, join(way, name));
    return check_file(way, join(way, name), &st);
}

bool trust_open(const char *what, const char *path, enum trust_place place, int *fd,
                struct error *err)
{
    struct way way = {.what = what, .path = path, .reading = true, .fd = -1, .err = err};
    char *name;
    *fd = -1;
    way.ctx = mem_check(talloc_new(NULL));
    bool ok = resolve(&way, false, &name);
    bool missing = !ok && way.code == ENOENT;
    if (ok && !name)
        ok = cannot_open(&way, EISDIR);
    if (missing) {
        error_clear(err);
        ok = true;
    } else if (ok && name) {
        ok = open_file(&way, name, place, fd);
    }
    if (!ok && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    if (way.fd >= 0)
        close(way.fd);
    talloc_free(way.ctx);
    return ok;
}

bool trust_open_parent(const void *ctx, const char *what, const char *path, int *fd, char **name,
                       struct error *err)
{
    struct way way = {.what = what, .path = path, .fd = -1, .err = err};
    char *last;
    way.ctx = mem_check(talloc_new(NULL));
    bool ok = resolve(&way, true, &last);
    if (ok && !last)
        ok = cannot_open(&way, EISDIR);
    *name = ok ? mem_strdup(ctx, last) : NULL;
    *fd = ok ? way.fd : -1;
    if (!ok && way.fd >= 0)
        close(way.fd);
    talloc_free(way.ctx);
    return ok;
}

bool trust_check_target(const char *what, const char *path, const struct stat *st,
                        struct error *err)
{
    struct way way = {.what = what, .path = path, .fd = -1, .err = err};
    const char *type = S_ISLNK(st->st_mode)    ? "is a symbolic link"
                       : S_ISFIFO(st->st_mode) ? "is a fifo"
                       : S_ISSOCK(st->st_mode) ? "is a socket"
                       : !S_ISREG(st->st_mode) ? "is a device"
                                               : NULL;
    way.ctx = mem_check(talloc_new(NULL));
    bool ok = false;
    if (S_ISDIR(st->st_mode)) {
        cannot_open(&way, EISDIR);
    } else if (type) {
        refuse(&way, "it", type);
        error_hint(err, "Give the name of a plain file, or of one that does not exist yet.");
    } else if (check_file(&way, path, st)) {
        ok = st->st_nlink <= 1 || refuse_links(&way, path);
    }
    talloc_free(way.ctx);
    return ok;
}
