/* Display, counting, spelling. */
#include "pgsweep/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "pgsweep/mem.h"

char *text_count(const void *ctx, int64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n);
    char *out = mem_array(ctx, char, (size_t)len + (size_t)len / 3 + 2);
    char *w = out;
    for (int i = 0; i < len; i++) {
        int left = len - i;
        if (i > 0 && left % 3 == 0 && digits[i - 1] != '-')
            *w++ = ',';
        *w++ = digits[i];
    }
    return out;
}

char *text_percent(const void *ctx, int64_t part, int64_t whole)
{
    if (whole <= 0 || part >= whole)
        return mem_strdup(ctx, "100%");
    int64_t tenths = (int64_t)((double)part * 1000.0 / (double)whole);
    if (tenths > 999)
        tenths = 999;
    return mem_printf(ctx, "%" PRId64 ".%" PRId64 "%%", tenths / 10, tenths % 10);
}

char *text_duration(const void *ctx, int64_t ms)
{
    if (ms < 1000)
        return mem_printf(ctx, "%" PRId64 " ms", ms);
    if (ms < 100 * 1000)
        return mem_printf(ctx, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms % 1000 / 100);
    int64_t s = ms / 1000;
    if (s < 3600)
        return mem_printf(ctx, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
    return mem_printf(ctx, "%" PRId64 " h %02" PRId64 " min", s / 3600, s % 3600 / 60);
}

char *text_bytes(const void *ctx, int64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024)
        return mem_printf(ctx, "%" PRId64 " B", bytes);
    for (size /= 1024; size >= 1024 && unit < 3; unit++)
        size /= 1024;
    return mem_printf(ctx, "%.1f %s", size, units[unit]);
}

/* The length of the well-formed UTF-8 sequence at s (1 to 4), or 0 (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : (s[0] & 0xf0) == 0xe0       ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

/* Code points that show nothing, or change how what is around them is shown: format characters
 * (Unicode's category Cf), separators of lines and paragraphs (Zl, Zp), the C1 controls, and what
 * else the property Default_Ignorable_Code_Point has (DerivedCoreProperties.txt); the ends of a
 * range belong to it. */
static const struct {
    uint32_t first, last;
} hidden[] = {{0x80, 0x9f},       {0xad, 0xad},       {0x34f, 0x34f},     {0x600, 0x605},
              {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},
              {0x8e2, 0x8e2},     {0x115f, 0x1160},   {0x17b4, 0x17b5},   {0x180b, 0x180f},
              {0x200b, 0x200f},   {0x2028, 0x202e},   {0x2060, 0x206f},   {0x3164, 0x3164},
              {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0},   {0xfff0, 0xfffb},
              {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3},
              {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};

/* The code point of a well-formed sequence of length bytes. */
static uint32_t decode(const unsigned char *s, size_t length)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = s[0] & masks[length];
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

/* The length of the character at s if it can be shown as it is, else 0. */
static size_t shown_length(const unsigned char *s, size_t left)
{
    size_t length = utf8_length(s, left);
    uint32_t c = length ? decode(s, length) : 0;
    if (c < 0x20 || c == 0x7f)
        return 0;
    if (c < 0x7f)
        return length;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return 0;
    return length;
}

bool text_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = utf8_length(s, left);
        if (length == 0)
            return false;
        s += length;
        left -= length;
    }
    return true;
}

/* as_is: characters that stay although they would be escaped. */
static char *escape(const void *ctx, const char *text, size_t len, const char *as_is)
{
    const unsigned char *s = (const unsigned char *)text;
    char *out = mem_array(ctx, char, len * 4 + 1);
    char *w = out;
    for (size_t i = 0; i < len;) {
        size_t n = s[i] && strchr(as_is, s[i]) ? 1
                   : s[i] == '\\'              ? 0
                                               : shown_length(s + i, len - i);
        if (n > 0) {
            memcpy(w, s + i, n);
            w += n;
            i += n;
            continue;
        }
        /* All bytes of a character, so that the rest of it is not taken for another one. */
        for (n = utf8_length(s + i, len - i), n = n ? n : 1; n > 0; n--, i++) {
            if (s[i] == '\\')
                w += sprintf(w, "\\\\");
            else if (s[i] == '\n')
                w += sprintf(w, "\\n");
            else if (s[i] == '\t')
                w += sprintf(w, "\\t");
            else
                w += sprintf(w, "\\x%02x", s[i]);
        }
    }
    *w = '\0';
    return out;
}

char *text_escape(const void *ctx, const char *text, size_t len)
{
    return escape(ctx, text, len, "");
}

char *text_line(const void *ctx, const char *text)
{
    return escape(ctx, text, strlen(text), "\\");
}

char *text_lines(const void *ctx, const char *text)
{
    return escape(ctx, text, strlen(text), "\\\n\t");
}

char *text_base64(const void *ctx, const char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = (const unsigned char *)bytes;
    char *out = mem_array(ctx, char, (len + 2) / 3 * 4 + 1);
    char *w = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t group =
            (uint32_t)s[i] << 16 | (n > 1 ? (uint32_t)s[i + 1] << 8 : 0) | (n > 2 ? s[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            *w++ = k <= n ? digits[group >> (18 - 6 * k) & 0x3f] : '=';
    }
    *w = '\0';
    return out;
}

void text_tell(const char *label, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_check(talloc_vasprintf(NULL, format, args));
    va_end(args);
    fprintf(stderr, "pgsweep: %s: %s\n", label, text_line(text, text));
    talloc_free(text);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *text_unescape(const void *ctx, const char *text)
{
    char *out = mem_array(ctx, char, strlen(text) + 1);
    char *w = out;
    while (*text) {
        if (text[0] != '\\' || !text[1]) {
            *w++ = *text++;
        } else if (text[1] == 'x' && hex_digit(text[2]) >= 0 && hex_digit(text[3]) >= 0) {
            *w++ = (char)(hex_digit(text[2]) * 16 + hex_digit(text[3]));
            text += 4;
        } else {
            *w++ = text[1] == 'n' ? '\n' : text[1] == 't' ? '\t' : text[1];
            text += 2;
        }
    }
    *w = '\0';
    return out;
}

enum { WORD_MAX = 64 };

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[WORD_MAX + 1];
    size_t lb = strlen(b);
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best =
                diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

size_t text_distance(const char *a, const char *b)
{
    return strlen(a) > WORD_MAX || strlen(b) > WORD_MAX ? SIZE_MAX : edit_distance(a, b);
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t limit = 1 + strlen(word) / 3;
    if (strlen(word) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(candidates[i]) > WORD_MAX)
            continue;
        size_t d = edit_distance(word, candidates[i]);
        if (d <= limit) {
            best = candidates[i];
            if (d == 0)
                break;
            limit = d - 1;
        }
    }
    return best;
}

bool text_to_count(const char *text, int64_t max, int64_t *value)
{
    int64_t n = 0;
    if (!text || !*text)
        return false;
    for (const char *p = text; *p; p++) {
        int digit = *p - '0';
        if (digit < 0 || digit > 9 || digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n < 1)
        return false;
    *value = n;
    return true;
}

bool text_same_word(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}
