/* libpq's PQExpBuffer, for building SQL and text anywhere in the program. */
#ifndef PGSWEEP_BUFFER_H
#define PGSWEEP_BUFFER_H

#include <stddef.h>

/* pqexpbuffer.h expects this macro of PostgreSQL's own c.h. */
#ifndef pg_attribute_printf
#define pg_attribute_printf(f, a) __attribute__((format(printf, f, a)))
#endif
#include <pqexpbuffer.h>

/* The text as a string owned by ctx; the buffer is freed. Ends the process when out of memory. */
char *buffer_take(const void *ctx, PQExpBuffer buffer);

#endif
