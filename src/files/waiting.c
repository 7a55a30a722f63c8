/* Files on which no lease can be taken: /proc shows which processes have them open. Reading /proc
 * takes long, and its answer may be out of date at once while anybody can open the file by its
 * name. So the files of a directory are first moved to where nobody else can reach them; then /proc
 * is read once for all of them. A file that nobody has open then cannot be opened any more. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

/* The number of files that share one reading of /proc: limits their memory and the time for which
 * they are moved away. */
enum { WAITING_MAX = 1000 };

/* A file that was moved under its own name. */
struct waiting_file {
    char *name;
    struct statx seen;
    struct timespec judged;
    enum files_kept stays; /* FILES_NOT_KEPT: it is removed */
};

struct waiting {
    struct waiting_file files[WAITING_MAX];
    size_t count;
};

size_t waiting_count(const struct walk *w)
{
    return w->waiting ? w->waiting->count : 0;
}

struct verdict waiting_add(struct walk *w, struct trash *t, const char *name,
                           const struct statx *stx)
{
    const struct files_options *o = w->options;
    const struct frame *f = &w->frames[w->depth - 1];
    if (!w->waiting)
        w->waiting = mem_new(w, struct waiting);
    struct waiting *waiting = w->waiting;
    trash_note(t, f->id, w->path, f->path_length, name);
    bool moved = trash_move(f->fd, name, t->held_fd, name);
    if (!moved && errno == EEXIST) { /* another file of the same name is there */
        waiting_settle(w);
        moved = trash_move(f->fd, name, t->held_fd, name);
    }
    if (!moved)
        return (struct verdict){.kept = FILES_NOT_KEPT, .error = errno};
    waiting->files[waiting->count++] =
        (struct waiting_file){.name = mem_strdup(waiting, name), .seen = *stx, .judged = w->judged};
    if (o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_MOVED, f->fd, name);
    if (waiting->count == WAITING_MAX)
        waiting_settle(w);
    return (struct verdict){.kept = FILES_NOT_KEPT, .waits = true};
}

/* Leaves the file in the trash, which then stays; the next run sweeps it by the same rules. */
static void keep_in_trash(const struct trash *t, const char *name)
{
    char new_name[64];
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        return;
    snprintf(new_name, sizeof new_name, "kept-%016" PRIx64, chance);
    trash_move(t->held_fd, name, t->fd, new_name);
}

static enum files_kept judge(struct walk *w, const struct waiting_file *file)
{
    const struct files_shared *shared = w->shared;
    struct statx moved;
    if (!fsys_stat(shared->trash.held_fd, file->name, &moved))
        return FILES_NOT_KEPT; /* its removal will report why */
    enum in_use use = users_look(shared->users, fsys_id(&moved), w->maps_by_inode);
    return slot_judge(w, &file->seen, &moved, inuse_reason(use));
}

static void give_back(struct walk *w, const struct waiting_file *file)
{
    const struct trash *t = &w->shared->trash;
    struct frame *f = &w->frames[w->depth - 1];
    struct verdict v = {.kept = file->stays};
    f->touched = true;
    if (!slot_give_back(w, t->held_fd, file->name, f->fd, file->name)) {
        v = (struct verdict){.kept = FILES_NOT_KEPT, .error = errno, .action = "bring back"};
        keep_in_trash(t, file->name);
    }
    entry_settle(w, file->name, &file->seen, v);
}

/* Reads the link count again: another name of the file may have been removed before. */
static void discard(struct walk *w, const struct waiting_file *file)
{
    const struct trash *t = &w->shared->trash;
    struct statx last = file->seen;
    struct verdict v = {.kept = FILES_NOT_KEPT};
    fsys_stat(t->held_fd, file->name, &last);
    if (unlinkat(t->held_fd, file->name, 0) != 0)
        v.error = errno;
    w->judged = file->judged;
    entry_settle(w, file->name, &last, v);
}

/* Files that stay are given back before the others are removed, because removals may pause. */
void waiting_settle(struct walk *w)
{
    struct waiting *waiting = w->waiting;
    if (waiting_count(w) == 0)
        return;
    size_t count = waiting->count;
    waiting->count = 0;
    users_refresh(w->shared->users, true);
    for (size_t i = 0; i < count; i++)
        waiting->files[i].stays = judge(w, &waiting->files[i]);
    for (size_t i = 0; i < count; i++)
        if (waiting->files[i].stays != FILES_NOT_KEPT)
            give_back(w, &waiting->files[i]);
    for (size_t i = 0; i < count; i++)
        if (waiting->files[i].stays == FILES_NOT_KEPT)
            discard(w, &waiting->files[i]);
    for (size_t i = 0; i < count; i++)
        talloc_free(waiting->files[i].name);
}
