/* Reads the reply to a DeleteObjects request with expat as it arrives. Only the needed parts are
 * kept, in buffers of fixed size; other files decide what they mean. */
#include <expat.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "wire.h"

enum { TEXT_MAX = 4 * WIRE_KEY_MAX, CODE_MAX = 64, MESSAGE_MAX = 256, DEPTH_MAX = 16 };

struct wire_reply {
    XML_Parser parser;
    wire_entry_fn *entry;
    void *user;
    enum wire_root root;
    const char *problem; /* the first problem */
    size_t bytes;
    int depth;                   /* 1: inside the root element */
    bool in_entry, entry_failed; /* inside <Deleted> or <Error> of a DeleteResult */
    bool has_key, overlong;
    bool mixed;              /* the open field has child elements */
    char text[TEXT_MAX + 1]; /* text of the open element */
    size_t length;
    char key[TEXT_MAX + 1];
    char code[CODE_MAX + 1];
    char message[MESSAGE_MAX + 1];
    char region[CODE_MAX + 1];
};

static void give_up(struct wire_reply *reply, const char *problem)
{
    if (!reply->problem)
        reply->problem = problem;
    XML_StopParser(reply->parser, XML_FALSE);
}

/* expat gives names as "namespace|name": some servers use a prefix, others no namespace. */
static const char *local_name(const char *name)
{
    const char *bar = strrchr(name, '|');
    return bar ? bar + 1 : name;
}

static void on_start(void *user, const char *name, const char **attributes)
{
    struct wire_reply *reply = user;
    (void)attributes;
    name = local_name(name);
    if (reply->problem)
        return;
    if (++reply->depth > DEPTH_MAX) {
        give_up(reply, "elements nested too deeply");
    } else if (reply->depth == 1) {
        reply->root = strcmp(name, "DeleteResult") == 0 ? WIRE_ROOT_DELETE_RESULT
                      : strcmp(name, "Error") == 0      ? WIRE_ROOT_ERROR
                                                        : WIRE_ROOT_NONE;
        if (reply->root == WIRE_ROOT_NONE)
            give_up(reply, "not a reply of S3");
    } else if (reply->depth == 2 && reply->root == WIRE_ROOT_DELETE_RESULT) {
        reply->entry_failed = strcmp(name, "Error") == 0;
        reply->in_entry = reply->entry_failed || strcmp(name, "Deleted") == 0;
        reply->has_key = false;
        *reply->key = *reply->code = *reply->message = '\0';
    }
    reply->mixed = reply->depth > 3;
    reply->length = 0;
    reply->overlong = false;
}

static void on_text(void *user, const char *text, int length)
{
    struct wire_reply *reply = user;
    size_t n = (size_t)length;
    if (reply->length + n > TEXT_MAX) {
        n = TEXT_MAX - reply->length;
        reply->overlong = true;
    }
    memcpy(reply->text + reply->length, text, n);
    reply->length += n;
}

/* Copies the text of the element that has just ended, truncated to the available size. */
static void keep_text(const struct wire_reply *reply, char *to, size_t most)
{
    size_t n = reply->length < most ? reply->length : most;
    memcpy(to, reply->text, n);
    to[n] = '\0';
}

static void on_field(struct wire_reply *reply, const char *name)
{
    if (strcmp(name, "Key") == 0) {
        if (reply->overlong || reply->has_key || reply->mixed) {
            give_up(reply, reply->overlong  ? "a key longer than any that was sent"
                           : reply->has_key ? "an entry with two keys"
                                            : "a key with elements inside it");
            return;
        }
        keep_text(reply, reply->key, TEXT_MAX);
        reply->has_key = true;
    } else if (strcmp(name, "Code") == 0) {
        keep_text(reply, reply->code, CODE_MAX);
    } else if (strcmp(name, "Message") == 0) {
        keep_text(reply, reply->message, MESSAGE_MAX);
    } else if (strcmp(name, "Region") == 0) {
        keep_text(reply, reply->region, CODE_MAX);
    }
}

