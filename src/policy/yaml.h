/* A YAML document as a small tree that remembers lines. Private to the policy room. */
#ifndef PGSWEEP_POLICY_YAML_H
#define PGSWEEP_POLICY_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line;         /* 1-based */
    const char *text; /* scalar; NULL for null */
    bool quoted;      /* scalar: not plain, so "true" is a word and not a boolean */
    const char **keys;
    int *key_lines;
    struct yaml_node **items; /* list: elements; map: values */
    size_t count;
};

/* Parses exactly one document of at most 1 MiB, at most 20 levels deep and 10,000 nodes after
 * aliases; keys must be scalars and must not repeat. source goes into messages ("source:line:
 * ..."). */
bool yaml_parse(const void *ctx, const char *source, const char *text, size_t length,
                struct yaml_node **root, struct error *err);

/* "a mapping", "a list", "a single value": for messages. */
const char *yaml_kind_name(const struct yaml_node *node);

#endif
