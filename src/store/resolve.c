/* Which object a value of a row names: pure, no network. When in doubt: foreign, and why. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "pgsweep/mem.h"

static struct store_location foreign(const void *ctx, const char *reason)
{
    return (struct store_location){.kind = STORE_FOREIGN, .reason = mem_strdup(ctx, reason)};
}

/* Names the bucket only where it looks like one: the text may be anything, even a password. */
static struct store_location other_bucket(const void *ctx, const char *name, size_t length)
{
    bool plain = length > 0 && length <= 63;
    for (size_t i = 0; i < length && plain; i++)
        plain = isalnum((unsigned char)name[i]) || strchr("-._", name[i]);
    if (!plain)
        return foreign(ctx, "does not name a configured bucket");
    char *reason = mem_printf(ctx, "bucket %.*s is not a configured one", (int)length, name);
    return (struct store_location){.kind = STORE_FOREIGN, .reason = reason};
}

static struct store_location object(const void *ctx, const struct store_config *config, int bucket,
                                    const char *key)
{
    if (!*key)
        return foreign(ctx, "names a bucket, but no object in it");
    return (struct store_location){
        .kind = STORE_OBJECT, .bucket = config->buckets[bucket], .key = mem_strdup(ctx, key)};
}

/* The length of "scheme" where value begins with "scheme://" (RFC 3986, section 3.1), or 0. */
static size_t scheme_length(const char *value)
{
    size_t n = 0;
    while (isalnum((unsigned char)value[n]) || (n > 0 && value[n] && strchr("+-.", value[n])))
        n++;
    return isalpha((unsigned char)value[0]) && strncmp(value + n, "://", 3) == 0 ? n : 0;
}

/* Whether a segment of the path is "." or "..", written with or without escapes. */
static bool has_dot_segment(const char *path)
{
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        int dots = 0;
        const char *q = p;
        for (; *q == '.' || strncasecmp(q, "%2e", 3) == 0; q += *q == '.' ? 1 : 3)
            dots++;
        if ((dots == 1 || dots == 2) && (*q == '/' || !*q))
            return true;
    }
    return false;
}

bool store_key_is_below(const char *key, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!*prefixes[i] ||
            (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0 && !has_dot_segment(key)))
            return true;
    return false;
}

/* The parts of a URL that say which object it names. */
struct url_parts {
    char *host; /* lower case */
    char *port;
    char *path; /* still percent-encoded */
};

