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

/* A name, from the file system, the database, a policy or the command line, as it may be printed:
 * control characters (C0, DEL, C1), characters that show nothing or turn the direction of what
 * follows (zero-width, bidi, separators of lines), and invalid UTF-8 as \n, \t, \xNN byte by byte,
 * and backslash doubled. Reversible (text_unescape), so that different names stay different. len
 * bytes are read. Owned by ctx. */
char *text_escape(const void *ctx, const char *text, size_t len);

/* The same for a text that has such names in it, escaped or not: a backslash stays as it is. For
 * one line; with text_lines line breaks and tabs stay, too. Every text for people goes through one
 * of these where it is written. */
char *text_line(const void *ctx, const char *text);
char *text_lines(const void *ctx, const char *text);

bool text_is_utf8(const char *text);

/* The bytes in base64 (RFC 4648, section 4). Owned by ctx. */
char *text_base64(const void *ctx, const char *bytes, size_t len);

/* "pgsweep: LABEL: ..." as one line on standard error. */
void text_tell(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many letters must be inserted, left out or replaced to make one word of the other
 * (Levenshtein), whatever their case; SIZE_MAX for words of more than 64 bytes. */
size_t text_distance(const char *a, const char *b);

/* What text_escape made the text of. Owned by ctx. */
char *text_unescape(const void *ctx, const char *text);

/* The entry of candidates (count of them) nearest to word, or NULL when none is near enough to be
 * a likely slip of the fingers (Levenshtein distance of at most 1 + a third of the length). */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* Parses a whole positive decimal number up to max; false on anything else (sign, blank, excess).
 */
bool text_to_count(const char *text, int64_t max, int64_t *value);

/* Case-insensitive equality for ASCII words. */
bool text_same_word(const char *a, const char *b);

#endif
