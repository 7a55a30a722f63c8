/* Reads a directory in blocks of names, sorted by inode so that the disk is read in order. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "walk.h"

enum {
    BLOCK_ENTRIES = 100 * 1000,
    BLOCK_BYTES = 3 << 20, /* bytes of names: limits the memory when names are long */
    LIST_BYTES = 128 << 10,
    PENDING_BYTES =
        4 << 20, /* names of pending sub-directories on all levels; above this, blocks are small */
    PENDING_LEAST = 16 << 10,
    LOOK_SORT_FROM = 4096,
    SHARE_FROM = 4096 /* with fewer entries a second thread costs more than it saves */
};

static int by_inode(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return (x->ino > y->ino) - (x->ino < y->ino);
}

/* The array grows in exact steps and is not doubled, because a block is most of the memory in
 * use. */
static void add_entry(struct walk *w, const struct linux_dirent *d, size_t length)
{
    if (w->entry_count == w->entry_room) {
        w->entry_room += w->entry_room / 2 + 1024;
        w->entries =
            mem_check(talloc_realloc_size(w, w->entries, w->entry_room * sizeof(struct entry)));
    }
    if (w->names_size + length + 1 > w->names_room) {
        w->names_room += w->names_room / 2 + LIST_BYTES;
        w->names = mem_check(talloc_realloc_size(w, w->names, w->names_room));
    }
    w->entries[w->entry_count++] =
        (struct entry){.ino = d->d_ino, .name_at = (uint32_t)w->names_size, .type = d->d_type};
    memcpy(w->names + w->names_size, d->d_name, length + 1);
    w->names_size += length + 1;
}

static size_t add_listed(struct walk *w, struct frame *f, ssize_t size)
{
    size_t directory_bytes = 0;
    for (ssize_t at = 0; at < size;) {
        const struct linux_dirent *d = (const void *)(w->list_buffer + at);
        at += d->d_reclen;
        f->position = d->d_off;
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        size_t length = strlen(d->d_name);
        if (d->d_type == DT_DIR || d->d_type == DT_UNKNOWN)
            directory_bytes += length + 1;
        add_entry(w, d, length);
    }
    return directory_bytes;
}

static void fill_block(struct walk *w, struct frame *f)
{
    size_t directory_bytes = 0;
    const size_t share = w->links_lock ? 2 : 1; /* two threads share the memory limit of one */
    w->entry_count = 0;
    w->names_size = 0;
    if (!w->list_buffer)
        w->list_buffer = mem_array(w, char, LIST_BYTES);
    if (f->position != 0)
        closer_drain(w); /* otherwise the listing may show files that are removed but still open */
    while (w->entry_count < BLOCK_ENTRIES / share && w->names_size < BLOCK_BYTES / share) {
        ssize_t n = fsys_list(f->fd, w->list_buffer, LIST_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 &&
            errno !=
                ENOENT) { /* ENOENT: somebody removed the directory; it has no names any more */
            f->read_failed = true;
            f->stays = true;
            w->report->scanned += w->depth == 1; /* the root is counted only if it fails */
            tally_failed(w, NULL, 'd', errno, "read");
        }
        if (n <= 0) {
            f->finished = true;
            break;
        }
        directory_bytes += add_listed(w, f, n);
        if (w->pending_total + directory_bytes > PENDING_BYTES && directory_bytes > PENDING_LEAST)
            break;
    }
    /* For a dry run over few names, whose inodes are close together anyway, sorting costs more
     * than it saves. With a limit, though, a dry run must meet the names in the order of the
     * live run. */
    bool unsorted = w->dry_run && w->options->max_deletions <= 0 && w->entry_count < LOOK_SORT_FROM;
    if (w->entry_count > 1 && !unsorted)
        qsort(w->entries, w->entry_count, sizeof *w->entries, by_inode);
}

/* Copies the names of the directories into memory of their own, exactly as much as they need,
 * because the names of the first sub-directory overwrite the block. */
static void keep_directories(struct walk *w, struct frame *f, size_t examined)
{
    size_t size = 0;
    for (size_t i = 0; i < examined; i++)
        if (w->entries[i].type == DT_DIR)
            size += strlen(w->names + w->entries[i].name_at) + 1;
    if (size == 0)
        return;
    f->pending = mem_array(w, char, size);
    for (size_t i = 0; i < examined; i++) {
        const char *name = w->names + w->entries[i].name_at;
        if (w->entries[i].type != DT_DIR)
            continue;
        size_t length = strlen(name) + 1;
        memcpy(f->pending + f->pending_size, name, length);
        f->pending_size += length;
    }
    w->pending_total += size;
}

void block_sort_out(struct walk *w, const char *names, struct entry *e)
{
    if (e->type != DT_DIR && entry_examine(w, names + e->name_at))
        e->type = DT_DIR;
}

/* Examines the entries of the block until something ends the walk. Returns how many were
 * examined. */
static size_t examine(struct walk *w, struct frame *f)
{
    size_t i = 0;
    while (i < w->entry_count) {
        block_sort_out(w, w->names, &w->entries[i++]);
        if (w->ended || f->lost != FILES_NOT_KEPT) {
            f->stays = true;
            break;
        }
    }
    waiting_settle(w);
    return i;
}

void block_read(struct walk *w)
{
    struct frame *f = &w->frames[w->depth - 1];
    const struct files_options *o = w->options;
    size_t examined = 0;
    fill_block(w, f);
    if (o->on_step)
        o->on_step(o->on_step_arg, FILES_STEP_LISTED, f->fd, NULL);
    if (w->entry_count >= SHARE_FROM && crew_may_share(w)) {
        crew_examine_files(w);
        examined = w->entry_count;
    } else {
        examined = examine(w, f);
    }
    f->finished = f->finished && examined == w->entry_count;
    keep_directories(w, f, examined);
}
