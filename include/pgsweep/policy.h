/*
 * A policy: what may expire and what happens to what depends on it. Data, read from YAML; this
 * module knows nothing of the database that it will be applied to. */
#ifndef PGSWEEP_POLICY_H
#define PGSWEEP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "pgsweep/buffer.h"
#include "pgsweep/error.h"

/* A value and where it was said ("/etc/pgsweep/policies.d/jobs.yaml:12", "option --retain",
 * "environment variable PGSWEEP_JOBS_RETAIN", "built-in policy jobs:4"). value NULL: not said. */
struct setting {
    const char *value;
    const char *origin;
};

enum policy_kind {
    KIND_ROWS,  /* rows of a table */
    KIND_FILES, /* files below directories */
};
extern const char *const policy_kind_names[];

/* What becomes of an expired file that a process has open or locked. */
enum policy_in_use { IN_USE_KEEP, IN_USE_DELETE };
extern const char *const policy_in_use_names[];

/* What becomes of a run whose clocks cannot be right. */
enum policy_clock { CLOCK_CHECK, CLOCK_TRUST };
extern const char *const policy_clock_names[];

extern const char *const policy_age_by_names[]; /* mtime, atime, ctime, btime: enum files_age_by */

/* Whether upper and lower case are the same in the patterns of protected names: enum files_case. */
extern const char *const policy_protect_case_names[];

/* What becomes of old sockets and fifos that no process has. */
enum policy_special { SPECIAL_KEEP, SPECIAL_DELETE };
extern const char *const policy_special_names[];

/* May a directory of the system be a root? */
enum policy_system_root { SYSTEM_ROOT_REFUSE, SYSTEM_ROOT_ALLOW };
extern const char *const policy_system_root_names[];

/* Which files may go: of a policy of kind files, or, as its key "files", of the working directories
 * of rows. */
#define POLICY_RETAIN_NONE "none"
struct policy_file_rules {
    struct setting retain; /* working directories only: younger files stay; POLICY_RETAIN_NONE: they
                            * go whatever their age; NULL: the policy's own retention */
    unsigned
        age_by; /* which times count, the youngest of them: 1 << enum files_age_by each; 0: mtime */
    enum policy_in_use in_use;
    struct setting *protect; /* patterns beside the ones that are always protected */
    size_t protect_count;
    struct setting *protect_dirs;
    size_t protect_dir_count;
    int protect_case;
    enum policy_system_root system_root;
    /* KIND_FILES */
    enum policy_special special;
    struct setting *owners; /* names or numbers of users; none: whoever it is */
    size_t owner_count;
    struct setting min_free; /* "20%" or "50 GiB": delete the oldest until so much is free; NULL:
                                all that is expired */
};

enum policy_action {
    ACTION_DELETE,   /* the dependents go with the candidate */
    ACTION_DETACH,   /* their reference is set to NULL, other columns may be set; the rows stay */
    ACTION_REASSIGN, /* their reference is set to another key; the rows stay */
    ACTION_KEEP,     /* a candidate with such rows is spared */
    ACTION_DELETE_ORPHANS, /* a shared row goes when the last row that refers to it goes */
    ACTION_IGNORE,         /* left to the constraint's own rule, for the reason given */
};
extern const char *const policy_action_names[]; /* in YAML; ends with NULL */

enum policy_transaction {
    TRANSACTION_CHUNK, /* one transaction for a chunk of candidates */
    TRANSACTION_ROW,   /* one for each candidate with its dependents */
};
extern const char *const policy_transaction_names[];

enum policy_unlisted {
    UNLISTED_REFUSE,  /* a referencing table that the policy does not list stops the run */
    UNLISTED_CASCADE, /* it is deleted from, where its constraint says ON DELETE CASCADE */
};
extern const char *const policy_unlisted_names[];

enum policy_triggers {
    TRIGGERS_REFUSE, /* triggers and rules of roles other than superusers and the running one stop a
                        live run */
    TRIGGERS_ALLOW,
};
extern const char *const policy_triggers_names[];

struct policy_guard {
    const char *name;
    struct setting unless; /* SQL: the candidate is spared unless this is false */
    struct setting by;     /* SQL: what the spared are counted by; may be NULL */
};

/* A column that names stored objects. */
struct policy_object {
    struct setting column;
    struct setting
        path; /* of json and jsonb: an SQL/JSON path to the texts; NULL: the value itself */
    struct setting *prefixes; /* a key that begins with none of these is never deleted; "": any may
                                 be; none: not stated */
    size_t prefix_count;
};

