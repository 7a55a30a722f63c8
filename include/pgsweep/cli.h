/*
 * The command line: one table of options, one of commands; parsing and --help both work from them.
 */
#ifndef PGSWEEP_CLI_H
#define PGSWEEP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "pgsweep/error.h"

enum cli_command {
    COMMAND_SWEEP = 1, /* pgsweep POLICY */
    COMMAND_INIT = 2,
    COMMAND_LIST = 4,
    COMMAND_SHOW = 8,
    COMMAND_DLQ = 16,
    COMMAND_OBJECTS = 32,
    COMMAND_GRANTS = 64,
    COMMAND_COMPLETION = 128,
    COMMAND_HELP = 256,
    COMMAND_VERSION = 512,
};

/* What a subcommand takes. */
enum cli_operands {
    OPERANDS_POLICY_OR_NONE,
    OPERANDS_IDS,
    OPERANDS_IDS_OR_POLICY,
    OPERANDS_IDS_OR_POLICY_OR_NONE,
};

/* A subcommand of dlq or objects. */
struct cli_verb {
    enum cli_command command;
    const char *name;
    enum cli_operands operands;
    const char *summary;
};

/* How often an option that may be given several times may be given. */
enum { CLI_LIST_MAX = 32 };

/* Everything the command line said. Strings point into argv; NULL or false: not given. */
struct cli_options {
    enum cli_command command;
    const char *policy;    /* for sweep, show and grants: the policy's name */
    const char *verb;      /* for dlq and objects: the subcommand; for completion: the shell */
    char *const *operands; /* for dlq and objects: the words behind the verb */
    int operand_count;
    const char *topic; /* for help: a command's name, or NULL */
    const char *dbname, *host, *port, *user;
    bool no_password, password;
    bool trust_clock;
    bool dry_run, estimate, quiet, verbose, echo, json, allow_missing_index, allow_triggers,
        print_sql, sql;
    const char *format, *cutoff, *policy_dir, *role, *retries, *metrics_file, *log_file;
    const char *root, *age_by, *protect_case, *special, *owner, *min_free; /* about files */
    bool allow_system_root;
    const char *protect[CLI_LIST_MAX], *protect_dirs[CLI_LIST_MAX];
    size_t protect_count, protect_dir_count;
    const char *retain, *chunk, *max_rows, *max_runtime, *max_failed, *pause, *count_timeout,
        *retry_for; /* override the policy's settings */
    const char *throttle, *replica_lag, *slot_wal, *ignore_replicas, *lock_waiters,
        *active_sessions, *snapshot_age, *checkpoints, *autovacuum, *wait_while, *pause_file,
        *max_wait, *stop_file, *window; /* the same, about when to wait */
};

/* Fills options. SWEEP_USAGE for anything not understood, with the nearest known word. A first word
 * that is no command is taken as a policy's name: whether it is one, the caller finds out. */
bool cli_parse(int argc, char **argv, struct cli_options *options, struct error *err);

/* Moves a --dbname that may hold a password out of argv: "ps" and /proc/PID/cmdline show as many
 * "x" from then on. The copy is owned by ctx. argv must be writable, as that of main is. */
void cli_hide_password(const void *ctx, struct cli_options *options);

/* Prints the help of a command (by its name; any policy's name gives the sweep's), or the general
 * one for NULL. policies: names and descriptions of the policies there are, in pairs; ends with
 * NULL. */
void cli_print_help(const char *topic, const char *const *policies, FILE *out);

/* Prints the completion script for a shell: bash, zsh or fish. SWEEP_USAGE for any other. */
bool cli_print_completion(const char *shell, FILE *out, struct error *err);

/* The name of the nth command, from 0; NULL behind the last one. */
const char *cli_command_name(size_t n);

/* The subcommand of that name; NULL if the command has none of that name. */
const struct cli_verb *cli_verb_find(enum cli_command command, const char *name);

#endif
