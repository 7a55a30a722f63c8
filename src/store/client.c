/* Prepares requests for libcurl: handles, headers, digests, limits. libcurl does the signing. */
#include "client.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "pgsweep/mem.h"

enum { CONNECT_TIMEOUT_MS = 5000, SLOTS_MAX = 64 };

static int store_free(struct store *store)
{
    for (int i = 0; i < store->slot_count; i++) {
        struct slot *slot = &store->slots[i];
        if (slot->easy && slot->state == SLOT_RUNNING)
            curl_multi_remove_handle(store->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
        curl_slist_free_all(slot->headers);
    }
    curl_multi_cleanup(store->multi);
    curl_global_cleanup();
    return 0;
}

/* Sets the options that are the same for every request of a slot. */
static bool slot_prepare(struct slot *slot, const struct store_config *config)
{
    CURL *easy = slot->easy = curl_easy_init();
    if (!easy)
        return false;
    char provider[128];
    snprintf(provider, sizeof provider, "aws:amz:%s:s3", config->region);
    bool ok = curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, provider) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_USERNAME, config->access_key_id) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PASSWORD, config->secret_access_key) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_USERAGENT, "pgsweep/" PGSWEEP_VERSION) == CURLE_OK;
    /* Following a redirect would send the signature, or a new one, to a host that nobody
     * configured. */
    ok &= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    if (config->ca_bundle)
        ok &= curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_bundle) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) == CURLE_OK;
    /* There is no limit on low speed: a server may be silent for a long time while it deletes 1,000
     * objects. */
    ok &= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, slot->curl_error) == CURLE_OK;
    ok &= curl_easy_setopt(easy, CURLOPT_PRIVATE, slot) == CURLE_OK;
    return ok;
}

bool store_new(const void *ctx, const struct store_config *config, struct store **store,
               struct error *err)
{
    *store = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, SWEEP_INTERNAL, "object store: cannot initialize libcurl");
    struct store *s = mem_new(ctx, struct store);
    s->config = config;
    s->multi = mem_check(curl_multi_init());
    s->slot_count = config->requests < SLOTS_MAX ? config->requests : SLOTS_MAX;
    s->slots = mem_array(s, struct slot, s->slot_count);
    talloc_set_destructor(s, store_free);
    for (int i = 0; i < s->slot_count; i++) {
        if (slot_prepare(&s->slots[i], config))
            continue;
        talloc_free(s);
        error_set(err, SWEEP_INTERNAL, "object store: libcurl cannot sign requests (AWS SigV4)");
        return error_hint(err, "Use libcurl 7.88 or later, built with its default features.");
    }
    *store = s;
    return true;
}

size_t store_requests_sent(const struct store *store)
{
    return store->sent;
}

/* Sets the headers that are signed together with libcurl's host and x-amz-date. Every S3 server
 * accepts Content-MD5; if the library refuses MD5 (FIPS), the checksum header serves the same
 * purpose. */
static bool set_headers(struct slot *slot, const struct store_config *config)
{
    unsigned char sha[EVP_MAX_MD_SIZE], md5[EVP_MAX_MD_SIZE], base64[2 * EVP_MAX_MD_SIZE];
    unsigned sha_length = 0, md5_length = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    if (!EVP_Digest(slot->body.data, slot->body.length, sha, &sha_length, EVP_sha256(), NULL))
        return false;
    for (unsigned i = 0; i < sha_length; i++)
        snprintf(hex + 2 * i, 3, "%02x", sha[i]);
    bool has_md5 =
        EVP_Digest(slot->body.data, slot->body.length, md5, &md5_length, EVP_md5(), NULL);
    EVP_EncodeBlock(base64, has_md5 ? md5 : sha, (int)(has_md5 ? md5_length : sha_length));

    void *scratch = mem_check(talloc_new(NULL));
    const char *lines[] = {
        "content-type: application/xml",
        mem_printf(scratch, "x-amz-content-sha256: %s", hex),
        mem_printf(scratch, "%s: %s", has_md5 ? "content-md5" : "x-amz-checksum-sha256", base64),
        config->session_token
            ? mem_printf(scratch, "x-amz-security-token: %s", config->session_token)
            : NULL,
    };
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i])
            slot->headers = mem_check(curl_slist_append(slot->headers, lines[i]));
    talloc_free(scratch);
    return true;
}

static size_t on_data(char *data, size_t size, size_t n, void *user)
{
    struct slot *slot = user;
    /* A reply that is not XML is still read to its end, because the status line may be more
     * informative. Only an endless reply is cut off. */
    if (!wire_reply_feed(slot->reply, data, size * n) && wire_reply_overlong(slot->reply))
        return 0;
    return size * n;
}

bool client_send(struct store *store, struct slot *slot, wire_entry_fn *entry, const void *ctx,
                 char **text)
{
    const struct store_config *config = store->config;
    char *url = config_delete_url(ctx, config, config->buckets[slot->bucket]);
    talloc_free(slot->reply);
    slot->reply = wire_reply_new(store, entry, slot);
    slot->curl_error[0] = '\0';
    CURL *easy = slot->easy;
    bool ok = set_headers(slot, config);
    ok = ok && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, slot->headers) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)slot->body.length) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_POSTFIELDS, slot->body.data) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) == CURLE_OK;
    ok = ok && curl_multi_add_handle(store->multi, easy) == CURLM_OK;
    talloc_free(url);
    if (!ok) {
        *text = verdict_text(ctx, "InternalClientError", "the request could not be made");
        return false;
    }
    slot->state = SLOT_RUNNING;
    slot->attempts++;
    store->sent++;
    return true;
}

struct verdict client_verdict(const struct store *store, struct slot *slot, CURLcode code,
                              const void *ctx)
{
    long status = 0;
    struct curl_header *region = NULL;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    if (curl_easy_header(slot->easy, "x-amz-bucket-region", 0, CURLH_HEADER, -1, &region) !=
        CURLHE_OK)
        region = NULL;
    return verdict_of(ctx, store->config, code, slot->curl_error, status,
                      region ? region->value : "", slot->reply);
}