/* column = value, for rows that are detached; value NULL is SQL's NULL. */
struct policy_assignment {
    const char *column;
    const char *value;
    const char *origin;
};

/* A reference that the schema does not declare as a constraint: table refers to refers_to, each
 * column (set.column) to the column named by its value. NULL and '' refer to nothing. */
struct policy_reference {
    struct setting table;
    struct setting refers_to;
    struct policy_assignment *columns;
    size_t column_count;
};

struct policy_dependent {
    struct setting table;
    struct setting
        constraint; /* the rule is for this foreign key only; NULL: for all of the table */
    enum policy_action action;
    struct setting via; /* for ACTION_DELETE_ORPHANS: the table whose rows refer to this one */
    struct setting to;  /* for ACTION_REASSIGN: the key that the rows refer to from then on */
    struct policy_object *objects; /* columns that name stored objects */
    size_t object_count;
    struct setting count_as; /* what the metrics call the rows; may be NULL */
    struct policy_assignment *set;
    size_t set_count;
    struct setting reason; /* for ACTION_IGNORE */
    bool optional;         /* the table may be missing */
};

/* What becomes of a run while other sessions queue for a lock on one of its tables. */
enum policy_lock_waiters { LOCK_WAITERS_GIVE_WAY, LOCK_WAITERS_IGNORE };
extern const char *const policy_lock_waiters_names[];

/* What becomes of a run while the server does work that deletions add to. */
enum policy_pressure { PRESSURE_IGNORE, PRESSURE_WAIT };
extern const char *const policy_pressure_names[];

/* What a run waits for between two chunks, and what ends it there. A setting that is NULL is not
 * looked at, but for those with a default. */
#define POLICY_LIMIT_NONE "none"
#define POLICY_REPLICA_LAG "10 s"
#define POLICY_MAX_WAIT "1 hour"
struct policy_throttle {
    struct setting replica_lag;      /* a time or bytes; NULL: POLICY_REPLICA_LAG */
    struct setting slot_wal;         /* bytes of WAL that a replication slot may keep */
    struct setting *ignore_replicas; /* names of standbys and slots that do not count */
    size_t ignore_replica_count;
    enum policy_lock_waiters lock_waiters;
    struct setting active_sessions; /* a number */
    struct setting snapshot_age;    /* a time, or a number of transactions */
    enum policy_pressure checkpoints;
    enum policy_pressure autovacuum;
    struct setting wait_while; /* SQL: wait while it is true */
    struct setting pause_file; /* a path: wait while it exists */
    struct setting max_wait;   /* a time; NULL: POLICY_MAX_WAIT */
    struct setting stop_file;  /* a path: the run ends when it exists */
    struct setting window;     /* the run ends when it closes; see policy_window_read */
};

struct policy {
    const char *name;
    const char *source; /* the file, or "built-in policy NAME" */
    enum policy_kind kind;
    struct setting description;
    struct setting retain;
    struct setting chunk;       /* rows per transaction; "auto" or a number */
    struct setting max_rows;    /* candidates per run; NULL for no limit */
    struct setting max_runtime; /* an interval; NULL for no limit */
    struct setting max_failed; /* new failures in a row before the run ends; NULL for the default */
    struct setting pause;      /* an interval between chunks; NULL for none */
    struct setting
        count_timeout; /* how long a live run counts before it begins; NULL for the default */
    struct setting
        retry_for; /* how long a database that is away is tried again; NULL for the default */
    enum policy_clock clock;
    struct setting
        alert_failed_share; /* "10%": more than this share of the items failed: an alert; or NULL */
    struct setting alert_dead_letters; /* more dead letters than this: an alert; or NULL */
    /* KIND_ROWS */
    struct policy_throttle throttle;
    struct setting table;
    struct setting age;
    struct setting time_zone; /* what a timestamp without time zone in the age column is read as */
    struct setting where;     /* SQL; may be NULL */
    bool count_total;         /* report all rows that satisfy where, whatever their age */
    struct policy_guard *guards;
    size_t guard_count;
    struct policy_reference *references;
    size_t reference_count;
    struct policy_object *objects; /* columns of the table itself that name stored objects */
    size_t object_count;
    struct setting *object_prefixes; /* of columns that state none of their own */
    size_t object_prefix_count;
    struct policy_dependent *dependents;
    size_t dependent_count;
    enum policy_unlisted unlisted;
    enum policy_transaction transaction;
    enum policy_triggers triggers;
    struct setting *search_path; /* the schemas in which names are looked up, after pg_catalog;
                                    none: the session's own */
    size_t search_path_count;
    struct setting directory;      /* the column that names a row's working directory; NULL: none */
    struct setting directory_root; /* where these directories are; NULL: POLICY_TEMP_VARIABLE... */
    struct policy_file_rules files; /* of these, or of the roots */
    /* KIND_FILES */
    struct setting *roots; /* none: POLICY_TEMP_VARIABLE, else POLICY_TEMP_DIR */
    size_t root_count;
    struct setting active; /* the policy whose guards say which rows are still active: directories
                            * that their keys name are kept, when there is a database; NULL: none */
};

