/*
 * Unit tests of the object store module: configuration, and which object a value names. The rest is
 * in test_store_wire.c and tests/integration/test_store_s3.py. */
#define _GNU_SOURCE
#include "unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/store/config.h"
#include "mutate.h"
#include "pgsweep/store.h"

static void set_up(void)
{
    static const char *const all[] = {"PGSWEEP_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3",
                                      "AWS_ENDPOINT_URL",    "PGSWEEP_S3_REGION",
                                      "AWS_REGION",          "AWS_DEFAULT_REGION",
                                      "PGSWEEP_S3_BUCKET",   "PGSWEEP_S3_PATH_STYLE",
                                      "PGSWEEP_S3_TIMEOUT",  "PGSWEEP_S3_ALIASES",
                                      "AWS_SESSION_TOKEN",   "AWS_SHARED_CREDENTIALS_FILE",
                                      "AWS_PROFILE",         "AWS_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        unsetenv(all[i]);
    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "sEcReT", 1);
    setenv("HOME", "/nonexistent", 1);
    unit_setup();
}

static struct store_config *configured(const char *endpoint, const char *buckets)
{
    struct store_config *config = NULL;
    struct store_options options = {
        .endpoint = endpoint, .buckets = buckets, .region = "eu-west-1"};
    ck_assert_msg(store_config_load(ctx, &options, &config, &err) == STORE_READY, "%s",
                  err.message);
    return config;
}

/* Loads, expects a refusal whose message and hint hold these words and no secret. */
static void refused(const struct store_options *options, const char *message)
{
    struct store_config *config = NULL;
    ck_assert_int_eq(store_config_load(ctx, options, &config, &err), STORE_MISCONFIGURED);
    ck_assert_ptr_null(config);
    ck_assert_msg(strstr(err.message, message) != NULL, "\"%s\" lacks \"%s\"", err.message,
                  message);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    ck_assert_ptr_null(strstr(err.message, "sEcReT"));
    error_clear(&err);
}

START_TEST(test_M3_nothing_set_is_not_configured)
{
    struct store_config *config = NULL;
    ck_assert_int_eq(store_config_load(ctx, NULL, &config, &err), STORE_NOT_CONFIGURED);
    ck_assert_ptr_null(config);
    ck_assert_ptr_null(err.message);
    setenv("AWS_REGION", "eu-west-1", 1);
    setenv("AWS_ENDPOINT_URL", "http://localhost:9", 1);
    setenv("PGSWEEP_S3_BUCKET", "", 1);
    ck_assert_int_eq(store_config_load(ctx, NULL, &config, &err), STORE_NOT_CONFIGURED);
}
END_TEST

START_TEST(test_M3_environment_and_precedence)
{
    struct store_config *c = NULL;
    setenv("PGSWEEP_S3_BUCKET", " one, two.dots ,one", 1);
    setenv("AWS_ENDPOINT_URL", "http://third:1", 1);
    setenv("AWS_DEFAULT_REGION", "r-3", 1);
    ck_assert_int_eq(store_config_load(ctx, NULL, &c, &err), STORE_READY);
    ck_assert_uint_eq(c->bucket_count, 2);
    ck_assert_str_eq(c->buckets[1], "two.dots");
    ck_assert_str_eq(c->host, "third");
    ck_assert_str_eq(c->region, "r-3");
    ck_assert(c->path_style);
    setenv("AWS_ENDPOINT_URL_S3", "https://Second.Example:444/base/path//", 1);
    setenv("AWS_REGION", "r-2", 1);
    setenv("PGSWEEP_S3_PATH_STYLE", "OFF", 1);
    ck_assert_int_eq(store_config_load(ctx, NULL, &c, &err), STORE_READY);
    ck_assert_str_eq(c->region, "r-2");
    ck_assert_str_eq(config_delete_url(ctx, c, "one"),
                     "https://one.second.example:444/base/path/?delete=");
    setenv("PGSWEEP_S3_ENDPOINT", "http://first", 1);
    setenv("PGSWEEP_S3_REGION", "r-1", 1);
    setenv("PGSWEEP_S3_PATH_STYLE", "auto", 1);
    ck_assert_int_eq(store_config_load(ctx, NULL, &c, &err), STORE_READY);
    ck_assert_str_eq(c->region, "r-1");
    ck_assert_str_eq(c->port, "80");
    ck_assert_str_eq(config_delete_url(ctx, c, "one"), "http://first/one?delete=");
    struct store_options options = {.endpoint = "http://zero", .buckets = "three"};
    ck_assert_int_eq(store_config_load(ctx, &options, &c, &err), STORE_READY);
    ck_assert_str_eq(config_delete_url(ctx, c, "three"), "http://zero/three?delete=");
}
END_TEST

