/* Which variables of the environment are settings of pgsweep, and what is to be done about one that
 * is none. A setting that is not understood stops the program: taken for nothing, a misspelt
 * retention would delete what it was to keep. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "pgsweep/mem.h"
#include "pgsweep/policy.h"
#include "pgsweep/text.h"

/* A name that is so near to one of ours, and does not begin as ours do, is a slip too
 * ("PGSWEP_JOBS_RETAIN"). */
enum { SLIP = 2 };

/* The variables that mean something. Those that this run reads come first. */
struct candidates {
    const char **names;
    size_t count;
    size_t own;
};

static void add_policy(const void *ctx, struct candidates *c, const char *policy)
{
    for (size_t k = 0; policy_override_keys[k]; k++) {
        size_t i = mem_grow(ctx, &c->names, &c->count);
        c->names[i] = policy_variable(c->names, policy, policy_override_keys[k]);
    }
}

static struct candidates list_candidates(const void *ctx, const struct policy_variables *known)
{
    struct candidates c = {0};
    for (size_t k = 0; known->fixed && known->fixed[k]; k++) {
        size_t i = mem_grow(ctx, &c.names, &c.count);
        c.names[i] = known->fixed[k];
    }
    if (known->policy)
        add_policy(ctx, &c, known->policy);
    c.own = c.count;
    for (size_t p = 0; p < known->policy_count; p++)
        if (!known->policy || strcmp(known->policies[p], known->policy) != 0)
            add_policy(ctx, &c, known->policies[p]);
    return c;
}

/* Whether the variable begins as those of the policy do. */
static bool is_about(const char *variable, const char *policy)
{
    void *scratch = talloc_new(NULL);
    char *start = policy_variable(scratch, policy, "");
    bool about = strncasecmp(variable, start, strlen(start)) == 0;
    talloc_free(scratch);
    return about;
}

/* Whether the variable begins as one that is of no policy does: PGSWEEP_S3_. */
static bool is_about_fixed(const char *variable, const char *const *fixed)
{
    for (size_t k = 0; fixed && fixed[k]; k++) {
        const char *end = strchr(fixed[k] + strlen(POLICY_VARIABLE_PREFIX), '_');
        if (end && strncasecmp(variable, fixed[k], (size_t)(end - fixed[k]) + 1) == 0)
            return true;
    }
    return false;
}

/* Whether it would be a setting of some policy of which nothing is known here. */
static bool fits_some_policy(const char *variable)
{
    size_t length = strlen(variable);
    for (size_t k = 0; policy_override_keys[k]; k++) {
        void *scratch = talloc_new(NULL);
        char *end =
            policy_variable(scratch, "", policy_override_keys[k]) + strlen(POLICY_VARIABLE_PREFIX);
        size_t tail = strlen(end), head = strlen(POLICY_VARIABLE_PREFIX);
        bool fits = length > head + tail && strcmp(variable + length - tail, end) == 0;
        char *name =
            mem_check(talloc_strndup(scratch, variable + head, fits ? length - head - tail : 0));
        fits = fits && name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
        for (char *p = name; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        fits = fits && policy_name_valid(name);
        talloc_free(scratch);
        if (fits)
            return true;
    }
    return false;
}

static enum policy_variable_fate judge(const struct candidates *c,
                                       const struct policy_variables *known, const char *variable,
                                       const char **nearest)
{
    bool of_another = false, near_own = false;
    *nearest = NULL;
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->names[i], variable) == 0)
            return VARIABLE_KNOWN;
    *nearest = text_nearest(variable, c->names, c->count);
    for (size_t i = 0; i < c->own && *nearest; i++)
        near_own = near_own || c->names[i] == *nearest;
    if (strncasecmp(variable, POLICY_VARIABLE_PREFIX, strlen(POLICY_VARIABLE_PREFIX)) != 0) {
        if (!*nearest || text_distance(variable, *nearest) > SLIP)
            return VARIABLE_NOT_OURS;
        return near_own || !known->policy ? VARIABLE_UNKNOWN : VARIABLE_OF_ANOTHER;
    }
    if (known->others_possible &&
        strncmp(variable, POLICY_VARIABLE_PREFIX, strlen(POLICY_VARIABLE_PREFIX)) == 0 &&
        fits_some_policy(variable))
        return VARIABLE_KNOWN;
    for (size_t p = 0; p < known->policy_count; p++)
        of_another =
            of_another || ((!known->policy || strcmp(known->policies[p], known->policy) != 0) &&
                           is_about(variable, known->policies[p]));
    /* "jobs" and "jobs-old" may both be meant, as may the store and a policy called "s3": the
     * nearest known name decides. */
    bool about_own = (known->policy && is_about(variable, known->policy)) ||
                     is_about_fixed(variable, known->fixed);
    return of_another && (!about_own || (*nearest && !near_own)) ? VARIABLE_OF_ANOTHER
                                                                 : VARIABLE_UNKNOWN;
}

enum policy_variable_fate policy_judge_variable(const struct policy_variables *known,
                                                const char *variable)
{
    void *scratch = talloc_new(NULL);
    struct candidates c = list_candidates(scratch, known);
    const char *nearest;
    enum policy_variable_fate fate = judge(&c, known, variable, &nearest);
    talloc_free(scratch);
    return fate;
}

/* Never the value: it may be anything, even a password. */
static bool refuse(const void *ctx, const char *variable, const char *nearest, struct error *err)
{
    error_set(err, SWEEP_USAGE, "environment variable %s is no setting of pgsweep",
              text_escape(ctx, variable, strlen(variable)));
    error_detail(err, "It is not one of pgsweep's own, and there is no policy with such a setting. "
                      "Nothing was deleted.");
    return error_hint(err,
                      "%s%s%sCorrect it or unset it; \"man pgsweep\" lists the variables, "
                      "\"pgsweep list\" the policies.",
                      nearest ? "Did you mean " : "", nearest ? nearest : "", nearest ? "? " : "");
}

bool policy_check_environment(const void *ctx, const struct policy_variables *known,
                              char *const *environment, char **warnings, struct error *err)
{
    void *scratch = talloc_new(ctx);
    struct candidates c = list_candidates(scratch, known);
    bool ok = true;
    *warnings = mem_strdup(ctx, "");
    for (; ok && *environment; environment++) {
        const char *nearest;
        const char *equals = strchr(*environment, '=');
        char *variable = mem_check(
            talloc_strndup(scratch, *environment, equals ? (size_t)(equals - *environment) : 0));
        enum policy_variable_fate fate = judge(&c, known, variable, &nearest);
        if (fate == VARIABLE_UNKNOWN)
            ok = refuse(scratch, variable, nearest, err);
        else if (fate == VARIABLE_OF_ANOTHER)
            *warnings = mem_check(talloc_asprintf_append(
                *warnings,
                "pgsweep: warning: environment variable %s is no setting of any policy%s%s%s\n",
                text_escape(scratch, variable, strlen(variable)), nearest ? "; did you mean " : "",
                nearest ? nearest : "", nearest ? "?" : ""));
    }
    talloc_free(scratch);
    return ok;
}
