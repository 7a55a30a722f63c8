/* Finds when something in a root changed last, which reveals a wrong clock or a root that is no
 * longer used. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

struct search {
    struct fsys sys;
    int64_t enough;
    int64_t youngest;
    bool found; /* an entry was found */
};

/* Considers one entry; true: the search is over. */
static bool take(struct search *search, const struct statx *stx)
{
    int64_t t = stx->stx_mtime.tv_sec > stx->stx_ctime.tv_sec ? stx->stx_mtime.tv_sec
                                                              : stx->stx_ctime.tv_sec;
    if (t > search->youngest)
        search->youngest = t;
    return search->youngest > search->enough;
}

/* Searches a directory whose own time was already considered. Closes fd. */
static bool search_directory(struct search *search, int fd, int depth)
{
    bool over = false;
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    for (struct dirent *entry; !over && (entry = readdir(stream));) {
        struct statx stx;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            !fsys_stat(dirfd(stream), entry->d_name, &stx))
            continue;
        search->found = true;
        over = take(search, &stx);
        if (!over && S_ISDIR(stx.stx_mode) && depth < FILES_YOUNGEST_DEPTH)
            over = search_directory(
                search, fsys_open_child(&search->sys, dirfd(stream), entry->d_name), depth + 1);
    }
    closedir(stream);
    return over;
}

bool files_youngest(const struct files_options *options, int64_t enough, int64_t *youngest,
                    bool *found, struct error *err)
{
    struct search search = {.enough = enough, .youngest = INT64_MIN};
    struct files_root root;
    struct statx stx;
    void *ctx = mem_check(talloc_new(NULL));
    bool ok = root_open(ctx, options, &root, err);
    if (ok && root.fd >= 0) {
        if (fsys_stat(root.fd, "", &stx) && take(&search, &stx))
            search.found = true;
        else
            search_directory(&search, fsys_open_child(&search.sys, root.fd, "."), 0);
    }
    if (ok)
        root_close(&root);
    *youngest = search.youngest;
    *found = search.found;
    talloc_free(ctx);
    return ok;
}