START_TEST(test_M3_aws_without_an_endpoint)
{
    struct store_config *c = configured(NULL, "media,dotted.name");
    ck_assert(!c->path_style);
    ck_assert_str_eq(config_delete_url(ctx, c, "media"),
                     "https://media.s3.eu-west-1.amazonaws.com/?delete=");
    ck_assert_str_eq(config_delete_url(ctx, c, "dotted.name"),
                     "https://s3.eu-west-1.amazonaws.com/dotted.name?delete=");
    setenv("PGSWEEP_S3_BUCKET", "b-1", 1);
    struct store_options china = {.region = "cn-north-1"};
    ck_assert_int_eq(store_config_load(ctx, &china, &c, &err), STORE_READY);
    ck_assert_str_eq(c->host, "s3.cn-north-1.amazonaws.com.cn");
    ck_assert_int_eq(store_config_load(ctx, NULL, &c, &err), STORE_READY);
    ck_assert_str_eq(c->region, "us-east-1");
}
END_TEST

START_TEST(test_M3_a_timeout_has_a_unit)
{
    static const struct {
        const char *text;
        int ms;
    } good[] = {
        {"500 ms", 500}, {"30s", 30000}, {"2 min", 120000}, {"60min", 3600000}, {"", 60000}};
    static const char *const bad[] = {
        "30", "0 s", "-1 s", "61 min", "1.5 s", "s", "9999999999999 ms", "3 h", " 3 s", "3 s "};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        setenv("PGSWEEP_S3_TIMEOUT", good[i].text, 1);
        ck_assert_int_eq(configured("http://h", "media")->timeout_ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct store_options options = {.buckets = "media"};
        setenv("PGSWEEP_S3_TIMEOUT", bad[i], 1);
        refused(&options, "PGSWEEP_S3_TIMEOUT");
    }
}
END_TEST

START_TEST(test_M3_half_configured_is_an_error)
{
    setenv("PGSWEEP_S3_REGION", "eu-west-1", 1);
    refused(NULL, "PGSWEEP_S3_REGION is set, but no bucket");
    unsetenv("PGSWEEP_S3_REGION");
    static const char *const endpoints[] = {
        "localhost:9000",        "ftp://host",       "http://",        "not a url",
        "http://id:sEcReT@host", "http://host/?x=1", "http://host/#f", "http://host:99999",
        "http://host/a%20b"};
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
        refused(&(struct store_options){.endpoint = endpoints[i], .buckets = "media"}, "endpoint");
    static const char *const buckets[] = {",",      "a",      "UPPER/case", "s3://media",
                                          "me dia", "-media", "..."};
    for (size_t i = 0; i < sizeof buckets / sizeof *buckets; i++)
        refused(&(struct store_options){.buckets = buckets[i]}, "bucket");
    refused(&(struct store_options){.buckets = "media", .region = "eu:west"}, "region");
    refused(&(struct store_options){.buckets = "media", .path_style = "maybe"}, "path style");
    refused(&(struct store_options){.buckets = "media",
                                    .path_style = "off",
                                    .endpoint = "http://127.0.0.1:1"},
            "IP address");
    refused(&(struct store_options){.buckets = "media",
                                    .path_style = "off",
                                    .endpoint = "http://[::1]:1"},
            "IP address");
    setenv("AWS_CA_BUNDLE", "/nonexistent/ca", 1);
    refused(&(struct store_options){.buckets = "media"}, "AWS_CA_BUNDLE");
    char bundle[] = "/tmp/test_store_XXXXXX";
    int bundle_fd = mkstemp(bundle);
    ck_assert_int_eq(fchmod(bundle_fd, 0666), 0); /* whoever may write it says whom TLS trusts */
    setenv("AWS_CA_BUNDLE", bundle, 1);
    struct store_config *none = NULL;
    ck_assert_int_eq(
        store_config_load(ctx, &(struct store_options){.buckets = "media"}, &none, &err),
        STORE_MISCONFIGURED);
    ck_assert_int_eq(err.code, SWEEP_REFUSED);
    ck_assert(strstr(err.message, "is writable by other users") != NULL);
    close(bundle_fd);
    unlink(bundle);
}
END_TEST

