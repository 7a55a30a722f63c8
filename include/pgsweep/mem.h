/*
 * Memory: talloc with one rule added: an allocation never returns NULL. Out of memory ends the
 * process (exit code SWEEP_INTERNAL); the server rolls the open transaction back, and the next run
 * goes on from there. Free a parent with talloc_free and its children go with it. */
#ifndef PGSWEEP_MEM_H
#define PGSWEEP_MEM_H

#include <stddef.h>
#include <talloc.h>

/* A zeroed object or array of type, owned by ctx (NULL: by nobody; free it with talloc_free). */
#define mem_new(ctx, type) ((type *)mem_check(talloc_zero(ctx, type)))
#define mem_array(ctx, type, n) ((type *)mem_check(talloc_zero_array(ctx, type, (unsigned)(n))))

/* Makes room for one more element at the end of a growing array and returns its index:
 *     size_t i = mem_grow(ctx, &array, &count);
 * The array may move, so the index must not be computed inside an expression that uses the array
 * (array[mem_grow(...)]). array is owned by ctx; the new element is zeroed; count is raised. Growth
 * is geometric. */
#define mem_grow(ctx, array, count)                                                                \
    (*(array) = mem_grow_bytes(ctx, *(array), sizeof **(array), *(count)), (*(count))++)

/* A copy of text (NULL gives NULL), or a formatted string, owned by ctx. */
char *mem_strdup(const void *ctx, const char *text);
char *mem_printf(const void *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns p, or ends the process when it is NULL. */
void *mem_check(void *p);

/* The function behind mem_grow. */
void *mem_grow_bytes(const void *ctx, void *array, size_t element_bytes, size_t count);

#endif
