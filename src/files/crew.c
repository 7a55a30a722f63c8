/* A dry run walks the directories right below the root with two threads. Each has a walk and a report
 * of its own and takes the next name when it is done with one; at the end the reports are added up, and
 * errors are told in the order of the names, so that nobody can tell that there were two. What removes
 * has one thread: there the order counts, and a second one saves little. */
#define _GNU_SOURCE
#include <string.h>

#include "pgsweep/mem.h"
#include "walk.h"

enum { MEMBERS = 2 };

/* The first error with its errno that a member met. */
struct finding {
    size_t turn; /* counts the names in their order */
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
    pthread_mutex_t names_lock;
    struct frame *names; /* of the walk that gave its directories away */
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

static const char *take_name(struct member *m)
{
    struct crew *crew = m->crew;
    const char *name = NULL;
    pthread_mutex_lock(&crew->names_lock);
    struct frame *f = crew->names;
    if (f->pending_at < f->pending_size) {
        name = f->pending + f->pending_at;
        f->pending_at += strlen(name) + 1;
        m->turn = ++crew->turns;
    }
    pthread_mutex_unlock(&crew->names_lock);
    return name;
}

static void *work(void *arg)
{
    struct member *m = arg;
    struct walk *w = m->walk;
    const char *name;
    while (w->frames[0].lost == FILES_NOT_KEPT && entry_may_go_on(w) &&
           (name = take_name(m)) != NULL) {
        walk_enter(w, name);
        while (w->depth > 1)
            walk_step(w);
    }
    return NULL;
}

/* Memory of its own, because talloc knows no threads. */
static void join_crew(struct crew *crew, struct member *m, const struct walk *base)
{
    m->crew = crew;
    m->options = *base->options;
    m->options.on_event = keep_finding;
    m->options.on_event_arg = m;
    m->options.errors_only = true;
    m->walk = walk_new(NULL, &m->options, base->root, &m->report, base->frames[0].fd,
                       base->base_path, NULL);
    m->report.directories = 0; /* the base is counted */
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
        bool first = tally_count_error(base->report, m->report.errors[i].code,
                                       m->report.errors[i].count);
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

bool crew_may_walk(const struct walk *w)
{
    const struct files_options *o = w->options;
    bool in_order = o->max_deletions > 0 || (o->on_event && !o->errors_only) || o->on_step;
    return w->dry_run && !w->wipe && !w->links_lock && w->depth == 1 && !in_order;
}

void crew_walk(struct walk *base)
{
    struct crew *crew = mem_new(base, struct crew);
    pthread_t second;
    pthread_mutex_init(&crew->names_lock, NULL);
    pthread_mutex_init(&crew->links_lock, NULL);
    crew->names = &base->frames[0];
    walk_free_names(base);
    for (size_t i = 0; i < MEMBERS; i++)
        join_crew(crew, &crew->members[i], base);
    bool two = fsys_processors() > 1 && fsys_start_thread(&second, work, &crew->members[1]);
    work(&crew->members[0]);
    if (two)
        pthread_join(second, NULL);
    tell_errors(crew, base);
    for (size_t i = 0; i < MEMBERS; i++)
        part(&crew->members[i], base);
    pthread_mutex_destroy(&crew->names_lock);
    pthread_mutex_destroy(&crew->links_lock);
    talloc_free(crew);
}
