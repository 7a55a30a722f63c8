/* Which file has been seen by another of its links. */
#define _GNU_SOURCE

#include "walk.h"

void walk_lock_links(struct walk *w)
{
    if (w->links_lock)
        pthread_mutex_lock(w->links_lock);
}

void walk_unlock_links(struct walk *w)
{
    if (w->links_lock)
        pthread_mutex_unlock(w->links_lock);
}
