/* Where objects live: options, environment, defaults, and whether they make sense. No network, no
 * credentials file (credentials.c). */
#define _GNU_SOURCE
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "pgsweep/trust.h"

/* libcurl 7.88 keeps the region of a signature in 64 bytes. */
enum {
    REGION_MAX = 60,
    REQUESTS_DEFAULT = 4,
    TIMEOUT_DEFAULT_MS = 60000,
    BACKOFF_DEFAULT_MS = 200
};

static const char *const ENDPOINT_VARIABLES[] = {"PGSWEEP_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3",
                                                 "AWS_ENDPOINT_URL", NULL};
static const char *const REGION_VARIABLES[] = {"PGSWEEP_S3_REGION", "AWS_REGION",
                                               "AWS_DEFAULT_REGION", NULL};
static const char *const BUCKET_VARIABLES[] = {"PGSWEEP_S3_BUCKET", NULL};
static const char *const PATH_STYLE_VARIABLES[] = {"PGSWEEP_S3_PATH_STYLE", NULL};
static const char *const TIMEOUT_VARIABLES[] = {"PGSWEEP_S3_TIMEOUT", NULL};
static const char *const ALIASES_VARIABLES[] = {ALIASES_VARIABLE, NULL};
static const char *const CA_VARIABLES[] = {"AWS_CA_BUNDLE", NULL};

/* All of the above; the first of a row is ours, unless the row is of AWS alone. */
static const char *const *const VARIABLES[] = {BUCKET_VARIABLES,  ENDPOINT_VARIABLES,
                                               REGION_VARIABLES,  PATH_STYLE_VARIABLES,
                                               TIMEOUT_VARIABLES, ALIASES_VARIABLES};

const char *store_variable(size_t i)
{
    return i < sizeof VARIABLES / sizeof *VARIABLES ? VARIABLES[i][0] : NULL;
}

/* A setting and where it came from, so that an error can point there. */
struct setting {
    const char *value; /* NULL: nowhere */
    const char *source;
};

const char *config_environment(const char *const *variables, const char **name)
{
    for (; *variables; variables++) {
        const char *value = getenv(*variables);
        if (value && *value) {
            *name = *variables;
            return value;
        }
    }
    *name = NULL;
    return NULL;
}

static struct setting setting_find(const char *option, const char *option_name,
                                   const char *const *variables)
{
    struct setting setting = {option, option_name};
    if (!option || !*option)
        setting.value = config_environment(variables, &setting.source);
    return setting;
}

static bool bad_setting(struct error *err, struct setting setting, const char *why)
{
    return error_set(err, SWEEP_USAGE, "object store: %s: %s", setting.source, why);
}

/* A name that can stand in a URL and in a signature as it is: what S3 allows, and what older
 * buckets have (upper case, underscores, up to 255 characters). */
static bool is_bucket_name(const char *name)
{
    size_t length = strlen(name);
    if (length < 3 || length > 255 || !isalnum((unsigned char)name[0]))
        return false;
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
            return false;
    return true;
}

static bool load_buckets(struct store_config *config, struct setting setting, struct error *err)
{
    char *list = mem_strdup(config, setting.value);
    char *save = NULL;
    for (char *name = strtok_r(list, ", \t", &save); name; name = strtok_r(NULL, ", \t", &save)) {
        if (!is_bucket_name(name)) {
            bad_setting(err, setting, "not a list of bucket names");
            error_detail(err, "\"%s\" cannot be the name of a bucket.",
                         text_escape(config, name, strlen(name)));
            return error_hint(err, "Give the names alone, separated by commas: media,thumbnails");
        }
        if (config_bucket(config, name, strlen(name)) >= 0)
            continue;
        size_t i = mem_grow(config, &config->buckets, &config->bucket_count);
        config->buckets[i] = name;
    }
    if (config->bucket_count == 0)
        return bad_setting(err, setting, "names no bucket");
    return true;
}

static bool load_region(struct store_config *config, struct setting setting, struct error *err)
{
    const char *region = setting.value ? setting.value : "us-east-1";
    for (const char *p = region; *p; p++)
        if ((!isalnum((unsigned char)*p) && *p != '-' && *p != '_') || p - region >= REGION_MAX)
            return bad_setting(err, setting, "not a region name such as eu-west-1");
    config->region = mem_strdup(config, region);
    return true;
}

