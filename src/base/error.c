/* The error struct: setting, extending and printing it. No policy on what an error means. */
#define _GNU_SOURCE
#include "pgsweep/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"

__attribute__((format(printf, 1, 0))) static char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0)
        return NULL;
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    return text;
}

static int free_error(struct error *err)
{
    error_clear(err);
    return 0;
}

struct error *error_new(const void *ctx)
{
    struct error *err = mem_new(ctx, struct error);
    talloc_set_destructor(err, free_error);
    return err;
}

bool error_set(struct error *err, enum exit_code code, const char *format, ...)
{
    /* The new text is made first: its arguments may point into the error that it replaces. */
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    error_clear(err);
    err->code = code;
    err->message = text;
    return false;
}

bool error_detail(struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    free(err->detail);
    err->detail = text;
    return false;
}

bool error_hint(struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = format_text(format, args);
    va_end(args);
    free(err->hint);
    err->hint = text;
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *prefix = format_text(format, args);
    va_end(args);
    char *text = NULL;
    if (asprintf(&text, "%s: %s", prefix ? prefix : "?", err->message ? err->message : "?") < 0)
        text = NULL;
    free(prefix);
    if (text) {
        free(err->message);
        err->message = text;
    }
    return false;
}

void error_sqlstate(struct error *err, const char *sqlstate)
{
    snprintf(err->sqlstate, sizeof err->sqlstate, "%s", sqlstate ? sqlstate : "");
}

void error_clear(struct error *err)
{
    free(err->message);
    free(err->detail);
    free(err->hint);
    *err = (struct error)ERROR_INIT;
}

void error_move(struct error *dst, struct error *src)
{
    if (dst == src)
        return;
    error_clear(dst);
    *dst = *src;
    *src = (struct error)ERROR_INIT;
}

/* Later lines of a part are indented, so that each line is seen to belong to it. */
static void print_part(const char *label, const char *text)
{
    if (!text || !*text)
        return;
    char *shown = text_lines(NULL, text);
    fprintf(stderr, "pgsweep: %s: ", label);
    for (const char *p = shown; *p; p++) {
        fputc(*p, stderr);
        if (*p == '\n')
            fputs("    ", stderr);
    }
    fputc('\n', stderr);
    talloc_free(shown);
}

void error_print(const struct error *err)
{
    print_part("error", err->message ? err->message : "unknown error");
    print_part("detail", err->detail);
    print_part("hint", err->hint);
}

void error_copy(struct error *dst, const struct error *src)
{
    if (dst == src)
        return;
    error_set(dst, src->code, "%s", src->message ? src->message : "unknown error");
    error_sqlstate(dst, src->sqlstate);
    if (src->detail)
        error_detail(dst, "%s", src->detail);
    if (src->hint)
        error_hint(dst, "%s", src->hint);
}

char *error_text(const void *ctx, const struct error *err, const char *between)
{
    const char *detail = err->detail && *err->detail ? err->detail : NULL;
    const char *hint = err->hint && *err->hint ? err->hint : NULL;
    return mem_printf(ctx, "%s%s%s%s%s%s%s", err->message ? err->message : "unknown error",
                      detail ? between : "", detail ? "detail: " : "", detail ? detail : "",
                      hint ? between : "", hint ? "hint: " : "", hint ? hint : "");
}
