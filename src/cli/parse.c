/* From argv to struct cli_options, by the tables. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "tables.h"

#define UNIT_OPTIONS "PGSWEEP_OPTIONS"

enum { OPTIONS_MAX = 96, VERBS_MAX = 16, FIRST_LONG = 256, HELP = 1000, VERSION = 1001 };

struct parser {
    struct option longs[OPTIONS_MAX];
    char shorts[2 * OPTIONS_MAX + 8];
    const struct cli_option *given[OPTIONS_MAX]; /* each option that was given, once */
    int given_count;
};

/* getopt_long's own tables, made from ours. */
static void prepare(struct parser *parser)
{
    int n = 0;
    char *s = parser->shorts;
    *s++ = ':'; /* getopt: report a missing argument as ':', not '?' */
    for (const struct cli_option *o = cli_options_table; o->name; o++, n++) {
        parser->longs[n] = (struct option){o->name, o->argument ? required_argument : no_argument,
                                           NULL, FIRST_LONG + n};
        if (o->letter) {
            *s++ = o->letter;
            if (o->argument)
                *s++ = ':';
        }
    }
    parser->longs[n++] = (struct option){"help", no_argument, NULL, HELP};
    parser->longs[n++] = (struct option){"version", no_argument, NULL, VERSION};
    *s++ = 'V';
    *s = '\0';
}

static const struct cli_option *find_option(int code)
{
    int n = 0;
    for (const struct cli_option *o = cli_options_table; o->name; o++, n++)
        if (code == FIRST_LONG + n || (o->letter && code == o->letter))
            return o;
    return NULL;
}

/* How much of a word a message shows: what stands behind "=" may be a password. */
static int shown_length(const char *word)
{
    return (int)(cli_holds_password(word) ? strcspn(word, "=") : strlen(word));
}

static bool unknown_option(const char *word, struct error *err)
{
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    char bare[64];
    for (const struct cli_option *o = cli_options_table; o->name; o++)
        names[count++] = o->name;
    names[count++] = "help";
    names[count++] = "version";
    error_set(err, SWEEP_USAGE, "unknown option \"%.*s\"", shown_length(word), word);
    snprintf(bare, sizeof bare, "%s", word + strspn(word, "-"));
    bare[strcspn(bare, "=")] = '\0';
    const char *nearest = strncmp(word, "--", 2) == 0 ? text_nearest(bare, names, count) : NULL;
    if (nearest)
        return error_hint(err, "Did you mean \"--%s\"? \"pgsweep --help\" lists all.", nearest);
    return error_hint(err, "\"pgsweep --help\" lists the options.");
}

/* True for "--dry-run" or "-n": a word that is an option and hardly meant as another one's value.
 */
static bool is_option_word(const char *word)
{
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        size_t length = strlen(o->name);
        if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, o->name, length) == 0 &&
            (word[2 + length] == '\0' || word[2 + length] == '='))
            return true;
        if (word[0] == '-' && word[1] && word[1] == o->letter && !word[2])
            return true;
    }
    return false;
}

/* word: the whole word that held the value, or the value itself where it stood alone. */
static bool take_option(struct parser *parser, const struct cli_option *option, const char *word,
                        struct cli_options *options, struct error *err)
{
    char *base = (char *)options;
    bool again = false;
    for (int i = 0; i < parser->given_count; i++)
        again = again || parser->given[i] == option;
    if (again && option->argument && !option->count_offset)
        return error_set(err, SWEEP_USAGE, "option --%s is given twice", option->name);
    if (!again)
        parser->given[parser->given_count++] = option;
    if (!option->argument) {
        *(bool *)(void *)(base + option->offset) = true;
        return true;
    }
    /* "--policy-dir --dry-run" would swallow the very option that keeps a run harmless. */
    if (optarg == word && is_option_word(word)) {
        int length = shown_length(word);
        error_set(err, SWEEP_USAGE, "option --%s needs a value, but \"%.*s\" follows it",
                  option->name, length, word);
        return error_hint(err, "If that is the value, write --%s=%.*s.", option->name, length,
                          word);
    }
    if (!option->count_offset) {
        *(const char **)(void *)(base + option->offset) = optarg;
        return true;
    }
    size_t *count = (size_t *)(void *)(base + option->count_offset);
    if (*count == CLI_LIST_MAX)
        return error_set(err, SWEEP_USAGE, "option --%s is given more than %d times", option->name,
                         CLI_LIST_MAX);
    ((const char **)(void *)(base + option->offset))[(*count)++] = optarg;
    return true;
}

