/*
 * What goes over the wire: the body of a DeleteObjects request, its reply, and what its codes mean
 * (Amazon S3 API Reference: DeleteObjects; Error Responses). Private to this room; no network. */
#ifndef PGSWEEP_STORE_WIRE_H
#define PGSWEEP_STORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/store.h"

/* The limits of one request. The body stays below 1 MiB, where libcurl would begin to ask for leave
 * first (Expect: 100-continue); only keys of 1,000 bytes and more come near it. */
enum {
    WIRE_KEYS_MAX = 1000,
    WIRE_BODY_MAX = 1000000,
    WIRE_KEY_MAX = 1024,
    WIRE_REPLY_MAX = 4 * 1024 * 1024
};

/* Why that key cannot be sent ("code: message", static), or NULL: empty, longer than S3 allows, not
 * UTF-8, or with a character that XML 1.0 cannot carry (section 2.2). */
const char *wire_key_problem(const char *key);

/* A request body that is being put together, in memory that is used again. */
struct wire_body {
    char *data; /* owned by the talloc context given to wire_body_begin */
    size_t length;
    size_t room;
};

/* Empties the body and writes its head. */
void wire_body_begin(const void *ctx, struct wire_body *body);

/* Adds a key that wire_key_problem accepted; false, and nothing added, when the body would be
 * longer than WIRE_BODY_MAX. */
bool wire_body_add(const void *ctx, struct wire_body *body, const char *key);

void wire_body_end(const void *ctx, struct wire_body *body);

/* Called for each entry of a reply, in its order. code NULL: deleted. */
typedef void wire_entry_fn(void *user, const char *key, const char *code, const char *message);

enum wire_root { WIRE_ROOT_NONE, WIRE_ROOT_DELETE_RESULT, WIRE_ROOT_ERROR };

struct wire_reply;

/* A parser for one reply, owned by ctx. */
struct wire_reply *wire_reply_new(const void *ctx, wire_entry_fn *entry, void *user);

/* Takes the next bytes; false when the reply cannot become a good one any more. */
bool wire_reply_feed(struct wire_reply *reply, const char *data, size_t length);

/* Whether more than WIRE_REPLY_MAX bytes came: stop reading. */
bool wire_reply_overlong(const struct wire_reply *reply);

/* Call once, after the last byte: true when it was a complete, well-formed reply. Until then no
 * entry counts. */
bool wire_reply_end(struct wire_reply *reply);

/* Why feed or end returned false; never NULL then. */
const char *wire_reply_problem(const struct wire_reply *reply);

/* After wire_reply_end: what the reply is, and what an <Error> reply says ("" where it says
 * nothing; region: the one that it asks for). */
enum wire_root wire_reply_root(const struct wire_reply *reply);
const char *wire_reply_code(const struct wire_reply *reply);
const char *wire_reply_message(const struct wire_reply *reply);
const char *wire_reply_region(const struct wire_reply *reply);

/* What an error code means for a key: "NoSuchKey" is STORE_DELETED, codes that no retry can help
 * are permanent, all others (unknown ones too) retryable. */
enum store_outcome wire_code_outcome(const char *code);

#endif
