/* The keys of a policy file as tables, which both the reader and the writer use. Private to the
 * policy room. */
#ifndef PGSWEEP_POLICY_FIELDS_H
#define PGSWEEP_POLICY_FIELDS_H

#include <stddef.h>

#include "pgsweep/policy.h"

enum field_kind {
    FIELD_NAME,      /* const char *: a plain word */
    FIELD_TEXT,      /* struct setting: any text */
    FIELD_CONDITION, /* struct setting: SQL, checked by condition_check */
    FIELD_INTERVAL,  /* struct setting: checked by interval_check */
    FIELD_KEEP,      /* struct setting: POLICY_RETAIN_NONE, or checked by interval_check */
    FIELD_CHUNK,     /* struct setting: "auto" or 1..POLICY_CHUNK_MAX */
    FIELD_COUNT,     /* struct setting: 1..POLICY_ROWS_MAX */
    FIELD_FLAG,      /* bool */
    FIELD_WORD,      /* enum, one of words */
    FIELD_WORDS,     /* unsigned: bit i for words[i]; one word, several with commas, or a list */
    FIELD_ROOM,      /* struct setting: a share of a file system, "20%", or bytes, "50 GiB" */
    FIELD_SHARE,     /* struct setting: a percentage, "10%" */
    FIELD_LIMIT,     /* struct setting: what policy_limit_read takes */
    FIELD_WINDOW,    /* struct setting: what policy_window_read takes */
    FIELD_PATH,      /* struct setting: an absolute path */
    FIELD_SQL,       /* struct setting: SQL that is not about rows of the table, checked by
                        condition_check */
    FIELD_NAMES,     /* struct setting[]: a list of words; their number is at count_offset */
    FIELD_SET,       /* policy_assignment[]: a mapping of column to value */
    FIELD_LIST,      /* array of structs described by fields; their number is at count_offset */
    FIELD_GROUP,     /* a mapping whose fields are in the same struct */
};

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset; /* in the struct that the table is about */
    bool required;
    bool may_be_empty; /* "" has a meaning; otherwise it is an error, because it can only be a slip
                        */
    const char *const *words;   /* FIELD_WORD, FIELD_WORDS: ends with NULL */
    const struct field *fields; /* FIELD_LIST, FIELD_GROUP: ends with a NULL key */
    bool short_form;            /* FIELD_LIST: an element may be one word, which is its first field;
                                   FIELD_NAMES: words separated by commas may replace the list */
    size_t count_offset;        /* FIELD_LIST, FIELD_NAMES, FIELD_SET */
    size_t size;                /* FIELD_LIST: of one element */
    unsigned takes;             /* FIELD_LIMIT: units, as for policy_limit_read */
    /* FIELD_GROUP: carries out "none" in place of the mapping; NULL: "none" is not allowed */
    void (*none)(struct policy *policy, const char *origin);
    bool adds; /* FIELD_NAMES: an override adds to the list instead of replacing it */
};

/* The fields of struct policy for a kind of policy; ends with a NULL key. */
const struct field *policy_fields_of(enum policy_kind kind);

/* Checks one scalar's value by its kind (FIELD_CONDITION, _INTERVAL, _CHUNK, _COUNT, _SHARE, _ROOM,
 * and those of field_check_throttle; others pass). */
bool field_check(const void *ctx, const struct field *field, const struct setting *value,
                 struct error *err);

/* *value: the index of text among the field's words. False if it is none of them; *known then lists
 * the words, owned by ctx. */
bool field_read_word(const void *ctx, const struct field *field, const char *text, int *value,
                     char **known);

/* The elements of "a, b", without blanks around them; "\," is a comma inside an element. Owned by
 * ctx. */
char **field_split(const void *ctx, const char *text, size_t *count);

/* False, with SWEEP_USAGE, if a prefix of keys cannot be right. */
bool field_check_prefixes(const struct setting *prefixes, size_t count, struct error *err);

/* Checks a FIELD_LIMIT, _WINDOW, _PATH or _SQL. */
bool field_check_throttle(const void *ctx, const struct field *field, const struct setting *value,
                          struct error *err);

/* Reads "20%" into *share (0 to 1), or "50 GiB" into *bytes; *share is negative then. */
bool field_read_room(const char *text, double *share, int64_t *bytes);

/* The field called key of that kind of policy or of one of its groups; NULL: there is none. */
const struct field *field_find(enum policy_kind kind, const char *key);

#endif
