/* Other hosts and paths at which the objects of a bucket are published: PGSWEEP_S3_ALIASES. */
#include <ctype.h>
#include <string.h>

#include "config.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static bool bad_alias(struct store_config *config, const char *text, const char *why,
                      struct error *err)
{
    error_set(err, SWEEP_USAGE, "object store: %s: \"%s\" %s", ALIASES_VARIABLE,
              text_escape(config, text, strlen(text)), why);
    return error_hint(
        err, "Give URL=BUCKET or URL/PATH/=BUCKET/PREFIX/, separated by commas, such as "
             "https://cdn.example.com/=media, https://img.example.com/thumbs/=media/thumbs/");
}

/* Reads the part before "=": host, port and path. Returns why it cannot be used, or NULL. */
static const char *read_url(const struct store_config *config, const char *text,
                            struct store_alias *alias)
{
    CURLU *url = mem_check(curl_url());
    const char *problem = "does not begin with an http:// or https:// URL";
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) == CURLUE_OK) {
        char *scheme = config_url_part(config, url, CURLUPART_SCHEME, 0);
        alias->host = config_url_part(config, url, CURLUPART_HOST, 0);
        alias->port = config_url_part(config, url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
        alias->path = config_url_part(config, url, CURLUPART_PATH, 0);
        bool web = scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
        problem = !web || !alias->host || !*alias->host ? problem : NULL;
        if (!problem && (config_url_part(config, url, CURLUPART_USER, 0) ||
                         config_url_part(config, url, CURLUPART_QUERY, 0) ||
                         config_url_part(config, url, CURLUPART_FRAGMENT, 0)))
            problem = "has a user name, a query string or a fragment in its URL";
        else if (!problem && (!alias->path || alias->path[strlen(alias->path) - 1] != '/'))
            problem = "has a URL whose path does not end in \"/\"";
        else if (!problem && url_decode_path(alias->path))
            problem = "has a path that cannot be read";
        for (char *p = alias->host; !problem && *p; p++)
            *p = (char)tolower((unsigned char)*p);
    }
    curl_url_cleanup(url);
    return problem;
}

static bool add_alias(struct store_config *config, char *text, struct error *err)
{
    struct store_alias alias = {0};
    char *bucket = strrchr(text, '=');
    if (!strstr(text, "://") || !bucket)
        return bad_alias(config, text, "is not of the form URL=BUCKET", err);
    char *url = mem_check(talloc_strndup(config, text, (size_t)(bucket - text)));
    const char *problem = read_url(config, url, &alias);
    if (problem)
        return bad_alias(config, text, problem, err);
    bucket++;
    size_t length = strcspn(bucket, "/");
    alias.bucket = config_bucket(config, bucket, length);
    alias.prefix = bucket + length + (bucket[length] == '/');
    if (alias.bucket < 0)
        return bad_alias(config, text, "names a bucket that is not in PGSWEEP_S3_BUCKET", err);
    if (*alias.prefix && alias.prefix[strlen(alias.prefix) - 1] != '/')
        return bad_alias(config, text, "has a prefix that does not end in \"/\"", err);
    size_t i = mem_grow(config, &config->aliases, &config->alias_count);
    config->aliases[i] = alias;
    return true;
}

bool aliases_load(struct store_config *config, const char *value, struct error *err)
{
    char *save = NULL;
    if (!value)
        return true;
    for (char *text = strtok_r(mem_strdup(config, value), ", \t\r\n", &save); text;
         text = strtok_r(NULL, ", \t\r\n", &save))
        if (!add_alias(config, text, err))
            return false;
    return config->alias_count > 0 || bad_alias(config, value, "contains no alias", err);
}

const struct store_alias *alias_find(const struct store_config *config, const char *host,
                                     const char *port, bool own_port, const char *path)
{
    const struct store_alias *best = NULL;
    for (size_t i = 0; i < config->alias_count; i++) {
        const struct store_alias *a = &config->aliases[i];
        bool same = strcmp(a->host, host) == 0 &&
                    (a->port ? strcmp(a->port, port) == 0 : own_port) &&
                    strncmp(path, a->path, strlen(a->path)) == 0;
        if (same && (!best || strlen(a->path) > strlen(best->path)))
            best = a;
    }
    return best;
}
