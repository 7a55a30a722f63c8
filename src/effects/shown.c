/* A stored object, for a person to read. */
#define _GNU_SOURCE
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

char *object_shown(const void *ctx, const char *value)
{
    const char *start = strstr(value, "//");
    size_t length = strcspn(value, start ? "?#" : "");
    char *text = mem_check(talloc_strndup(ctx, value, length));
    if (start && (size_t)(start - value) < length) {
        size_t head = (size_t)(start - value) + 2;
        const char *end = text + head + strcspn(text + head, "/");
        const char *at = memrchr(text + head, '@', (size_t)(end - text) - head);
        if (at)
            text = mem_printf(ctx, "%.*s%s", (int)head, text, at + 1);
    }
    return text_escape(ctx, text, strlen(text));
}
