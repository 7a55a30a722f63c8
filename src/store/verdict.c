/* Judges a request as a whole: from libcurl's code, the HTTP status and the reply to an outcome and
 * a text. Pure. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

enum { TEXT_BYTES_MAX = 590 };

char *verdict_text(const void *ctx, const char *code, const char *message)
{
    char *whole = *message ? mem_printf(ctx, "%s: %s", code, message) : mem_strdup(ctx, code);
    char *text = text_escape(ctx, whole, strlen(whole));
    talloc_free(whole);
    size_t length = strlen(text);
    if (length > TEXT_BYTES_MAX) {
        length = TEXT_BYTES_MAX;
        while (length > 0 && (text[length] & 0xc0) == 0x80)
            length--;
        text[length] = '\0';
    }
    return text;
}

static struct verdict verdict_of_curl(const void *ctx, const struct store_config *config,
                                      CURLcode code, const char *curl_error)
{
    struct verdict v = {.outcome = STORE_FAILED_RETRYABLE, .ends_bucket = true};
    const char *name = "TransferFailed";
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        name = "Unreachable";
        break;
    case CURLE_OPERATION_TIMEDOUT:
        name = "Timeout";
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        name = "ConnectionLost";
        v.again = true;
        break;
    case CURLE_PARTIAL_FILE:
        name = "IncompleteReply";
        v.ends_bucket = false;
        break;
    case CURLE_WRITE_ERROR: /* our callback refuses data for this reason only */
        v.text = verdict_text(ctx, "BadReply", "the reply is longer than 4 MiB");
        v.ends_bucket = false;
        return v;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
        name = "TlsError";
        break;
    default:
        break;
    }
    char *message = mem_printf(ctx, "%s://%s: %s", config->scheme, config->authority,
                               *curl_error ? curl_error : curl_easy_strerror(code));
    v.text = verdict_text(ctx, name, message);
    talloc_free(message);
    return v;
}

/* An explanation in addition to the server's message, if that does not tell the operator what to
 * do. */
static char *explain(const void *ctx, const struct store_config *config, const char *code,
                     const char *region, const char *said)
{
    bool redirect = strcmp(code, "PermanentRedirect") == 0 || strcmp(code, "HTTP 301") == 0;
    if (redirect || (strcmp(code, "AuthorizationHeaderMalformed") == 0 && *region)) {
        if (*region)
            return mem_printf(ctx, "the bucket is in region %s, not %s; set PGSWEEP_S3_REGION",
                              region, config->region);
        return mem_printf(ctx,
                          "the bucket is not in region %s or not at %s; set PGSWEEP_S3_REGION "
                          "or PGSWEEP_S3_ENDPOINT",
                          config->region, config->host);
    }
    if (strcmp(code, "RequestTimeTooSkewed") == 0)
        return mem_strdup(ctx, "the clocks of this machine and of the object store differ by more "
                               "than 15 minutes; set this machine's clock");
    return mem_strdup(ctx, said);
}

static bool is_transient(long status, const char *code)
{
    static const char *const codes[] = {"SlowDown", "InternalError", "ServiceUnavailable"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return status == 429 || status == 500 || (status >= 502 && status <= 504);
}

struct verdict verdict_of(const void *ctx, const struct store_config *config, CURLcode curl,
                          const char *curl_error, long status, const char *region_hint,
                          struct wire_reply *reply)
{
    if (curl != CURLE_OK)
        return verdict_of_curl(ctx, config, curl, curl_error);
    bool whole = wire_reply_end(reply);
    bool accepted = status >= 200 && status < 300;
    struct verdict v = {.outcome = STORE_FAILED_RETRYABLE};
    if (accepted && whole && wire_reply_root(reply) == WIRE_ROOT_DELETE_RESULT) {
        v.good = true;
        return v;
    }
    if (accepted && !whole) {
        char *message =
            mem_printf(ctx, "the reply of the object store is %s", wire_reply_problem(reply));
        v.text = verdict_text(ctx, "BadReply", message);
        talloc_free(message);
        return v;
    }
    char number[32];
    snprintf(number, sizeof number, "HTTP %ld", status);
    bool told = wire_reply_root(reply) == WIRE_ROOT_ERROR && *wire_reply_code(reply);
    const char *code = told ? wire_reply_code(reply) : number;
    const char *region = *wire_reply_region(reply) ? wire_reply_region(reply) : region_hint;
    v.ends_bucket = true;
    v.again = is_transient(status, code);
    if (told)
        v.outcome = wire_code_outcome(code);
    else if (status >= 300 && status < 500 && status != 307 && status != 408 && status != 429)
        v.outcome = STORE_FAILED_PERMANENT;
    /* "No such key" is about one key; as the answer to a whole request it confirms nothing. */
    if (v.outcome == STORE_DELETED)
        v.outcome = STORE_FAILED_RETRYABLE;
    char *message = explain(ctx, config, code, region, told ? wire_reply_message(reply) : "");
    v.text = verdict_text(ctx, code, message);
    talloc_free(message);
    return v;
}
