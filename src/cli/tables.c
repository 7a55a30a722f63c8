/* Every option, command and subcommand, once. */
#include <string.h>

#include "tables.h"

#define OPTION(member) offsetof(struct cli_options, member)
#define DATABASE                                                                                   \
    (COMMAND_SWEEP | COMMAND_SHOW | COMMAND_INIT | COMMAND_DLQ | COMMAND_OBJECTS | COMMAND_GRANTS)

const struct cli_option cli_options_table[] = {
    {"dry-run", 'n', NULL, COMMAND_SWEEP, OPTION(dry_run),
     "change nothing; print the plan with exact counts", "What is deleted", 0},
    {"estimate", 0, NULL, COMMAND_SWEEP, OPTION(estimate),
     "with --dry-run: estimate the counts from statistics instead of counting", "What is deleted",
     0},
    {"retain", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(retain),
     "keep rows and files that are younger than this, such as \"30 days\"", "What is deleted", 0},
    {"cutoff", 0, "TIMESTAMP", COMMAND_SWEEP | COMMAND_SHOW, OPTION(cutoff),
     "set the cutoff yourself (UTC unless it has an offset)", "What is deleted", 0},
    {"policy-dir", 0, "DIR",
     COMMAND_SWEEP | COMMAND_LIST | COMMAND_SHOW | COMMAND_OBJECTS | COMMAND_GRANTS,
     OPTION(policy_dir), "look for the policy file NAME.yaml in this directory first",
     "What is deleted", 0},
    {"allow-missing-index", 0, NULL, COMMAND_SWEEP | COMMAND_SHOW, OPTION(allow_missing_index),
     "run although a large dependent table has no index on its reference", "What is deleted", 0},
    {"allow-triggers", 0, NULL, COMMAND_SWEEP, OPTION(allow_triggers),
     "run although triggers or rules of other roles fire", "What is deleted", 0},
    {"trust-clock", 0, NULL, COMMAND_SWEEP, OPTION(trust_clock),
     "run although the clock of the host or of the database looks wrong", "What is deleted", 0},
    {"root", 0, "DIR", COMMAND_SWEEP, OPTION(root), "the directory to sweep",
     "Files (policies of kind files)", 0},
    {"special", 0, "keep|delete", COMMAND_SWEEP | COMMAND_SHOW, OPTION(special),
     "whether expired sockets and FIFOs that no process uses are deleted (default: keep)",
     "Files (policies of kind files)", 0},
    {"owner", 0, "USERS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(owner),
     "delete only files of these users (names or numbers, separated by commas)",
     "Files (policies of kind files)", 0},
    {"min-free", 0, "ROOM", COMMAND_SWEEP | COMMAND_SHOW, OPTION(min_free),
     "delete the oldest expired files until this much is free, such as 20% or \"50 GiB\"",
     "Files (policies of kind files)", 0},
    {"age-by", 0, "mtime|atime|ctime|btime", COMMAND_SWEEP | COMMAND_SHOW, OPTION(age_by),
     "which time is a file's age (default: mtime); a list, with commas: the latest",
     "Files (and the working directories of rows)", 0},
    {"protect", 0, "PATTERN", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect),
     "keep files that match, in addition to result* and output*; repeatable",
     "Files (and the working directories of rows)", OPTION(protect_count)},
    {"protect-dir", 0, "DIR", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect_dirs),
     "keep this directory and everything in it; repeatable",
     "Files (and the working directories of rows)", OPTION(protect_dir_count)},
    {"protect-case", 0, "default|ignore|match", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect_case),
     "whether case matters in patterns (default: not in result* and output*)",
     "Files (and the working directories of rows)", 0},
    {"allow-system-root", 0, NULL, COMMAND_SWEEP | COMMAND_SHOW, OPTION(allow_system_root),
     "allow a root that is a system directory, a home directory or a mount point",
     "Files (and the working directories of rows)", 0},
    {"chunk", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(chunk),
     "rows per transaction (files per pause), or \"auto\"", "How fast", 0},
    {"max-rows", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_rows),
     "stop after this many candidates (files: after this many files)", "How fast", 0},
    {"max-runtime", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_runtime),
     "stop after this time, such as \"10 min\"", "How fast", 0},
    {"max-failed", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_failed),
     "stop after this many failures in succession without a deletion (default 1000)", "How fast",
     0},
    {"pause", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(pause),
     "wait between chunks, such as \"100 ms\"", "How fast", 0},
    {"count-timeout", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(count_timeout),
     "how long a live run may count before it starts to delete (default 30 s)", "How fast", 0},
    {"retries", 0, "NUMBER", COMMAND_SWEEP, OPTION(retries),
     "how often one chunk is tried after transient errors (default 8)", "How fast", 0},
    {"retry-for", 0, "INTERVAL", DATABASE, OPTION(retry_for),
     "how long to try to reach the database when it is unavailable (default 2 min)", "How fast", 0},
    {"throttle", 0, "none", COMMAND_SWEEP | COMMAND_SHOW, OPTION(throttle),
     "do not wait, whatever the policy and the defaults say", "When to wait", 0},
    {"replica-lag", 0, "LIMIT", COMMAND_SWEEP | COMMAND_SHOW, OPTION(replica_lag),
     "wait while a standby is further behind than this, such as \"10 s\" (default) or \"64 MiB\"",
     "When to wait", 0},
    {"slot-wal", 0, "BYTES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(slot_wal),
     "wait while a replication slot retains more WAL than this, such as \"10 GiB\"", "When to wait",
     0},
    {"ignore-replicas", 0, "NAMES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(ignore_replicas),
     "standbys and slots to ignore (names, separated by commas)", "When to wait", 0},
    {"lock-waiters", 0, "give_way|ignore", COMMAND_SWEEP | COMMAND_SHOW, OPTION(lock_waiters),
     "while another session queues for a lock on a table of the run (default: give_way)",
     "When to wait", 0},
    {"active-sessions", 0, "NUMBER", COMMAND_SWEEP | COMMAND_SHOW, OPTION(active_sessions),
     "wait while more than this many other sessions are active", "When to wait", 0},
    {"snapshot-age", 0, "LIMIT", COMMAND_SWEEP | COMMAND_SHOW, OPTION(snapshot_age),
     "wait while an older transaction, such as \"1 hour\", keeps dead rows from VACUUM",
     "When to wait", 0},
    {"checkpoints", 0, "ignore|wait", COMMAND_SWEEP | COMMAND_SHOW, OPTION(checkpoints),
     "whether to wait while a requested checkpoint is being written (default: ignore)",
     "When to wait", 0},
    {"autovacuum", 0, "ignore|wait", COMMAND_SWEEP | COMMAND_SHOW, OPTION(autovacuum),
     "whether to wait while VACUUM works on a table of the run (default: ignore)", "When to wait",
     0},
    {"wait-while", 0, "SQL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(wait_while),
     "wait while this condition is true", "When to wait", 0},
    {"pause-file", 0, "FILE", COMMAND_SWEEP | COMMAND_SHOW, OPTION(pause_file),
     "wait while this file exists", "When to wait", 0},
    {"max-wait", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_wait),
     "stop after one wait of this length (default 1 hour), or \"none\"", "When to wait", 0},
    {"stop-file", 0, "FILE", COMMAND_SWEEP | COMMAND_SHOW, OPTION(stop_file),
     "stop after the current chunk when this file exists", "When to wait", 0},
    {"window", 0, "TIMES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(window),
     "delete only at these times, such as \"01:00-05:00 UTC\"; stop when the window closes",
     "When to wait", 0},
    {"format", 0, "text|json", COMMAND_SWEEP | COMMAND_DLQ | COMMAND_OBJECTS, OPTION(format),
     "format of the report (default: text)", "What is printed", 0},
    {"quiet", 'q', NULL, COMMAND_SWEEP | COMMAND_INIT | COMMAND_OBJECTS, OPTION(quiet),
     "print nothing but errors", "What is printed", 0},
    {"verbose", 'v', NULL, COMMAND_SWEEP, OPTION(verbose),
     "log each deleted key or file with its time, on standard error", "What is printed", 0},
    {"sql", 0, NULL, COMMAND_SHOW, OPTION(sql),
     "print the statements of a run in this database, without running them", "What is printed", 0},
    {"echo", 'e', NULL, DATABASE, OPTION(echo), "print the SQL that is sent, on standard error",
     "What is printed", 0},
    {"log-file", 0, "FILE", COMMAND_SWEEP, OPTION(log_file),
     "append the log of --verbose to this file instead (also with --quiet)", "What is printed", 0},
    {"metrics-file", 0, "FILE", COMMAND_SWEEP, OPTION(metrics_file),
     "write Prometheus metrics to this file, atomically", "What is printed", 0},
    {"print-sql", 0, NULL, COMMAND_INIT, OPTION(print_sql), "print the SQL instead of running it",
     "State schema", 0},
    {"role", 0, "ROLE", COMMAND_INIT | COMMAND_GRANTS, OPTION(role),
     "the role that gets the privileges; with init: those on the state schema", "State schema", 0},
    {"dbname", 'd', "DBNAME", DATABASE, OPTION(dbname), "database name, connection string or URI",
     "Connection", 0},
    {"host", 'h', "HOST", DATABASE, OPTION(host), "server host or socket directory", "Connection",
     0},
    {"port", 'p', "PORT", DATABASE, OPTION(port), "server port", "Connection", 0},
    {"username", 'U', "NAME", DATABASE, OPTION(user), "role to connect as", "Connection", 0},
    {"no-password", 'w', NULL, DATABASE, OPTION(no_password), "never ask for a password",
     "Connection", 0},
    {"password", 'W', NULL, DATABASE, OPTION(password), "ask for a password", "Connection", 0},
    {NULL, 0, NULL, 0, 0, NULL, NULL, 0},
};

