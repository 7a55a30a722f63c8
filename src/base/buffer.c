/* From PQExpBuffer to talloc. */
#include "pgsweep/buffer.h"

#include "pgsweep/mem.h"

char *buffer_take(const void *ctx, PQExpBuffer buffer)
{
    mem_check(PQExpBufferBroken(buffer) ? NULL : buffer->data);
    char *text = mem_strdup(ctx, buffer->data);
    destroyPQExpBuffer(buffer);
    return text;
}
