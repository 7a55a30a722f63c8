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
    const char *bases[] = {"", config->base_path};
    size_t n = 0;
    spellings[n++] = mem_strdup(ctx, where->key);
    for (int with_bucket = 0; with_bucket < 2; with_bucket++) {
        for (int with_base = 0; with_base <= (*config->base_path != '\0'); with_base++) {
            char *path = mem_printf(ctx, "%s/%s%s%s", bases[with_base], with_bucket ? where->bucket : "",
                                    with_bucket ? "/" : "", where->key);
            spellings[n++] = mem_printf(ctx, "//h%s", path);
            spellings[n++] = mem_printf(ctx, "//h/%s", percent_encode(ctx, path, false));
            if (!ascii)
                spellings[n++] = mem_printf(ctx, "//h/%s", percent_encode(ctx, path, true));
        }
    }
    return n;
}