const struct cli_command_entry cli_commands_table[] = {
    {"POLICY", COMMAND_SWEEP, NULL, "delete expired data under the policy of that name",
     "Deletes expired data under a policy, chunk by chunk, while the application keeps running.\n"
     "With --dry-run it changes nothing, needs only SELECT, and prints the plan with exact "
     "counts."},
    {"init", COMMAND_INIT, NULL, "create or upgrade the state schema \"pgsweep\" in a database",
     "Creates the schema \"pgsweep\", which records live runs, or upgrades it.\n"
     "It may be run any number of times. A dry run does not need the schema."},
    {"list", COMMAND_LIST, NULL, "list the policies",
     "Lists the built-in policies and those in /etc/pgsweep/policies.d and in --policy-dir."},
    {"show", COMMAND_SHOW, "POLICY",
     "print a policy as YAML, or with --sql the statements of a run",
     "Prints the policy that is in effect, with what the environment and the options override.\n"
     "To change a built-in policy, save it as DIR/POLICY.yaml, edit it, and use --policy-dir DIR.\n"
     "With --sql it connects, compiles the policy as a dry run does, and prints the statements of\n"
     "a run in their order: each with its name, its purpose and its parameters. It does not run\n"
     "them."},
    {"grants", COMMAND_GRANTS, "POLICY",
     "print the privileges that a role needs for a policy, as GRANT statements",
     "Prints the GRANT statements that a separate role needs to run the policy in this database,\n"
     "and no more than that. --role names the role (default: pgsweep).\n"
     "It changes nothing: review the statements, then run them with psql."},
    {"dlq", COMMAND_DLQ, "SUBCOMMAND", "list, show, retry or discard dead letters",
     "Dead letters are rows, objects and directories that pgsweep could not delete.\n"
     "Later runs try a failed row again, up to three times. Then its dead letter is parked: runs\n"
     "skip the row until a person decides.\n"},
    {"objects", COMMAND_OBJECTS, "SUBCOMMAND", "list or work on the queue of stored objects",
     "The queue has the stored objects and working directories whose rows are deleted.\n"},
    {"completion", COMMAND_COMPLETION, "bash|zsh|fish", "print a script for shell completion",
     "Prints the completion script for a shell. \"make install\" installs all three.\n"
     "To use it in the current shell only: source <(pgsweep completion bash)"},
    {NULL, 0, NULL, NULL, NULL},
};