/* Why the URL is of no use, or NULL. */
static const char *split_url(const void *ctx, const char *text, struct url_parts *parts)
{
    CURLU *url = mem_check(curl_url());
    const char *problem = NULL;
    /* As it is: libcurl would otherwise resolve the dot segments that are looked for below. */
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS | CURLU_ALLOW_SPACE) != CURLUE_OK) {
        problem = "not a well-formed URL";
    } else if (config_url_part(ctx, url, CURLUPART_USER, 0) ||
               config_url_part(ctx, url, CURLUPART_PASSWORD, 0)) {
        problem = "a URL with a user name in it";
    } else {
        parts->host = config_url_part(ctx, url, CURLUPART_HOST, 0);
        parts->port = config_url_part(ctx, url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        parts->path = config_url_part(ctx, url, CURLUPART_PATH, 0);
        if (!parts->host || !parts->port || !parts->path || *parts->path != '/')
            problem = "not a well-formed URL";
        else if (has_dot_segment(parts->path))
            problem = "a URL with a dot segment in its path: what it names depends on who reads it";
    }
    curl_url_cleanup(url);
    for (char *p = problem ? NULL : parts->host; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return problem;
}

/* Whether the host is that of the endpoint (bucket NULL), or of the bucket at the endpoint. */
static bool endpoint_matches(const struct store_config *config, const struct url_parts *parts,
                             const char *bucket)
{
    size_t prefix = bucket ? strlen(bucket) : 0;
    if (config->is_aws || strcmp(parts->port, config->port) != 0)
        return false;
    if (!bucket)
        return strcmp(parts->host, config->host) == 0;
    return strncasecmp(parts->host, bucket, prefix) == 0 && parts->host[prefix] == '.' &&
           strcmp(parts->host + prefix + 1, config->host) == 0;
}

/* A URL that does not tell whose object it is. Its path may end in one of our keys. */
static struct store_location unclear(const void *ctx, const char *reason, const char *text)
{
    struct store_location location = foreign(ctx, reason);
    const char *path = strstr(text, "//");
    path = path ? path + 2 + strspn(path + 2, "/") : text;
    path += strcspn(path, "/?#");
    path += *path == '/';
    location.path = mem_check(talloc_strndup(ctx, path, strcspn(path, "?#")));
    char *decoded = mem_strdup(ctx, location.path);
    if (!url_decode_path(decoded))
        location.path = decoded;
    return location;
}

static struct store_location resolve_path(const void *ctx, const struct store_config *config,
                                          int bucket, char *path, const char *text)
{
    const char *problem = url_decode_path(path);
    return problem ? unclear(ctx, problem, text) : object(ctx, config, bucket, path);
}

/* Whether the host is one of AWS for some bucket or other. */
static bool is_aws_bucket(const char *host)
{
    for (const char *dot = strchr(host, '.'); dot; dot = strchr(dot + 1, '.'))
        if (aws_host_matches(dot + 1, NULL))
            return true;
    return false;
}

/* By an alias; false when there is none. */
static bool resolve_alias(const void *ctx, const struct store_config *config,
                          const struct url_parts *parts, bool own_port,
                          struct store_location *location)
{
    char *path = mem_strdup(ctx, parts->path);
    if (config->alias_count == 0 || url_decode_path(path))
        return false;
    const struct store_alias *alias = alias_find(config, parts->host, parts->port, own_port, path);
    if (!alias)
        return false;
    const char *rest = path + strlen(alias->path);
    *location =
        *rest ? object(ctx, config, alias->bucket, mem_printf(ctx, "%s%s", alias->prefix, rest))
              : foreign(ctx, "names a bucket, but no object in it");
    return true;
}

static struct store_location resolve_url(const void *ctx, const struct store_config *config,
                                         const char *text)
{
    static const char outside[] = "a URL outside the path of the endpoint";
    struct url_parts parts = {0};
    struct store_location location;
    const char *problem = split_url(ctx, text, &parts);
    if (problem)
        return unclear(ctx, problem, text);
    bool own_port = strcmp(parts.port, strncasecmp(text, "https", 5) == 0 ? "443" : "80") == 0;
    size_t base = strlen(config->base_path);
    bool below = strncmp(parts.path, config->base_path, base) == 0 && parts.path[base] == '/';

    if (resolve_alias(ctx, config, &parts, own_port, &location))
        return location;
    for (size_t i = 0; i < config->bucket_count; i++) {
        if (endpoint_matches(config, &parts, config->buckets[i]))
            return below ? resolve_path(ctx, config, (int)i, parts.path + base + 1, text)
                         : unclear(ctx, outside, text);
        if (own_port && aws_host_matches(parts.host, config->buckets[i]))
            return resolve_path(ctx, config, (int)i, parts.path + 1, text);
    }
    char *path = parts.path + 1;
    if (endpoint_matches(config, &parts, NULL)) {
        if (!below)
            return unclear(ctx, outside, text);
        path = parts.path + base + 1;
    } else if (!own_port || !aws_host_matches(parts.host, NULL)) {
        static const char nobody[] =
            "a URL of a host that is neither the endpoint nor a configured bucket's nor an alias";
        return own_port && is_aws_bucket(parts.host) ? foreign(ctx, nobody)
                                                     : unclear(ctx, nobody, text);
    }
    size_t length = strcspn(path, "/");
    int bucket = config_bucket(config, path, length);
    if (bucket < 0)
        return other_bucket(ctx, path, length);
    return resolve_path(ctx, config, bucket, path + length + (path[length] == '/'), text);
}

struct store_location store_resolve(const void *ctx, const struct store_config *config,
                                    const char *value)
{
    return store_resolve_in(ctx, config, config->buckets[0], value);
}

/* A key as it stands. */
static struct store_location resolve_key(const void *ctx, const struct store_config *config,
                                         const char *name, const char *key)
{
    int bucket = config_bucket(config, name, strlen(name));
    struct store_location location =
        bucket < 0 ? other_bucket(ctx, name, strlen(name)) : object(ctx, config, bucket, key);
    location.relative = true;
    return location;
}

struct store_location store_resolve_in(const void *ctx, const struct store_config *config,
                                       const char *default_bucket, const char *value)
{
    if (!value || !*value)
        return (struct store_location){.kind = STORE_NOTHING};
    void *scratch = talloc_new(ctx);
    mem_check(scratch);
    struct store_location location;
    const char *start = value + strspn(value, " \t\r\n");
    size_t scheme = scheme_length(start);
    size_t authority = strncmp(value, "//", 2) == 0 ? strcspn(value + 2, "/") : 0;

    if (scheme && start != value) {
        location = unclear(scratch, "a URL with a blank in front of it", start);
    } else if (scheme == 2 && strncasecmp(value, "s3", 2) == 0) {
        const char *name = value + 5;
        size_t length = strcspn(name, "/");
        int bucket = config_bucket(config, name, length);
        location = bucket < 0
                       ? other_bucket(scratch, name, length)
                       : object(scratch, config, bucket, name + length + (name[length] == '/'));
        location.relative = true;
    } else if ((scheme == 4 && strncasecmp(value, "http", 4) == 0) ||
               (scheme == 5 && strncasecmp(value, "https", 5) == 0)) {
        location = resolve_url(scratch, config, value);
    } else if (scheme) {
        location = foreign(scratch, "a URL that is neither s3:// nor http:// nor https://");
    } else if (strncasecmp(value, "arn:", 4) == 0 ||
               (strncasecmp(value, "data:", 5) == 0 && strchr(value, ','))) {
        location = foreign(scratch, "neither a key nor a URL of an object");
    } else if (authority &&
               (memchr(value + 2, '.', authority) || memchr(value + 2, ':', authority))) {
        const char *own = config->scheme;
        location = resolve_url(scratch, config, mem_printf(scratch, "%s:%s", own, value));
    } else {
        location = resolve_key(scratch, config, default_bucket, value);
    }
    talloc_steal(ctx, location.key);
    talloc_steal(ctx, location.reason);
    talloc_steal(ctx, location.path);
    talloc_free(scratch);
    return location;
}
