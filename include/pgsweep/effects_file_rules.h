/* Which files of a directory may go: from the words of a policy to the options of a sweep, and as
 * text for the queue. */
#ifndef PGSWEEP_EFFECTS_FILE_RULES_H
#define PGSWEEP_EFFECTS_FILE_RULES_H

#include <stdbool.h>

#include "pgsweep/policy.h"

struct files_options;

/* Fills in what the rules say; the arrays are owned by ctx, the texts borrowed. What needs a clock,
 * the system's users or a file system (retain, owner, min_free) is left to the caller. */
void file_rules_apply(const void *ctx, const struct policy_file_rules *rules,
                      struct files_options *options);

/* The rules of working directories as text that file_rules_read takes, in ASCII; NULL: nothing but
 * the defaults. Owned by ctx. */
char *file_rules_write(const void *ctx, const struct policy_file_rules *rules);

/* The opposite. False when the text is damaged. */
bool file_rules_read(const void *ctx, const char *text, struct policy_file_rules *rules);

/* Keeps what other rules keep, too. Retentions are left to the caller. */
void file_rules_tighten(const void *ctx, struct policy_file_rules *rules,
                        const struct policy_file_rules *more);

#endif
