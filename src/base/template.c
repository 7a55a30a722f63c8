/* SQL templates: finding one in its file, and filling its slots. */
#include "pgsweep/template.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/buffer.h"
#include "pgsweep/embedded.h"
#include "pgsweep/exit_codes.h"
#include "pgsweep/mem.h"

enum { SLOTS_MAX = 32 };

static _Noreturn void mistake(const char *file, const char *name, const char *what,
                              const char *which)
{
    fprintf(stderr, "pgsweep: error: internal error: template %s of %s: %s %s\n", name, file, what,
            which);
    exit(SWEEP_INTERNAL);
}

/* The first line after "--- NAME". */
static const char *find(const char *file, const char *name)
{
    const char *text = embedded_text(file);
    size_t length = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, "--- ", 4) == 0 && strncmp(line + 4, name, length) == 0 &&
            line[4 + length] == '\n')
            return line + 4 + length + 1;
    }
    mistake(file, name, text ? "there is no such template" : "there is no such file", "");
}

static bool is_comment(const char *line)
{
    return strncmp(line, "--", 2) == 0 && strncmp(line, "---", 3) != 0;
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

/* The length of the slot at p with its braces, or 0 when there is none ("{}", "{2,3}"). */
static size_t slot_length(const char *p)
{
    size_t n = 1;
    if (p[0] != '{' || !(isalpha((unsigned char)p[1]) || p[1] == '_'))
        return 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_')
        n++;
    return p[n] == '}' ? n + 1 : 0;
}

struct filling {
    const char *file, *name;
    const struct template_slot *slots;
    bool used[SLOTS_MAX];
};

static const struct template_slot *slot_at(struct filling *f, const char *p, size_t length)
{
    for (size_t i = 0; f->slots && f->slots[i].name; i++) {
        if (i < SLOTS_MAX && strlen(f->slots[i].name) == length - 2 &&
            strncmp(f->slots[i].name, p + 1, length - 2) == 0) {
            f->used[i] = true;
            return &f->slots[i];
        }
    }
    char slot[64];
    snprintf(slot, sizeof slot, "%.*s", (int)length, p);
    mistake(f->file, f->name, "no value for the slot", slot);
}

/* False when a line may end inside a text, a name or a comment: spaces there would change what it
 * says. */
static bool can_indent(const char *value)
{
    bool single = false, twice = false;
    for (const char *p = value; *p; p++) {
        if (*p == '\\' || *p == '$' ||
            (!single && !twice && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*'))))
            if (*p != '$' || !isdigit((unsigned char)p[1]))
                return false; /* not worth telling apart: an escape, a dollar quote, a comment */
        single = single != (*p == '\'' && !twice);
        twice = twice != (*p == '"' && !single);
        if (*p == '\n' && (single || twice))
            return false;
    }
    return true;
}

void template_append(PQExpBuffer out, const char *value, size_t column)
{
    bool indent = can_indent(value);
    for (; *value; value++) {
        appendPQExpBufferChar(out, *value);
        if (*value == '\n' && indent)
            for (size_t i = 0; i < column; i++)
                appendPQExpBufferChar(out, ' ');
    }
}

/* Where the further lines of a value start, that stands after this part of a line. */
static size_t column_after(const char *before)
{
    static const char *const keywords[] = {"WHERE ", "AND ", "ON "};
    size_t column = strlen(before);
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
        size_t length = strlen(keywords[i]);
        if (column >= length && column >= 4 && strcmp(before + column - length, keywords[i]) == 0)
            return column - 4; /* as wide as "AND " */
    }
    return column;
}

static void fill_line(struct filling *f, const char *line, const char *end, PQExpBuffer out)
{
    size_t start = out->len, length;
    bool dropped = false;
    for (const char *p = line; p < end; p += length ? length : 1) {
        length = slot_length(p);
        if (!length) {
            appendPQExpBufferChar(out, *p);
            continue;
        }
        const struct template_slot *slot = slot_at(f, p, length);
        const char *column = strrchr(out->data + start, '\n');
        if (slot->value)
            template_append(out, slot->value,
                            column_after(column ? column + 1 : out->data + start));
        dropped = dropped || !slot->value;
    }
    if (dropped) {
        out->len = start;
        out->data[start] = '\0';
    } else {
        appendPQExpBufferChar(out, '\n');
    }
}

char *template_fill(const void *ctx, const char *file, const char *name,
                    const struct template_slot *slots)
{
    struct filling f = {.file = file, .name = name, .slots = slots};
    const char *line = find(file, name);
    PQExpBuffer out = createPQExpBuffer();
    while (is_comment(line))
        line = next_line(line);
    for (; *line && strncmp(line, "--- ", 4) != 0; line = next_line(line)) {
        const char *end = line + strcspn(line, "\n");
        if (end > line)
            fill_line(&f, line, end, out);
    }
    for (size_t i = 0; slots && slots[i].name; i++)
        if (i >= SLOTS_MAX || !f.used[i])
            mistake(file, name, "no line has the slot", slots[i].name);
    while (out->len > 0 &&
           (isspace((unsigned char)out->data[out->len - 1]) || out->data[out->len - 1] == ';'))
        out->data[--out->len] = '\0';
    return buffer_take(ctx, out);
}

char *template_why(const void *ctx, const char *file, const char *name)
{
    const char *line = find(file, name);
    PQExpBuffer out = createPQExpBuffer();
    for (; is_comment(line); line = next_line(line)) {
        const char *text = line + 2 + (line[2] == ' ');
        appendPQExpBufferStr(out, out->len > 0 ? " " : "");
        appendBinaryPQExpBuffer(out, text, strcspn(text, "\n"));
    }
    return buffer_take(ctx, out);
}
