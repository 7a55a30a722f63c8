/* The body of a DeleteObjects request: which keys it can contain, and how they are written. */
#include <stdint.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "wire.h"

/* The well-formed UTF-8 character at s (RFC 3629, section 4): its length, or 0. */
static size_t decode_utf8(const unsigned char *s, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) {
        *character = s[0];
        return 1;
    }
    size_t n = (s[0] & 0xe0) == 0xc0   ? 2
               : (s[0] & 0xf0) == 0xe0 ? 3
               : (s[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0)
        return 0;
    uint32_t c = s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        /* The NUL at the end is not a continuation byte either. */
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *character = c;
    return n;
}

const char *wire_key_problem(const char *key)
{
    size_t length = strlen(key);
    if (length == 0)
        return "EmptyKey: the key is empty";
    if (length > WIRE_KEY_MAX)
        return "KeyTooLongError: the key is longer than 1,024 bytes, the limit of S3";
    for (const unsigned char *p = (const unsigned char *)key; *p;) {
        uint32_t c = 0;
        size_t n = decode_utf8(p, &c);
        if (n == 0)
            return "InvalidKey: the key is not valid UTF-8";
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xfffe || c == 0xffff)
            return "InvalidKey: the key has a character that cannot be sent in XML; delete the "
                   "object by other means";
        p += n;
    }
    return NULL;
}

static void append(const void *ctx, struct wire_body *body, const char *text, size_t length)
{
    if (body->length + length > body->room) {
        size_t room = body->room ? body->room : 4096;
        while (room < body->length + length)
            room *= 2;
        body->data = mem_check(talloc_realloc_size(ctx, body->data, room));
        body->room = room;
    }
    memcpy(body->data + body->length, text, length);
    body->length += length;
}

/* How one byte of a key is escaped; NULL: it is written as it is. */
static const char *reference(const char *key, const char *p)
{
    switch (*p) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&apos;";
    case '\t': /* A parser may convert unescaped white space to blanks, or drop it at either end. */
        return "&#9;";
    case '\n':
        return "&#10;";
    case '\r':
        return "&#13;";
    case ' ':
        return p == key || !p[1] ? "&#32;" : NULL;
    default:
        return NULL;
    }
}

static const char HEAD[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                           "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
static const char OPEN[] = "<Object><Key>", CLOSE[] = "</Key></Object>", TAIL[] = "</Delete>";

void wire_body_begin(const void *ctx, struct wire_body *body)
{
    body->length = 0;
    append(ctx, body, HEAD, sizeof HEAD - 1);
}

bool wire_body_add(const void *ctx, struct wire_body *body, const char *key)
{
    size_t before = body->length;
    append(ctx, body, OPEN, sizeof OPEN - 1);
    for (const char *p = key; *p; p++) {
        const char *written = reference(key, p);
        append(ctx, body, written ? written : p, written ? strlen(written) : 1);
    }
    append(ctx, body, CLOSE, sizeof CLOSE - 1);
    if (body->length + sizeof TAIL - 1 <= WIRE_BODY_MAX)
        return true;
    body->length = before;
    return false;
}

void wire_body_end(const void *ctx, struct wire_body *body)
{
    append(ctx, body, TAIL, sizeof TAIL - 1);
}