static bool missing_value(const char *word, struct error *err)
{
    char name[3] = {'-', (char)optopt, '\0'};
    bool is_long = strncmp(word, "--", 2) == 0;
    error_set(err, SWEEP_USAGE, "option \"%s\" needs a value", is_long ? word : name);
    if (!is_long && optopt == 'h')
        return error_hint(err, "-h is the server's host, as in psql; for help, use --help.");
    return false;
}

static bool needless_value(int code, struct error *err)
{
    const struct cli_option *option = find_option(code);
    const char *name = option ? option->name : code == HELP ? "help" : "version";
    error_set(err, SWEEP_USAGE, "option --%s takes no value", name);
    return error_hint(err, "Leave out \"=\" and what follows it.");
}

static bool check_operands(int argc, char **argv, struct error *err)
{
    for (int i = optind; i < argc; i++)
        if (cli_holds_password(argv[i])) {
            error_set(err, SWEEP_USAGE,
                      "a connection string stands where a policy or a command is expected");
            return error_hint(err, "Give it with -d; better, keep the password in ~/.pgpass.");
        }
    return true;
}

static bool unknown_verb(const struct cli_command_entry *entry, const char *word, struct error *err)
{
    const char *names[VERBS_MAX];
    char list[256] = "";
    size_t count = 0;
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++)
        if (v->command == entry->command) {
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", count ? ", " : "",
                     v->name);
            names[count++] = v->name;
        }
    const char *nearest = text_nearest(word, names, count);
    error_set(err, SWEEP_USAGE, "unknown %s subcommand \"%s\"", entry->name, word);
    if (nearest)
        return error_hint(err, "Did you mean \"%s\"? The subcommands are: %s.", nearest, list);
    return error_hint(err, "The subcommands are: %s.", list);
}

/* "list" of "pgsweep dlq list", and what follows it. */
static bool take_verb(const struct cli_command_entry *entry, int argc, char **argv,
                      struct cli_options *options, struct error *err)
{
    if (optind + 1 >= argc) {
        error_set(err, SWEEP_USAGE, "pgsweep %s needs a subcommand", entry->name);
        return error_hint(err, "\"pgsweep %s --help\" lists the subcommands.", entry->name);
    }
    options->verb = argv[optind + 1];
    options->operands = argv + optind + 2;
    options->operand_count = argc - optind - 2;
    return cli_verb_find(entry->command, options->verb) || unknown_verb(entry, options->verb, err);
}

static bool missing_operand(const struct cli_command_entry *entry, struct error *err)
{
    if (entry->command == COMMAND_COMPLETION) {
        error_set(err, SWEEP_USAGE, "pgsweep %s needs the name of a shell", entry->name);
        return error_hint(err, "The shells are bash, zsh and fish.");
    }
    error_set(err, SWEEP_USAGE, "pgsweep %s needs the name of a policy", entry->name);
    return error_hint(err, "\"pgsweep list\" lists them.");
}

static bool take_operands(int argc, char **argv, struct cli_options *options, struct error *err)
{
    const char *first = optind < argc ? argv[optind] : NULL;
    if (!check_operands(argc, argv, err))
        return false;
    if (options->command == COMMAND_HELP || options->command == COMMAND_VERSION) {
        options->topic = first;
        return true;
    }
    if (!first) {
        error_set(err, SWEEP_USAGE, "no policy or command is given");
        return error_hint(
            err, "\"pgsweep list\" lists the policies, \"pgsweep --help\" everything else.");
    }
    const struct cli_command_entry *entry = cli_commands_table + 1;
    while (entry->name && strcmp(entry->name, first) != 0)
        entry++;
    options->command = entry->name ? entry->command : COMMAND_SWEEP;
    if (options->command == COMMAND_DLQ || options->command == COMMAND_OBJECTS)
        return take_verb(entry, argc, argv, options, err);
    int expected = 1;
    if (options->command == COMMAND_SWEEP) {
        options->policy = first;
    } else if (entry->operand) {
        if (optind + 1 >= argc)
            return missing_operand(entry, err);
        *(options->command == COMMAND_COMPLETION ? &options->verb : &options->policy) =
            argv[optind + 1];
        expected = 2;
    }
    if (optind + expected < argc) {
        error_set(err, SWEEP_USAGE, "too many command-line arguments (first is \"%s\")",
                  argv[optind + expected]);
        return error_hint(err, "One run is one policy or one command.");
    }
    return true;
}