/* Why the parsed endpoint cannot be used, or NULL. */
static const char *endpoint_problem(const struct store_config *config, CURLU *url)
{
    if (strcmp(config->scheme, "http") != 0 && strcmp(config->scheme, "https") != 0)
        return "not an http:// or https:// URL";
    if (!config->host || !*config->host)
        return "has no host";
    if (config_url_part(config, url, CURLUPART_USER, 0) ||
        config_url_part(config, url, CURLUPART_PASSWORD, 0))
        return "holds a user name or a password; credentials do not belong into the URL";
    if (config_url_part(config, url, CURLUPART_QUERY, 0) ||
        config_url_part(config, url, CURLUPART_FRAGMENT, 0))
        return "has a query string or a fragment";
    for (const char *p = config->base_path; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-._~/", *p))
            return "has a path with characters other than letters, digits, '-', '.', '_', '~'";
    return NULL;
}

static bool load_endpoint(struct store_config *config, struct setting setting, struct error *err)
{
    config->is_aws = !setting.value;
    if (config->is_aws) {
        bool china = strncmp(config->region, "cn-", 3) == 0;
        config->scheme = mem_strdup(config, "https");
        config->port = mem_strdup(config, "443");
        config->base_path = mem_strdup(config, "");
        config->host =
            mem_printf(config, "s3.%s.amazonaws.com%s", config->region, china ? ".cn" : "");
        for (char *p = config->host; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        config->authority = mem_strdup(config, config->host);
        return true;
    }
    CURLU *url = mem_check(curl_url());
    const char *problem = "not a URL such as https://s3.example.com:9000";
    if (curl_url_set(url, CURLUPART_URL, setting.value, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK) {
        config->scheme = config_url_part(config, url, CURLUPART_SCHEME, 0);
        config->host = config_url_part(config, url, CURLUPART_HOST, 0);
        config->port = config_url_part(config, url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        config->base_path = config_url_part(config, url, CURLUPART_PATH, 0);
        problem = endpoint_problem(config, url);
    }
    if (!problem) {
        for (char *p = config->host; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        for (size_t n = strlen(config->base_path); n > 0 && config->base_path[n - 1] == '/'; n--)
            config->base_path[n - 1] = '\0';
        const char *shown = config_url_part(config, url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
        config->authority =
            mem_printf(config, "%s%s%s", config->host, shown ? ":" : "", shown ? shown : "");
    }
    curl_url_cleanup(url);
    if (!problem)
        return true;
    bad_setting(err, setting, problem);
    return error_hint(err,
                      "Give scheme and host, such as https://s3.example.com or "
                      "http://127.0.0.1:9000, or unset %s for AWS.",
                      setting.source);
}

static bool load_path_style(struct store_config *config, struct setting setting, struct error *err)
{
    const char *word = setting.value ? setting.value : "auto";
    static const char *const on[] = {"on", "true", "yes", "1", NULL};
    static const char *const off[] = {"off", "false", "no", "0", NULL};
    bool is_on = false, is_off = false;
    for (size_t i = 0; on[i]; i++) {
        is_on |= text_same_word(word, on[i]);
        is_off |= text_same_word(word, off[i]);
    }
    if (!is_on && !is_off && !text_same_word(word, "auto"))
        return bad_setting(err, setting, "not one of on, off, auto");
    config->path_style = is_on || (!is_off && !config->is_aws);
    struct in_addr address;
    if (!config->path_style &&
        (config->host[0] == '[' || inet_pton(AF_INET, config->host, &address) == 1)) {
        bad_setting(err, setting, "off, but the endpoint is an IP address");
        error_detail(err, "%s cannot be prefixed with the name of a bucket.", config->host);
        return error_hint(err, "Set it to on or auto, or give the endpoint by name.");
    }
    return true;
}

/* A whole number with a unit, as everywhere: "500 ms", "30s", "2 min". */
static bool load_timeout(struct store_config *config, struct setting setting, struct error *err)
{
    static const struct {
        const char *name;
        int ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}};
    const int most_ms = 3600 * 1000;
    if (!setting.value)
        return true;
    char *unit;
    long n = strtol(setting.value, &unit, 10);
    unit += strspn(unit, " ");
    for (size_t i = 0; isdigit((unsigned char)*setting.value) && i < sizeof units / sizeof *units;
         i++) {
        if (strcmp(unit, units[i].name) != 0 || n < 1 || n > most_ms / units[i].ms)
            continue;
        config->timeout_ms = (int)n * units[i].ms;
        return true;
    }
    return bad_setting(err, setting,
                       "not a time from 1 ms to 60 min such as 30 s (units: ms, s, min)");
}

static bool load_ca_bundle(struct store_config *config, struct setting setting, struct error *err)
{
    int fd = -1;
    /* curl opens it again, by its name: nobody else can exchange what a trusted path leads to. */
    if (setting.value && !trust_open("CA bundle", setting.value, TRUST_ANY_PLACE, &fd, err))
        return error_prefix(err, "object store: %s", setting.source);
    if (setting.value && fd < 0) {
        bad_setting(err, setting, "cannot be read");
        return error_detail(err, "%s: %s", setting.value, strerror(ENOENT));
    }
    if (fd >= 0)
        close(fd);
    config->ca_bundle = mem_strdup(config, setting.value);
    return true;
}

/* See store_config_place. An endpoint may be AWS by its own name. */
static char *place_name(const struct store_config *config)
{
    bool aws = config->is_aws ||
               (strcmp(config->port, "443") == 0 && aws_host_matches(config->host, NULL));
    const char *r = config->region;
    if (!aws)
        return mem_printf(config, "%s://%s%s", config->scheme, config->authority,
                          config->base_path);
    return mem_strdup(config, strncmp(r, "cn-", 3) == 0       ? "aws-cn"
                              : strncmp(r, "us-gov-", 7) == 0 ? "aws-us-gov"
                                                              : "aws");
}

static enum store_setup load(const void *ctx, const struct store_options *options, bool credentials,
                             struct store_config **config, struct error *err)
{
    const struct store_options none = {0};
    const struct store_options *given = options ? options : &none;
    struct setting bucket = setting_find(given->buckets, "bucket", BUCKET_VARIABLES);
    struct setting endpoint = setting_find(given->endpoint, "endpoint", ENDPOINT_VARIABLES);
    struct setting region = setting_find(given->region, "region", REGION_VARIABLES);
    struct setting style = setting_find(given->path_style, "path style", PATH_STYLE_VARIABLES);
    struct setting aliases = setting_find(NULL, NULL, ALIASES_VARIABLES);
    *config = NULL;
    if (!bucket.value) {
        /* The AWS_ variables are often there for other programs and say nothing by themselves. */
        const struct setting *ours[] = {&endpoint, &region, &style, &aliases};
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
            if (!ours[i]->value || strncmp(ours[i]->source, "AWS_", 4) == 0)
                continue;
            error_set(err, SWEEP_USAGE, "object store: %s is set, but no bucket is",
                      ours[i]->source);
            error_hint(err, "Set PGSWEEP_S3_BUCKET too, or unset %s.", ours[i]->source);
            return STORE_MISCONFIGURED;
        }
        return STORE_NOT_CONFIGURED;
    }
    struct store_config *c = mem_new(ctx, struct store_config);
    c->requests = given->requests > 0 ? given->requests : REQUESTS_DEFAULT;
    c->timeout_ms = TIMEOUT_DEFAULT_MS;
    c->backoff_ms = given->backoff_ms > 0 ? given->backoff_ms : BACKOFF_DEFAULT_MS;
    if (load_buckets(c, bucket, err) && aliases_load(c, aliases.value, err) &&
        load_region(c, region, err) && load_endpoint(c, endpoint, err) &&
        load_path_style(c, style, err) &&
        (!credentials || (load_timeout(c, setting_find(NULL, NULL, TIMEOUT_VARIABLES), err) &&
                          load_ca_bundle(c, setting_find(NULL, NULL, CA_VARIABLES), err) &&
                          credentials_load(c, err)))) {
        c->timeout_ms = given->timeout_ms > 0 ? given->timeout_ms : c->timeout_ms;
        c->place = place_name(c);
        *config = c;
        return STORE_READY;
    }
    talloc_free(c);
    return STORE_MISCONFIGURED;
}

enum store_setup store_config_load(const void *ctx, const struct store_options *options,
                                   struct store_config **config, struct error *err)
{
    return load(ctx, options, true, config, err);
}

enum store_setup store_config_load_place(const void *ctx, const struct store_options *options,
                                         struct store_config **config, struct error *err)
{
    return load(ctx, options, false, config, err);
}

bool store_check_aliases(struct error *err)
{
    struct setting aliases = setting_find(NULL, NULL, ALIASES_VARIABLES);
    struct setting bucket = setting_find(NULL, NULL, BUCKET_VARIABLES);
    if (!aliases.value)
        return true;
    if (!bucket.value) {
        error_set(err, SWEEP_USAGE, "object store: %s is set, but no bucket is", aliases.source);
        return error_hint(err, "Set PGSWEEP_S3_BUCKET too, or unset %s.", aliases.source);
    }
    struct store_config *c = mem_new(NULL, struct store_config);
    bool ok = load_buckets(c, bucket, err) && aliases_load(c, aliases.value, err);
    talloc_free(c);
    return ok;
}

const char *store_config_place(const struct store_config *config)
{
    return config->place;
}

char *const *store_config_buckets(const struct store_config *config, size_t *count)
{
    *count = config->bucket_count;
    return config->buckets;
}

char *config_delete_url(const void *ctx, const struct store_config *config, const char *bucket)
{
    /* The certificate of *.s3.REGION.amazonaws.com does not cover a name with another dot in it,
     * and old names with capitals or underscores are not host names at all. */
    bool plain = strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(bucket);
    /* "?delete=": libcurl 7.88 signs the query string as it stands, and the canonical form of a
     * parameter without a value has the equals sign. */
    if (config->path_style || (config->is_aws && !plain))
        return mem_printf(ctx, "%s://%s%s/%s?delete=", config->scheme, config->authority,
                          config->base_path, bucket);
    return mem_printf(ctx, "%s://%s.%s%s/?delete=", config->scheme, bucket, config->authority,
                      config->base_path);
}

char *store_config_describe(const void *ctx, const struct store_config *config)
{
    char *text = mem_strdup(ctx, config->bucket_count == 1 ? "bucket " : "buckets ");
    for (size_t i = 0; i < config->bucket_count; i++)
        text = mem_check(talloc_asprintf_append(text, "%s%s", i ? ", " : "", config->buckets[i]));
    return mem_check(talloc_asprintf_append(text, " at %s://%s%s, region %s", config->scheme,
                                            config->authority, config->base_path, config->region));
}
