/* Shell completion: the scripts completion.bash, completion.zsh and completion.fish, with the
 * options, commands and subcommands of the tables in the places marked @name@. */
#include <string.h>

#include "pgsweep/buffer.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "tables.h"

enum shell { BASH, ZSH, FISH };

static const char *const shell_names[] = {"bash", "zsh", "fish", NULL};

/* What completes the value of an option, by the word that stands for the value in the help. */
static const struct {
    const char *argument;
    const char *how[FISH + 1];
} completers[] = {
    {"DIR", {"_pgsweep_names -d", "_files -/", "-x -a '(__fish_complete_directories)'"}},
    {"FILE", {"_pgsweep_names -f", "_files", "-r -F"}},
    {"HOST",
     {"_pgsweep_reply compgen -A hostname -- \"$cur\"", "_hosts",
      "-x -a '(__fish_print_hostnames)'"}},
    {"USERS",
     {"_pgsweep_reply compgen -u -- \"$cur\"", "_users", "-x -a '(__fish_complete_users)'"}},
    {"", {":", " ", "-x"}},
};

/* The text in single quotes, as the shell reads it. special: characters that get a backslash. */
static void append_quoted(PQExpBuffer out, enum shell shell, const char *text, const char *special)
{
    for (const char *c = text; *c; c++) {
        if (strchr(special, *c) || (shell == FISH && (*c == '\'' || *c == '\\')))
            appendPQExpBufferChar(out, '\\');
        else if (*c == '\'')
            appendPQExpBufferStr(out, "'\\'");
        appendPQExpBufferChar(out, *c);
    }
}

/* "text|json": the words that an argument may be, with blanks between them; NULL: any text. */
static char *words_of(const void *ctx, const char *argument)
{
    if (argument[0] < 'a' || argument[0] > 'z')
        return NULL;
    char *words = mem_strdup(ctx, argument);
    for (char *bar; (bar = strchr(words, '|'));)
        *bar = ' ';
    return words;
}

static const char *completer(enum shell shell, const char *argument)
{
    size_t i = 0;
    while (completers[i].argument[0] && strcmp(completers[i].argument, argument) != 0)
        i++;
    return completers[i].how[shell];
}

/* The options with a value, as alternatives of a case. */
static void add_valued(PQExpBuffer out, enum shell shell)
{
    const char *between = shell == FISH ? " " : " | ";
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        if (!o->argument)
            continue;
        appendPQExpBuffer(out, "%s--%s", out->len ? between : "", o->name);
        if (o->letter)
            appendPQExpBuffer(out, "%s-%c", between, o->letter);
    }
}

/* bash: how to complete the value of each option. */
static void add_values(PQExpBuffer out, enum shell shell)
{
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        if (!o->argument)
            continue;
        char *words = words_of(NULL, o->argument);
        appendPQExpBuffer(out, "--%s", o->name);
        if (o->letter)
            appendPQExpBuffer(out, " | -%c", o->letter);
        if (words)
            appendPQExpBuffer(out, ") _pgsweep_words '%s' ;;\n", words);
        else
            appendPQExpBuffer(out, ") %s ;;\n", completer(shell, o->argument));
        talloc_free(words);
    }
}

static void add_commands(PQExpBuffer out, enum shell shell)
{
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++) {
        if (shell != ZSH) {
            appendPQExpBuffer(out, "%s%s", out->len ? " " : "", e->name);
            continue;
        }
        appendPQExpBuffer(out, "'%s:", e->name);
        append_quoted(out, shell, e->summary, ":");
        appendPQExpBufferStr(out, "'\n");
    }
}

