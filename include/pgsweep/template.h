/*
 * SQL templates. A file of src/sql holds several statements, each after a line "--- NAME" and
 * comment lines ("-- ...") that say in a sentence what it is for:
 *
 *     --- lock_candidates
 *     -- Locks the next candidates after the cursor; rows that another session has locked are
 * skipped. SELECT {key} FROM {root} AS t WHERE {candidate} AND {after} FOR UPDATE OF t SKIP LOCKED
 *
 * {name} is a slot. Its value takes its place; the further lines of a value are indented to where
 * the slot stands. Behind WHERE, AND or ON they are indented to where AND stands: the value is a
 * list of conditions, each further one on a line that starts with AND, and what a condition goes on
 * with is indented by what it is deeper than that AND. A line with a slot whose value is NULL is
 * left out as a whole. Values are SQL that the caller built: quoted identifiers, predicates,
 * numbers of parameters; never text from outside. */
#ifndef PGSWEEP_TEMPLATE_H
#define PGSWEEP_TEMPLATE_H

#include "pgsweep/buffer.h"

struct template_slot {
    const char *name;
    const char *value; /* NULL: the line is left out */
};

/* A list of slots, for template_fill: TEMPLATE_SLOTS({"root", ident}, {"after", NULL}). */
#define TEMPLATE_SLOTS(...) ((const struct template_slot[]){__VA_ARGS__, {0, 0}})

/* The statement name of file ("sql/sweep.sql") with its slots filled, owned by ctx, without a
 * newline or semicolon at its end. slots ends with an entry whose name is NULL; NULL: none. A
 * template or slot that is not there, and a slot that no line of the template has, are mistakes of
 * the program: they end the process (SWEEP_INTERNAL). */
char *template_fill(const void *ctx, const char *file, const char *name,
                    const struct template_slot *slots);

/* Appends SQL, its further lines indented by column more; as it is where spaces at the start of a
 * line could be part of a text, a name or a comment. */
void template_append(PQExpBuffer out, const char *sql, size_t column);

/* The comment of the statement, as one line, owned by ctx. Ends the process when the template is
 * not there. */
char *template_why(const void *ctx, const char *file, const char *name);

#endif
