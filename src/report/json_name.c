/* Names and texts in JSON, whatever bytes they have. */
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/report_json.h"
#include "pgsweep/text.h"

json_t *report_json_text(const char *value)
{
    if (!value)
        return json_null();
    json_t *json = json_string(value);
    if (json)
        return json;
    char *escaped = text_escape(NULL, value, strlen(value));
    json = json_string(escaped);
    talloc_free(escaped);
    return json;
}

void report_json_name(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, report_json_text(value));
    if (!value || text_is_utf8(value))
        return;
    char *encoded = text_base64(NULL, value, strlen(value));
    char *other = mem_printf(encoded, "%s_base64", key);
    json_object_set_new(object, other, json_string(encoded));
    talloc_free(encoded);
}
