/* Every option and every command, once. */
#include "tables.h"

#define OPTION(member) offsetof(struct cli_options, member)
#define DATABASE                                                                                   \
    (COMMAND_SWEEP | COMMAND_SHOW | COMMAND_INIT | COMMAND_DLQ | COMMAND_OBJECTS | COMMAND_GRANTS)

const struct cli_option cli_options_table[] = {
    {"dry-run", 'n', NULL, COMMAND_SWEEP, OPTION(dry_run),
     "change nothing; print the plan with exact counts", "What is deleted", 0},
    {"estimate", 0, NULL, COMMAND_SWEEP, OPTION(estimate),
     "with --dry-run: estimate from statistics, at once, instead of counting", "What is deleted",
     0},
    {"retain", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(retain),
     "keep what is younger than this, such as \"30 days\"", "What is deleted", 0},
    {"cutoff", 0, "TIMESTAMP", COMMAND_SWEEP | COMMAND_SHOW, OPTION(cutoff),
     "fix the cutoff by hand (UTC unless it has an offset)", "What is deleted", 0},
    {"policy-dir", 0, "DIR",
     COMMAND_SWEEP | COMMAND_LIST | COMMAND_SHOW | COMMAND_OBJECTS | COMMAND_GRANTS,
     OPTION(policy_dir), "look for NAME.yaml here first", "What is deleted", 0},
    {"allow-missing-index", 0, NULL, COMMAND_SWEEP | COMMAND_SHOW, OPTION(allow_missing_index),
     "run although a large dependent table has no index on its reference", "What is deleted", 0},
    {"allow-triggers", 0, NULL, COMMAND_SWEEP, OPTION(allow_triggers),
     "run although triggers or rules of other roles fire", "What is deleted", 0},
    {"trust-clock", 0, NULL, COMMAND_SWEEP, OPTION(trust_clock),
     "run although the clock of the host or of the database looks wrong", "What is deleted", 0},
    {"root", 0, "DIR", COMMAND_SWEEP, OPTION(root), "the directory to sweep",
     "Files (policies of kind files)", 0},
    {"special", 0, "WORD", COMMAND_SWEEP | COMMAND_SHOW, OPTION(special),
     "keep (default) or delete old sockets and fifos that no process has",
     "Files (policies of kind files)", 0},
    {"owner", 0, "USERS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(owner),
     "delete what belongs to these users only (names or numbers, with commas)",
     "Files (policies of kind files)", 0},
    {"min-free", 0, "ROOM", COMMAND_SWEEP | COMMAND_SHOW, OPTION(min_free),
     "delete the oldest expired files until so much is free, such as 20% or \"50 GiB\"",
     "Files (policies of kind files)", 0},
    {"age-by", 0, "TIMES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(age_by),
     "mtime (default), atime, ctime, btime; of several, with commas, the youngest counts",
     "Files (and the working directories of rows)", 0},
    {"protect", 0, "PATTERN", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect),
     "keep what matches, beside result* and output*; repeatable",
     "Files (and the working directories of rows)", OPTION(protect_count)},
    {"protect-dir", 0, "DIR", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect_dirs),
     "keep this directory with all in it; repeatable",
     "Files (and the working directories of rows)", OPTION(protect_dir_count)},
    {"protect-case", 0, "WORD", COMMAND_SWEEP | COMMAND_SHOW, OPTION(protect_case),
     "whether case counts in patterns: default (not in result* and output*), ignore or match",
     "Files (and the working directories of rows)", 0},
    {"allow-system-root", 0, NULL, COMMAND_SWEEP | COMMAND_SHOW, OPTION(allow_system_root),
     "sweep a directory of the system, a home directory or a mount point",
     "Files (and the working directories of rows)", 0},
    {"chunk", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(chunk),
     "rows per transaction (files per pause), or \"auto\"", "How fast", 0},
    {"max-rows", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_rows),
     "stop after this many candidates (or files)", "How fast", 0},
    {"max-runtime", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_runtime),
     "stop after this time, such as \"10 min\"", "How fast", 0},
    {"max-failed", 0, "ROWS", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_failed),
     "stop when this many in a row fail, and none goes (default 1000)", "How fast", 0},
    {"pause", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(pause),
     "wait between chunks, such as \"100 ms\"", "How fast", 0},
    {"count-timeout", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(count_timeout),
     "how long a live run counts before it begins (default 30 s)", "How fast", 0},
    {"retries", 0, "NUMBER", COMMAND_SWEEP, OPTION(retries),
     "tries of one chunk after transient errors (default 8)", "How fast", 0},
    {"retry-for", 0, "INTERVAL", DATABASE, OPTION(retry_for),
     "how long to try to reach the database when it is away (default 2 min)", "How fast", 0},
    {"throttle", 0, "none", COMMAND_SWEEP | COMMAND_SHOW, OPTION(throttle),
     "wait for nothing, whatever the policy and the defaults say", "When to wait", 0},
    {"replica-lag", 0, "LIMIT", COMMAND_SWEEP | COMMAND_SHOW, OPTION(replica_lag),
     "wait while a standby replays later than this, such as \"10 s\" (default) or \"64 "
     "MiB\"",
     "When to wait", 0},
    {"slot-wal", 0, "BYTES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(slot_wal),
     "wait while a replication slot keeps more WAL than this, such as \"10 GiB\"", "When to wait",
     0},
    {"ignore-replicas", 0, "NAMES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(ignore_replicas),
     "standbys and slots that do not count (names, with commas)", "When to wait", 0},
    {"lock-waiters", 0, "WORD", COMMAND_SWEEP | COMMAND_SHOW, OPTION(lock_waiters),
     "while others queue for a lock on a table of the run: give_way (default) or ignore",
     "When to wait", 0},
    {"active-sessions", 0, "NUMBER", COMMAND_SWEEP | COMMAND_SHOW, OPTION(active_sessions),
     "wait while more other sessions than this are active", "When to wait", 0},
    {"snapshot-age", 0, "LIMIT", COMMAND_SWEEP | COMMAND_SHOW, OPTION(snapshot_age),
     "wait while a transaction older than this holds dead rows back, such as \"1 hour\"",
     "When to wait", 0},
    {"checkpoints", 0, "WORD", COMMAND_SWEEP | COMMAND_SHOW, OPTION(checkpoints),
     "ignore (default), or wait while a checkpoint that WAL forced is written", "When to wait", 0},
    {"autovacuum", 0, "WORD", COMMAND_SWEEP | COMMAND_SHOW, OPTION(autovacuum),
     "ignore (default), or wait while VACUUM works on a table of the run", "When to wait", 0},
    {"wait-while", 0, "SQL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(wait_while),
     "wait while this condition is true", "When to wait", 0},
    {"pause-file", 0, "FILE", COMMAND_SWEEP | COMMAND_SHOW, OPTION(pause_file),
     "wait while this file exists", "When to wait", 0},
    {"max-wait", 0, "INTERVAL", COMMAND_SWEEP | COMMAND_SHOW, OPTION(max_wait),
     "stop after waiting for so long at one time (default 1 hour), or \"none\"", "When to wait", 0},
    {"stop-file", 0, "FILE", COMMAND_SWEEP | COMMAND_SHOW, OPTION(stop_file),
     "stop after the chunk in flight when this file exists", "When to wait", 0},
    {"window", 0, "TIMES", COMMAND_SWEEP | COMMAND_SHOW, OPTION(window),
     "delete only then, such as \"01:00-05:00 UTC\"; stop when it closes", "When to wait", 0},
    {"format", 0, "FORMAT", COMMAND_SWEEP | COMMAND_DLQ | COMMAND_OBJECTS, OPTION(format),
     "report as \"text\" (default) or \"json\"", "What is printed", 0},
    {"quiet", 'q', NULL, COMMAND_SWEEP | COMMAND_INIT | COMMAND_OBJECTS, OPTION(quiet),
     "print nothing but errors", "What is printed", 0},
    {"verbose", 'v', NULL, COMMAND_SWEEP, OPTION(verbose),
     "log every deleted key or file with its time, on standard error", "What is printed", 0},
    {"sql", 0, NULL, COMMAND_SHOW, OPTION(sql),
     "print the statements of a run for this database, without running them", "What is printed", 0},
    {"echo", 'e', NULL, DATABASE, OPTION(echo), "print the SQL that is sent, on standard error",
     "What is printed", 0},
    {"log-file", 0, "FILE", COMMAND_SWEEP, OPTION(log_file),
     "append that log to this file instead (also with --quiet)", "What is printed", 0},
    {"metrics-file", 0, "FILE", COMMAND_SWEEP, OPTION(metrics_file),
     "write Prometheus metrics to this file, atomically", "What is printed", 0},
    {"print-sql", 0, NULL, COMMAND_INIT, OPTION(print_sql), "print the SQL instead of running it",
     "State schema", 0},
    {"role", 0, "ROLE", COMMAND_INIT | COMMAND_GRANTS, OPTION(role),
     "the role that is granted something: with init, the use of the state schema", "State schema",
     0},
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
    {"POLICY", COMMAND_SWEEP, NULL, "delete what has expired under the policy of that name",
     "Deletes what has expired under a policy, chunk by chunk, while the application goes on.\n"
     "With --dry-run it changes nothing, needs only SELECT, and prints the plan with exact "
     "counts."},
    {"init", COMMAND_INIT, NULL, "create or upgrade the state schema \"pgsweep\" in a database",
     "Creates the schema \"pgsweep\" that live runs are recorded in, or brings it up to date.\n"
     "It may be run any number of times. A dry run does not need it."},
    {"list", COMMAND_LIST, NULL, "list the policies there are",
     "Lists the policies: built in, in /etc/pgsweep/policies.d, and in --policy-dir."},
    {"show", COMMAND_SHOW, "POLICY",
     "print a policy as YAML, or with --sql the statements of a run",
     "Prints the policy as it is in effect, with what the environment and the options override.\n"
     "Saved as DIR/POLICY.yaml and edited, it replaces the built-in one with --policy-dir DIR.\n"
     "With --sql it connects, compiles the policy as a dry run does, and prints the statements of "
     "a run in "
     "their order:\n"
     "each with its name, what it is for, and its parameters. None of them is run."},
    {"grants", COMMAND_GRANTS, "POLICY",
     "print the rights that a role needs for a policy, as GRANT statements",
     "Prints the GRANT statements that a role of its own needs to run the policy in this database, "
     "and no "
     "more than that.\n"
     "--role names the role (default: pgsweep). Nothing is changed: read them, then give them to "
     "psql."},
    {"dlq", COMMAND_DLQ, "VERB", "dead letters: list | show ID | retry ID|POLICY | discard ID",
     "Rows, objects and directories that could not go. A row that failed is tried again by later "
     "runs, three "
     "times; then\n"
     "its letter is parked: it takes no part in runs any more until a person decides.\n"
     "  list [POLICY]   the letters that wait or are parked\n"
     "  show ID         one letter with everything known\n"
     "  retry ID...     let the next run try again, with a fresh count; retry POLICY: all of its "
     "letters\n"
     "  discard ID...   leave the row (or object) where it is, for good"},
    {"objects", COMMAND_OBJECTS, "VERB",
     "stored objects: list | drain | retry | rebind | sources | forget | discard",
     "The queue of stored objects and working directories whose rows are gone.\n"
     "  list [POLICY]   what waits, and what is of no configured bucket or has no safe name\n"
     "  drain [POLICY]  delete what is due now (every run of a policy does that too)\n"
     "  retry [ID...|POLICY]   let all that waits (of a policy) be due now, with a fresh count, "
     "and look "
     "again at what is foreign\n"
     "  rebind ID...|POLICY    these objects belong to the store and bucket that are configured "
     "now\n"
     "  sources [POLICY]       the columns that name objects and directories, looked at before one "
     "is "
     "deleted\n"
     "  forget ID...    this column names none any more: one that cannot be looked at holds the "
     "objects of "
     "its policy\n"
     "  discard ID...   leave the object (or directory) where it is, for good"},
    {NULL, 0, NULL, NULL, NULL},
};

const char *const cli_command_names[] = {"init", "list", "show", "grants", "dlq", "objects", NULL};
