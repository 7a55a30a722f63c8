/* Reads the credentials from the environment or from the shared credentials file of the AWS tools.
 * No message contains a value. */
#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config.h"
#include "pgsweep/mem.h"
#include "pgsweep/trust.h"

static const char HINT[] =
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), "
    "or "
    "write them into a profile of the shared credentials file (AWS_SHARED_CREDENTIALS_FILE, "
    "AWS_PROFILE).";

/* Values in a header and a signature must be visible ASCII: a line break would end the header. */
static bool is_clean(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return true;
}

static bool credentials_check(struct store_config *config, const char *where, struct error *err)
{
    bool id = config->access_key_id != NULL, secret = config->secret_access_key != NULL;
    const char *dirty = id && !is_clean(config->access_key_id)           ? "access key id"
                        : secret && !is_clean(config->secret_access_key) ? "secret access key"
                        : config->session_token && !is_clean(config->session_token)
                            ? "session token"
                            : NULL;
    if (id && secret && !dirty)
        return true;
    if (dirty) {
        error_set(err, SWEEP_USAGE,
                  "object store: %s: the %s contains a blank, a control character or a non-ASCII "
                  "character",
                  where, dirty);
        return error_hint(err, "Copy it again, without quotes and line breaks.");
    }
    if (!id && !secret)
        error_set(err, SWEEP_USAGE, "object store: %s: no credentials", where);
    else
        error_set(err, SWEEP_USAGE, "object store: %s: the %s is missing", where,
                  id ? "secret access key" : "access key id");
    return error_hint(err, "%s", HINT);
}

/* Trims blanks at both ends, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* Replaces *field: of two lines with the same key the later one counts, as with the AWS tools. */
static void keep(struct store_config *config, char **field, const char *value)
{
    talloc_free(*field);
    *field = *value ? mem_strdup(config, value) : NULL;
}

/* Reads the section of that profile; false if the file has none. */
static bool read_profile(struct store_config *config, FILE *file, const char *profile)
{
    char *line = NULL;
    size_t room = 0;
    bool found = false, inside = false;
    while (getline(&line, &room, file) >= 0) {
        char *text = trim(line);
        char *close = strrchr(text, ']');
        if (*text == '[' && close) {
            *close = '\0';
            inside = strcmp(trim(text + 1), profile) == 0;
            found |= inside;
            continue;
        }
        char *equals = strchr(text, '=');
        if (!inside || !equals || *text == '#' || *text == ';')
            continue;
        *equals = '\0';
        const char *name = trim(text), *value = trim(equals + 1);
        if (strcasecmp(name, "aws_access_key_id") == 0)
            keep(config, &config->access_key_id, value);
        else if (strcasecmp(name, "aws_secret_access_key") == 0)
            keep(config, &config->secret_access_key, value);
        else if (strcasecmp(name, "aws_session_token") == 0)
            keep(config, &config->session_token, value);
    }
    if (line)
        explicit_bzero(line, room);
    free(line);
    return found;
}

static bool load_file(struct store_config *config, struct error *err)
{
    const char *path = getenv("AWS_SHARED_CREDENTIALS_FILE");
    const char *profile = getenv("AWS_PROFILE");
    if (!profile || !*profile)
        profile = "default";
    if (!path || !*path) {
        const char *home = getenv("HOME");
        struct passwd *user = home && *home ? NULL : getpwuid(getuid());
        home = user ? user->pw_dir : home ? home : "";
        path = mem_printf(config, "%s/.aws/credentials", home);
    }
    int fd;
    if (!trust_open("credentials file", path, TRUST_ANY_PLACE, &fd, err))
        return error_prefix(err, "object store");
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (!file) {
        if (fd >= 0)
            close(fd);
        else
            errno = ENOENT;
        error_set(err, SWEEP_USAGE,
                  "object store: a bucket is configured, but there are no "
                  "credentials for it");
        error_detail(err,
                     "AWS_ACCESS_KEY_ID is not set, and the shared credentials file cannot be "
                     "read: %s: %m",
                     path);
        return error_hint(err, "%s", HINT);
    }
    errno = 0;
    bool found = read_profile(config, file, profile);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed)
        return error_set(err, SWEEP_USAGE, "object store: reading %s: %s", path, strerror(failed));
    if (!found) {
        error_set(err, SWEEP_USAGE, "object store: %s has no profile [%s]", path, profile);
        return error_hint(err, "Set AWS_PROFILE to a profile of the file. Or: %s", HINT);
    }
    return credentials_check(config, mem_printf(config, "%s, profile [%s]", path, profile), err);
}

bool credentials_load(struct store_config *config, struct error *err)
{
    const char *id = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = getenv("AWS_SESSION_TOKEN");
    if ((!id || !*id) && (!secret || !*secret))
        return load_file(config, err);
    config->access_key_id = id && *id ? mem_strdup(config, id) : NULL;
    config->secret_access_key = secret && *secret ? mem_strdup(config, secret) : NULL;
    config->session_token = token && *token ? mem_strdup(config, token) : NULL;
    return credentials_check(config, "environment", err);
}
