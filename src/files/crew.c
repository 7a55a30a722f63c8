/* In a dry run, two threads share the files of a long block, and the directories right below the
 * root with their contents. Each thread has a walk and a report of its own and takes the next share
 * when it has finished one. At the end the reports are added up, and errors are reported in the
 * order of the shares, as if one thread had walked alone. A live run removes with one thread,
 * because there the order matters and a second thread saves little. */
#define _GNU_SOURCE
#include <string.h>

#include "pgsweep/mem.h"
#include "walk.h"

enum { MEMBERS = 2, SHARE_FILES = 512 };

/* The first error with this errno that a member met. */
struct finding {
    size_t turn; /* number of the share, in order */
    struct files_event event;
};

struct member {
    struct crew *crew;
    struct files_options options;
    struct files_report report;
    struct walk *walk;
    size_t turn;
    struct finding findings[FILES_ERRORS_MAX]; /* in step with report.errors */
    size_t found;
};

struct crew {
    struct walk *base; /* the walk whose work is shared */
    pthread_mutex_t shares_lock;
    size_t files_taken;
    size_t turns;
    pthread_mutex_t links_lock;
    struct member members[MEMBERS];
};

static void keep_finding(void *arg, const struct files_event *event)
{
    struct member *m = arg;
    if (m->found == FILES_ERRORS_MAX)
        return;
    m->findings[m->found] = (struct finding){.turn = m->turn, .event = *event};
    m->findings[m->found++].event.path = mem_strdup(m->walk, event->path);
}

/* The next directory, or NULL. */
static const char *take_directory(struct member *m)
{
    struct crew *crew = m->crew;
    struct frame *f = &crew->base->frames[0];
    const char *name = NULL;
    pthread_mutex_lock(&crew->shares_lock);
    if (f->pending_at < f->pending_size) {
        name = f->pending + f->pending_at;
        f->pending_at += strlen(name) + 1;
        m->turn = ++crew->turns;
    }
    pthread_mutex_unlock(&crew->shares_lock);
    return name;
}

/* Takes the next names of the block: from *from up to, but not including, the returned number; 0:
 * none. */
static size_t take_files(struct member *m, size_t *from)
{
    struct crew *crew = m->crew;
    size_t end = 0;
    pthread_mutex_lock(&crew->shares_lock);
    size_t left = crew->base->entry_count - crew->files_taken;
    if (left > 0) {
        *from = crew->files_taken;
        end = *from + (left < SHARE_FILES ? left : SHARE_FILES);
        crew->files_taken = end;
        m->turn = ++crew->turns;
    }
    pthread_mutex_unlock(&crew->shares_lock);
    return end;
}

static bool may_take(struct member *m)
{
    return m->walk->frames[0].lost == FILES_NOT_KEPT && entry_may_go_on(m->walk);
}

static void *walk_directories(void *arg)
{
    struct member *m = arg;
    const char *name;
    while (may_take(m) && (name = take_directory(m)) != NULL) {
        walk_enter(m->walk, name);
        while (m->walk->depth > 1)
            walk_step(m->walk);
    }
    return NULL;
}

static void *examine_files(void *arg)
{
    struct member *m = arg;
    const struct walk *base = m->crew->base;
    size_t at = 0;
    size_t end;
    while (may_take(m) && (end = take_files(m, &at)) > 0)
        for (; at < end; at++)
            block_sort_out(m->walk, base->names, &base->entries[at]);
    return NULL;
}

/* The member gets memory of its own, because talloc is not thread-safe. */
static void join_crew(struct crew *crew, struct member *m, const struct walk *base)
{
    m->crew = crew;
    m->options = *base->options;
    m->options.on_event = keep_finding;
    m->options.on_event_arg = m;
    m->options.errors_only = true;
    m->options.shared = base->shared;
    m->walk = walk_new(NULL, &m->options, base->root, &m->report, base->frames[0].fd,
                       base->base_path, NULL);
    m->report.directories = 0; /* the base is counted already */
    m->walk->frames[0].finished = true;
    m->walk->sys = base->sys;
    m->walk->now = base->now;
    m->walk->links = base->links;
    m->walk->links_lock = &crew->links_lock;
}

/* The error that comes next in the order of the names, or NULL. */
static struct member *next_finding(struct crew *crew, const size_t *told)
{
    struct member *next = NULL;
    size_t turn = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        struct member *m = &crew->members[i];
        if (told[i] == m->report.error_count)
            continue;
        if (!next || m->findings[told[i]].turn < turn) {
            next = m;
            turn = m->findings[told[i]].turn;
        }
    }
    return next;
}

static void tell_errors(struct crew *crew, struct walk *base)
{
    const struct files_options *o = base->options;
    size_t told[MEMBERS] = {0};
    struct member *m;
    while ((m = next_finding(crew, told)) != NULL) {
        size_t i = told[m - crew->members]++;
        bool first =
            tally_count_error(base->report, m->report.errors[i].code, m->report.errors[i].count);
        if (first && o->on_event)
            o->on_event(o->on_event_arg, &m->findings[i].event);
    }
}

static void part(struct member *m, struct walk *base)
{
    tally_add(base->report, &m->report);
    base->ended = base->ended || m->walk->ended;
    if (m->walk->frames[0].lost != FILES_NOT_KEPT)
        base->frames[0].lost = m->walk->frames[0].lost;
    talloc_free(m->walk);
}

bool crew_may_share(const struct walk *w)
{
    const struct files_options *o = w->options;
    bool in_order = o->max_deletions > 0 || (o->on_event && !o->errors_only) || o->on_step;
    return w->dry_run && !w->wipe && !w->links_lock && w->depth == 1 && !in_order;
}

static void share(struct walk *base, void *(*work)(void *))
{
    struct crew *crew = mem_new(base, struct crew);
    pthread_t second;
    pthread_mutex_init(&crew->shares_lock, NULL);
    pthread_mutex_init(&crew->links_lock, NULL);
    crew->base = base;
    for (size_t i = 0; i < MEMBERS; i++)
        join_crew(crew, &crew->members[i], base);
    bool two = fsys_processors() > 1 && fsys_start_thread(&second, work, &crew->members[1]);
    work(&crew->members[0]);
    if (two)
        pthread_join(second, NULL);
    tell_errors(crew, base);
    for (size_t i = 0; i < MEMBERS; i++)
        part(&crew->members[i], base);
    pthread_mutex_destroy(&crew->shares_lock);
    pthread_mutex_destroy(&crew->links_lock);
    talloc_free(crew);
}

void crew_walk_directories(struct walk *base)
{
    walk_free_names(base);
    share(base, walk_directories);
}

void crew_examine_files(struct walk *base)
{
    share(base, examine_files);
}
