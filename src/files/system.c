/* Directories that are unlikely roots of temporary files: system directories, home directories,
 * mount points. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

static const char *const system_directories[] = {"/etc",  "/usr", "/home", "/var", "/boot", "/bin",
                                                 "/sbin", "/dev", "/proc", "/sys", "/run",  NULL};
static const char *const temporary_directories[] = {"/tmp", "/var/tmp", NULL};

/* Whether path, after following links, is this directory. */
static bool is_directory(const char *path, struct file_id id)
{
    struct statx stx;
    return statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) ==
               0 &&
           fsys_same(fsys_id(&stx), id);
}

static const char *find_among(const char *const *paths, struct file_id id)
{
    for (; *paths; paths++)
        if (is_directory(*paths, id))
            return *paths;
    return NULL;
}

static char *find_library(const void *ctx, struct file_id id)
{
    glob_t found;
    char *path = NULL;
    if (glob("/lib*", 0, NULL, &found) != 0)
        return NULL;
    for (size_t i = 0; i < found.gl_pathc && !path; i++)
        if (is_directory(found.gl_pathv[i], id))
            path = mem_strdup(ctx, found.gl_pathv[i]);
    globfree(&found);
    return path;
}

/* The user whose home directory it is; NULL: nobody's. */
static char *find_home(const void *ctx, struct file_id id)
{
    const char *home = getenv("HOME");
    char *user = NULL;
    if (is_directory("/root", id))
        return mem_strdup(ctx, "root");
    if (home && home[0] == '/' && is_directory(home, id))
        return mem_strdup(ctx, "the user who runs this");
    setpwent();
    for (const struct passwd *entry; !user && (entry = getpwent());)
        if (entry->pw_dir && entry->pw_dir[0] == '/' && is_directory(entry->pw_dir, id))
            user = mem_printf(ctx, "user %s",
                              text_escape(ctx, entry->pw_name, strlen(entry->pw_name)));
    endpwent();
    return user;
}

/* Compares device numbers, so that a mount of another directory of the same file system (as
 * sandboxes make for writable paths) does not count. A mount below /tmp or /var/tmp is meant for
 * temporary files. */
static bool is_mount_point(const struct files_root *root)
{
    struct statx stx;
    bool crosses = false;
    bool temporary = false;
    struct file_id below = root->id;
    int fd = openat(root->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (bool first = true; fd >= 0 && fsys_stat(fd, "", &stx); first = false) {
        struct file_id here = fsys_id(&stx);
        crosses = crosses || (first && here.dev != below.dev);
        temporary = find_among(temporary_directories, here) != NULL;
        if (!crosses || temporary || fsys_same(here, below))
            break;
        below = here;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
    }
    if (fd >= 0)
        close(fd);
    return crosses && !temporary;
}

bool root_check_system(const struct files_options *o, const struct files_root *root,
                       struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    const char *what = NULL;
    const char *name = NULL;
    if (root->fd < 0 || o->allow_system_root || find_among(temporary_directories, root->id)) {
        talloc_free(ctx);
        return true;
    }
    if ((name = find_among(system_directories, root->id)) || (name = find_library(ctx, root->id)))
        what = mem_printf(ctx, "is a directory of the system (%s)", name);
    else if ((name = find_home(ctx, root->id)))
        what = mem_printf(ctx, "is the home directory of %s", name);
    else if (is_mount_point(root))
        what = "is a mount point: the whole of a file system";
    if (what) {
        error_set(err, SWEEP_USAGE, "the root \"%s\" %s",
                  text_escape(ctx, root->path, strlen(root->path)), what);
        error_hint(err,
                   "Give the directory in it that holds the temporary files. To sweep all of it, "
                   "write \"system_root: allow\" into the policy or use --allow-system-root.");
    }
    talloc_free(ctx);
    return !what;
}
