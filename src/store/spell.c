/* The inverse of resolve.c: the spellings of an object that a row may have. */
#include <string.h>

#include "config.h"
#include "pgsweep/mem.h"

size_t store_spellings(const void *ctx, const struct store_config *config,
                       const struct store_location *where, char ***spellings)
{
    size_t n = 1;
    char **texts = mem_array(ctx, char *, config->alias_count + 1);
    texts[0] = mem_strdup(texts, where->key);
    for (size_t i = 0; i < config->alias_count; i++) {
        const struct store_alias *alias = &config->aliases[i];
        size_t length = strlen(alias->prefix);
        if (strcmp(config->buckets[alias->bucket], where->bucket) == 0 &&
            strncmp(where->key, alias->prefix, length) == 0 && where->key[length])
            texts[n++] = mem_printf(texts, "%s%s", alias->path + 1, where->key + length);
    }
    *spellings = texts;
    return n;
}
