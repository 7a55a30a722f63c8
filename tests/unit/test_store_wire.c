/*
 * Unit tests of the object store module: the request body, the reply parser, verdicts. No network;
 * tests/integration/test_store_s3.py has that. */
#define _GNU_SOURCE
#include "unit.h"

#include <stdint.h>
#include <stdio.h>

#include "../../src/store/client.h"
#include "../../src/store/wire.h"
#include "mutate.h"

START_TEST(test_M3_body_escapes_keys)
{
    struct wire_body body = {0};
    wire_body_begin(ctx, &body);
    ck_assert(wire_body_add(ctx, &body, " <&>\"'\t\n\r é "));
    ck_assert(wire_body_add(ctx, &body, "a b"));
    wire_body_end(ctx, &body);
    const char *expected =
        "<Object><Key>&#32;&lt;&amp;&gt;&quot;&apos;&#9;&#10;&#13; é&#32;</Key></Object>"
        "<Object><Key>a b</Key></Object></Delete>";
    char *text = talloc_strndup(ctx, body.data, body.length);
    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    static const char *const bad[] = {"",
                                      "a\x01",
                                      "\x1f",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xef\xbf\xbe",
                                      "\xef\xbf\xbf",
                                      "\xe2\x82",
                                      "\xf0\x9f\xa6",
                                      "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(wire_key_problem(bad[i]) != NULL, "case %zu", i);
    static const char *const good[] = {"a",
                                       "\t\n\r",
                                       "\x7f",
                                       "é",
                                       "日本",
                                       "🦀",
                                       "\xef\xbf\xbd",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(wire_key_problem(good[i]) == NULL, "%s: %s", good[i],
                      wire_key_problem(good[i]));
    char longest[1026];
    memset(longest, 'x', sizeof longest);
    longest[1025] = '\0';
    ck_assert_ptr_nonnull(wire_key_problem(longest));
    longest[1024] = '\0';
    ck_assert_ptr_null(wire_key_problem(longest));
    memset(longest, '"', 1024);
    wire_body_begin(ctx, &body);
    size_t keys = 0;
    while (wire_body_add(ctx, &body, longest))
        keys++;
    wire_body_end(ctx, &body);
    ck_assert_uint_le(body.length, WIRE_BODY_MAX);
    ck_assert_uint_eq(keys, 162);
}
END_TEST

/* What a reply said, as one line: "+key" deleted, "-key=code" failed. */
static char said[65536];

static void remember(void *user, const char *key, const char *code, const char *message)
{
    (void)user;
    (void)message;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s%s%s%s ", code ? "-" : "+", key, code ? "=" : "",
             code ? code : "");
}

/* Parses text in pieces of that size; the reply, or NULL when it was refused (why in *problem). */
static struct wire_reply *parsed(const char *text, size_t length, size_t piece,
                                 const char **problem)
{
    struct wire_reply *reply = wire_reply_new(ctx, remember, NULL);
    *said = '\0';
    for (size_t i = 0; i < length; i += piece)
        wire_reply_feed(reply, text + i, length - i < piece ? length - i : piece);
    bool whole = wire_reply_end(reply);
    *problem = wire_reply_problem(reply);
    ck_assert_int_eq(whole, *problem == NULL);
    return whole ? reply : NULL;
}

static const char GOOD_REPLY[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult "
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Deleted><Key>a &amp; b</Key><VersionId>1</VersionId></Deleted>\n "
    "<Deleted><DeleteMarker>true</DeleteMarker>"
    "<Key>\xc3\xbc&#13;</Key></Deleted><Error><Key>c</Key><Code>AccessDenied</Code><Message>no</"
    "Message></Error>"
    "<Future><Key>x</Key></Future><Error><Key>d</Key></Error></DeleteResult>";

START_TEST(test_O5_reply_entries)
{
    const char *problem = NULL;
    for (size_t piece = 1; piece <= sizeof GOOD_REPLY; piece += 7) {
        struct wire_reply *reply = parsed(GOOD_REPLY, sizeof GOOD_REPLY - 1, piece, &problem);
        ck_assert_msg(reply != NULL, "%s", problem);
        ck_assert_int_eq(wire_reply_root(reply), WIRE_ROOT_DELETE_RESULT);
        ck_assert_str_eq(said, "+a & b +ü\r -c=AccessDenied -d=UnknownError ");
    }
    static const char prefixed[] =
        "<p:DeleteResult xmlns:p='u'><p:Deleted><p:Key>k</p:Key></p:Deleted></p:DeleteResult>";
    ck_assert_ptr_nonnull(parsed(prefixed, sizeof prefixed - 1, 9, &problem));
    ck_assert_str_eq(said, "+k ");
    static const char error[] =
        "<Error><Code>SlowDown</Code><Message>m &lt;</Message><Region>r-1</Region>"
        "<Nested><Code>x</Code></Nested></Error>";
    struct wire_reply *reply = parsed(error, sizeof error - 1, 5, &problem);
    ck_assert_int_eq(wire_reply_root(reply), WIRE_ROOT_ERROR);
    ck_assert_str_eq(wire_reply_code(reply), "SlowDown");
    ck_assert_str_eq(wire_reply_message(reply), "m <");
    ck_assert_str_eq(wire_reply_region(reply), "r-1");
}
END_TEST

START_TEST(test_O5_reply_cut_anywhere_is_refused)
{
    const char *problem = NULL;
    for (size_t n = 0; n < sizeof GOOD_REPLY - 1; n++) {
        ck_assert_ptr_null(parsed(GOOD_REPLY, n, 64, &problem));
        ck_assert_str_eq(problem, n == 0 ? "empty" : "incomplete");
    }
}
END_TEST

START_TEST(test_O5_reply_garbage_is_refused)
{
    static const char *const bad[] = {
        "hello",
        "<html></html>",
        "<DeleteResult></DeleteResult><x/>",
        "<DeleteResult><Deleted></DeleteResult>",
        "<DeleteResult><Deleted><VersionId>1</VersionId></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>a</Key><Key>b</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>a<b/>c</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>&unknown;</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>\xff</Key></Deleted></DeleteResult>",
        ("<!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>"
         "<DeleteResult><Deleted><Key>&b;</Key></Deleted></DeleteResult>"),
        "<!DOCTYPE d SYSTEM \"file:///etc/passwd\"><DeleteResult/>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>"};
    const char *problem = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!parsed(bad[i], strlen(bad[i]), 11, &problem), "%s", bad[i]);
    char *deep = mem_strdup(ctx, "<DeleteResult>");
    for (int i = 0; i < 1000; i++)
        deep = talloc_strdup_append(deep, "<x>");
    ck_assert_ptr_null(parsed(deep, strlen(deep), 100, &problem));
    ck_assert_str_eq(problem, "elements nested too deeply");
}
END_TEST

START_TEST(test_O5_huge_replies_are_bounded)
{
    const char *problem = NULL;
    size_t n = WIRE_REPLY_MAX + 100;
    char *huge = talloc_size(ctx, n);
    memset(huge, ' ', n);
    memcpy(huge, "<DeleteResult>", 14);
    ck_assert_ptr_null(parsed(huge, n, 16384, &problem));
    ck_assert_str_eq(problem, "longer than 4 MiB");
    memcpy(huge + 14, "<Deleted><Key>", 14);
    memset(huge + 28, 'k', 100000);
    memcpy(huge + 100028, "</Key></Deleted></DeleteResult>", 31);
    ck_assert_ptr_null(parsed(huge, 100059, 4096, &problem));
    ck_assert_str_eq(problem, "a key longer than any that was sent");
}
END_TEST

START_TEST(test_M3_verdicts)
{
    static const struct {
        long status;
        const char *body, *text;
        enum store_outcome outcome;
        bool again, ends_bucket;
    } cases[] = {{503, "<Error><Code>SlowDown</Code><Message>m</Message></Error>", "SlowDown: m",
                  STORE_FAILED_RETRYABLE, true, true},
                 {500, "", "HTTP 500", STORE_FAILED_RETRYABLE, true, true},
                 {200, "<Error><Code>InternalError</Code></Error>", "InternalError",
                  STORE_FAILED_RETRYABLE, true, true},
                 {403, "<Error><Code>AccessDenied</Code></Error>", "AccessDenied",
                  STORE_FAILED_PERMANENT, false, true},
                 {403, "<html>", "HTTP 403", STORE_FAILED_PERMANENT, false, true},
                 {403, "<Error><Code>RequestTimeTooSkewed</Code></Error>",
                  "RequestTimeTooSkewed: the clocks", STORE_FAILED_RETRYABLE, false, true},
                 {404, "<Error><Code>NoSuchBucket</Code></Error>", "NoSuchBucket",
                  STORE_FAILED_PERMANENT, false, true},
                 {404, "<Error><Code>NoSuchKey</Code></Error>", "NoSuchKey", STORE_FAILED_RETRYABLE,
                  false, true},
                 {408, "", "HTTP 408", STORE_FAILED_RETRYABLE, false, true},
                 {429, "", "HTTP 429", STORE_FAILED_RETRYABLE, true, true},
                 {301, "", "HTTP 301: the bucket is in region hint-1, not eu-west-1",
                  STORE_FAILED_PERMANENT, false, true},
                 {400,
                  "<Error><Code>AuthorizationHeaderMalformed</Code><Region>xx-1</Region></Error>",
                  "AuthorizationHeaderMalformed: the bucket is in region xx-1",
                  STORE_FAILED_PERMANENT, false, true},
                 {400, "<Error><Code>ExpiredToken</Code></Error>", "ExpiredToken",
                  STORE_FAILED_RETRYABLE, false, true},
                 {200, "<DeleteResult>", "BadReply: the reply of the object store is incomplete",
                  STORE_FAILED_RETRYABLE, false, false},
                 {204, "", "BadReply: the reply of the object store is empty",
                  STORE_FAILED_RETRYABLE, false, false}};
    const struct store_config config = {.scheme = "https",
                                        .host = "s3.example.com",
                                        .authority = "s3.example.com",
                                        .region = "eu-west-1"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_reply *reply = wire_reply_new(ctx, remember, NULL);
        wire_reply_feed(reply, cases[i].body, strlen(cases[i].body));
        struct verdict v = verdict_of(ctx, &config, CURLE_OK, "", cases[i].status, "hint-1", reply);
        ck_assert_msg(!v.good && strncmp(v.text, cases[i].text, strlen(cases[i].text)) == 0, "%s",
                      v.text);
        ck_assert_msg(v.outcome == cases[i].outcome && v.again == cases[i].again &&
                          v.ends_bucket == cases[i].ends_bucket,
                      "%s", v.text);
    }
    char *message = talloc_zero_size(ctx, 1000);
    memset(message, '\x07', 999);
    ck_assert_uint_lt(strlen(verdict_text(ctx, "Code", message)), 600);
}
END_TEST

START_TEST(test_O5_fuzz_reply_parser)
{
    uint32_t state = 20261121;
    char text[4096];
    const char *problem = NULL;
    for (int i = 0; i < 20000; i++) {
        memcpy(text, GOOD_REPLY, sizeof GOOD_REPLY - 1);
        size_t length = mutate(text, sizeof GOOD_REPLY - 1, sizeof text, &state);
        talloc_free(parsed(text, length, next_random(&state) % 200 + 1, &problem));
        if (i % 1000 == 0)
            talloc_free_children(ctx);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_wire");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, test_M3_body_escapes_keys);
    tcase_add_test(tests, test_O5_reply_entries);
    tcase_add_test(tests, test_O5_reply_cut_anywhere_is_refused);
    tcase_add_test(tests, test_O5_reply_garbage_is_refused);
    tcase_add_test(tests, test_O5_huge_replies_are_bounded);
    tcase_add_test(tests, test_M3_verdicts);
    tcase_add_test(tests, test_O5_fuzz_reply_parser);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
