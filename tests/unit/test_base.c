/* The base room: errors, text, waiting times, growing arrays, embedded files. */
#define _GNU_SOURCE
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/embedded.h"
#include "pgsweep/error.h"
#include "pgsweep/instant.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

static void *ctx;

static void setup(void)
{
    ctx = talloc_new(NULL);
}

static void teardown(void)
{
    talloc_free(ctx);
    ctx = NULL;
}

START_TEST(error_carries_what_was_set)
{
    struct error err = ERROR_INIT;
    ck_assert(!error_set(&err, SWEEP_REFUSED, "table %s\n\n", "jobs"));
    ck_assert_str_eq(err.message, "table jobs");
    ck_assert_int_eq(err.code, SWEEP_REFUSED);
    ck_assert(!error_detail(&err, "d%d", 1));
    ck_assert(!error_detail(&err, "d%d of %s", 2, err.detail));
    ck_assert_str_eq(err.detail, "d2 of d1");
    ck_assert(!error_hint(&err, "h"));
    error_sqlstate(&err, "40P01-and-more");
    ck_assert_str_eq(err.sqlstate, "40P01");
    error_sqlstate(&err, NULL);
    ck_assert_str_eq(err.sqlstate, "");
    error_clear(&err);
    ck_assert_ptr_null(err.message);
    ck_assert_int_eq(err.code, SWEEP_OK);
    error_clear(&err);
}
END_TEST

START_TEST(error_may_be_set_from_its_own_text)
{
    struct error err = ERROR_INIT;
    error_set(&err, SWEEP_USAGE, "inner");
    error_detail(&err, "detail");
    error_set(&err, SWEEP_UNREACHABLE, "outer: %s", err.message);
    ck_assert_str_eq(err.message, "outer: inner");
    ck_assert_ptr_null(err.detail);
    ck_assert(!error_prefix(&err, "file %d (%s)", 7, err.message));
    ck_assert_str_eq(err.message, "file 7 (outer: inner): outer: inner");
    ck_assert_int_eq(err.code, SWEEP_UNREACHABLE);
    error_clear(&err);
}
END_TEST

START_TEST(error_moves)
{
    struct error from = ERROR_INIT, to = ERROR_INIT;
    error_set(&to, SWEEP_USAGE, "old");
    error_set(&from, SWEEP_REFUSED, "new");
    error_move(&to, &from);
    ck_assert_str_eq(to.message, "new");
    ck_assert_ptr_null(from.message);
    error_move(&to, &to);
    ck_assert_str_eq(to.message, "new");
    error_clear(&to);
}
END_TEST

