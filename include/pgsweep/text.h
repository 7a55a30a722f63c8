/* Small text helpers that know nothing of SQL: display, counting, spelling. */
#ifndef PGSWEEP_TEXT_H
#define PGSWEEP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n with thousands separators ("1,204"), owned by ctx. */
char *text_count(const void *ctx, int64_t n);

/* A share as a percentage with at most one decimal ("12.5%", "100%"), owned by ctx; whole 0 gives
 * "100%". Never rounds up to 100% while something is missing. */
char *text_percent(const void *ctx, int64_t part, int64_t whole);

/* A duration as a person would say it ("850 ms", "12.3 s", "4 min 05 s", "2 h 03 min"). */
char *text_duration(const void *ctx, int64_t ms);

/* A size in bytes as a person would say it ("512 B", "1.4 MiB"), owned by ctx. */
char *text_bytes(const void *ctx, int64_t bytes);

/* text with control characters, DEL and invalid UTF-8 shown as \n, \t, \xNN, and backslash doubled:
 * safe to print on a terminal, and reversible. len bytes are read. Owned by ctx. */
char *text_escape(const void *ctx, const char *text, size_t len);

/* How many letters must be inserted, left out or replaced to make one word of the other (Levenshtein), whatever their case;
 * SIZE_MAX for words of more than 64 bytes. */
size_t text_distance(const char *a, const char *b);

/* What text_escape made the text of. Owned by ctx. */
char *text_unescape(const void *ctx, const char *text);

/* The entry of candidates (count of them) nearest to word, or NULL when none is near enough to be
 * a likely slip of the fingers (Levenshtein distance of at most 1 + a third of the length). */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* Parses a whole positive decimal number up to max; false on anything else (sign, blank, excess). */
bool text_to_count(const char *text, int64_t max, int64_t *value);

/* Case-insensitive equality for ASCII words. */
bool text_same_word(const char *a, const char *b);

#endif
