/* Passwords on the command line: out of what "ps" shows, and out of messages. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "tables.h"

/* Careful rather than exact: a word that only might hold a password is treated as one that does. */
bool cli_holds_password(const char *word)
{
    const char *uri = strstr(word, "://");
    const char *at = uri ? strrchr(uri, '@') : NULL;
    if (strcasestr(word, "password") && strchr(word, '='))
        return true;
    /* "%" may spell any keyword of a URI. */
    return uri && (strchr(uri, '%') || (at && memchr(uri + 3, ':', (size_t)(at - uri - 3))));
}

void cli_hide_password(const void *ctx, struct cli_options *options)
{
    if (!options->dbname || !cli_holds_password(options->dbname))
        return;
    char *in_argv = (char *)(uintptr_t)options->dbname;
    options->dbname = mem_strdup(ctx, in_argv);
    memset(in_argv, 'x', strlen(in_argv));
}