/* Every candidate row has this alias in a policy's conditions. */
#define POLICY_ALIAS "t"

/* Where temporary files are when nobody says so. */
#define POLICY_TEMP_VARIABLE "TEMP_DIR"
#define POLICY_TEMP_DIR "/tmp/nexrender"

/* The directory that POLICY_TEMP_VARIABLE or the default names, with its origin. */
struct setting policy_temp_dir(void);

/* Where the working directories of the policy's rows are on this host, with its origin; the value
 * is NULL for a policy that has none. Borrowed. */
struct setting policy_working_root(const struct policy *policy);

/* The number in "12.5%" (0 to 100), which field_check has accepted. */
double policy_share(const struct setting *share);

/* What min_free asks for, which field_check has accepted: a share of the file system (0 to 1), or,
 * *share negative, so many bytes. */
void policy_min_free(const struct setting *min_free, double *share, int64_t *bytes);

/* A limit of "throttle". takes: which of the units may be meant, joined by |. */
enum policy_limit_unit { LIMIT_NONE = 0, LIMIT_TIME = 1, LIMIT_BYTES = 2, LIMIT_NUMBER = 4 };
struct policy_limit {
    enum policy_limit_unit unit; /* LIMIT_NONE: switched off */
    int64_t value;               /* milliseconds, bytes or a number, above 0 */
};
bool policy_limit_read(const char *text, unsigned takes, struct policy_limit *limit);

/* What the setting says, or, where it says nothing, otherwise. field_check has accepted it. */
struct policy_limit policy_limit(const struct setting *setting, unsigned takes,
                                 const char *otherwise);

/* A part of each day: "01:00-05:00 UTC", also across midnight; without a zone UTC. Whether there is
 * such a zone, the database knows. */
struct policy_window {
    char from[6], to[6]; /* "01:00"; to may be "24:00" */
    const char *zone;    /* in text */
};
bool policy_window_read(const char *text, struct policy_window *window);

/* "throttle: none": the run waits for nothing, and only its other limits end it. */
void policy_throttle_none(struct policy *policy, const char *origin);

/* The times of age_by as text, such as "mtime" or "mtime,ctime". Owned by ctx. */
char *policy_age_by_text(const void *ctx, unsigned age_by);

/* The largest chunk and row limit that may be asked for. */
enum { POLICY_CHUNK_MAX = 100000 };
#define POLICY_ROWS_MAX INT64_C(1000000000000000)

/* Where policies come from, weakest first: built in, /etc/pgsweep/policies.d, --policy-dir. A file
 * NAME.yaml replaces the policy NAME of a weaker layer as a whole. */
#define POLICY_SYSTEM_DIR "/etc/pgsweep/policies.d"

/* Loads the policy called name and applies the environment: PGSWEEP_NAME_KEY for each key that
 * policy_override takes. policy_dir may be NULL. *policy is NULL, with true returned, when
 * there is no such policy. A file that cannot be read or understood: SWEEP_USAGE with file and
 * line. */
bool policy_load(const void *ctx, const char *name, const char *policy_dir, struct policy **policy,
                 struct error *err);

/* Parses text (a YAML document) as the policy name; source goes into messages. */
bool policy_parse(const void *ctx, const char *name, const char *source, const char *text,
                  size_t length, struct policy **policy, struct error *err);

/* Overrides the setting key, which is one of policy_override_keys; origin is where it was said. The
 * value is checked as in a file. A list (age_by, protect, protect_dirs, owner) is given with
 * commas, a comma in an element as "\,"; patterns and directories to protect are added to those of
 * the policy, everything else is replaced. SWEEP_USAGE also for a key that policies of this kind do
 * not have. */
bool policy_override(struct policy *policy, const char *key, const char *value, const char *origin,
                     struct error *err);

/* The same for a list (protect, protect_dirs, owner), each element as it stands. The strings are
 * copied. */
bool policy_override_list(struct policy *policy, const char *key, const char *const *values,
                          size_t count, const char *origin, struct error *err);