static void on_end(void *user, const char *name)
{
    struct wire_reply *reply = user;
    name = local_name(name);
    if (reply->problem)
        return;
    if (reply->depth == 2 && reply->in_entry) {
        if (!reply->has_key)
            give_up(reply, "an entry without a key");
        else if (reply->entry_failed)
            reply->entry(reply->user, reply->key, *reply->code ? reply->code : "UnknownError",
                         reply->message);
        else
            reply->entry(reply->user, reply->key, NULL, NULL);
        reply->in_entry = false;
    } else if ((reply->depth == 3 && reply->in_entry) ||
               (reply->depth == 2 && reply->root == WIRE_ROOT_ERROR)) {
        on_field(reply, name);
    }
    reply->depth--;
    reply->length = 0;
}

/* No reply of S3 has a document type declaration; without one there are no entities to expand. */
static void on_doctype(void *user, const char *name, const char *system_id, const char *public_id,
                       int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    give_up(user, "not a reply of S3: it has a document type declaration");
}

static int reply_free(struct wire_reply *reply)
{
    XML_ParserFree(reply->parser);
    return 0;
}

struct wire_reply *wire_reply_new(const void *ctx, wire_entry_fn *entry, void *user)
{
    struct wire_reply *reply = mem_new(ctx, struct wire_reply);
    reply->parser = mem_check(XML_ParserCreateNS(NULL, '|'));
    reply->entry = entry;
    reply->user = user;
    XML_SetUserData(reply->parser, reply);
    XML_SetElementHandler(reply->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reply->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reply->parser, on_doctype);
    talloc_set_destructor(reply, reply_free);
    return reply;
}

static bool parse(struct wire_reply *reply, const char *data, size_t length, bool last)
{
    if (reply->problem)
        return false;
    if (XML_Parse(reply->parser, data, (int)length, last) == XML_STATUS_OK)
        return true;
    if (!reply->problem)
        reply->problem = last && reply->bytes == 0 ? "empty"
                         : last                    ? "incomplete"
                                                   : "not well-formed XML";
    return false;
}

bool wire_reply_feed(struct wire_reply *reply, const char *data, size_t length)
{
    reply->bytes += length;
    if (!reply->problem && wire_reply_overlong(reply))
        reply->problem = "longer than 4 MiB";
    return parse(reply, data, length, false);
}

bool wire_reply_overlong(const struct wire_reply *reply)
{
    return reply->bytes > WIRE_REPLY_MAX;
}

bool wire_reply_end(struct wire_reply *reply)
{
    return parse(reply, "", 0, true);
}

const char *wire_reply_problem(const struct wire_reply *reply)
{
    return reply->problem;
}

enum wire_root wire_reply_root(const struct wire_reply *reply)
{
    return reply->root;
}

const char *wire_reply_code(const struct wire_reply *reply)
{
    return reply->code;
}

const char *wire_reply_message(const struct wire_reply *reply)
{
    return reply->message;
}

const char *wire_reply_region(const struct wire_reply *reply)
{
    return reply->region;
}

enum store_outcome wire_code_outcome(const char *code)
{
    static const char *const gone[] = {"NoSuchKey", "NoSuchVersion", "NotFound", "404"};
    static const char *const permanent[] = {"AccessDenied",
                                            "AccountProblem",
                                            "AllAccessDisabled",
                                            "AuthorizationHeaderMalformed",
                                            "IllegalLocationConstraintException",
                                            "InvalidAccessKeyId",
                                            "InvalidArgument",
                                            "InvalidBucketName",
                                            "InvalidRequest",
                                            "InvalidSecurity",
                                            "InvalidToken",
                                            "KeyTooLongError",
                                            "MalformedXML",
                                            "MethodNotAllowed",
                                            "NoSuchBucket",
                                            "NotImplemented",
                                            "NotSignedUp",
                                            "PermanentRedirect",
                                            "SignatureDoesNotMatch",
                                            "UserKeyMustBeSpecified",
                                            "XAmzContentSHA256Mismatch"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strcmp(code, gone[i]) == 0)
            return STORE_DELETED;
    for (size_t i = 0; i < sizeof permanent / sizeof *permanent; i++)
        if (strcmp(code, permanent[i]) == 0)
            return STORE_FAILED_PERMANENT;
    return STORE_FAILED_RETRYABLE;
}
