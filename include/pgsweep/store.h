/*
 * Stored objects (S3 and compatible): where they live, which object a value of a row names, and
 * deleting them. Which keys to delete, when, and what to do about one that failed is the caller's.
 *
 * One struct store belongs to one thread; a process may have several. */
#ifndef PGSWEEP_STORE_H
#define PGSWEEP_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/error.h"

struct store_config;
struct store;

/* What the caller sets; NULL and 0 leave it to the environment or the default. */
struct store_options {
    const char *endpoint; /* PGSWEEP_S3_ENDPOINT, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL: AWS */
    const char *region;   /* PGSWEEP_S3_REGION, AWS_REGION, AWS_DEFAULT_REGION: us-east-1 */
    const char *buckets;  /* PGSWEEP_S3_BUCKET: one, or several separated by commas */
    const char
        *path_style; /* PGSWEEP_S3_PATH_STYLE: on, off, auto (on when there is an endpoint) */
    int requests;    /* in flight at once: 4 */
    int timeout_ms;  /* of one request, from connecting to the end of the reply:
                      * PGSWEEP_S3_TIMEOUT ("30 s", "2 min"): 60,000 */
    int backoff_ms;  /* the first wait before a request is repeated: 200; doubled after that */
};

/* The i-th of the PGSWEEP_ variables that are read; NULL behind the last. */
const char *store_variable(size_t i);

enum store_setup {
    STORE_READY,
    STORE_NOT_CONFIGURED, /* nothing says where objects live: not an error; leave the keys queued */
    STORE_MISCONFIGURED   /* half of it is there, or it cannot be right: err says what and where */
};

/* Reads options (may be NULL), then the environment, then the shared credentials file
 * (AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials; profile AWS_PROFILE, or "default"), which is
 * looked at only when AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are unset. A session token is
 * taken from where the keys were found. AWS_CA_BUNDLE names the certificates to trust. An empty
 * variable counts as unset.
 *
 * STORE_READY: *config is set, owned by ctx. Otherwise *config is NULL; only STORE_MISCONFIGURED
 * fills err. Nothing is sent; whether the store can be reached shows at the first deletion. */
enum store_setup store_config_load(const void *ctx, const struct store_options *options,
                                   struct store_config **config, struct error *err);

/* The same without credentials: enough to resolve values, not for store_new. */
enum store_setup store_config_load_place(const void *ctx, const struct store_options *options,
                                         struct store_config **config, struct error *err);

/* Checks PGSWEEP_S3_ALIASES, where it is set. False: it cannot be right, or there is no bucket that
 * it could be about; err says what and where. Quiet about all other settings. */
bool store_check_aliases(struct error *err);

/* The store, under a name that stays the same while its objects do: the endpoint's URL, "aws", or
 * the partition of AWS
 * ("aws-cn", "aws-us-gov"), whatever the region. Owned by the config. */
const char *store_config_place(const struct store_config *config);

/* The configured buckets; the first one owns plain keys. Owned by the config. */
char *const *store_config_buckets(const struct store_config *config, size_t *count);

/* "bucket media at https://s3.example.com, region eu-west-1" for a log line: no credentials. */
char *store_config_describe(const void *ctx, const struct store_config *config);

enum store_kind {
    STORE_NOTHING, /* NULL or empty: no object to delete */
    STORE_OBJECT,  /* an object of a configured bucket */
    STORE_FOREIGN  /* not, or not surely, one of ours: report it, never delete it */
};

struct store_location {
    enum store_kind kind;
    const char *bucket; /* STORE_OBJECT: owned by the config */
    char *key;          /* STORE_OBJECT: owned by ctx; NUL-terminated, never empty */
    char *reason;       /* STORE_FOREIGN: why; owned by ctx; holds no secret part of the value */
    /* STORE_FOREIGN: of a URL that does not show whose object it is (the host is unknown, or the
     * URL is broken), the decoded path without a slash in front: it may end in a key of ours; else
     * NULL. */
    char *path;
    bool relative; /* the value names no store: a key, or s3:// */
};

/* The object that value names:
 *   - "s3://bucket/key": the key is taken literally, as the AWS command line does;
 *   - an http(s) URL below an alias (PGSWEEP_S3_ALIASES);
 *   - an http(s) URL, path style or virtual-host style, of an AWS host or of the configured
 *     endpoint (host and port must match, the case of the host does not matter). The path is
 *     percent-decoded ('+' stays '+', RFC 3986), the query string and the fragment are dropped;
 *   - "//host/path": as such a URL when host looks like a host name (has a dot or a port);
 *   - a value that begins with another scheme ("gs://", "data:...", "arn:..."): foreign;
 *   - anything else is a key, taken literally, never decoded: of the bucket given, or of the first
 * configured one. Foreign too: another bucket, no key after the bucket, a bad percent escape, a
 * user name or a dot segment in a URL ("..": browsers and S3 do not agree on what it names). */
struct store_location store_resolve(const void *ctx, const struct store_config *config,
                                    const char *value);
struct store_location store_resolve_in(const void *ctx, const struct store_config *config,
                                       const char *default_bucket, const char *value);

/* Whether the key, as it would be sent to the store, begins with one of these prefixes (at least
 * one). A key with a segment
 * "." or ".." (escaped or not) is below none but "": what it names depends on who reads it. */
bool store_key_is_below(const char *key, const char *const *prefixes, size_t count);

/* The other way round: a value that names the object (STORE_OBJECT), or may name it (path), is the
 * first of these texts as it stands or behind "s3://BUCKET/", or it is a URL whose decoded path
 * ends with one of them, at a slash. So a database can look for the rows that may name an object,
 * and store_resolve says which do. Returns how many; owned by ctx. */
size_t store_spellings(const void *ctx, const struct store_config *config,
                       const struct store_location *where, char ***spellings);

/* Opens nothing yet: connections are made when needed and kept for the life of the store. config
 * must outlive it. Owned by ctx; talloc_free closes it. False and err when libcurl cannot start. */
bool store_new(const void *ctx, const struct store_config *config, struct store **store,
               struct error *err);

struct store_object {
    const char *bucket; /* one of the configured ones, as store_resolve gave it */
    const char *key;
};

enum store_outcome {
    STORE_DELETED,          /* the server confirmed it, or says that there is no such object */
    STORE_FAILED_RETRYABLE, /* try again later: the object may or may not be gone */
    STORE_FAILED_PERMANENT, /* will fail again until somebody changes something */
    STORE_STOPPED /* a signal came first: nothing is known, and nothing is the store's fault */
};

struct store_result {
    enum store_outcome outcome;
    char *error; /* "code: message" unless deleted, else NULL; printable, no secrets, < 600 bytes */
};

/* Deletes objects[0 .. n-1] (any n; duplicates are sent once) and fills results[0 .. n-1], whose
 * texts are owned by ctx. Returns how many of them are deleted.
 *
 * One DeleteObjects request holds up to 1,000 keys of one bucket; several are in flight. A key
 * counts as deleted only if a complete, well-formed reply says so. 503, 500 and a lost connection
 * are repeated twice at most; beyond that, retrying is the caller's. When a request fails as a
 * whole, the keys of that bucket which have not been sent yet get the same outcome unsent.
 *
 * After stop_requested() nothing new is sent, and what is in flight is waited for, for a few
 * seconds; after stop_forced() not even that. What was not confirmed is STORE_STOPPED. Never call
 * this while a transaction is open. */
size_t store_delete(struct store *store, const void *ctx, const struct store_object *objects,
                    size_t n, struct store_result *results);

/* Requests sent so far, repeated ones included. */
size_t store_requests_sent(const struct store *store);

#endif
