/* Appending to a file and replacing one, beside other users who would like to choose which. */
#define _GNU_SOURCE
#include "pgsweep/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "pgsweep/trust.h"

enum { NEW_MODE = 0640, READ_MAX = 1 << 20, NAME_BYTES = 64, TRIES = 10 };

static const char TEMPORARY_PREFIX[] = ".pgsweep-";
static const char TEMPORARY_SUFFIX[] = ".new";

struct output {
    const char *what;
    const char *path; /* as it was given */
    char *name;       /* in the directory */
    int directory;    /* O_PATH */
};

static int output_destructor(struct output *output)
{
    if (output->directory >= 0)
        close(output->directory);
    return 0;
}

static bool failed(const struct output *output, const char *doing, int code, struct error *err)
{
    char *shown = text_escape(NULL, output->path, strlen(output->path));
    error_set(err, SWEEP_USAGE, "the %s %s cannot be %s: %s", output->what, shown, doing,
              strerror(code));
    talloc_free(shown);
    return error_hint(err,
                      "The directory must exist and be writable by the user that runs pgsweep.");
}

/* What is there now under the name; *there: anything. */
static bool look(const struct output *output, struct stat *st, bool *there, struct error *err)
{
    *there = fstatat(output->directory, output->name, st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*there)
        return errno == ENOENT || failed(output, "looked at", errno, err);
    return trust_check_target(output->what, output->path, st, err);
}

bool output_open(const void *ctx, const char *what, const char *path, struct output **out,
                 struct error *err)
{
    struct stat st;
    bool there;
    struct output *output = mem_new(ctx, struct output);
    output->directory = -1;
    talloc_set_destructor(output, output_destructor);
    output->what = mem_strdup(output, what);
    output->path = mem_strdup(output, path);
    if (!trust_open_parent(output, what, path, &output->directory, &output->name, err) ||
        !look(output, &st, &there, err)) {
        talloc_free(output);
        return false;
    }
    *out = output;
    return true;
}

FILE *output_append(const struct output *output, struct error *err)
{
    struct stat st;
    bool there;
    if (!look(output, &st, &there,
              err)) /* before it is opened, because to open a device may do something */
        return NULL;
    int fd = openat(output->directory, output->name,
                    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                    NEW_MODE);
    if (fd < 0 || fstat(fd, &st) != 0) {
        failed(output, "opened", errno, err);
    } else if (trust_check_target(output->what, output->path, &st, err)) {
        FILE *file = fdopen(fd, "a");
        if (file)
            return file;
        failed(output, "opened", errno, err);
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

char *output_read(const void *ctx, const struct output *output)
{
    struct stat st;
    struct error ignored = ERROR_INIT;
    char *text = NULL;
    int fd = openat(output->directory, output->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    FILE *file = fd >= 0 && fstat(fd, &st) == 0 &&
                         trust_check_target(output->what, output->path, &st, &ignored)
                     ? fdopen(fd, "r")
                     : NULL;
    if (file) {
        text = mem_check(talloc_zero_size(ctx, READ_MAX + 1));
        text[fread(text, 1, READ_MAX, file)] = '\0';
        fclose(file);
    } else if (fd >= 0) {
        close(fd);
    }
    error_clear(&ignored);
    return text;
}

bool output_may_replace(const struct output *output, struct error *err)
{
    return faccessat(output->directory, ".", W_OK | X_OK, AT_EACCESS) == 0 ||
           failed(output, "written", errno, err);
}

/* ".pgsweep-<32 hexadecimal digits>.new" */
static bool temporary_name(char name[NAME_BYTES])
{
    uint64_t noise[2];
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise)
        return false;
    snprintf(name, NAME_BYTES, "%s%016" PRIx64 "%016" PRIx64 "%s", TEMPORARY_PREFIX, noise[0],
             noise[1], TEMPORARY_SUFFIX);
    return true;
}

static bool is_temporary_name(const char *name)
{
    size_t prefix = sizeof TEMPORARY_PREFIX - 1;
    return strncmp(name, TEMPORARY_PREFIX, prefix) == 0 &&
           strspn(name + prefix, "0123456789abcdef") == 32 &&
           strcmp(name + prefix + 32, TEMPORARY_SUFFIX) == 0;
}

/* A file that is being written is locked; the lock of a process ends with it. */
static void remove_if_left(int directory, const char *name)
{
    struct stat st;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(directory, name, 0);
    close(fd);
}

static void remove_leftovers(const struct output *output)
{
    int fd = openat(output->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(stream));)
        if (is_temporary_name(entry->d_name))
            remove_if_left(output->directory, entry->d_name);
    closedir(stream);
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* Fills the new file; old: what it takes the place of, or NULL. */
static bool fill(int fd, const char *data, size_t size, const struct stat *old)
{
    struct stat st;
    if (old && fstat(fd, &st) == 0 && st.st_gid != old->st_gid &&
        fchown(fd, (uid_t)-1, old->st_gid) != 0)
        old = NULL; /* the rights of one group are not given to another */
    return flock(fd, LOCK_EX) == 0 && write_all(fd, data, size) &&
           fchmod(fd, old ? old->st_mode & 0755 : NEW_MODE) == 0 && fsync(fd) == 0;
}

/* A file without a name, which gets one only when it is complete. False where the file system has
 * none, too. */
static bool place_nameless(const struct output *output, const char *data, size_t size,
                           const struct stat *old, char name[NAME_BYTES])
{
    char self[32];
    int fd = openat(output->directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    bool ok = fill(fd, data, size, old) && temporary_name(name) &&
              linkat(AT_FDCWD, self, output->directory, name, AT_SYMLINK_FOLLOW) == 0;
    if (ok && renameat(output->directory, name, output->directory, output->name) != 0) {
        unlinkat(output->directory, name, 0);
        ok = false;
    }
    close(fd);
    return ok;
}

/* Where there are no nameless files: a name that nobody can foresee. */
static bool place_named(const struct output *output, const char *data, size_t size,
                        const struct stat *old, char name[NAME_BYTES])
{
    int fd = -1;
    for (int i = 0; fd < 0 && i < TRIES && temporary_name(name); i++)
        fd = openat(output->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0)
        return false;
    bool ok = fill(fd, data, size, old) &&
              renameat(output->directory, name, output->directory, output->name) == 0;
    int saved = errno;
    if (!ok)
        unlinkat(output->directory, name, 0);
    close(fd);
    errno = saved;
    return ok;
}

bool output_replace(const struct output *output, const char *data, size_t size, struct error *err)
{
    char name[NAME_BYTES];
    struct stat st;
    bool there;
    if (!look(output, &st, &there, err))
        return false;
    remove_leftovers(output);
    return place_nameless(output, data, size, there ? &st : NULL, name) ||
           place_named(output, data, size, there ? &st : NULL, name) ||
           failed(output, "written", errno, err);
}
