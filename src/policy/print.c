/* From struct policy back to YAML, by the table of fields.c and libyaml's emitter. */
#include <string.h>
#include <yaml.h>

#include "fields.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

struct writer {
    yaml_emitter_t emitter;
    bool ok;
};

static int write_text(void *out, unsigned char *data, size_t size)
{
    appendBinaryPQExpBuffer(out, (const char *)data, size);
    return 1;
}

static void emit(struct writer *w, yaml_event_t *event)
{
    w->ok = yaml_emitter_emit(&w->emitter, event) && w->ok;
}

static void emit_map(struct writer *w, bool begin)
{
    yaml_event_t event;
    if (begin)
        yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    else
        yaml_mapping_end_event_initialize(&event);
    emit(w, &event);
}

static void emit_list(struct writer *w, bool begin)
{
    yaml_event_t event;
    if (begin)
        yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    else
        yaml_sequence_end_event_initialize(&event);
    emit(w, &event);
}

/* Quotes a text that YAML would read back as something other than text. */
static yaml_scalar_style_t style_of(const char *text)
{
    if (strchr(text, '\n'))
        return YAML_LITERAL_SCALAR_STYLE;
    if (!*text || strcmp(text, "~") == 0 || text_same_word(text, "null"))
        return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    return YAML_ANY_SCALAR_STYLE;
}

/* text NULL: YAML's null. */
static void emit_text(struct writer *w, const char *text)
{
    yaml_event_t event;
    const char *value = text ? text : "null";
    yaml_scalar_event_initialize(&event, NULL, NULL, (const unsigned char *)value,
                                 (int)strlen(value), 1, 1,
                                 text ? style_of(text) : YAML_PLAIN_SCALAR_STYLE);
    emit(w, &event);
}

static void emit_pair(struct writer *w, const char *key, const char *value)
{
    emit_text(w, key);
    emit_text(w, value);
}

static void write_fields(struct writer *w, const struct field *fields, const char *base);
static void write_field(struct writer *w, const struct field *field, const char *base);

static void write_set(struct writer *w, const struct field *field, const char *base)
{
    const struct policy_assignment *set =
        *(struct policy_assignment *const *)(const void *)(base + field->offset);
    size_t count = *(const size_t *)(const void *)(base + field->count_offset);
    if (count == 0)
        return;
    emit_text(w, field->key);
    emit_map(w, true);
    for (size_t i = 0; i < count; i++)
        emit_pair(w, set[i].column, set[i].value);
    emit_map(w, false);
}

static void write_names(struct writer *w, const struct field *field, const char *base)
{
    const struct setting *names = *(struct setting *const *)(const void *)(base + field->offset);
    size_t count = *(const size_t *)(const void *)(base + field->count_offset);
    if (count == 0)
        return;
    emit_text(w, field->key);
    emit_list(w, true);
    for (size_t i = 0; i < count; i++)
        emit_text(w, names[i].value);
    emit_list(w, false);
}

/* Whether the field has its default value. */
static bool is_default(const struct field *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->kind) {
    case FIELD_WORD:
        return *(const int *)at == 0;
    case FIELD_WORDS:
        return *(const unsigned *)at == 0;
    case FIELD_NAMES:
        return *(const size_t *)(const void *)(base + field->count_offset) == 0;
    default:
        return !((const struct setting *)at)->value;
    }
}

/* Writes only the keys of the group that are set, and nothing if none is. */
static void write_group(struct writer *w, const struct field *group, const char *base)
{
    bool open = false;
    for (const struct field *field = group->fields; field->key; field++) {
        if (is_default(field, base))
            continue;
        if (!open) {
            emit_text(w, group->key);
            emit_map(w, true);
            open = true;
        }
        write_field(w, field, base);
    }
    if (open)
        emit_map(w, false);
}

