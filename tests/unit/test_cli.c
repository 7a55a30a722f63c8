/* The cli room: from argv to struct cli_options, and the help. */
#define _GNU_SOURCE
#include "unit.h"

#include "../../src/cli/tables.h"
#include "../../src/policy/fields.h"

static struct cli_options options;

/* Parses a line of words; "" between two blanks is an empty word. */
static bool parse(const char *line)
{
    char *copy = mem_strdup(ctx, line);
    char **argv = mem_array(ctx, char *, 128);
    int argc = 0;
    error_clear(&err);
    argv[argc++] = mem_strdup(ctx, "pgsweep");
    for (char *word; (word = strsep(&copy, " "));)
        argv[argc++] = word;
    return cli_parse(line[0] ? argc : 1, argv, &options, &err);
}

static void ck_takes(const char *line)
{
    bool ok = parse(line);
    ck_assert_msg(ok, "%s: %s", line, err.message);
}

static const char *command_for(const struct cli_option *option)
{
    return option->commands & COMMAND_SWEEP  ? "jobs"
           : option->commands & COMMAND_INIT ? "init"
           : option->commands & COMMAND_SHOW ? "show jobs"
                                             : "list";
}

static const char *value_for(const struct cli_option *option)
{
    return strcmp(option->name, "format") == 0 ? "json" : "some/value";
}

/* A slip in any option, and any option with a value twice, is refused: made from the table. (The
 * beginning of a long option is understood, as everywhere.) */
START_TEST(every_slip_in_an_option_is_refused)
{
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        size_t length = strlen(o->name);
        for (size_t at = 0; at < length; at++) {
            char *wrong = mem_strdup(ctx, o->name);
            wrong[at] = wrong[at] == 'x' ? 'y' : 'x';
            char *line =
                mem_printf(ctx, "%s --%s%s", command_for(o), wrong, o->argument ? "=1" : "");
            ck_assert_msg(!parse(line), "taken: %s", line);
            ck_says(err.message, "unknown option");
            wrong = mem_printf(ctx, "%s%s", o->name, "x");
            line = mem_printf(ctx, "%s --%s%s", command_for(o), wrong, o->argument ? "=1" : "");
            ck_assert_msg(!parse(line), "taken: %s", line);
        }
        if (!o->argument || o->count_offset)
            continue;
        ck_assert(!parse(mem_printf(ctx, "%s --%s=%s --%s=%s", command_for(o), o->name,
                                    value_for(o), o->name, value_for(o))));
        ck_says(err.message, "is given twice");
    }
}
END_TEST

START_TEST(options_of_the_unit_must_be_on_the_command_line)
{
    setenv("PGSWEEP_OPTIONS", "--dry-run  --verbose", 1);
    ck_assert(!parse("jobs"));
    ck_says(err.message, "--dry-run");
    ck_assert(!parse("jobs --dry-run"));
    ck_says(err.message, "--verbose");
    ck_takes("jobs --verbose --dry-run");
    ck_takes("list");
    setenv("PGSWEEP_OPTIONS", "", 1);
    ck_takes("jobs");
    setenv("PGSWEEP_OPTIONS", "--log-file '/a b'", 1);
    ck_assert(!parse("jobs"));
    setenv("PGSWEEP_OPTIONS", "postgres://me:hush@h/d", 1);
    ck_assert(!parse("jobs"));
    ck_assert_ptr_null(strstr(err.message, "hush"));
    unsetenv("PGSWEEP_OPTIONS");
}
END_TEST

START_TEST(every_option_is_taken_in_every_form)
{
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        for (int form = 0; form < (o->argument ? 2 : 1); form++) {
            ck_takes(mem_printf(ctx, "%s --%s%s%s", command_for(o), o->name,
                                !o->argument ? ""
                                : form       ? "="
                                             : " ",
                                o->argument ? value_for(o) : ""));
            if (o->argument)
                ck_assert_str_eq(*(const char **)(void *)((char *)&options + o->offset),
                                 value_for(o));
            else
                ck_assert(*(bool *)(void *)((char *)&options + o->offset));
        }
        if (o->letter)
            ck_takes(mem_printf(ctx, "-%c %s%s%s", o->letter, o->argument ? value_for(o) : "",
                                o->argument ? " " : "", command_for(o)));
    }
}
END_TEST

START_TEST(an_option_goes_with_its_commands_only)
{
    static const struct {
        const char *line;
        enum cli_command command;
    } commands[] = {{"jobs", COMMAND_SWEEP},
                    {"init", COMMAND_INIT},
                    {"list", COMMAND_LIST},
                    {"show jobs", COMMAND_SHOW}};
    for (const struct cli_option *o = cli_options_table; o->name; o++)
        for (int c = 0; c < COUNT(commands); c++) {
            bool ok = parse(mem_printf(ctx, "%s --%s%s%s", commands[c].line, o->name,
                                       o->argument ? "=" : "", o->argument ? value_for(o) : ""));
            ck_assert_msg(ok == !!(o->commands & (int)commands[c].command), "%s --%s",
                          commands[c].line, o->name);
            if (!ok) {
                ck_says(err.message, o->name);
                ck_says(err.hint, "pgsweep ");
            }
        }
}
END_TEST

