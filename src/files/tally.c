/* Counts into the report and notifies the caller. Decides nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

/* The absolute path of name in the top frame (NULL: of its directory), escaped. */
static char *shown_path(const struct walk *w, const char *name)
{
    size_t length = w->depth ? w->frames[w->depth - 1].path_length : 0;
    char *path = mem_printf(NULL, "%s%s%.*s%s%s", w->base_path, length ? "/" : "", (int)length,
                            w->path, name ? "/" : "", name ? name : "");
    char *shown = text_escape(NULL, path, strlen(path));
    talloc_free(path);
    return shown;
}

void tally_deleted(struct walk *w, const char *name, char type, int64_t bytes)
{
    struct files_report *r = w->report;
    r->deleted_files += type == 'f';
    r->deleted_links += type == 'l';
    r->deleted_directories += type == 'd';
    r->deleted_special += type == 's';
    r->bytes_freed += bytes;
    if (!w->options->on_event || w->options->errors_only)
        return;
    char *path = shown_path(w, name);
    struct files_event event = {
        .kind = FILES_EVENT_DELETED, .type = type, .path = path, .bytes = bytes, .time = w->judged};
    w->options->on_event(w->options->on_event_arg, &event);
    talloc_free(path);
}

void tally_aside(struct walk *w, const char *new_name)
{
    w->report->set_aside++;
    if (!w->options->on_event)
        return;
    char *path = shown_path(w, new_name);
    struct files_event event = {.kind = FILES_EVENT_ASIDE, .type = '?', .path = path};
    w->options->on_event(w->options->on_event_arg, &event);
    talloc_free(path);
}

void tally_kept(struct walk *w, enum files_kept reason)
{
    w->report->kept[reason]++;
}

bool tally_count_error(struct files_report *r, int error, int64_t count)
{
    for (size_t i = 0; i < r->error_count; i++) {
        if (r->errors[i].code == error) {
            r->errors[i].count += count;
            return false;
        }
    }
    if (r->error_count == FILES_ERRORS_MAX) {
        /* The last slot collects all other errors, so its errno is cleared. */
        r->errors[FILES_ERRORS_MAX - 1].code = 0;
        r->errors[FILES_ERRORS_MAX - 1].count += count;
        return false;
    }
    r->errors[r->error_count].code = error;
    r->errors[r->error_count++].count = count;
    return error != 0;
}

void tally_add(struct files_report *sum, const struct files_report *part)
{
    sum->scanned += part->scanned;
    sum->directories += part->directories;
    sum->deleted_files += part->deleted_files;
    sum->deleted_links += part->deleted_links;
    sum->deleted_directories += part->deleted_directories;
    sum->deleted_special += part->deleted_special;
    sum->bytes_freed += part->bytes_freed;
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        sum->kept[i] += part->kept[i];
    sum->vanished += part->vanished;
    sum->failed += part->failed;
    sum->untested += part->untested;
    sum->unguarded += part->unguarded;
    sum->set_aside += part->set_aside;
    sum->limit_reached = sum->limit_reached || part->limit_reached;
    sum->stopped = sum->stopped || part->stopped;
}

void tally_error(const struct files_options *options, struct files_report *report, const char *path,
                 char type, int error, const char *action)
{
    if (!tally_count_error(report, error, 1) || !options->on_event)
        return;
    char *shown = text_escape(NULL, path, strlen(path));
    struct files_event event = {
        .kind = FILES_EVENT_ERROR, .type = type, .path = shown, .error = error, .action = action};
    options->on_event(options->on_event_arg, &event);
    talloc_free(shown);
}

void tally_failed(struct walk *w, const char *name, char type, int error, const char *action)
{
    w->report->failed++;
    if (!tally_count_error(w->report, error, 1) || !w->options->on_event)
        return;
    char *path = shown_path(w, name);
    struct files_event event = {
        .kind = FILES_EVENT_ERROR, .type = type, .path = path, .error = error, .action = action};
    w->options->on_event(w->options->on_event_arg, &event);
    talloc_free(path);
}

static struct seen_links *find_links(struct seen_links *table, size_t room, uint64_t ino)
{
    size_t at = (size_t)((ino * 0x9e3779b97f4a7c15U) >> 32) & (room - 1);
    while (table[at].count > 0 && table[at].ino != ino)
        at = (at + 1) & (room - 1);
    return &table[at];
}

static void grow_links(struct links *links)
{
    size_t room = links->room ? links->room * 2 : 64;
    struct seen_links *table = mem_array(links, struct seen_links, room);
    for (size_t i = 0; i < links->room; i++)
        if (links->table[i].count > 0)
            *find_links(table, room, links->table[i].ino) = links->table[i];
    talloc_free(links->table);
    links->table = table;
    links->room = room;
}

/* Whether this was the last of count links of a file. */
static bool is_last_link(struct links *links, uint64_t ino, uint32_t count)
{
    if (links->used * 2 >= links->room)
        grow_links(links);
    struct seen_links *seen = find_links(links->table, links->room, ino);
    links->used += seen->count == 0;
    seen->ino = ino;
    return ++seen->count == count;
}

/* In a live run the link count decreases with each removal, and the last one frees the bytes. A dry
 * run has to remember how many links it saw to predict the same. */
int64_t tally_bytes(struct walk *w, const struct statx *stx)
{
    int64_t bytes = S_ISREG(stx->stx_mode) ? (int64_t)stx->stx_blocks * 512 : 0;
    if (stx->stx_nlink <= 1 || bytes == 0)
        return bytes;
    if (!w->dry_run)
        return 0;
    walk_lock_links(w);
    bool last = is_last_link(w->links, stx->stx_ino, stx->stx_nlink);
    walk_unlock_links(w);
    return last ? bytes : 0;
}
