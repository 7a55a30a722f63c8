/* The files of src/policies and src/sql and the scripts of src/cli, made part of the binary by
 * tools/embed.awk. */
#ifndef PGSWEEP_EMBEDDED_H
#define PGSWEEP_EMBEDDED_H

#include <stddef.h>

struct embedded_file {
    const char *path; /* below src: "policies/jobs.yaml", "sql/state.sql" */
    const char *text; /* NUL-terminated */
    size_t length;    /* bytes, without the NUL */
};

/* Ends with an entry whose path is NULL. */
extern const struct embedded_file embedded_files[];

/* The text of the file of that path, or NULL. */
const char *embedded_text(const char *path);

#endif
