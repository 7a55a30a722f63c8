/*
 * The wire format: the body of a DeleteObjects request, its reply, and the meaning of its codes
 * (Amazon S3 API Reference: DeleteObjects; Error Responses). Private to this room; no network. */
#ifndef PGSWEEP_STORE_WIRE_H
#define PGSWEEP_STORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "pgsweep/store.h"

/* The limits of one request. The body stays below 1 MiB, above which libcurl would ask the server
 * first (Expect: 100-continue); only keys of 1,000 bytes and more come near that. */
enum {
    WIRE_KEYS_MAX = 1000,
    WIRE_BODY_MAX = 1000000,
    WIRE_KEY_MAX = 1024,
    WIRE_REPLY_MAX = 4 * 1024 * 1024
};

/* Why that key cannot be sent ("code: message", static): it is empty, longer than S3 allows, not
 * UTF-8, or has a character that XML 1.0 cannot represent (section 2.2). NULL: it can. */
const char *wire_key_problem(const char *key);

/* A request body that is being built, in memory that is reused. */
struct wire_body {
    char *data; /* owned by the talloc context given to wire_body_begin */
    size_t length;
    size_t room;
};

/* Empties the body and writes its head. */
void wire_body_begin(const void *ctx, struct wire_body *body);

/* Adds a key that wire_key_problem accepted. False, with nothing added, if the body would be longer
 * than WIRE_BODY_MAX. */
bool wire_body_add(const void *ctx, struct wire_body *body, const char *key);

void wire_body_end(const void *ctx, struct wire_body *body);

/* Called for each entry of a reply, in order. code NULL: deleted. */
typedef void wire_entry_fn(void *user, const char *key, const char *code, const char *message);

enum wire_root { WIRE_ROOT_NONE, WIRE_ROOT_DELETE_RESULT, WIRE_ROOT_ERROR };

struct wire_reply;

/* A parser for one reply, owned by ctx. */
struct wire_reply *wire_reply_new(const void *ctx, wire_entry_fn *entry, void *user);

/* Takes the next bytes; false: the reply cannot become valid any more. */
bool wire_reply_feed(struct wire_reply *reply, const char *data, size_t length);

/* Whether more than WIRE_REPLY_MAX bytes have come: the caller should stop reading. */
bool wire_reply_overlong(const struct wire_reply *reply);

/* To be called once, after the last byte: true if the reply was complete and well-formed. Until
 * then no entry is valid. */
bool wire_reply_end(struct wire_reply *reply);

/* Why feed or end returned false; never NULL then. */
const char *wire_reply_problem(const struct wire_reply *reply);

/* After wire_reply_end: the kind of the reply, and the fields of an <Error> reply ("" if missing;
 * region: the one that it asks for). */
enum wire_root wire_reply_root(const struct wire_reply *reply);
const char *wire_reply_code(const struct wire_reply *reply);
const char *wire_reply_message(const struct wire_reply *reply);
const char *wire_reply_region(const struct wire_reply *reply);

/* The meaning of an error code for a key: "NoSuchKey" is STORE_DELETED; codes that a retry cannot
 * cure are permanent; all others, including unknown ones, are retryable. */
enum store_outcome wire_code_outcome(const char *code);

#endif
