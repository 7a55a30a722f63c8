/* How a dead peer is noticed: what TCP is told at this end, and at the server's. What the user has
 * set stays as it is: in the connection string, a service file or the environment; at the server
 * for the role, the database or in its configuration. */
#define _GNU_SOURCE
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* A peer that says nothing for a minute, although it is asked, is gone. */
static const struct {
    const char *key, *value;
} defaults[] = {
    {"connect_timeout", "10"}, /* seconds, for each address of a host */
    {"keepalives_idle", "30"}, /* seconds of silence before it is asked */
    {"keepalives_interval", "10"}, {"keepalives_count", "3"},
    {"tcp_user_timeout", "60000"}, /* milliseconds that what was sent may stay unacknowledged */
};

static const char *value_of(const PQconninfoOption *options, const char *key)
{
    for (const PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, key) == 0)
            return o->val && *o->val ? o->val : NULL;
    return NULL;
}

/* What the environment and the service say; the service of a connection string comes before that of
 * the environment. NULL: a service that is not there, which connecting complains of. */
static PQconninfoOption *environment_with(const char *service)
{
    const char *set = getenv("PGSERVICE");
    char *before = set ? mem_check(strdup(set)) : NULL;
    if (service)
        setenv("PGSERVICE", service, 1);
    PQconninfoOption *options = PQconndefaults();
    if (before)
        setenv("PGSERVICE", before, 1);
    else
        unsetenv("PGSERVICE");
    free(before);
    return options;
}

static bool is_conninfo(const char *dbname)
{
    return dbname && (strchr(dbname, '=') || strstr(dbname, "://"));
}

size_t db_liveness_defaults(const char *dbname, const char **keys, const char **values)
{
    bool conninfo = is_conninfo(dbname);
    PQconninfoOption *given = conninfo ? PQconninfoParse(dbname, NULL) : NULL;
    PQconninfoOption *around = environment_with(value_of(given, "service"));
    size_t n = 0;
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        if (value_of(given, defaults[i].key) || value_of(around, defaults[i].key))
            continue;
        keys[n] = defaults[i].key;
        values[n++] = defaults[i].value;
    }
    PQconninfoFree(given);
    PQconninfoFree(around);
    return n;
}

bool db_is_choosy(const char *dbname)
{
    static const char KEY[] = "target_session_attrs";
    bool conninfo = is_conninfo(dbname);
    PQconninfoOption *given = conninfo ? PQconninfoParse(dbname, NULL) : NULL;
    PQconninfoOption *around = environment_with(value_of(given, "service"));
    const char *wants = value_of(given, KEY) ? value_of(given, KEY) : value_of(around, KEY);
    bool choosy = wants && strcmp(wants, "any") != 0;
    PQconninfoFree(given);
    PQconninfoFree(around);
    return choosy;
}