START_TEST(test_M3_credentials_from_environment_and_file)
{
    struct store_config *c = NULL;
    struct store_options options = {.buckets = "media"};
    unsetenv("AWS_SECRET_ACCESS_KEY");
    refused(&options, "secret access key is missing");
    setenv("AWS_SECRET_ACCESS_KEY", "sEcReT\r\nX-Evil: 1", 1);
    refused(&options, "control character");
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    refused(&options, "no credentials");

    char path[] = "/tmp/test_store_XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    static const char text[] =
        "aws_access_key_id = outside\n[default]\n  aws_access_key_id = id-1 \r\n"
        "aws_secret_access_key=sEcReT=/+\n; note\n#aws_session_token = no\n"
        "[ half ]\naws_access_key_id = id-2\n[empty]\n[tok]\n"
        "AWS_ACCESS_KEY_ID=a\naws_secret_access_key=b\naws_session_token=c";
    ck_assert_int_eq(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_SESSION_TOKEN", "belongs to other keys", 1);
    ck_assert_int_eq(store_config_load(ctx, &options, &c, &err), STORE_READY);
    ck_assert_str_eq(c->access_key_id, "id-1");
    ck_assert_str_eq(c->secret_access_key, "sEcReT=/+");
    ck_assert_ptr_null(c->session_token);
    setenv("AWS_PROFILE", "tok", 1);
    ck_assert_int_eq(store_config_load(ctx, &options, &c, &err), STORE_READY);
    ck_assert_str_eq(c->session_token, "c");
    setenv("AWS_PROFILE", "half", 1);
    refused(&options, "secret access key is missing");
    setenv("AWS_PROFILE", "empty", 1);
    refused(&options, "no credentials");
    setenv("AWS_PROFILE", "nobody", 1);
    refused(&options, "no profile [nobody]");
    unlink(path);
    refused(&options, "no credentials");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/tmp", 1); /* opens, but cannot be read */
    refused(&options, "/tmp");
    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t", 1);
    ck_assert_int_eq(store_config_load(ctx, &options, &c, &err), STORE_READY);
    ck_assert_str_eq(c->session_token, "t");
}
END_TEST

/* value, bucket (NULL: foreign; "": nothing), key or a word of the reason */
struct resolve_case {
    const char *value, *bucket, *key;
};

static void resolves(const struct store_config *config, const struct resolve_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct resolve_case *c = &cases[i];
        struct store_location at = store_resolve(ctx, config, c->value);
        if (!c->bucket) {
            ck_assert_msg(at.kind == STORE_FOREIGN, "%s is not foreign but %s", c->value, at.key);
            ck_assert_msg(strstr(at.reason, c->key) != NULL, "%s: %s", c->value, at.reason);
            ck_assert_msg(!strstr(at.reason, "sEcReT"), "%s: %s", c->value, at.reason);
            continue;
        }
        ck_assert_msg(at.kind == STORE_OBJECT, "%s: %s", c->value, at.reason);
        ck_assert_str_eq(at.bucket, c->bucket);
        ck_assert_str_eq(at.key, c->key);
    }
}
#define RESOLVES(config, cases) resolves(config, cases, sizeof(cases) / sizeof *(cases))

