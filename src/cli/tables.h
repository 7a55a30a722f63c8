/* The tables that the parser and the help share. Private to the cli room. */
#ifndef PGSWEEP_CLI_TABLES_H
#define PGSWEEP_CLI_TABLES_H

#include "pgsweep/cli.h"

struct cli_option {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* what stands for it in the help: a name in capitals, or the words that
                           * it may be ("text|json"); NULL: takes none */
    int commands;         /* bits of enum cli_command for which it may be given */
    size_t offset;        /* in struct cli_options: const char * with an argument, else bool */
    const char *help;
    const char *group;
    size_t count_offset; /* not 0: may be given several times; an array at offset, its count here */
};

struct cli_command_entry {
    const char *name;
    enum cli_command command;
    const char *operand; /* "POLICY"; "SUBCOMMAND": a subcommand; or the words that it may be, as
                          * above; NULL: takes none */
    const char *summary;
    const char *description;
};

/* Might the word be a connection string with a password? Then no message shows it. */
bool cli_holds_password(const char *word);

extern const struct cli_option cli_options_table[];         /* ends with a NULL name */
extern const struct cli_command_entry cli_commands_table[]; /* ends with a NULL name */
extern const struct cli_verb cli_verbs_table[];             /* ends with a NULL name */

/* The operands as the help shows them: "ID...|POLICY". */
const char *cli_operands_shown(enum cli_operands operands);

#endif