START_TEST(commands_and_operands)
{
    ck_takes("jobs");
    ck_assert_int_eq(options.command, COMMAND_SWEEP);
    ck_assert_str_eq(options.policy, "jobs");
    ck_takes("-n anonymous --quiet");
    ck_assert_str_eq(options.policy, "anonymous");
    ck_assert(options.dry_run && options.quiet && !options.verbose);
    ck_takes("show jobs");
    ck_assert_int_eq(options.command, COMMAND_SHOW);
    ck_assert_str_eq(options.policy, "jobs");
    ck_takes("init");
    ck_assert_int_eq(options.command, COMMAND_INIT);
    ck_takes("list");
    ck_assert_int_eq(options.command, COMMAND_LIST);
    ck_takes("-- jobs");
    ck_takes("--help");
    ck_assert_int_eq(options.command, COMMAND_HELP);
    ck_assert_ptr_null(options.topic);
    ck_takes("jobs --help");
    ck_assert_str_eq(options.topic, "jobs");
    ck_takes("--version");
    ck_assert_int_eq(options.command, COMMAND_VERSION);
    ck_takes("-V");
    ck_assert_int_eq(options.command, COMMAND_VERSION);
    ck_takes("jobs --format text");
    ck_assert(!options.json);
    ck_takes("jobs --format json");
    ck_assert(options.json);
}
END_TEST

static const struct {
    const char *line, *message, *hint; /* hint NULL: any */
} wrong[] = {
    {"", "no policy or command", "--help"},
    {"--dry-run", "no policy or command", "list"},
    {"jobs anonymous", "too many command-line arguments (first is \"anonymous\")", NULL},
    {"show", "needs the name of a policy", "list"},
    {"show jobs jobs", "too many command-line arguments", NULL},
    {"list x", "too many command-line arguments (first is \"x\")", NULL},
    {"init x", "too many command-line arguments (first is \"x\")", NULL},
    {"jobs --dryrun", "unknown option \"--dryrun\"", "--dry-run"},
    {"jobs --retian=3", "unknown option \"--retian=3\"", "--retain"},
    {"jobs --verson", "unknown option", "--version"},
    {"jobs --zzzzzzzz", "unknown option \"--zzzzzzzz\"", "--help"},
    {"jobs -x", "unknown option \"-x\"", "--help"},
    {"jobs -nx", "unknown option \"-x\"", NULL},
    {"jobs --retain", "\"--retain\" needs a value", NULL},
    {"jobs -p", "\"-p\" needs a value", NULL},
    {"jobs -np", "\"-p\" needs a value", NULL},
    {"-h", "\"-h\" needs a value", "--help"},
    {"jobs -d a -d b", "--dbname is given twice", NULL},
    {"jobs -d a --dbname=a", "--dbname is given twice", NULL},
    {"jobs --retain 1d --retain 1d", "--retain is given twice", NULL},
    {"jobs --dry-run=yes", "--dry-run takes no value", NULL},
    {"jobs --help=x", "--help takes no value", NULL},
    {"jobs --format xml", "\"xml\" is neither", NULL},
    {"jobs --format=", "\"\" is neither", NULL},
    {"jobs -q -v", "cannot be used together", NULL},
    {"jobs -w -W", "cannot be used together", NULL},
    {"list --dry-run", "--dry-run cannot be used with", "POLICY"},
    {"jobs --print-sql", "--print-sql cannot be used with", "init"},
    /* A forgotten value must not swallow the option behind it: the run would be a live one. */
    {"jobs --policy-dir --dry-run", "--policy-dir needs a value", "--policy-dir=--dry-run"},
    {"jobs -U -n", "--username needs a value", NULL},
    {"jobs -d --dry-run", "--dbname needs a value", NULL},
};

START_TEST(refuses_with_a_reason)
{
    ck_assert_msg(!parse(wrong[_i].line), "taken: %s", wrong[_i].line);
    ck_says(err.message, wrong[_i].message);
    ck_assert_int_eq(err.code, SWEEP_USAGE);
    if (wrong[_i].hint)
        ck_says(err.hint, wrong[_i].hint);
}
END_TEST

START_TEST(a_value_may_begin_with_a_dash_where_it_is_meant)
{
    ck_takes("jobs --policy-dir=--dry-run");
    ck_assert_str_eq(options.policy_dir, "--dry-run");
    ck_assert(!options.dry_run);
    ck_takes("jobs -d -odd-name");
    ck_assert_str_eq(options.dbname, "-odd-name");
}
END_TEST

START_TEST(a_flag_repeated_often_hides_nothing)
{
    char *line = mem_strdup(ctx, "list");
    for (int i = 0; i < 100; i++)
        line = talloc_asprintf_append(line, " -q");
    ck_assert(!parse(line));
    line = mem_strdup(ctx, "jobs");
    for (int i = 0; i < 100; i++)
        line = talloc_asprintf_append(line, " -q");
    ck_assert(!parse(talloc_asprintf_append(line, " -d a -d b")));
    ck_says(err.message, "twice");
}
END_TEST

