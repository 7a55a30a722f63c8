/* How JSON is written, in reports and lists alike. */
#ifndef PGSWEEP_REPORT_JSON_H
#define PGSWEEP_REPORT_JSON_H

#include <jansson.h>

/* In ASCII: JSON has escapes of its own for what must not reach a terminal. */
#define REPORT_JSON_FLAGS (JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII)

/* Text for people (NULL: null); what is not UTF-8 in it is escaped. */
json_t *report_json_text(const char *value);

/* Sets object[key] to a name (NULL: null). A name that is not UTF-8 cannot be a JSON string: it is
 * set as text_escape shows it, and object[key_base64] to its bytes. Where there is no key_base64,
 * object[key] is the name itself. */
void report_json_name(json_t *object, const char *key, const char *value);

struct report;

/* Sets what the report says about WAL and space: wal_bytes, wal_of, dead_rows, space,
 * snapshot_held_by (src/report/space.c). */
void report_json_space(json_t *doc, const struct report *report);

#endif