/* bash, zsh: the policies, subcommands or words after a command. */
static void add_operand(PQExpBuffer out, enum shell shell, const struct cli_command_entry *entry)
{
    char *words = words_of(NULL, entry->operand);
    appendPQExpBuffer(out, "'%s ') ", entry->name);
    if (words)
        appendPQExpBuffer(out, shell == BASH ? "_pgsweep_words '%s'" : "compadd %s", words);
    else if (strcmp(entry->operand, "POLICY") == 0)
        appendPQExpBufferStr(out, shell == BASH
                                      ? "_pgsweep_words \"$(_pgsweep_policies \"$program\")\""
                                      : "_pgsweep_policies");
    else
        appendPQExpBufferStr(out, shell == BASH ? "_pgsweep_words '" : "verbs=(");
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++) {
        if (v->command != entry->command)
            continue;
        appendPQExpBuffer(out, shell == BASH ? "%s " : "'%s:", v->name);
        if (shell == BASH)
            continue;
        append_quoted(out, shell, v->summary, ":");
        appendPQExpBufferStr(out, "' ");
    }
    if (strcmp(entry->operand, "SUBCOMMAND") == 0)
        appendPQExpBufferStr(out, shell == BASH ? "'" : "); _describe subcommand verbs");
    appendPQExpBufferStr(out, " ;;\n");
    talloc_free(words);
}

static bool takes_policy(const struct cli_verb *verb)
{
    return verb->operands != OPERANDS_IDS;
}

static const char *command_name(enum cli_command command)
{
    const struct cli_command_entry *e = cli_commands_table;
    while (e->command != command)
        e++;
    return e->name;
}

static void add_fish_operands(PQExpBuffer out)
{
    const char *policies = "-a '(__pgsweep_policies)' -d policy";
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++) {
        appendPQExpBuffer(out, "complete -c pgsweep -n '__pgsweep_is -' -a %s -d '", e->name);
        append_quoted(out, FISH, e->summary, "");
        appendPQExpBufferStr(out, "'\n");
        char *words = e->operand ? words_of(NULL, e->operand) : NULL;
        if (words)
            appendPQExpBuffer(out, "complete -c pgsweep -n '__pgsweep_first %s' -a '%s'\n", e->name,
                              words);
        else if (e->operand && strcmp(e->operand, "POLICY") == 0)
            appendPQExpBuffer(out, "complete -c pgsweep -n '__pgsweep_first %s' %s\n", e->name,
                              policies);
        talloc_free(words);
    }
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++) {
        const char *command = command_name(v->command);
        appendPQExpBuffer(out, "complete -c pgsweep -n '__pgsweep_first %s' -a %s -d '", command,
                          v->name);
        append_quoted(out, FISH, v->summary, "");
        appendPQExpBufferStr(out, "'\n");
        if (takes_policy(v))
            appendPQExpBuffer(out, "complete -c pgsweep -n '__pgsweep_verb %s %s' %s\n", command,
                              v->name, policies);
    }
}

static void add_operands(PQExpBuffer out, enum shell shell)
{
    if (shell == FISH) {
        add_fish_operands(out);
        return;
    }
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++)
        if (e->operand)
            add_operand(out, shell, e);
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++)
        if (takes_policy(v))
            appendPQExpBuffer(out, "'%s %s') %s ;;\n", command_name(v->command), v->name,
                              shell == BASH ? "_pgsweep_words \"$(_pgsweep_policies \"$program\")\""
                                            : "_pgsweep_policies");
}

/* One option, as zsh's _arguments wants it. */
static void add_zsh_option(PQExpBuffer out, const struct cli_option *o)
{
    const char *again = o->count_offset ? "*" : "";
    const char *equals = o->argument ? "=" : "";
    char *words = o->argument ? words_of(NULL, o->argument) : NULL;
    if (o->letter && !again[0])
        appendPQExpBuffer(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter,
                          o->argument ? "+" : "", o->name, equals);
    else
        appendPQExpBuffer(out, "'%s--%s%s[", again, o->name, equals);
    append_quoted(out, ZSH, o->help, "[]:");
    appendPQExpBufferStr(out, "]");
    if (words)
        appendPQExpBuffer(out, ":%s:(%s)", o->name, words);
    else if (o->argument)
        appendPQExpBuffer(out, ":%s:%s", o->argument, completer(ZSH, o->argument));
    appendPQExpBufferStr(out, "'\n");
    talloc_free(words);
}

