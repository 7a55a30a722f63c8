/* talloc that does not return NULL. */
#include "pgsweep/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/exit_codes.h"

void *mem_check(void *p)
{
    if (!p) {
        fputs("pgsweep: error: out of memory\n", stderr);
        exit(SWEEP_INTERNAL);
    }
    return p;
}

char *mem_strdup(const void *ctx, const char *text)
{
    return text ? mem_check(talloc_strdup(ctx, text)) : NULL;
}

char *mem_printf(const void *ctx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = talloc_vasprintf(ctx, format, args);
    va_end(args);
    return mem_check(text);
}

void *mem_grow_bytes(const void *ctx, void *array, size_t element_bytes, size_t count)
{
    size_t have = array ? talloc_get_size(array) / element_bytes : 0;
    if (count >= have) {
        size_t want = have ? have * 2 : 8;
        array = mem_check(talloc_realloc_size(ctx, array, want * element_bytes));
    }
    memset((char *)array + count * element_bytes, 0, element_bytes);
    return array;
}
