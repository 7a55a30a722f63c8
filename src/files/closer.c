/* A second thread that closes files which were removed while the sweep held them open. The kernel
 * frees an unlinked file when its last descriptor is closed: that is a third of the work of a
 * removal, and nothing has to wait for it. The thread decides nothing and sees only descriptors. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

/* Two batches are open at a time: one is filled while the other is closed. Smaller batches cost
 * more in wake-ups than they save. Most sweeps end before a thread would help. */
enum { BATCH = 64, START_AFTER = 512, DESCRIPTORS_LEAST = 4 * BATCH };

struct closer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t
        changed; /* only one waits for it at a time: the sweep for space, or the thread for work */
    int fds[BATCH];
    size_t count;
    bool busy;  /* a batch is being closed */
    bool flush; /* do not wait for a full batch */
    bool ended;
};

static void *close_batches(void *arg)
{
    struct closer *c = arg;
    int batch[BATCH];
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->count < BATCH && !(c->flush && c->count > 0) && !c->ended)
            pthread_cond_wait(&c->changed, &c->lock);
        size_t count = c->count;
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++)
            batch[i] = c->fds[i];
        c->count = 0;
        c->busy = true;
        pthread_cond_signal(&c->changed);
        pthread_mutex_unlock(&c->lock);
        for (size_t i = 0; i < count; i++)
            close(batch[i]);
        pthread_mutex_lock(&c->lock);
        c->busy = false;
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static bool can_hold_open(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= DESCRIPTORS_LEAST;
}

/* NULL: no second processor, too few descriptors, or no thread available. */
static struct closer *start(struct walk *w)
{
    struct closer *c = mem_new(w, struct closer);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (fsys_processors() > 1 && can_hold_open() && fsys_start_thread(&c->thread, close_batches, c))
        return c;
    talloc_free(c);
    return NULL;
}

void closer_close(struct walk *w, int fd)
{
    if (w->removals_held < START_AFTER && ++w->removals_held == START_AFTER)
        w->closer = start(w);
    struct closer *c = w->closer;
    if (!c) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&c->lock);
    while (c->count == BATCH)
        pthread_cond_wait(&c->changed, &c->lock);
    c->fds[c->count++] = fd;
    if (c->count == BATCH)
        pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

bool closer_drain(struct walk *w)
{
    struct closer *c = w->closer;
    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    bool waited = c->count > 0 || c->busy;
    c->flush = true;
    pthread_cond_signal(&c->changed);
    while (c->count > 0 || c->busy)
        pthread_cond_wait(&c->changed, &c->lock);
    c->flush = false;
    pthread_mutex_unlock(&c->lock);
    return waited;
}

void closer_end(struct walk *w)
{
    struct closer *c = w->closer;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    talloc_free(c);
    w->closer = NULL;
}