/* bash, zsh: the options of one command; entry NULL: of any. */
static void add_options_of(PQExpBuffer out, enum shell shell, const struct cli_command_entry *entry)
{
    const char *name = !entry ? "''" : entry->command == COMMAND_SWEEP ? "*" : entry->name;
    appendPQExpBuffer(out, shell == BASH ? "%s) echo '" : "%s) options=(\n", name);
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        if (entry && !(o->commands & (int)entry->command))
            continue;
        if (shell == ZSH)
            add_zsh_option(out, o);
        else if (o->letter)
            appendPQExpBuffer(out, "-%c --%s ", o->letter, o->name);
        else
            appendPQExpBuffer(out, "--%s ", o->name);
    }
    appendPQExpBufferStr(out, shell == BASH
                                  ? "--help -V --version' ;;\n"
                                  : "'--help[print help]'\n"
                                    "'(-V --version)'{-V,--version}'[print the version]'\n"
                                    ") ;;\n");
}

static void add_fish_option(PQExpBuffer out, const struct cli_option *o)
{
    appendPQExpBufferStr(out, "complete -c pgsweep -n '__pgsweep_is -");
    for (const struct cli_command_entry *e = cli_commands_table; e->name; e++)
        if (o->commands & (int)e->command)
            appendPQExpBuffer(out, " %s", e->name);
    appendPQExpBuffer(out, "' -l %s", o->name);
    if (o->letter)
        appendPQExpBuffer(out, " -s %c", o->letter);
    char *words = o->argument ? words_of(NULL, o->argument) : NULL;
    if (words)
        appendPQExpBuffer(out, " -x -a '%s'", words);
    else if (o->argument)
        appendPQExpBuffer(out, " %s", completer(FISH, o->argument));
    talloc_free(words);
    appendPQExpBufferStr(out, " -d '");
    append_quoted(out, FISH, o->help, "");
    appendPQExpBufferStr(out, "'\n");
}

static void add_options(PQExpBuffer out, enum shell shell)
{
    if (shell == FISH) {
        for (const struct cli_option *o = cli_options_table; o->name; o++)
            add_fish_option(out, o);
        appendPQExpBufferStr(out, "complete -c pgsweep -l help -d 'print help'\n"
                                  "complete -c pgsweep -l version -s V -d 'print the version'\n");
        return;
    }
    add_options_of(out, shell, NULL);
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++)
        add_options_of(out, shell, e);
    add_options_of(out, shell, cli_commands_table); /* "*" is the last case */
}

/* The marked places of the scripts. */
static const struct {
    const char *name;
    void (*add)(PQExpBuffer out, enum shell shell);
} places[] = {
    {"@valued@", add_valued},     {"@values@", add_values},   {"@commands@", add_commands},
    {"@operands@", add_operands}, {"@options@", add_options}, {NULL, NULL},
};

/* Prints the text for the place at text, each line behind the first with the same indentation, and
 * gives the place's length; 0: no place is there. */
static size_t print_place(const char *text, int indent, enum shell shell, FILE *out)
{
    size_t i = 0;
    while (places[i].name && strncmp(text, places[i].name, strlen(places[i].name)) != 0)
        i++;
    if (!places[i].name)
        return 0;
    PQExpBuffer buffer = createPQExpBuffer();
    places[i].add(buffer, shell);
    char *all = buffer_take(NULL, buffer), *save = NULL;
    const char *between = "";
    for (char *line = strtok_r(all, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        fprintf(out, "%s%*s%s", between, between[0] ? indent : 0, "", line);
        between = "\n";
    }
    talloc_free(all);
    return strlen(places[i].name);
}

bool cli_print_completion(const char *name, FILE *out, struct error *err)
{
    static const char *const paths[] = {"cli/completion.bash", "cli/completion.zsh",
                                        "cli/completion.fish"};
    size_t shell = 0;
    while (shell_names[shell] && strcmp(shell_names[shell], name) != 0)
        shell++;
    if (!shell_names[shell]) {
        error_set(err, SWEEP_USAGE, "unknown shell \"%s\"", name);
        return error_hint(err, "Completion can be printed for bash, zsh and fish.");
    }
    const char *start = embedded_text(paths[shell]);
    for (const char *c = start; *c;) {
        const char *line = c;
        while (line > start && line[-1] != '\n')
            line--;
        size_t length = *c == '@' ? print_place(c, (int)(c - line), (enum shell)shell, out) : 0;
        if (length == 0)
            fputc(*c, out);
        c += length ? length : 1;
    }
    return true;
}