START_TEST(test_M3_resolve_plain_keys)
{
    static const struct resolve_case cases[] = {
        {"a/b.png", "media", "a/b.png"},
        {"a//b", "media", "a//b"},
        {"/a", "media", "/a"},
        {"../a", "media", "../a"},
        {"a%20b", "media", "a%20b"},
        {"100%", "media", "100%"},
        {"a?b#c", "media", "a?b#c"},
        {"in/http://x/y", "media", "in/http://x/y"},
        {" a ", "media", " a "},
        {"//a/b", "media", "//a/b"},
        {"1a://x", "media", "1a://x"},
        {"a:b", "media", "a:b"},
        {"data:notes.txt", "media", "data:notes.txt"},
        {"/", "media", "/"},
        {".", "media", "."},
        {"media/a", "media", "media/a"},
        {"é\n", "media", "é\n"},
        {"gs://media/a", NULL, "neither s3"},
        {"ftp://h/a", NULL, "neither s3"},
        {"data:image/png;base64,AA", NULL, "neither"},
        {"arn:aws:s3:::media/a", NULL, "neither"},
        {" https://media.s3.amazonaws.com/a", NULL, "blank"},
        {"file:///etc/passwd", NULL, "neither s3"},
    };
    struct store_config *config = configured(NULL, "media,other.bucket");
    RESOLVES(config, cases);
    ck_assert_int_eq(store_resolve(ctx, config, NULL).kind, STORE_NOTHING);
    ck_assert_int_eq(store_resolve(ctx, config, "").kind, STORE_NOTHING);
}
END_TEST

START_TEST(test_M3_resolve_s3_uris)
{
    static const struct resolve_case cases[] = {
        {"s3://media/a/b", "media", "a/b"},
        {"S3://media/a", "media", "a"},
        {"s3://other.bucket/a%20b+c?d#e", "other.bucket", "a%20b+c?d#e"},
        {"s3://media//a", "media", "/a"},
        {"s3://media/../a", "media", "../a"},
        {"s3://media/", NULL, "no object"},
        {"s3://media", NULL, "no object"},
        {"s3://", NULL, "bucket"},
        {"s3:///a", NULL, "bucket"},
        {"s3://Media/a", NULL, "Media is not"},
        {"s3://mediaX/a", NULL, "mediaX"},
        {"s3://med/a", NULL, "med is not"},
        {"s3://id:sEcReT@media/a", NULL, "bucket"},
    };
    RESOLVES(configured(NULL, "media,other.bucket"), cases);
}
END_TEST

