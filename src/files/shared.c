/* What the walks of several roots share. */
#define _GNU_SOURCE

#include "pgsweep/mem.h"
#include "walk.h"

static int free_shared(struct files_shared *shared)
{
    trash_close(&shared->trash);
    return 0;
}

struct files_shared *files_shared_new(const void *ctx)
{
    struct files_shared *shared = mem_new(ctx, struct files_shared);
    trash_start(&shared->trash);
    talloc_set_destructor(shared, free_shared);
    return shared;
}