START_TEST(help_tells_everything)
{
    const char *const policies[] = {"jobs", "about jobs", NULL};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cli_print_help(NULL, policies, out);
    fclose(out);
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        ck_says(text, mem_printf(ctx, "--%s", o->name));
        ck_says(text, o->help);
    }
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++)
        ck_says(text, e->summary);
#define SAYS(name, number, meaning) ck_says(text, mem_printf(ctx, "%d  %s", number, meaning));
    PGSWEEP_EXIT_CODES(SAYS)
#undef SAYS
    ck_says(text, "128+n");
    ck_says(text, "about jobs");
    free(text);
}
END_TEST

/* The words that an option shows are those that its key of a policy takes. */
START_TEST(words_of_an_option_are_those_of_its_key)
{
    int compared = 0;
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        char *key = mem_strdup(ctx, o->name), *all = mem_strdup(ctx, "");
        for (char *c = key; *c; c++)
            if (*c == '-')
                *c = '_';
        const struct field *field = field_find(KIND_ROWS, key);
        if (!field)
            field = field_find(KIND_FILES, key);
        if (!o->argument || !field || !field->words)
            continue;
        for (size_t i = 0; field->words[i]; i++)
            all = mem_printf(ctx, "%s%s%s", all, i ? "|" : "", field->words[i]);
        ck_assert_str_eq(o->argument, all);
        compared++;
    }
    ck_assert_int_eq(compared, 6);
}
END_TEST

START_TEST(help_of_a_command_tells_its_options_only)
{
    static const char *const topics[] = {"init", "list", "show", "jobs"};
    static const int commands[] = {COMMAND_INIT, COMMAND_LIST, COMMAND_SHOW, COMMAND_SWEEP};
    const char *const policies[] = {NULL};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cli_print_help(topics[_i], policies, out);
    fclose(out);
    ck_says(text, mem_printf(ctx, "Usage: pgsweep %s", topics[_i]));
    for (const struct cli_option *o = cli_options_table; o->name; o++)
        ck_assert_msg(!strstr(text, o->help) == !(o->commands & commands[_i]), "%s: --%s",
                      topics[_i], o->name);
    ck_assert_int_eq(!!strstr(text, "Exit codes"), commands[_i] == COMMAND_SWEEP);
    free(text);
}
END_TEST

static const struct {
    const char *word;
    bool secret;
} passwords[] = {
    {"app", false},
    {"host=h dbname=app", false},
    {"postgresql://u@h/app", false},
    {"postgresql://h:5432/app", false},
    {"password", false},
    {"host=h password=x", true},
    {"host=h PASSWORD = 'x y'", true},
    {"sslpassword=x", true},
    {"postgresql://u:p@h/app", true},
    {"postgres://u:p@q@h/app", true},
    {"postgresql://u:p@h:1,g:2/app", true},
    {"postgresql://h/app?password=x", true},
    {"postgresql://h/app?p%61ssword=x", true},
    {"--dbnam=postgres://u:p@h/", true},
};

START_TEST(passwords_are_recognised_and_leave_argv)
{
    char *argv[] = {mem_strdup(ctx, "pgsweep"), mem_strdup(ctx, "jobs"), mem_strdup(ctx, "-d"),
                    mem_strdup(ctx, passwords[_i].word)};
    ck_assert_int_eq(cli_holds_password(passwords[_i].word), passwords[_i].secret);
    const char *given = argv[3];
    if (*given == '-')
        return;
    ck_assert(cli_parse(4, argv, &options, &err)); /* which may change the order of the words */
    cli_hide_password(ctx, &options);
    ck_assert_str_eq(options.dbname, passwords[_i].word);
    ck_assert_int_eq(strlen(given), strlen(passwords[_i].word));
    ck_assert_int_eq(strspn(given, "x") == strlen(given), passwords[_i].secret);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli");
    TCase *tests = tcase_create("cli");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_test(tests, every_slip_in_an_option_is_refused);
    tcase_add_test(tests, options_of_the_unit_must_be_on_the_command_line);
    tcase_add_test(tests, every_option_is_taken_in_every_form);
    tcase_add_test(tests, an_option_goes_with_its_commands_only);
    tcase_add_test(tests, commands_and_operands);
    tcase_add_loop_test(tests, refuses_with_a_reason, 0, COUNT(wrong));
    tcase_add_test(tests, a_value_may_begin_with_a_dash_where_it_is_meant);
    tcase_add_test(tests, a_flag_repeated_often_hides_nothing);
    tcase_add_loop_test(tests, passwords_are_recognised_and_leave_argv, 0, COUNT(passwords));
    tcase_add_test(tests, help_tells_everything);
    tcase_add_test(tests, words_of_an_option_are_those_of_its_key);
    tcase_add_loop_test(tests, help_of_a_command_tells_its_options_only, 0, 4);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