START_TEST(test_M3_resolve_aws_urls)
{
    static const struct resolve_case cases[] = {
        {"https://media.s3.amazonaws.com/a%20b", "media", "a b"},
        {"http://media.s3.eu-west-1.amazonaws.com/a+b%2B", "media", "a+b+"},
        {"https://media.s3-us-west-2.amazonaws.com/a?X-Amz-Signature=x&y=/z#frag", "media", "a"},
        {"https://media.s3.dualstack.eu-west-1.amazonaws.com/a", "media", "a"},
        {"https://media.s3-accelerate.amazonaws.com/a", "media", "a"},
        {"https://media.s3-accelerate.dualstack.amazonaws.com/a", "media", "a"},
        {"https://media.s3.cn-north-1.amazonaws.com.cn/a", "media", "a"},
        {"https://other.bucket.s3.eu-west-1.amazonaws.com/a", "other.bucket", "a"},
        {"https://s3.amazonaws.com/media/a/b", "media", "a/b"},
        {"https://s3.eu-west-1.amazonaws.com/media/%C3%BC", "media", "ü"},
        {"https://s3-eu-west-1.amazonaws.com/other.bucket//a", "other.bucket", "/a"},
        {"https://s3.dualstack.us-east-1.amazonaws.com:443/media/a", "media", "a"},
        {"HTTPS://Media.S3.AMAZONAWS.com/Key", "media", "Key"},
        {"https://media.s3.amazonaws.com/a%2Fb%3Fc%23", "media", "a/b?c#"},
        {"https://media.s3.amazonaws.com/a b", "media", "a b"},
        {"https://media.s3.amazonaws.com/...", "media", "..."},
        {"//media.s3.amazonaws.com/a", "media", "a"},
        {"https://media.s3.amazonaws.com/%252e", "media", "%2e"},
        {"https://media.s3.amazonaws.com/", NULL, "no object"},
        {"https://media.s3.amazonaws.com", NULL, "no object"},
        {"https://media.s3.amazonaws.com?x=/a", NULL, "no object"},
        {"https://s3.amazonaws.com/media", NULL, "no object"},
        {"https://s3.amazonaws.com/media/?a", NULL, "no object"},
        {"https://s3.amazonaws.com/", NULL, "bucket"},
        {"https://s3.amazonaws.com/foreign/a", NULL, "bucket foreign"},
        {"https://s3.amazonaws.com//media/a", NULL, "bucket"},
        {"https://foreign.s3.amazonaws.com/a", NULL, "neither the endpoint"},
        {"https://media.s3.amazonaws.com.evil.com/a", NULL, "neither"},
        {"https://xmedia.s3.amazonaws.com/a", NULL, "neither"},
        {"https://media.s3.amazonaws.com:8443/a", NULL, "neither"},
        {"http://media.s3.amazonaws.com:443/a", NULL, "neither"},
        {"https://media.s3evil.amazonaws.com/a", NULL, "neither"},
        {"https://media.ec2.amazonaws.com/a", NULL, "neither"},
        {"https://media.s3.evil.amazonaws.com/a", NULL, "neither"},
        {"https://x.media.s3.amazonaws.com/a", NULL, "neither"},
        {"https://evil.com/media/a", NULL, "neither"},
        {"https://media.s3.amazonaws.com@evil.com/a", NULL, "user name"},
        {"https://id:sEcReT@media.s3.amazonaws.com/a", NULL, "user name"},
        {"//evil.com/a", NULL, "neither"},
        {"https://media.s3.amazonaws.com/100%", NULL, "percent"},
        {"https://media.s3.amazonaws.com/%2", NULL, "percent"},
        {"https://media.s3.amazonaws.com/%zz", NULL, "percent"},
        {"https://media.s3.amazonaws.com/a%00b", NULL, "zero"},
        {"https://media.s3.amazonaws.com/a/../b", NULL, "dot segment"},
        {"https://s3.amazonaws.com/x/../media/b", NULL, "dot segment"},
        {"https://media.s3.amazonaws.com/a/%2E%2e", NULL, "dot segment"},
        {"https://media.s3.amazonaws.com/./b", NULL, "dot segment"},
        {"https:///media/a", NULL, ""},
        {"https://", NULL, "well-formed"},
        {"https://media.s3.amazonaws.com/a\nb", NULL, "well-formed"},
    };
    RESOLVES(configured(NULL, "media,other.bucket"), cases);
}
END_TEST

