/* The result of store_config_load; private to this room. Contains secrets: never print it as a
 * whole. */
#ifndef PGSWEEP_STORE_CONFIG_H
#define PGSWEEP_STORE_CONFIG_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"
#include "pgsweep/store.h"

/* Publishes objects of a bucket on another host: a URL below host and path means the object prefix
 * + the rest of the URL. */
struct store_alias {
    char *host; /* lower case */
    char *port; /* NULL: the default of the URL's scheme */
    char *path; /* decoded; begins and ends with a slash */
    int bucket;
    const char *prefix; /* the prefix of keys: empty, or ending with a slash */
};

#define ALIASES_VARIABLE "PGSWEEP_S3_ALIASES"

struct store_config {
    bool is_aws;     /* no endpoint was given */
    char *scheme;    /* "http", "https" */
    char *host;      /* of the endpoint; lower case, an IPv6 address in brackets */
    char *port;      /* as a number, even if the URL leaves it out */
    char *authority; /* host, and the port if it is not the scheme's default */
    char *base_path; /* path of the endpoint, without a slash at the end; usually "" */
    char *region;
    bool path_style;
    char **buckets; /* plain keys belong to the first one */
    size_t bucket_count;
    struct store_alias *aliases;
    size_t alias_count;
    char *place; /* store_config_place */
    char *access_key_id;
    char *secret_access_key;
    char *session_token; /* may be NULL */
    char *ca_bundle;     /* may be NULL */
    int requests;
    int timeout_ms;
    int backoff_ms;
};

/* The value of the first of the variables (a NULL-terminated list) that is set and not empty, or
 * NULL; *name: its name. */
const char *config_environment(const char *const *variables, const char **name);

/* One part of a URL, owned by ctx; NULL: it has no such part. flags: as for curl_url_get. */
char *config_url_part(const void *ctx, CURLU *url, CURLUPart part, unsigned flags);

/* Fills the three credential fields. False, with err set, if they are missing or incomplete. */
bool credentials_load(struct store_config *config, struct error *err);

/* Whether host (lower case) is an S3 host of AWS. bucket NULL: a host for path-style URLs;
 * otherwise the virtual host of that bucket. */
bool aws_host_matches(const char *host, const char *bucket);

/* Reads PGSWEEP_S3_ALIASES (value; may be NULL). The buckets must be known already. */
bool aliases_load(struct store_config *config, const char *value, struct error *err);

/* The alias with the longest path that contains the URL, or NULL. path: decoded. own_port: the port
 * is the default of the URL's scheme. */
const struct store_alias *alias_find(const struct store_config *config, const char *host,
                                     const char *port, bool own_port, const char *path);

/* Decodes percent escapes in place. Returns why that is impossible, or NULL. */
const char *url_decode_path(char *text);

/* The index of the configured bucket of that name, or -1. */
int config_bucket(const struct store_config *config, const char *name, size_t length);

/* The URL for DeleteObjects requests of that bucket; owned by ctx. */
char *config_delete_url(const void *ctx, const struct store_config *config, const char *bucket);

#endif