static void write_words(struct writer *w, const struct field *field, const char *base)
{
    unsigned mask = *(const unsigned *)(const void *)(base + field->offset);
    bool several = (mask & (mask - 1)) != 0;
    if (mask == 0)
        mask = 1;
    emit_text(w, field->key);
    if (several)
        emit_list(w, true);
    for (int i = 0; field->words[i]; i++)
        if (mask & (1U << i))
            emit_text(w, field->words[i]);
    if (several)
        emit_list(w, false);
}

/* The first field of an element, if it is the only one set and the short form is allowed; otherwise
 * NULL. */
static const char *short_form(const struct field *list, const char *element)
{
    const struct field *field = list->fields;
    if (!list->short_form)
        return NULL;
    for (field++; field->key; field++)
        if (!is_default(field, element))
            return NULL;
    return ((const struct setting *)(const void *)(element + list->fields->offset))->value;
}

static void write_list(struct writer *w, const struct field *field, const char *base)
{
    const char *elements = *(const char *const *)(const void *)(base + field->offset);
    size_t count = *(const size_t *)(const void *)(base + field->count_offset);
    if (count == 0)
        return;
    emit_text(w, field->key);
    emit_list(w, true);
    for (size_t i = 0; i < count; i++) {
        const char *word = short_form(field, elements + i * field->size);
        if (word) {
            emit_text(w, word);
            continue;
        }
        emit_map(w, true);
        write_fields(w, field->fields, elements + i * field->size);
        emit_map(w, false);
    }
    emit_list(w, false);
}

static void write_field(struct writer *w, const struct field *field, const char *base)
{
    const void *at = base + field->offset;
    switch (field->kind) {
    case FIELD_LIST:
        write_list(w, field, base);
        break;
    case FIELD_SET:
        write_set(w, field, base);
        break;
    case FIELD_NAMES:
        write_names(w, field, base);
        break;
    case FIELD_GROUP:
        write_group(w, field, base);
        break;
    case FIELD_WORDS:
        write_words(w, field, base);
        break;
    case FIELD_NAME:
        emit_pair(w, field->key, *(const char *const *)at);
        break;
    case FIELD_FLAG:
        if (*(const bool *)at)
            emit_pair(w, field->key, "true");
        break;
    case FIELD_WORD:
        emit_pair(w, field->key, field->words[*(const int *)at]);
        break;
    default:
        if (((const struct setting *)at)->value)
            emit_pair(w, field->key, ((const struct setting *)at)->value);
    }
}

static void write_fields(struct writer *w, const struct field *fields, const char *base)
{
    for (const struct field *field = fields; field->key; field++)
        write_field(w, field, base);
}

/* as_is: characters outside ASCII are written unescaped. */
static bool write_policy(const struct policy *policy, bool as_is, PQExpBuffer out,
                         struct error *err)
{
    struct writer w = {.ok = true};
    yaml_event_t event;
    if (!yaml_emitter_initialize(&w.emitter))
        return error_set(err, SWEEP_INTERNAL, "out of memory");
    yaml_emitter_set_output(&w.emitter, write_text, out);
    yaml_emitter_set_unicode(&w.emitter, as_is);
    yaml_emitter_set_width(&w.emitter, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&w, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&w, &event);
    emit_map(&w, true);
    write_fields(&w, policy_fields_of(policy->kind), (const char *)policy);
    emit_map(&w, false);
    yaml_document_end_event_initialize(&event, 1);
    emit(&w, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&w, &event);
    yaml_emitter_delete(&w.emitter);
    return w.ok || error_set(err, SWEEP_INTERNAL, "the policy cannot be written as YAML");
}

bool policy_print(const struct policy *policy, PQExpBuffer out, struct error *err)
{
    size_t start = out->len;
    if (!write_policy(policy, true, out, err))
        return false;
    char *shown = text_lines(NULL, out->data + start);
    bool visible = strcmp(shown, out->data + start) == 0;
    talloc_free(shown);
    if (visible)
        return true;
    out->len = start;
    out->data[start] = '\0';
    return write_policy(policy, false, out, err);
}