START_TEST(test_M3_resolve_endpoint_urls)
{
    static const struct resolve_case cases[] = {
        {"http://minio.local:9000/media/a%20b?x", "media", "a b"},
        {"http://MINIO.local:9000/media/A", "media", "A"},
        {"http://media.minio.local:9000/a", "media", "a"},
        {"https://minio.local:9000/media/a", "media", "a"},
        {"//minio.local:9000/media/a", "media", "a"},
        {"https://media.s3.amazonaws.com/a", "media", "a"},
        {"http://minio.local/media/a", NULL, "neither"},
        {"http://minio.local:9001/media/a", NULL, "neither"},
        {"http://minio.local:9000/foreign/a", NULL, "bucket foreign"},
        {"http://foreign.minio.local:9000/a", NULL, "neither"},
        {"http://xminio.local:9000/media/a", NULL, "neither"},
        {"http://minio.local:9000/", NULL, "bucket"},
        {"http://minio.local:9000/media%2Fa", NULL, "bucket"},
        {"http://media.minio.local:9000/", NULL, "no object"},
    };
    static const struct resolve_case based[] = {
        {"https://host.example/storage/v1/s3/media/a", "media", "a"},
        {"https://host.example/media/a", NULL, "outside"},
        {"https://host.example/storage/v1/s3x/media/a", NULL, "outside"},
        {"https://host.example/storage/v1/s3", NULL, "outside"},
        {"https://media.host.example/storage/v1/s3/b", "media", "b"},
    };
    static const struct resolve_case ip[] = {{"http://[::1]:9000/media/a", "media", "a"}};
    RESOLVES(configured("http://Minio.local:9000/", "media"), cases);
    RESOLVES(configured("https://host.example/storage/v1/s3/", "media"), based);
    RESOLVES(configured("http://[::1]:9000", "media"), ip);
}
END_TEST

START_TEST(test_O5_aliases_name_objects)
{
    static const struct resolve_case cases[] = {
        {"https://cdn.example.com/a%20b?v=1", "media", "a b"},
        {"http://CDN.example.com/a", "media", "a"},
        {"//cdn.example.com/a", "media", "a"},
        {"https://cdn.example.com/", NULL, "no object"},
        {"https://cdn.example.com:8443/a", NULL, "neither"},
        {"https://img.example.com:8443/t/a", "other", "thumbs/a"},
        {"https://img.example.com:8443/t/x/a", "media", "a"},
        {"https://img.example.com:8443/u/a", NULL, "neither"},
        {"https://img.example.com/t/a", NULL, "neither"},
        {"https://cdn.example.com/../a", NULL, "dot segment"}};
    setenv("PGSWEEP_S3_ALIASES",
           "https://cdn.example.com/=media, https://img.example.com:8443/t/=other/thumbs/ "
           "https://img.example.com:8443/t/x/=media",
           1);
    struct store_config *config = configured(NULL, "media,other");
    RESOLVES(config, cases);
    struct store_location where = store_resolve(ctx, config, "s3://other/thumbs/a");
    char **spellings;
    ck_assert_uint_eq(store_spellings(ctx, config, &where, &spellings), 2);
    ck_assert_str_eq(spellings[0], "thumbs/a");
    ck_assert_str_eq(spellings[1], "t/a");
}
END_TEST

START_TEST(test_O5_aliases_that_cannot_be_right)
{
    static const char *const wrong[] = {"cdn.example.com=media",
                                        "https://cdn.example.com/",
                                        "https://cdn.example.com/=elsewhere",
                                        "https://cdn.example.com/x=media",
                                        "https://cdn.example.com/=media/thumbs",
                                        ",",
                                        "ftp://cdn.example.com/=media",
                                        "https://u:p@cdn.example.com/=media"};
    struct store_options options = {.buckets = "media"};
    setenv("PGSWEEP_S3_BUCKET", "media", 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("PGSWEEP_S3_ALIASES", wrong[i], 1);
        refused(&options, "PGSWEEP_S3_ALIASES");
        ck_assert_msg(!store_check_aliases(&err), "%s", wrong[i]);
        error_clear(&err);
    }
    unsetenv("PGSWEEP_S3_BUCKET");
    setenv("PGSWEEP_S3_ALIASES", "https://cdn.example.com/=media", 1);
    ck_assert(!store_check_aliases(&err));
}
END_TEST

/* The end of the path of a URL that does not tell whose object it is, or NULL where it does, or
 * where it is another's. */
