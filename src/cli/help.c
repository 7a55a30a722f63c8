/* --help, generated from the tables. */
#include <string.h>

#include "tables.h"

enum { LEFT_WIDTH = 28 };

static void print_options(int command, FILE *out)
{
    const char *group = "";
    for (const struct cli_option *o = cli_options_table; o->name; o++) {
        char left[64];
        if (!(o->commands & command))
            continue;
        if (strcmp(group, o->group) != 0)
            fprintf(out, "\n%s:\n", o->group);
        group = o->group;
        snprintf(left, sizeof left, "%c%c%c --%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        if (strlen(left) > LEFT_WIDTH)
            fprintf(out, "  %s\n%*s", left, LEFT_WIDTH + 3, "");
        else
            fprintf(out, "  %-*s ", LEFT_WIDTH, left);
        fprintf(out, "%s\n", o->help);
    }
}

static void print_verbs(enum cli_command command, FILE *out)
{
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++)
        if (v->command == command) {
            char left[64];
            snprintf(left, sizeof left, "%s %s", v->name, cli_operands_shown(v->operands));
            fprintf(out, "  %-*s %s\n", LEFT_WIDTH, left, v->summary);
        }
}

static void print_exit_codes(FILE *out)
{
    fputs("\nExit codes:\n", out);
#define PRINT(name, number, meaning) fprintf(out, "  %5d  %s\n", (number), (meaning));
    PGSWEEP_EXIT_CODES(PRINT)
#undef PRINT
    fputs("  128+n  stopped by signal n, after the current chunk\n", out);
}

static void print_general(const char *const *policies, FILE *out)
{
    fputs("pgsweep removes expired data from PostgreSQL, chunk by chunk, while the application "
          "keeps running.\n"
          "\nUsage:\n  pgsweep POLICY [OPTION]...\n  pgsweep COMMAND [OPTION]...\n\nPolicies:\n",
          out);
    for (; *policies; policies += 2)
        fprintf(out, "  %-12s %s\n", policies[0], policies[1]);
    fputs("\nCommands:\n", out);
    for (const struct cli_command_entry *e = cli_commands_table + 1; e->name; e++)
        fprintf(out, "  %-10s %-13s %s\n", e->name, e->operand ? e->operand : "", e->summary);
    fputs("\nTo see what a run would delete: pgsweep jobs --dry-run -d DBNAME\n"
          "To read about one command: pgsweep COMMAND --help. The manual: man pgsweep.\n",
          out);
    print_options(COMMAND_SWEEP | COMMAND_INIT | COMMAND_LIST | COMMAND_SHOW | COMMAND_DLQ |
                      COMMAND_OBJECTS | COMMAND_GRANTS,
                  out);
    fputs("\nOther options:\n      --help                   print help\n"
          "  -V, --version                print the version\n",
          out);
    print_exit_codes(out);
}

void cli_print_help(const char *topic, const char *const *policies, FILE *out)
{
    if (!topic) {
        print_general(policies, out);
        return;
    }
    const struct cli_command_entry *entry = cli_commands_table + 1;
    while (entry->name && strcmp(entry->name, topic) != 0)
        entry++;
    if (!entry->name)
        entry = cli_commands_table;
    fprintf(out, "Usage: pgsweep %s%s%s [OPTION]...\n\n%s\n",
            entry->command == COMMAND_SWEEP ? topic : entry->name, entry->operand ? " " : "",
            entry->operand ? entry->operand : "", entry->description);
    print_verbs(entry->command, out);
    print_options((int)entry->command, out);
    if (entry->command == COMMAND_SWEEP)
        print_exit_codes(out);
}
