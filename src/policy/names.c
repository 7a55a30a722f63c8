/* The names of policies, and the variables of the environment that override them. */
#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/policy.h"

enum { NAME_MAX_LENGTH = 31 };

bool policy_name_valid(const char *name)
{
    if (!islower((unsigned char)name[0]) || strlen(name) > NAME_MAX_LENGTH)
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

char *policy_variable(const void *ctx, const char *policy, const char *key)
{
    char *variable = mem_printf(ctx, POLICY_VARIABLE_PREFIX "%s_%s", policy, key);
    for (char *p = variable; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return variable;
}