/* The keys that policy_override takes, each of which has an environment variable. */
extern const char *const policy_override_keys[]; /* ends with NULL */

/* What the variables of pgsweep begin with. */
#define POLICY_VARIABLE_PREFIX "PGSWEEP_"

/* PGSWEEP_NAME_KEY, with NAME and KEY in capitals and "-" as "_". Owned by ctx. */
char *policy_variable(const void *ctx, const char *policy, const char *key);

/* What is known when the environment is looked at. */
struct policy_variables {
    const char *policy;          /* the one that the command is about; NULL: none */
    const char *const *policies; /* the names of all that there are */
    size_t policy_count;
    const char *const *fixed; /* variables that are of no policy; ends with NULL */
    bool others_possible;     /* there may be policies that the command cannot know of */
};

enum policy_variable_fate {
    VARIABLE_NOT_OURS, /* another program's */
    VARIABLE_KNOWN,
    VARIABLE_OF_ANOTHER, /* about another policy than the one in hand, and not understood: a warning
                          */
    VARIABLE_UNKNOWN     /* ours, or near to one of ours, and not understood: stops the program */
};
enum policy_variable_fate policy_judge_variable(const struct policy_variables *known,
                                                const char *variable);

/* Judges every variable ("NAME=value", ends with NULL). False, with SWEEP_USAGE and the nearest
 * known name, for the first that is VARIABLE_UNKNOWN. *warnings: lines for standard error, owned by
 * ctx. Values are never shown. */
bool policy_check_environment(const void *ctx, const struct policy_variables *known,
                              char *const *environment, char **warnings, struct error *err);

/* A warning about the columns whose keys have no bounds, because the policy states no prefix for
 * them; NULL: there are none. Owned by ctx. */
char *policy_unbounded(const void *ctx, const struct policy *policy);

/* The names of all policies of all layers, sorted, without repetition, owned by ctx. */
bool policy_names(const void *ctx, const char *policy_dir, const char ***names, size_t *count,
                  struct error *err);

/* True for a name that a policy may have: [a-z][a-z0-9_-]*, at most 31 characters (it becomes part
 * of application_name, file names and environment variables). */
bool policy_name_valid(const char *name);

/* Appends the policy as YAML that policy_parse reads back as the same policy. */
bool policy_print(const struct policy *policy, PQExpBuffer out, struct error *err);

/* What the text of a condition shows, without a database. */
struct condition_facts {
    bool subquery;      /* it contains a subquery, so it looks beyond the candidate's row */
    const char **calls; /* names that are called like functions, lower case unless quoted */
    size_t call_count;
};

/* Checks that text is one SQL expression as far as its tokens show: brackets and quotes balanced,
 * no semicolon, no $1. facts (may be NULL) is filled, owned by ctx. origin goes into messages. */
bool condition_check(const void *ctx, const struct setting *condition,
                     struct condition_facts *facts, struct error *err);

/* The names and operators in a text of SQL, also in what EXPLAIN prints. */
struct condition_words {
    const char **calls; /* names that an opening bracket follows */
    size_t call_count;
    const char **words; /* all names */
    size_t word_count;
    const char **operators;
    size_t operator_count;
};

/* Fills words, owned by ctx. False when the text cannot be read to its end. */
bool condition_words(const void *ctx, const char *text, struct condition_words *words);

/* How often the text says :cutoff. It must have passed condition_check. */
size_t condition_cutoffs(const char *text);

/* Appends the condition in brackets, with :cutoff replaced by an SQL expression: the i-th of
 * cutoffs where it stands for the i-th time, the last of them from there on. The text must have
 * passed condition_check. */
void condition_append(PQExpBuffer out, const char *text, const char *const *cutoffs, size_t count);

/* Checks the form of a retention or another interval: one or more of number and unit ("30 days",
 * "7d", "1 month 2 days", "02:30 hours" is not), or ISO 8601 ("P30D"). The unit is what
 * PostgreSQL's interval input takes; a bare number and the ambiguous "m" are refused. */
bool interval_check(const struct setting *interval, const char *what, struct error *err);

/* The instant that lies the interval before now, in UTC, for runs without a database: numbers with
 * units from milliseconds to years; a month back from the 31st is the last day of a shorter month.
 * Fractions are taken for units up to weeks. SWEEP_USAGE for ISO 8601, unknown units, and what is
 * not positive. */
bool interval_before(const struct setting *interval, const char *what, struct timespec now,
                     struct timespec *then, struct error *err);

#endif
