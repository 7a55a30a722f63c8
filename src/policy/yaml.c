/* Converts libyaml's document to the tree of yaml.h. It knows YAML, not policies. */
#include "yaml.h"

#include <string.h>
#include <yaml.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 20, MAX_NODES = 10000 };

struct converter {
    const char *source;
    const char *text;
    yaml_document_t *document;
    int nodes;
    struct error *err;
};

static bool fail(struct converter *c, int line, const char *what)
{
    return error_set(c->err, SWEEP_USAGE, "%s:%d: %s", c->source, line, what);
}

const char *yaml_kind_name(const struct yaml_node *node)
{
    return node->kind == YAML_MAP    ? "a mapping"
           : node->kind == YAML_LIST ? "a list"
                                     : "a single value";
}

static bool is_null(const yaml_node_t *from)
{
    const char *text = (const char *)from->data.scalar.value;
    return from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || !strcmp(text, "~") || text_same_word(text, "null"));
}

static bool convert(struct converter *c, const void *ctx, int index, int depth,
                    struct yaml_node **out);

static bool convert_map(struct converter *c, yaml_node_t *from, int depth, struct yaml_node *to)
{
    size_t n = (size_t)(from->data.mapping.pairs.top - from->data.mapping.pairs.start);
    to->kind = YAML_MAP;
    to->keys = mem_array(to, const char *, n);
    to->key_lines = mem_array(to, int, n);
    to->items = mem_array(to, struct yaml_node *, n);
    for (size_t i = 0; i < n; i++) {
        yaml_node_pair_t *pair = from->data.mapping.pairs.start + i;
        yaml_node_t *key = yaml_document_get_node(c->document, pair->key);
        int line = (int)key->start_mark.line + 1;
        if (key->type != YAML_SCALAR_NODE)
            return fail(c, line, "a key must be a single word");
        const char *text = (const char *)key->data.scalar.value;
        if (strlen(text) != key->data.scalar.length)
            return fail(c, line, "a key contains a NUL character");
        for (size_t j = 0; j < i; j++)
            if (strcmp(to->keys[j], text) == 0)
                return error_set(c->err, SWEEP_USAGE,
                                 "%s:%d: \"%s\" is given twice (first on line %d)", c->source, line,
                                 text, to->key_lines[j]);
        to->keys[i] = mem_strdup(to, text);
        to->key_lines[i] = line;
        if (!convert(c, to, pair->value, depth, &to->items[i]))
            return false;
        to->count = i + 1;
    }
    return true;
}

static bool convert_list(struct converter *c, yaml_node_t *from, int depth, struct yaml_node *to)
{
    size_t n = (size_t)(from->data.sequence.items.top - from->data.sequence.items.start);
    to->kind = YAML_LIST;
    to->items = mem_array(to, struct yaml_node *, n);
    for (size_t i = 0; i < n; i++) {
        if (!convert(c, to, from->data.sequence.items.start[i], depth, &to->items[i]))
            return false;
        to->count = i + 1;
    }
    return true;
}

/* A tag such as "!env RETAIN" would ask for a meaning that policies do not have. */
static bool has_tag(const yaml_node_t *from)
{
    const char *plain = from->type == YAML_MAPPING_NODE    ? YAML_DEFAULT_MAPPING_TAG
                        : from->type == YAML_SEQUENCE_NODE ? YAML_DEFAULT_SEQUENCE_TAG
                                                           : YAML_DEFAULT_SCALAR_TAG;
    return strcmp((const char *)from->tag, plain) != 0;
}

static bool convert(struct converter *c, const void *ctx, int index, int depth,
                    struct yaml_node **out)
{
    yaml_node_t *from = yaml_document_get_node(c->document, index);
    struct yaml_node *to = mem_new(ctx, struct yaml_node);
    *out = to;
    to->line = (int)from->start_mark.line + 1;
    if (depth >= MAX_DEPTH || ++c->nodes > MAX_NODES)
        return fail(c, to->line, "nested too deeply, or too many values");
    if (has_tag(from))
        return error_set(c->err, SWEEP_USAGE,
                         "%s:%d: tags such as \"!env\" are not understood in a policy", c->source,
                         to->line);
    if (from->type == YAML_MAPPING_NODE)
        return convert_map(c, from, depth + 1, to);
    if (from->type == YAML_SEQUENCE_NODE)
        return convert_list(c, from, depth + 1, to);
    to->kind = YAML_SCALAR;
    to->quoted = from->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (strlen((const char *)from->data.scalar.value) != from->data.scalar.length)
        return fail(c, to->line, "a value contains a NUL character");
    if (!is_null(from))
        to->text = mem_strdup(to, (const char *)from->data.scalar.value);
    return true;
}

/* The line of a problem. For invalid UTF-8 libyaml gives only an offset. */
static int problem_line(const yaml_parser_t *parser, const char *text)
{
    int line = (int)parser->problem_mark.line + 1;
    if (parser->error != YAML_READER_ERROR)
        return line;
    line = 1;
    for (size_t i = 0; i < parser->problem_offset; i++)
        line += text[i] == '\n';
    return line;
}

static bool load_one(struct converter *c, const void *ctx, yaml_parser_t *parser,
                     struct yaml_node **root)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document)) {
        fail(c, problem_line(parser, c->text), parser->problem ? parser->problem : "not YAML");
        return error_hint(c->err, "The file must be one YAML document; see \"pgsweep show jobs\".");
    }
    bool ok;
    c->document = &document;
    if (!yaml_document_get_root_node(&document)) {
        *root = NULL;
        ok = true;
    } else {
        ok = convert(c, ctx, 1, 0, root);
    }
    yaml_document_delete(&document);
    c->document = NULL;
    return ok;
}

bool yaml_parse(const void *ctx, const char *source, const char *text, size_t length,
                struct yaml_node **root, struct error *err)
{
    struct converter c = {.source = source, .text = text, .err = err};
    yaml_parser_t parser;
    struct yaml_node *second = NULL;
    if (length > MAX_BYTES)
        return error_set(err, SWEEP_USAGE, "%s: file is larger than 1 MiB: not a policy", source);
    if (!yaml_parser_initialize(&parser))
        return error_set(err, SWEEP_INTERNAL, "out of memory");
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    bool ok = load_one(&c, ctx, &parser, root);
    if (ok && !*root) {
        error_set(err, SWEEP_USAGE, "%s:1: the file is empty", source);
        ok = error_hint(err, "\"pgsweep show jobs\" prints a policy to begin with.");
    }
    ok = ok && load_one(&c, ctx, &parser, &second);
    if (ok && second)
        ok = error_set(err, SWEEP_USAGE,
                       "%s:%d: a second document begins here; a file is one policy", source,
                       second->line);
    yaml_parser_delete(&parser);
    return ok;
}
