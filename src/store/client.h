/* Sends one signed request and judges its outcome; private to this room. */
#ifndef PGSWEEP_STORE_CLIENT_H
#define PGSWEEP_STORE_CLIENT_H

#include <curl/curl.h>
#include <stdint.h>

#include "config.h"
#include "wire.h"

enum slot_state {
    SLOT_IDLE,
    SLOT_RUNNING, /* its request is in flight */
    SLOT_WAITING  /* its request will be repeated, not before not_before */
};

/* One request at a time. The next request reuses its memory and its easy handle. */
struct slot {
    enum slot_state state;
    CURL *easy;
    struct curl_slist *headers;
    struct wire_body body;
    struct wire_reply *reply; /* owned by the store; one per attempt */
    char curl_error[CURL_ERROR_SIZE];
    int bucket;        /* index of the bucket in the config */
    size_t first, end; /* the range of the caller's items that are in the body */
    void *user;        /* data of the caller */
    int attempts;
    int64_t not_before; /* clock_now_ms */
};

struct store {
    const struct store_config *config;
    CURLM *multi;
    struct slot *slots;
    int slot_count;
    size_t sent;
};

/* Signs and sends the slot's body; entry is called for the entries of the reply, with the slot as
 * user. False, with text (owned by ctx), if it cannot be sent. */
bool client_send(struct store *store, struct slot *slot, wire_entry_fn *entry, const void *ctx,
                 char **text);

/* The outcome of a request as a whole. */
struct verdict {
    bool good; /* a complete reply with results per key; the other members are unset then */
    enum store_outcome outcome; /* the failure that applies to all its keys */
    bool again;                 /* worth repeating in this call, after a pause */
    bool ends_bucket;           /* further requests to this bucket would fail the same way */
    char *text;                 /* "code: message", owned by ctx */
};

/* status and region_hint ("" or the x-amz-bucket-region header) are those of the HTTP reply. */
struct verdict verdict_of(const void *ctx, const struct store_config *config, CURLcode code,
                          const char *curl_error, long status, const char *region_hint,
                          struct wire_reply *reply);

/* "code: message", printable and shortened to the length that store.h promises; owned by ctx. */
char *verdict_text(const void *ctx, const char *code, const char *message);

/* Judges the slot's finished request. */
struct verdict client_verdict(const struct store *store, struct slot *slot, CURLcode code,
                              const void *ctx);

#endif