START_TEST(test_O5_urls_that_may_name_an_object)
{
    static const struct {
        const char *value, *path;
    } cases[] = {{"https://cdn.example.com/a/b%20c?x", "a/b c"},
                 {" https://media.s3.amazonaws.com/a", "a"},
                 {"https://u:p@h.example.com/a", "a"},
                 {"https://media.s3.amazonaws.com/%zz", "%zz"},
                 {"https://other.s3.amazonaws.com/a", NULL},
                 {"s3://other/a", NULL},
                 {"gs://media/a", NULL},
                 {"https://s3.amazonaws.com/other/a", NULL},
                 {"https://h.example.com/x/../a", "x/../a"}};
    struct store_config *config = configured(NULL, "media");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_location at = store_resolve(ctx, config, cases[i].value);
        ck_assert_int_eq(at.kind, STORE_FOREIGN);
        if (cases[i].path)
            ck_assert_str_eq(at.path, cases[i].path);
        else
            ck_assert_msg(!at.path, "%s: %s", cases[i].value, at.path);
    }
}
END_TEST

START_TEST(test_O5_a_store_has_one_name_whatever_the_region)
{
    static const struct {
        const char *endpoint, *region, *name;
    } cases[] = {{NULL, "eu-west-1", "aws"},
                 {NULL, "us-east-1", "aws"},
                 {NULL, "cn-north-1", "aws-cn"},
                 {"https://s3.eu-west-1.amazonaws.com", "eu-west-1", "aws"},
                 {"https://S3.example.com:443/x/", "r", "https://s3.example.com/x"},
                 {"http://minio:9000", "r", "http://minio:9000"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_options options = {
            .endpoint = cases[i].endpoint, .buckets = "media", .region = cases[i].region};
        struct store_config *config = NULL;
        ck_assert_int_eq(store_config_load_place(ctx, &options, &config, &err), STORE_READY);
        ck_assert_str_eq(store_config_place(config), cases[i].name);
    }
}
END_TEST

START_TEST(test_O5_fuzz_resolve)
{
    static const char *const seeds[] = {"https://media.s3.eu-west-1.amazonaws.com/a%20b/c?d=e#f",
                                        "s3://media/a/b", "a/b/c.png",
                                        "http://minio.local:9000/media/a%2Fb",
                                        "https://s3.dualstack.eu-west-1.amazonaws.com/media/x"};
    struct store_config *config = configured("http://minio.local:9000", "media");
    uint32_t state = 4711;
    char text[1024];
    for (int i = 0; i < 50000; i++) {
        const char *seed = seeds[next_random(&state) % (sizeof seeds / sizeof *seeds)];
        size_t length =
            mutate(memcpy(text, seed, strlen(seed)), strlen(seed), sizeof text - 1, &state);
        text[length] = '\0';
        void *scratch = talloc_new(ctx);
        struct store_location at = store_resolve(scratch, config, text);
        if (at.kind == STORE_OBJECT) {
            ck_assert_str_eq(at.bucket, "media");
            ck_assert(at.key && *at.key && !at.reason);
        } else if (at.kind == STORE_FOREIGN) {
            ck_assert(at.reason && *at.reason && !at.key);
        } else {
            ck_assert_uint_eq(strlen(text), 0);
        }
        talloc_free(scratch);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, set_up, unit_teardown);
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_M3_nothing_set_is_not_configured);
    tcase_add_test(tests, test_M3_environment_and_precedence);
    tcase_add_test(tests, test_M3_aws_without_an_endpoint);
    tcase_add_test(tests, test_M3_half_configured_is_an_error);
    tcase_add_test(tests, test_M3_a_timeout_has_a_unit);
    tcase_add_test(tests, test_M3_credentials_from_environment_and_file);
    tcase_add_test(tests, test_M3_resolve_plain_keys);
    tcase_add_test(tests, test_M3_resolve_s3_uris);
    tcase_add_test(tests, test_M3_resolve_aws_urls);
    tcase_add_test(tests, test_M3_resolve_endpoint_urls);
    tcase_add_test(tests, test_O5_aliases_name_objects);
    tcase_add_test(tests, test_O5_aliases_that_cannot_be_right);
    tcase_add_test(tests, test_O5_urls_that_may_name_an_object);
    tcase_add_test(tests, test_O5_a_store_has_one_name_whatever_the_region);
    tcase_add_test(tests, test_O5_fuzz_resolve);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
