/*
 * Files that a run writes: the log, the metrics. Opened before anything is deleted, by a descriptor
 * of their directory, so that nobody can lead them elsewhere later; never through a symbolic link
 * (see trust.h). */
#ifndef PGSWEEP_OUTPUT_H
#define PGSWEEP_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "pgsweep/error.h"

struct output;

/* Looks at where the file is to be written, and opens its directory: owned by ctx. what: "log
 * file", for messages. SWEEP_REFUSED when there is something else than a plain file of root or of
 * the effective user (a link, a fifo, a file with a second name, one that others may write to);
 * SWEEP_USAGE when the directory is missing. */
bool output_open(const void *ctx, const char *what, const char *path, struct output **out,
                 struct error *err);

/* Opens the file to append to it, created with mode 0640 less the umask; what is open is looked at
 * again. NULL and err on failure. */
FILE *output_append(const struct output *output, struct error *err);

/* The whole of the file as it is now, owned by ctx; NULL when there is none, or none that may be
 * written to. */
char *output_read(const void *ctx, const struct output *output);

/* Whether the effective user may make files in the directory; SWEEP_USAGE if not. */
bool output_may_replace(const struct output *output, struct error *err);

/* Replaces the file by one with this content, atomically and durably. A new file has the mode 0640;
 * one that takes the place of another has the mode and, where that is permitted, the group of that
 * one. What is being written has no name (O_TMPFILE), or one that nobody can foresee where the file
 * system has no such files; what a kill left of an earlier one is removed. */
bool output_replace(const struct output *output, const char *data, size_t size, struct error *err);

#endif
