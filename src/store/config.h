/* What store_config_load found out; private to this room. Holds secrets: never print it whole. */
#ifndef PGSWEEP_STORE_CONFIG_H
#define PGSWEEP_STORE_CONFIG_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"
#include "pgsweep/store.h"

/* Objects of a bucket under another host: a URL below host and path is the object prefix + the
 * rest. */
struct store_alias {
    char *host; /* lower case */
    char *port; /* NULL: the one of the URL's scheme */
    char *path; /* decoded; begins and ends with a slash */
    int bucket;
    const char *prefix; /* of keys: empty, or with a slash at the end */
};

#define ALIASES_VARIABLE "PGSWEEP_S3_ALIASES"

struct store_config {
    bool is_aws;     /* no endpoint was given */
    char *scheme;    /* "http", "https" */
    char *host;      /* of the endpoint; lower case, an IPv6 address in brackets */
    char *port;      /* as a number, also where the URL leaves it out */
    char *authority; /* host, and the port where it is not the scheme's own */
    char *base_path; /* of the endpoint, without a slash at the end; mostly "" */
    char *region;
    bool path_style;
    char **buckets; /* the first one owns plain keys */
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

/* The first of the variables (a NULL-terminated list) that is set and not empty, or NULL; its name
 * goes to *name. */
const char *config_environment(const char *const *variables, const char **name);

/* One part of a URL, owned by ctx; NULL when it has none. flags: as for curl_url_get. */
char *config_url_part(const void *ctx, CURLU *url, CURLUPart part, unsigned flags);

/* Fills the three credential fields. False and err when there are none, or half of them. */
bool credentials_load(struct store_config *config, struct error *err);

/* Whether host (lower case) is an S3 host of AWS. bucket NULL: one for path-style URLs; otherwise
 * the virtual host of that bucket. */
bool aws_host_matches(const char *host, const char *bucket);

/* Reads PGSWEEP_S3_ALIASES (value; may be NULL) once the buckets are known. */
bool aliases_load(struct store_config *config, const char *value, struct error *err);

/* The alias that a URL is below, the one with the longest path, or NULL. path: decoded. own_port:
 * it is the one of the URL's scheme. */
const struct store_alias *alias_find(const struct store_config *config, const char *host,
                                     const char *port, bool own_port, const char *path);

/* Decodes percent escapes in place; why it cannot, or NULL. */
const char *url_decode_path(char *text);

/* The number of the configured bucket of that name, or -1. */
int config_bucket(const struct store_config *config, const char *name, size_t length);

/* The URL to send DeleteObjects for that bucket to; owned by ctx. */
char *config_delete_url(const void *ctx, const struct store_config *config, const char *bucket);

#endif
