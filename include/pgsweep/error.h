/*
 * The one error idiom: a function that can fail returns bool (true: done) and, where it returns
 * false, has filled the struct error that its caller passed. The place that has the context adds
 * it; main prints the error once. */
#ifndef PGSWEEP_ERROR_H
#define PGSWEEP_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

#include "pgsweep/exit_codes.h"

/* Zero-initialise with ERROR_INIT. The strings are owned by the struct; error_clear frees them. */
struct error {
    enum exit_code code; /* what the process exits with if this error ends the run */
    char sqlstate[6];    /* five characters where the server or libpq gave one, else "" */
    char *message;       /* what failed and on what; no trailing newline */
    char *detail;        /* why; may be NULL */
    char *hint;          /* what to do; may be NULL */
};

/* clang-format off */
#define ERROR_INIT {0}
/* clang-format on */

/* An empty one on the heap, owned by ctx and cleared with it. */
struct error *error_new(const void *ctx);

/* Sets code and message, and drops any earlier content. Always returns false, so that a failing
 * function can end with "return error_set(...)". */
bool error_set(struct error *err, enum exit_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Set (replace) the detail or the hint of an error that error_set made. Always return false. */
bool error_detail(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool error_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "format: " in front of the message: context that only the caller knows. Returns false. */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Records the SQLSTATE (may be NULL: then ""). */
void error_sqlstate(struct error *err, const char *sqlstate);

/* Frees what the struct owns and makes it empty again; safe on an empty one. */
void error_clear(struct error *err);

/* Moves src into dst (dst is cleared first, src is empty afterwards). */
void error_move(struct error *dst, struct error *src);

/* Makes dst a copy of src. */
void error_copy(struct error *dst, const struct error *src);

/* "message; detail: ...; hint: ..." with between ("; ", or a line feed) between the parts; owned by
 * ctx. */
char *error_text(const void *ctx, const struct error *err, const char *between);

/* Prints "pgsweep: error: ...", "pgsweep: detail: ...", "pgsweep: hint: ..." on standard error. */
void error_print(const struct error *err);

#endif
