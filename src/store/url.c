/* Parts of URLs, and the names of buckets, hosts and regions in them. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "pgsweep/mem.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A region as it stands in a host name: "eu-west-1", "us-gov-east-1", "external-1". */
static bool is_region(const char *text, size_t length)
{
    bool dash = false;
    for (size_t i = 0; i < length; i++) {
        if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]) && text[i] != '-')
            return false;
        dash |= text[i] == '-';
    }
    return dash && isdigit((unsigned char)text[length - 1]);
}

/* Whether the labels are those of the service: s3, s3-REGION, s3.REGION, s3.dualstack.REGION,
 * s3-fips..., s3-accelerate... */
static bool is_service(const char *labels, size_t length)
{
    const char *end = labels + length;
    const char *dot = memchr(labels, '.', length);
    size_t first = dot ? (size_t)(dot - labels) : length;
    bool known = (first == 2 && strncmp(labels, "s3", 2) == 0) ||
                 (first == 7 && strncmp(labels, "s3-fips", 7) == 0) ||
                 (first == 13 && strncmp(labels, "s3-accelerate", 13) == 0);
    if (!known)
        return !dot && first > 3 && strncmp(labels, "s3-", 3) == 0 &&
               is_region(labels + 3, first - 3);
    if (!dot)
        return true;
    dot++;
    static const char dual[] = "dualstack";
    size_t left = (size_t)(end - dot), n = sizeof dual - 1;
    if (left >= n && strncmp(dot, dual, n) == 0) {
        if (left == n)
            return first == 13;
        dot += n + 1;
        if (dot[-1] != '.')
            return false;
    }
    return is_region(dot, (size_t)(end - dot));
}

int config_bucket(const struct store_config *config, const char *name, size_t length)
{
    for (size_t i = 0; i < config->bucket_count; i++)
        if (strlen(config->buckets[i]) == length && memcmp(config->buckets[i], name, length) == 0)
            return (int)i;
    return -1;
}

char *config_url_part(const void *ctx, CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
        return NULL;
    char *copy = mem_strdup(ctx, text);
    curl_free(text);
    return copy;
}

const char *url_decode_path(char *text)
{
    char *out = text;
    for (const char *p = text; *p; p++) {
        if (*p != '%') {
            *out++ = *p;
            continue;
        }
        int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);
        if (low < 0)
            return "has a percent sign that is not followed by two hexadecimal digits";
        if (high == 0 && low == 0)
            return "has an encoded zero byte";
        *out++ = (char)(high * 16 + low);
        p += 2;
    }
    *out = '\0';
    return NULL;
}

bool aws_host_matches(const char *host, const char *bucket)
{
    static const char *const domains[] = {".amazonaws.com", ".amazonaws.com.cn"};
    size_t length = strlen(host), prefix = bucket ? strlen(bucket) : 0;
    for (size_t i = 0; i < sizeof domains / sizeof *domains; i++) {
        size_t tail = strlen(domains[i]);
        if (length <= tail || strcmp(host + length - tail, domains[i]) != 0)
            continue;
        if (!bucket)
            return is_service(host, length - tail);
        return length > tail + prefix + 1 && strncasecmp(host, bucket, prefix) == 0 &&
               host[prefix] == '.' && is_service(host + prefix + 1, length - tail - prefix - 1);
    }
    return false;
}
