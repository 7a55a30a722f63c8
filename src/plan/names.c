/* Sets of names. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

void name_set_add(const void *ctx, struct name_set *names, const char *name)
{
    if (name_set_has(names, name))
        return;
    size_t i = mem_grow(ctx, &names->list, &names->count);
    names->list[i] = name;
}

bool name_set_has(const struct name_set *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i], name) == 0)
            return true;
    return false;
}
