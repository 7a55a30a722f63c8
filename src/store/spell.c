/* The other way round from resolve.c: how a row may spell an object. */
#include <ctype.h>
#include <string.h>

#include "config.h"
#include "pgsweep/mem.h"

/* The path with everything percent-encoded that is no ASCII letter or digit, and that is not left bare. */
static char *percent_encode(const void *ctx, const char *path, bool keep_non_ascii)
{
    char *text = mem_array(ctx, char, 3 * strlen(path) + 1);
    char *out = text;
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (isalnum(c) || (c >= 0x80 && keep_non_ascii)) {
            *out++ = *p;
            continue;
        }
        *out++ = '%';
        *out++ = "0123456789abcdef"[c >> 4];
        *out++ = "0123456789abcdef"[c & 15];
    }
    return text;
}

static bool is_ascii(const char *text)
{
    while (*text && !((unsigned char)*text & 0x80))
        text++;
    return !*text;
}

size_t store_spellings(const void *ctx, const struct store_config *config, const struct store_location *where,
                       char *spellings[STORE_SPELLINGS_MAX])
{
    bool ascii = is_ascii(where->key);
    /* Virtual-host style and path style, at AWS and below the path of an endpoint. */
    const char *paths[] = {mem_printf(ctx, "/%s", where->key), mem_printf(ctx, "/%s/%s", where->bucket, where->key),
                           mem_printf(ctx, "%s/%s", config->base_path, where->key),
                           mem_printf(ctx, "%s/%s/%s", config->base_path, where->bucket, where->key)};
    size_t path_count = *config->base_path ? 4 : 2;
    size_t n = 0;
    spellings[n++] = mem_strdup(ctx, where->key);
    for (size_t i = 0; i < path_count; i++) {
        spellings[n++] = mem_printf(ctx, "//h%s", paths[i]);
        spellings[n++] = mem_printf(ctx, "//h/%s", percent_encode(ctx, paths[i], false));
        if (!ascii)
            spellings[n++] = mem_printf(ctx, "//h/%s", percent_encode(ctx, paths[i], true));
    }
    return n;
}