const struct cli_verb cli_verbs_table[] = {
    {COMMAND_DLQ, "list", OPERANDS_POLICY_OR_NONE, "list open and parked dead letters"},
    {COMMAND_DLQ, "show", OPERANDS_IDS, "print everything that is known about dead letters"},
    {COMMAND_DLQ, "retry", OPERANDS_IDS_OR_POLICY,
     "let the next run try again, and start the count of tries again"},
    {COMMAND_DLQ, "discard", OPERANDS_IDS, "never delete the row or object"},
    {COMMAND_OBJECTS, "list", OPERANDS_POLICY_OR_NONE,
     "list the queue, with objects outside the configured buckets and unsafe names"},
    {COMMAND_OBJECTS, "drain", OPERANDS_POLICY_OR_NONE,
     "delete what is due now (every run of a policy also does this)"},
    {COMMAND_OBJECTS, "retry", OPERANDS_IDS_OR_POLICY_OR_NONE,
     "make entries due now, start their count of tries again, and check their bucket again"},
    {COMMAND_OBJECTS, "rebind", OPERANDS_IDS_OR_POLICY,
     "assign objects to the store and bucket that are configured now"},
    {COMMAND_OBJECTS, "sources", OPERANDS_POLICY_OR_NONE,
     "list the columns that are searched before an object or directory is deleted"},
    {COMMAND_OBJECTS, "forget", OPERANDS_IDS,
     "stop searching columns; a column that cannot be read blocks deletions of its policy"},
    {COMMAND_OBJECTS, "discard", OPERANDS_IDS, "never delete the object or directory"},
    {0, NULL, 0, NULL},
};

const struct cli_verb *cli_verb_find(enum cli_command command, const char *name)
{
    for (const struct cli_verb *v = cli_verbs_table; v->name; v++)
        if (v->command == command && strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

const char *cli_operands_shown(enum cli_operands operands)
{
    static const char *const shown[] = {"[POLICY]", "ID...", "ID...|POLICY", "[ID...|POLICY]"};
    return shown[operands];
}

const char *cli_command_name(size_t n)
{
    size_t count = sizeof cli_commands_table / sizeof *cli_commands_table - 2;
    return n < count ? cli_commands_table[n + 1].name : NULL;
}
