/* Who holds the lock of a root that is locked: what the kernel tells about it, for a person. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

/* The process that holds a flock on the file; 0: not known (another pid namespace, an NFS
 * client, no /proc). On some file systems the device listed is not that of statx, so the inode decides:
 * this is for a message only. */
static int find_holder(uint64_t ino)
{
    char line[256];
    int found = 0;
    FILE *locks = fopen("/proc/locks", "re");
    while (locks && found == 0 && fgets(line, sizeof line, locks)) {
        uint64_t inode;
        int pid;
        if (sscanf(line, "%*s FLOCK %*s %*s %d %*x:%*x:%" SCNu64, &pid, &inode) == 2 && inode == ino && pid > 0)
            found = pid;
    }
    if (locks)
        fclose(locks);
    return found;
}

char *files_lock_holder(const void *ctx, const char *root)
{
    struct statx stx;
    char name[64] = "";
    int pid = fsys_stat(AT_FDCWD, root, &stx) ? find_holder(stx.stx_ino) : 0;
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
