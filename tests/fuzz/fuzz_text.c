/* Escaping text for a terminal, finding the nearest word, reading numbers. */
#include "fuzz.h"
#include "pgsweep/text.h"

#ifndef FUZZ_LIBFUZZER
static const char *const fuzz_seeds[] = {"plain",
                                         "a\\b\n\t\x1b[31m",
                                         "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
                                         "\xff\xed\xa0\x80",
                                         "12345",
                                         "dry-rnu",
                                         "",
                                         NULL};
static const char *const fuzz_pieces[] = {"\\",       "\n",       "\x1b",     "\x7f",
                                          "\xc2\x9b", "\xf4\x90", "\xe0\x80", "9999999999999999999",
                                          "dry-run",  "\\x41",    NULL};
#endif

/* Undoes text_escape. */
static size_t unescape(const char *from, char *to)
{
    char *w = to;
    for (; *from; from++) {
        if (*from != '\\') {
            *w++ = *from;
            continue;
        }
        from++;
        if (*from == 'x') {
            char hex[3] = {from[1], from[2], '\0'};
            *w++ = (char)strtol(hex, NULL, 16);
            from += 2;
        } else {
            *w++ = *from == 'n' ? '\n' : *from == 't' ? '\t' : *from;
        }
    }
    return (size_t)(w - to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {"dry-run", "retain", "jobs", "anonymous", ""};
    void *ctx = talloc_new(NULL);
    char *text = fuzz_text(ctx, data, size);
    char *shown = text_escape(ctx, text, size);
    char *back = mem_array(ctx, char, strlen(shown) + 1);
    for (const char *p = shown; *p; p++)
        HOLDS((unsigned char)*p >= 0x20 && *p != 0x7f);
    HOLDS(unescape(shown, back) == size && memcmp(back, text, size) == 0);
    HOLDS(strcmp(text_escape(ctx, shown, strlen(shown)), shown) == 0 || strchr(shown, '\\'));
    const char *nearest = text_nearest(text, words, sizeof words / sizeof *words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        HOLDS(strcmp(text, words[i]) != 0 || nearest == words[i]);
    int64_t n = 0;
    if (text_to_count(text, 1000000, &n))
        HOLDS(n >= 1 && n <= 1000000 && strspn(text, "0123456789") == strlen(text));
    talloc_free(ctx);
    return 0;
}