/* Which options and values can be used together. */
static bool check(const struct parser *parser, struct cli_options *options, struct error *err)
{
    for (int i = 0; i < parser->given_count; i++) {
        const struct cli_option *option = parser->given[i];
        if (options->command >= COMMAND_HELP || (option->commands & (int)options->command))
            continue;
        const char *name = "POLICY";
        for (const struct cli_command_entry *e = cli_commands_table; e->name; e++)
            if (option->commands & (int)e->command) {
                name = e->name;
                break;
            }
        error_set(err, SWEEP_USAGE, "option --%s cannot be used with this command", option->name);
        return error_hint(err, "Use it with \"pgsweep %s\".", name);
    }
    if (options->format) {
        options->json = strcmp(options->format, "json") == 0;
        if (!options->json && strcmp(options->format, "text") != 0)
            return error_set(err, SWEEP_USAGE,
                             "option --format: \"%s\" is neither \"text\" nor \"json\"",
                             options->format);
    }
    if (options->quiet && options->verbose)
        return error_set(err, SWEEP_USAGE, "options --quiet and --verbose cannot be used together");
    if (options->password && options->no_password)
        return error_set(err, SWEEP_USAGE,
                         "options --password and --no-password cannot be used together");
    return true;
}

/* The systemd unit puts PGSWEEP_OPTIONS on the command line. Nobody else does: a "--dry-run" there
 * would be taken for nothing. Words with quotes are left to systemd, which takes these off. */
static bool check_unit_options(int argc, char **argv, struct error *err)
{
    const char *given = getenv(UNIT_OPTIONS);
    bool ok = true;
    char *copy = given ? mem_strdup(NULL, given) : NULL, *save = NULL;
    for (char *word = copy ? strtok_r(copy, " \t\r\n", &save) : NULL; ok && word;
         word = strtok_r(NULL, " \t\r\n", &save)) {
        bool there = strpbrk(word, "'\"\\") != NULL;
        for (int i = 1; i < argc && !there; i++)
            there = strcmp(argv[i], word) == 0;
        ok = there || error_set(err, SWEEP_USAGE,
                                "environment variable %s has \"%s\", and the command line does not",
                                UNIT_OPTIONS, cli_holds_password(word) ? "..." : word);
    }
    talloc_free(copy);
    return ok ||
           error_hint(err, "Only the systemd units put that variable on the command line. Give the "
                           "options themselves, or unset it.");
}

bool cli_parse(int argc, char **argv, struct cli_options *options, struct error *err)
{
    struct parser parser = {.given_count = 0};
    *options = (struct cli_options){0};
    prepare(&parser);
    opterr = 0;
    optind = 0; /* start afresh, whatever an earlier call left behind */
    for (;;) {
        int at = optind > 0 ? optind : 1;
        int code = getopt_long(argc, argv, parser.shorts, parser.longs, NULL);
        if (code == -1)
            break;
        const struct cli_option *option = find_option(code);
        if (option) {
            if (!take_option(&parser, option, argv[optind - 1], options, err))
                return false;
        } else if (code == HELP) {
            options->command = COMMAND_HELP;
        } else if (code == VERSION || code == 'V') {
            options->command = COMMAND_VERSION;
        } else if (code == ':') {
            return missing_value(argv[optind - 1], err);
        } else if (optopt >= FIRST_LONG) {
            return needless_value(optopt, err);
        } else if (optopt > 0) {
            char word[] = {'-', (char)optopt, '\0'};
            return unknown_option(word, err);
        } else {
            return unknown_option(argv[at < optind ? optind - 1 : at], err);
        }
    }
    return take_operands(argc, argv, options, err) && check(&parser, options, err) &&
           (options->command != COMMAND_SWEEP || check_unit_options(argc, argv, err));
}