/* What error_print writes to standard error, through a file in its place. */
static char *printed(const struct error *err)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    error_print(err);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char *text = mem_array(ctx, char, 4096);
    rewind(file);
    size_t n = fread(text, 1, 4095, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

START_TEST(error_prints_three_parts)
{
    struct error err = ERROR_INIT;
    ck_assert_str_eq(printed(&err), "pgsweep: error: unknown error\n");
    error_set(&err, SWEEP_USAGE, "what\nmore");
    ck_assert_str_eq(printed(&err), "pgsweep: error: what\n    more\n");
    error_detail(&err, "why");
    error_hint(&err, "do %s", "this");
    ck_assert_str_eq(printed(&err), "pgsweep: error: what\n    more\npgsweep: detail: why\n"
                                    "pgsweep: hint: do this\n");
    error_clear(&err);
}
END_TEST

START_TEST(text_count_separates_thousands)
{
    ck_assert_str_eq(text_count(ctx, 0), "0");
    ck_assert_str_eq(text_count(ctx, 999), "999");
    ck_assert_str_eq(text_count(ctx, 1000), "1,000");
    ck_assert_str_eq(text_count(ctx, -100), "-100");
    ck_assert_str_eq(text_count(ctx, -1234567), "-1,234,567");
    ck_assert_str_eq(text_count(ctx, INT64_MAX), "9,223,372,036,854,775,807");
    ck_assert_str_eq(text_count(ctx, INT64_MIN), "-9,223,372,036,854,775,808");
}
END_TEST

START_TEST(text_percent_says_100_only_of_all)
{
    ck_assert_str_eq(text_percent(ctx, 0, 0), "100%");
    ck_assert_str_eq(text_percent(ctx, 0, 8), "0.0%");
    ck_assert_str_eq(text_percent(ctx, 1, 8), "12.5%");
    ck_assert_str_eq(text_percent(ctx, 8, 8), "100%");
    ck_assert_str_eq(text_percent(ctx, 99999, 100000), "99.9%");
    ck_assert_str_eq(text_percent(ctx, INT64_MAX - 1, INT64_MAX), "99.9%");
}
END_TEST

START_TEST(text_duration_reads_well)
{
    ck_assert_str_eq(text_duration(ctx, 0), "0 ms");
    ck_assert_str_eq(text_duration(ctx, 850), "850 ms");
    ck_assert_str_eq(text_duration(ctx, 1000), "1.0 s");
    ck_assert_str_eq(text_duration(ctx, 12345), "12.3 s");
    ck_assert_str_eq(text_duration(ctx, 99999), "99.9 s");
    ck_assert_str_eq(text_duration(ctx, 245000), "4 min 05 s");
    ck_assert_str_eq(text_duration(ctx, 3599999), "59 min 59 s");
    ck_assert_str_eq(text_duration(ctx, 7380000), "2 h 03 min");
}
END_TEST

static const struct {
    const char *in, *out;
} escapes[] = {
    {"", ""},
    {"plain", "plain"},
    {"a\\b", "a\\\\b"},
    {"a\nb\tc", "a\\nb\\tc"},
    {"\x1b[31m\x7f", "\\x1b[31m\\x7f"},
    {"h\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "h\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"\xc2\x9b", "\\xc2\\x9b"}, /* C1 control: CSI */
    {"\xff", "\\xff"},
    {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
    {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          /* overlong */
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* surrogate */
    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
    {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"}, /* overlong */
    {"\xe2\x82", "\\xe2\\x82"},                   /* cut off */
    {"\xe2\x82x", "\\xe2\\x82x"},
};

START_TEST(text_escape_shows_what_a_terminal_would_obey)
{
    ck_assert_str_eq(text_escape(ctx, escapes[_i].in, strlen(escapes[_i].in)), escapes[_i].out);
}
END_TEST

static const char *const hidden_characters[] = {"\xc2\x85" /* C1 */,
                                                "\xc2\x9b",
                                                "\xc2\xad" /* soft hyphen */,
                                                "\xd8\x9c" /* U+061C */,
                                                "\xe2\x80\x8b" /* U+200B */,
                                                "\xe2\x80\x8d",
                                                "\xe2\x80\x8e",
                                                "\xe2\x80\x8f",
                                                "\xe2\x80\xa8" /* U+2028 */,
                                                "\xe2\x80\xa9",
                                                "\xe2\x80\xaa",
                                                "\xe2\x80\xae" /* U+202E */,
                                                "\xe2\x81\xa0",
                                                "\xe2\x81\xa6" /* U+2066 */,
                                                "\xe2\x81\xa9",
                                                "\xef\xbb\xbf" /* U+FEFF */,
                                                "\xef\xbf\xb9",
                                                "\xef\xb8\x8f" /* U+FE0F */,
                                                "\xe3\x85\xa4" /* U+3164 */,
                                                "\xf3\xa0\x81\x81" /* U+E0041 */,
                                                "\xf0\x9d\x85\xb3" /* U+1D173 */,
                                                "\x1b",
                                                "\x7f",
                                                "\r",
                                                "\xff",
                                                "\xe2\x80",
                                                "\xed\xa0\x80" /* a surrogate */};

START_TEST(text_shows_what_is_hidden)
{
    const char *in = hidden_characters[_i];
    char *text = talloc_asprintf(ctx, "a\\b%sc", in);
    char *escaped = text_escape(ctx, text, strlen(text));
    char *expected = talloc_strdup(ctx, "");
    for (const char *p = in; *p; p++)
        expected = talloc_asprintf_append(expected, "\\x%02x", (unsigned char)*p);
    ck_assert_str_eq(escaped, talloc_asprintf(ctx, "a\\\\b%sc", expected));
    ck_assert_str_eq(text_unescape(ctx, escaped), text);
    ck_assert_str_eq(text_line(ctx, text), talloc_asprintf(ctx, "a\\b%sc", expected));
    ck_assert_str_eq(text_lines(ctx, text), text_line(ctx, text));
}
END_TEST

START_TEST(text_leaves_what_is_seen)
{
    static const char seen[] =
        "Gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xe4\xbd\xa0 \xf0\x9f\x98\x80 \xd7\x90\xd8\xa7 e\xcc\x81";
    ck_assert_str_eq(text_escape(ctx, seen, strlen(seen)), seen);
    ck_assert_str_eq(text_lines(ctx, "a\n\tb\\"), "a\n\tb\\");
    ck_assert_str_eq(text_line(ctx, "a\n\tb\\"), "a\\n\\tb\\");
}
END_TEST

START_TEST(different_names_are_shown_differently)
{
    srand(7);
    for (int i = 0; i < 100000; i++) {
        char name[12];
        size_t length = (size_t)rand() % sizeof name;
        for (size_t k = 0; k < length; k++)
            name[k] = "ab\\nx0\n\xe2\x80\xae\xff"[rand() % 11];
        char *text = talloc_strndup(ctx, name, length);
        char *escaped = text_escape(ctx, text, strlen(text));
        ck_assert(text_is_utf8(escaped));
        ck_assert_str_eq(text_unescape(ctx, escaped), text);
        talloc_free(escaped);
        talloc_free(text);
    }
}
END_TEST

START_TEST(text_base64_as_in_rfc_4648)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xfe\xfd", "//79"}};
    for (int i = 0; i < (int)(sizeof pairs / sizeof *pairs); i++)
        ck_assert_str_eq(text_base64(ctx, pairs[i][0], strlen(pairs[i][0])), pairs[i][1]);
}
END_TEST

START_TEST(text_escape_reads_no_further_than_told)
{
    ck_assert_str_eq(text_escape(ctx, "a\0b", 3), "a\\x00b");
    ck_assert_str_eq(text_escape(ctx, "\xe2\x82\xac", 2), "\\xe2\\x82");
}
END_TEST

START_TEST(text_nearest_finds_slips_only)
{
    static const char *const words[] = {"jobs", "anonymous", "mocs", "tempfiles"};
    ck_assert_str_eq(text_nearest("job", words, 4), "jobs");
    ck_assert_str_eq(text_nearest("mocs", words, 4), "mocs");
    ck_assert_str_eq(text_nearest("anonimus", words, 4), "anonymous");
    ck_assert_ptr_null(text_nearest("vacuum", words, 4));
    ck_assert_ptr_null(text_nearest("jobs", words, 0));
    char *longest = mem_array(ctx, char, 1001);
    memset(longest, 'a', 1000);
    const char *const one[] = {longest};
    ck_assert_ptr_null(text_nearest(longest, words, 4));
    ck_assert_ptr_null(text_nearest("a", one, 1));
    longest[64] = '\0';
    ck_assert_ptr_eq(text_nearest(longest, one, 1), longest);
}
END_TEST

static const struct {
    const char *text;
    int64_t max, value; /* value 0: refused */
} counts[] = {
    {"1", 10, 1},
    {"10", 10, 10},
    {"007", 10, 7},
    {"11", 10, 0},
    {"9", 3, 0},
    {"3", 3, 3},
    {"0", 10, 0},
    {"", 10, 0},
    {"-1", 10, 0},
    {"+1", 10, 0},
    {" 1", 10, 0},
    {"1 ", 10, 0},
    {"1e3", INT64_MAX, 0},
    {"1.0", 10, 0},
    {"0x10", 100, 0},
    {NULL, 10, 0},
    {"9223372036854775807", INT64_MAX, INT64_MAX},
    {"9223372036854775808", INT64_MAX, 0},
    {"99999999999999999999999999", INT64_MAX, 0},
    {"2147483648", 2147483647, 0},
};

START_TEST(text_to_count_takes_whole_positive_numbers)
{
    int64_t value = -7;
    bool taken = text_to_count(counts[_i].text, counts[_i].max, &value);
    ck_assert_msg(taken == (counts[_i].value > 0), "\"%s\" up to %lld: taken as %lld",
                  counts[_i].text ? counts[_i].text : "NULL", (long long)counts[_i].max,
                  (long long)value);
    ck_assert_int_eq(value, taken ? counts[_i].value : -7);
}
END_TEST

START_TEST(text_same_word_ignores_case)
{
    ck_assert(text_same_word("Jobs", "jOBS"));
    ck_assert(!text_same_word("job", "jobs"));
}
END_TEST

START_TEST(backoff_stays_in_its_bounds)
{
    for (int attempt = -1; attempt < 100; attempt++) {
        int64_t full = 100;
        for (int i = 1; i < attempt && full < 5000; i++)
            full *= 2;
        full = full > 5000 ? 5000 : full;
        for (int i = 0; i < 20; i++) {
            int64_t wait = clock_backoff_ms(attempt, 100, 5000);
            ck_assert_int_ge(wait, full - full / 2);
            ck_assert_int_le(wait, full);
        }
    }
    ck_assert_int_eq(clock_backoff_ms(3, 0, 5000), 0);
    ck_assert_int_ge(clock_backoff_ms(1000, 100, INT64_MAX), INT64_MAX / 2);
}
END_TEST

START_TEST(backoff_is_not_always_the_same)
{
    int64_t first = clock_backoff_ms(20, 1000, 1000000);
    bool differs = false;
    for (int i = 0; i < 20 && !differs; i++)
        differs = clock_backoff_ms(20, 1000, 1000000) != first;
    ck_assert(differs);
}
END_TEST

START_TEST(sleep_takes_its_time)
{
    clock_sleep_ms(0);
    clock_sleep_ms(-5);
    int64_t start = clock_now_ms();
    clock_sleep_ms(120);
    ck_assert_int_ge(clock_now_ms() - start, 119);
}
END_TEST

START_TEST(sleep_ends_when_a_stop_is_requested)
{
    stop_install();
    raise(SIGTERM);
    ck_assert(stop_requested());
    ck_assert(!stop_forced());
    clock_sleep_ms(3600000);
    raise(SIGINT);
    ck_assert(stop_forced());
    ck_assert_int_eq(stop_signal(), SIGTERM);
}
END_TEST

START_TEST(first_signal_cancels_only_what_is_worth_nothing_half_done)
{
    stop_install();
    if (_i)
        stop_cancel_early(true);
    ck_assert(!stop_cancels());
    raise(SIGINT);
    ck_assert_int_eq(stop_cancels(), _i);
    raise(SIGINT);
    ck_assert(stop_cancels());
    ck_assert_int_eq(stop_count(), 2);
    ck_assert(!stop_out_of_time());
}
END_TEST

START_TEST(timestamp_is_iso_utc)
{
    char buffer[32];
    ck_assert_ptr_eq(clock_timestamp(buffer), buffer);
    ck_assert_uint_eq(strlen(buffer), strlen("2026-11-21T03:00:00.123Z"));
    ck_assert(buffer[10] == 'T' && buffer[19] == '.' && buffer[23] == 'Z');
}
END_TEST

static const struct {
    const char *text;
    const char *same; /* NULL: not a point in time */
} instants[] = {
    {"2026-01-02 03:04:05", "2026-01-02 03:04:05.000000+00"},
    {"2026-01-02T03:04:05.25Z", "2026-01-02 03:04:05.250000+00"},
    {"2026-01-02 03:04:05.1234567891+00", "2026-01-02 03:04:05.123456+00"},
    {"2026-01-02 03:04", "2026-01-02 03:04:00.000000+00"},
    {"2026-01-02T03:04 +02", "2026-01-02 01:04:00.000000+00"},
    {"2026-01-02", "2026-01-02 00:00:00.000000+00"},
    {"2026-01-01 20:04:05-0730", "2026-01-02 03:34:05.000000+00"},
    {"2026-01-02 03:04:05+5", "2026-01-01 22:04:05.000000+00"},
    {"2024-02-29 00:00 +05:45", "2024-02-28 18:15:00.000000+00"},
    {"1969-12-31 23:59:59", "1969-12-31 23:59:59.000000+00"},
    {"", NULL},
    {"yesterday", NULL},
    {"2026-02-30", NULL},
    {"2025-02-29 00:00:00", NULL},
    {"2026-01-02x", NULL},
    {"2026-01-02 03:04:05.", NULL},
    {"2026-01-02 03:04:05+16", NULL},
    {"2026-01-02 03:04:05+02:", NULL},
    {"2026-01-02 03:04:05+02:60", NULL},
    {"2026-01-02 03:04:05+0200x", NULL},
    {"2026-01-02 03:04:05 02", NULL},
    {"2026-01-02 03:04:05+", NULL},
    {"2026-13-01", NULL},
    {"2026-01-02 25:00", NULL},
};

START_TEST(instants_are_read_whole_or_not_at_all)
{
    struct timespec t = {.tv_sec = 1, .tv_nsec = 234567};
    void *scratch = talloc_new(NULL);
    bool read = instant_read(instants[_i].text, &t);
    ck_assert_msg(read == (instants[_i].same != NULL), "%s", instants[_i].text);
    if (read)
        ck_assert_str_eq(instant_text(scratch, t), instants[_i].same);
    else
        ck_assert(t.tv_sec == 1 && t.tv_nsec == 234567);
    talloc_free(scratch);
}
END_TEST

START_TEST(instants_have_an_order)
{
    struct timespec a = {.tv_sec = 5, .tv_nsec = 2}, b = {.tv_sec = 5, .tv_nsec = 3},
                    c = {.tv_sec = 6};
    ck_assert(instant_is_after(b, a) && instant_is_after(c, b));
    ck_assert(!instant_is_after(a, b) && !instant_is_after(b, c) && !instant_is_after(a, a));
}
END_TEST

START_TEST(arrays_grow_zeroed_and_owned)
{
    struct pair {
        int64_t a;
        char *b;
    } *pairs = NULL;
    size_t count = 0;
    for (size_t i = 0; i < 1000; i++) {
        size_t at = mem_grow(ctx, &pairs, &count);
        ck_assert_uint_eq(at, i);
        ck_assert_uint_eq(count, i + 1);
        ck_assert(pairs[at].a == 0 && pairs[at].b == NULL);
        pairs[at].a = (int64_t)i;
        pairs[at].b = mem_printf(pairs, "%zu", i);
    }
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(pairs[i].a, (int64_t)i);
    ck_assert_str_eq(pairs[999].b, "999");
    ck_assert_ptr_eq(talloc_parent(pairs), ctx);
    ck_assert_ptr_null(mem_strdup(ctx, NULL));
}
END_TEST

START_TEST(out_of_memory_ends_the_process)
{
    mem_check(NULL);
}
END_TEST

START_TEST(embedded_files_are_found_by_path)
{
    ck_assert_ptr_null(embedded_text("policies/no-such.yaml"));
    ck_assert_ptr_null(embedded_text(""));
    for (const struct embedded_file *file = embedded_files; file->path; file++) {
        ck_assert_ptr_eq(embedded_text(file->path), file->text);
        ck_assert_uint_eq(strlen(file->text), file->length);
    }
}
END_TEST

#define LAST_OF_COUNTED                                                                            \
    "                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, " \
    "true)\n"

START_TEST(templates_fill_their_slots)
{
    ck_assert_str_eq(template_fill(ctx, "sql/runs.sql", "counted",
                                   TEMPLATE_SLOTS({"rows", "DELETE FROM a\nRETURNING 1"},
                                                  {"node", "7"}, {"number", "n"})),
                     "WITH gone AS (\n    DELETE FROM a\n    RETURNING 1\n)\n"
                     "SELECT pg_catalog.count(*),\n"
                     "       pg_catalog.set_config('pgsweep.n7',\n"
                     "                             (n\n" LAST_OF_COUNTED "  FROM gone");
    /* A line with a slot that has no value is left out. */
    ck_assert_str_eq(
        template_fill(ctx, "sql/runs.sql", "counted",
                      TEMPLATE_SLOTS({"rows", "SELECT"}, {"node", NULL}, {"number", NULL})),
        "WITH gone AS (\n    SELECT\n)\nSELECT pg_catalog.count(*),\n" LAST_OF_COUNTED
        "  FROM gone");
    /* Spaces in front of a line would change a text or a name: then no line is indented. */
    ck_assert_str_eq(template_fill(ctx, "sql/runs.sql", "counted",
                                   TEMPLATE_SLOTS({"rows", "SELECT 'a\nb'\nFROM x"}, {"node", NULL},
                                                  {"number", NULL})),
                     "WITH gone AS (\n    SELECT 'a\nb'\nFROM x\n)\nSELECT "
                     "pg_catalog.count(*),\n" LAST_OF_COUNTED "  FROM gone");
    ck_assert_str_eq(template_fill(ctx, "sql/runs.sql", "counted",
                                   TEMPLATE_SLOTS({"rows", "SELECT $1, 'it''s'\nFROM x"},
                                                  {"node", NULL}, {"number", NULL})),
                     "WITH gone AS (\n    SELECT $1, 'it''s'\n    FROM x\n)\nSELECT "
                     "pg_catalog.count(*),\n" LAST_OF_COUNTED "  FROM gone");
    ck_assert_str_eq(template_why(ctx, "sql/runs.sql", "counted"),
                     "Counts the rows of one step, and adds them to the count of its table in "
                     "this transaction.");
}
END_TEST

START_TEST(templates_align_conditions)
{
    const char *conditions = "EXISTS (\n    SELECT FROM b)\nAND c";
    ck_assert_str_eq(
        template_fill(ctx, "sql/reach.sql", "exists",
                      TEMPLATE_SLOTS({"table", "x"}, {"alias", "y"}, {"conditions", conditions})),
        "EXISTS (\n"
        "    SELECT FROM x AS y\n"
        "     WHERE EXISTS (\n"
        "           SELECT FROM b)\n"
        "       AND c)");
    /* Not where the slot stands behind another word. */
    ck_assert_str_eq(template_fill(ctx, "sql/reach.sql", "select",
                                   TEMPLATE_SLOTS({"columns", "a,\nb"}, {"table", "x"},
                                                  {"alias", "y"}, {"conditions", "p\nAND q"})),
                     "SELECT a,\n"
                     "       b\n"
                     "  FROM x AS y\n"
                     " WHERE p\n"
                     "   AND q");
}
END_TEST

START_TEST(template_that_is_not_there_ends_the_process)
{
    template_fill(NULL, "sql/runs.sql", "count", NULL);
}
END_TEST

START_TEST(template_without_a_value_for_a_slot_ends_the_process)
{
    template_fill(NULL, "sql/runs.sql", "counted", TEMPLATE_SLOTS({"node", "7"}, {"number", "n"}));
}
END_TEST

START_TEST(template_without_the_slot_ends_the_process)
{
    template_fill(NULL, "sql/runs.sql", "note_unfinished", TEMPLATE_SLOTS({"node", "7"}));
}
END_TEST

static const struct {
    struct clock_facts facts;
    const char *why; /* NULL: nothing is wrong */
} host_clocks[] = {
    {{.now = 1000000, .built = 900000, .kernel = 1000000}, NULL},
    {{.now = 1000000, .built = 1000000 + CLOCK_SLACK_S, .kernel = -1}, NULL},
    {{.now = 1000000, .built = 1000001 + CLOCK_SLACK_S, .kernel = -1}, "made later"},
    {{.now = 1000000, .built = 0, .kernel = 1000000 - CLOCK_SLACK_S}, NULL},
    {{.now = 1000000, .built = 0, .kernel = 999999 - CLOCK_SLACK_S}, "boot time"},
    {{.now = 1000000, .built = 0, .kernel = 9000000},
     NULL}, /* earlier than the kernel says: less would go */
    {{.now = INT64_C(4102444800), .built = 0, .kernel = 1000000},
     "it says 2100-01-01 00:00:00 UTC"},
};

START_TEST(host_clocks_that_cannot_be_right_are_refused)
{
    struct error err = ERROR_INIT;
    bool ok = clock_judge_host(&host_clocks[_i].facts, &err);
    ck_assert_int_eq(ok, !host_clocks[_i].why);
    if (!ok) {
        ck_assert_int_eq(err.code, SWEEP_REFUSED);
        ck_assert_msg(strstr(err.message, host_clocks[_i].why) != NULL, "%s", err.message);
        ck_assert(strstr(err.hint, "--trust-clock") != NULL);
    }
    error_clear(&err);
}
END_TEST

START_TEST(database_clocks_may_differ_by_five_minutes_and_the_time_of_the_answer)
{
    static const struct {
        int64_t before, database, after;
        bool ok;
    } cases[] = {{0, 300000, 0, true},      {0, 300001, 0, false},    {0, -300000, 0, true},
                 {0, -300001, 0, false},    {0, 360000, 60000, true}, {0, 360001, 60000, false},
                 {0, -300001, 60000, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = ERROR_INIT;
        ck_assert_int_eq(
            clock_judge_database(cases[i].before, cases[i].database, cases[i].after, &err),
            cases[i].ok);
        ck_assert_int_eq(err.code, cases[i].ok ? SWEEP_OK : SWEEP_REFUSED);
        error_clear(&err);
    }
}
END_TEST

START_TEST(an_idle_root_is_older_than_a_year_and_than_the_cutoff)
{
    int64_t now = INT64_C(10) * CLOCK_IDLE_S;
    ck_assert(!clock_looks_idle(now, now - CLOCK_IDLE_S, now));
    ck_assert(clock_looks_idle(now, now - CLOCK_IDLE_S - 1, now));
    ck_assert(!clock_looks_idle(now, now - 2 * CLOCK_IDLE_S, now - 2 * CLOCK_IDLE_S));
    ck_assert(!clock_looks_idle(now, now + 1, now));
}
END_TEST

START_TEST(the_clock_of_this_host_is_right)
{
    struct clock_facts facts;
    struct error err = ERROR_INIT;
    clock_read_facts(&facts);
    ck_assert_int_gt(facts.built, INT64_C(1767225600)); /* 2026 */
    ck_assert_int_lt(
        facts.now - facts.kernel < 0 ? facts.kernel - facts.now : facts.now - facts.kernel, 5);
    ck_assert(clock_judge_host(&facts, &err));
}
END_TEST

static Suite *base_suite(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, error_carries_what_was_set);
    tcase_add_test(tests, error_may_be_set_from_its_own_text);
    tcase_add_test(tests, error_moves);
    tcase_add_test(tests, error_prints_three_parts);
    tcase_add_test(tests, text_count_separates_thousands);
    tcase_add_test(tests, text_percent_says_100_only_of_all);
    tcase_add_test(tests, text_duration_reads_well);
    tcase_add_loop_test(tests, text_escape_shows_what_a_terminal_would_obey, 0,
                        sizeof escapes / sizeof *escapes);
    tcase_add_test(tests, text_escape_reads_no_further_than_told);
    tcase_add_loop_test(tests, text_shows_what_is_hidden, 0,
                        sizeof hidden_characters / sizeof *hidden_characters);
    tcase_add_test(tests, text_leaves_what_is_seen);
    tcase_add_test(tests, different_names_are_shown_differently);
    tcase_add_test(tests, text_base64_as_in_rfc_4648);
    tcase_add_test(tests, text_nearest_finds_slips_only);
    tcase_add_loop_test(tests, text_to_count_takes_whole_positive_numbers, 0,
                        sizeof counts / sizeof *counts);
    tcase_add_test(tests, text_same_word_ignores_case);
    tcase_add_test(tests, backoff_stays_in_its_bounds);
    tcase_add_test(tests, backoff_is_not_always_the_same);
    tcase_add_test(tests, sleep_takes_its_time);
    tcase_add_test(tests, sleep_ends_when_a_stop_is_requested);
    tcase_add_loop_test(tests, first_signal_cancels_only_what_is_worth_nothing_half_done, 0, 2);
    tcase_add_test(tests, timestamp_is_iso_utc);
    tcase_add_loop_test(tests, instants_are_read_whole_or_not_at_all, 0,
                        (int)(sizeof instants / sizeof *instants));
    tcase_add_test(tests, instants_have_an_order);
    tcase_add_test(tests, arrays_grow_zeroed_and_owned);
    tcase_add_loop_test(tests, host_clocks_that_cannot_be_right_are_refused, 0,
                        (int)(sizeof host_clocks / sizeof *host_clocks));
    tcase_add_test(tests, database_clocks_may_differ_by_five_minutes_and_the_time_of_the_answer);
    tcase_add_test(tests, an_idle_root_is_older_than_a_year_and_than_the_cutoff);
    tcase_add_test(tests, the_clock_of_this_host_is_right);
    tcase_add_test(tests, embedded_files_are_found_by_path);
    tcase_add_test(tests, templates_fill_their_slots);
    tcase_add_test(tests, templates_align_conditions);
    suite_add_tcase(suite, tests);
    /* Without the fixture: what it allocated would be reported as a leak of the early exit. */
    TCase *ends = tcase_create("ends");
    tcase_add_exit_test(ends, out_of_memory_ends_the_process, SWEEP_INTERNAL);
    tcase_add_exit_test(ends, template_that_is_not_there_ends_the_process, SWEEP_INTERNAL);
    tcase_add_exit_test(ends, template_without_a_value_for_a_slot_ends_the_process, SWEEP_INTERNAL);
    tcase_add_exit_test(ends, template_without_the_slot_ends_the_process, SWEEP_INTERNAL);
    suite_add_tcase(suite, ends);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(base_suite());
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
