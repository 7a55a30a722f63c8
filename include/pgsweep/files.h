/*
 * Sweeping directory trees: expired files below a root, and the working directory of one job.
 * Knows nothing of policies, databases or output formats. Linux only (statx, getdents64, leases).
 *
 * What is promised
 *  - Nothing outside the root is touched: every name is used relative to an open directory,
 * symbolic links are removed as links and never followed, other file systems are never entered.
 *  - What is removed is what was looked at. Linux has no "unlink this inode": so a file is moved to
 * a private place first, looked at again there, and given back (never over anything) when another
 * one had taken its name, or when it was written to. Where that cannot be done (no room for a
 * directory in the root, a file system that cannot rename without replacing) the look and the
 * removal are adjacent, and the report counts it (unguarded).
 *  - A directory that is moved away while it is swept is left alone from the next place check on:
 *    at the latest after 64 removals, 10 ms of removals, or a pause. The check resolves the path
 *    from "/" without symbolic links; for paths beyond PATH_MAX and kernels without openat2 it
 * looks at the open levels only (the nearest 16).
 *  - At most 16 directories are open at once, plus the root and the file in hand, at any depth; the
 *    memory is bounded by blocks of names, not by the size of a directory.
 *  - Every object scanned has one outcome:
 *      scanned = deleted (files + links + directories + special) + all of kept[] + vanished +
 * failed */
#ifndef PGSWEEP_FILES_H
#define PGSWEEP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "pgsweep/error.h"

/* Which of a file's times is compared with the cutoff. Directories are judged by their mtime (when
 * the contents last changed), and with CTIME or BTIME by that time too; all must be expired. */
enum files_age_by { FILES_AGE_MTIME, FILES_AGE_ATIME, FILES_AGE_CTIME, FILES_AGE_BTIME };

/* For files_options.age_by. */
#define FILES_AGE_BIT(time) (1U << (time))

/* Whether upper and lower case are the same in patterns. */
enum files_case {
    FILES_CASE_DEFAULT, /* the same in files_default_protect, different in the other patterns */
    FILES_CASE_IGNORE,  /* the same in all */
    FILES_CASE_MATCH    /* different in all */
};

/* X(name, word for reports, what it means to a person) */
#define FILES_KEPT_REASONS(X)                                                                      \
    X(FRESH, "fresh", "not older than the cutoff")                                                 \
    X(ENOUGH, "enough_free", "expired, but enough is free without it")                             \
    X(FUTURE, "future", "its time lies in the future")                                             \
    X(NO_TIME, "no_time", "the file system does not record the time asked for")                    \
    X(OPEN, "open", "a process has it open, mapped, or runs it (by any of its links)")             \
    X(LOCKED, "locked", "a process holds a lock on it")                                            \
    X(PROTECTED, "protected", "matches a protected pattern or directory")                          \
    X(OWNER, "owner", "belongs to another user than those whose files may go")                     \
    X(SPECIAL, "special", "a fifo, socket or device")                                              \
    X(OTHER_FS, "other_fs", "on another file system, or mounted over")                             \
    X(ACTIVE_JOB, "active_job", "belongs to a job that is still active")                           \
    X(UNTESTED, "untested", "whether a process has it open could not be found out")                \
    X(CHANGED, "changed", "was replaced by something else while it was looked at")                 \
    X(MOVED, "moved", "a directory that was moved away during its sweep")                          \
    X(NOT_EMPTY, "not_empty", "a directory in which something stays")                              \
    X(UNFINISHED, "unfinished", "a limit, the deadline or a signal ended the sweep first")

enum files_kept {
#define FILES_KEPT_ENUM(name, word, meaning) FILES_KEPT_##name,
    FILES_KEPT_REASONS(FILES_KEPT_ENUM)
#undef FILES_KEPT_ENUM
        FILES_KEPT_COUNT,
    FILES_NOT_KEPT = FILES_KEPT_COUNT /* the answer of a judge: it may go */
};

/* The word of a reason ("fresh"), and its meaning. */
const char *files_kept_word(enum files_kept reason);
const char *files_kept_meaning(enum files_kept reason);

enum files_event_kind {
    FILES_EVENT_DELETED, /* an item was removed (dry run: would be) */
    FILES_EVENT_ERROR,   /* an errno occurred for the first time in this report */
    FILES_EVENT_ASIDE /* a file could not get its name back, which was taken meanwhile: path is its
                         new one */
};

struct files_event {
    enum files_event_kind kind;
    char type;            /* 'f' file, 'l' symbolic link, 'd' directory, 's' special, '?' unknown */
    const char *path;     /* absolute, escaped for a terminal; valid during the call */
    int64_t bytes;        /* DELETED: as in bytes_freed */
    struct timespec time; /* DELETED, of what is no directory: the time that it was judged by */
    int error;            /* ERROR: errno */
    const char *action;   /* ERROR: what failed: "remove", "open", "read", ... */
};

/* Where a test can step in between two system calls (NULL in production). */
enum files_step {
    FILES_STEP_LISTED,  /* a block of names of the directory was read; name is NULL */
    FILES_STEP_CHECKED, /* name was found to be expired; the in-use test or the removal is next */
    FILES_STEP_HELD,    /* name passed the in-use test; the removal is next */
    FILES_STEP_MOVED    /* name was moved to the private place; the look at it there is next */
};

/* Zero-initialise; the zero of every field is the careful choice. Strings are borrowed. */
struct files_options {
    const char *root;       /* see files_check_root */
    struct timespec cutoff; /* what is older (strictly) is expired; nanoseconds count */
    unsigned age_by; /* FILES_AGE_BIT of each time that counts, the youngest of them; 0: mtime */
    const char *const *protect; /* patterns beside the default ones, see files_match_pattern */
    enum files_case protect_case;
    size_t protect_count;
    bool spare;                 /* what is expired stays too, unless it is older than ... */
    struct timespec spare_from; /* ... this */
    bool young_stay;        /* files_remove_tree: files that are not expired stay there too (empty
                               directories go) */
    bool allow_system_root; /* see files_check_root */
    bool
        delete_special; /* expired sockets and fifos that no process has go too; devices never do */
    const uint32_t *owners; /* only what belongs to these users goes; none: whoever it belongs to */
    size_t owner_count;
    bool no_default_protect; /* leave out files_default_protect */
    const char *const
        *protect_dirs; /* paths (links followed), recognised by device and inode under
                        * any spelling and through bind mounts; a missing one is ignored */
    size_t protect_dir_count;
    bool (*is_active)(void *arg, const char *name); /* NULL, or: is this the name of a directory
                                                     * directly below the root of an active job?
                                                     * A dry run asks from two threads at once. */
    void *is_active_arg;
    bool in_use;  /* spare files in use: asked by a write lease where one is to be had (the
                   * caller owns the file, or has CAP_LEASE), else by /proc where every
                   * process can be looked at. If neither works, the file stays
                   * (FILES_KEPT_UNTESTED). */
    bool dry_run; /* same decisions, counts and bytes; nothing on disk changes. Where the
                   * caller neither owns a directory nor has CAP_FOWNER the kernel refuses
                   * O_NOATIME, and reading it may set that directory's access time. With
                   * delete_special the question whether a process has a datagram socket may
                   * set the socket's. */
    struct files_shared *shared; /* NULL, or what the calls of a run for one root have in common */
    int64_t max_deletions; /* 0: no limit; compared with the report, so it spans several calls */
    int64_t deadline_ms;   /* 0: none; an instant of clock_now_ms() */
    int64_t pause_every;   /* after so many removals ... (0: never; not in a dry run) */
    int64_t pause_ms;      /* ... sleep so long */
    void (*on_event)(void *arg, const struct files_event *event);
    void *on_event_arg;
    bool errors_only; /* on_event hears of errors only, which saves a text for each file */
    void (*on_step)(void *arg, enum files_step step, int dirfd, const char *name); /* tests only */
    void *on_step_arg;
    bool no_openat2;         /* tests only: as if the kernel or a seccomp filter had no openat2 */
    bool sees_all_processes; /* tests only: as if every process of the host could be looked at */
};

enum { FILES_ERRORS_MAX = 16 };

/* Zero-initialise; every call adds to it, so that one report spans several roots. */
struct files_report {
    int64_t scanned;       /* files, links, special files and directories below the root */
    int64_t directories;   /* directories read, the root included */
    int64_t deleted_files; /* dry run: would be deleted, here and below */
    int64_t deleted_links;
    int64_t deleted_directories;
    int64_t deleted_special; /* by files_remove_tree, and with delete_special */
    int64_t bytes_freed;     /* st_blocks * 512 of regular files whose last link went: what the
                              * file system gets back (not before the last reader closes it) */
    int64_t kept[FILES_KEPT_COUNT];
    int64_t vanished; /* gone by itself between being listed and being removed */
    int64_t failed;   /* could not be examined or removed */
    struct {
        int code; /* errno; 0 in the last slot: all that found no slot */
        int64_t count;
    } errors[FILES_ERRORS_MAX]; /* in order of first occurrence */
    size_t error_count;
    int64_t duration_ms;
    int64_t roots_locked; /* roots left alone because another sweep of this user holds them */
    int64_t unlocked;     /* roots swept without a lock, because there is no place for one */
    int64_t untested;  /* deleted ones of which it could not be found out whether a process has them
                        * open: directories, and in a dry run files too */
    int64_t unguarded; /* deleted ones that did not go through the private place */
    int64_t set_aside; /* kept ones whose name was taken meanwhile: they have a new one */
    bool limit_reached; /* max_deletions or deadline_ms ended it with work left */
    bool stopped;       /* a signal ended it */
};

/* Files, links, directories and special files together; and everything kept, except reasons that
 * only follow from something else that stays (NOT_EMPTY). */
int64_t files_deleted(const struct files_report *report);
int64_t files_kept(const struct files_report *report);

/* Checks root and protected directories without touching anything. The root must be absolute, not
 * "/" (under any name), without "..", a directory, not reached through a symbolic link, not a
 * protected directory or inside one (by the parents that ".." leads to), and, unless
 * allow_system_root is set, not a directory of the system (/etc, /usr, /home, /var, ...), the home
 * of a user, or the root of a file system outside /tmp and /var/tmp; all by what is opened, however
 * it is spelled. Failure: SWEEP_USAGE with a hint. A root that does not exist is fine: *missing is
 * set (may be NULL). */
bool files_check_root(const struct files_options *options, bool *missing, struct error *err);

/* The youngest time (mtime or ctime, in seconds since 1970) of the root and of what is below it on
 * its file system; the search ends at the first that is younger than enough. *found: false when the
 * root does not exist or nothing is in it. What cannot be read is left out, as is what lies deeper
 * than FILES_YOUNGEST_DEPTH. Failure: as files_check_root. */
enum { FILES_YOUNGEST_DEPTH = 64 };
bool files_youngest(const struct files_options *options, int64_t enough, int64_t *youngest,
                    bool *found, struct error *err);

/* Removes what is expired below options->root, deepest first, directories that become (or are)
 * empty and expired too, the root never. A missing root is nothing to do. Returns false only when
 * the root is refused or cannot be opened; everything below it is counted in the report.
 * A directory on which someone holds a flock is left alone with all that is below it; while the
 * sweep works in a directory it holds an exclusive flock itself, as systemd-tmpfiles does. The
 * mtime of a directory that stays is put back after removals in it, so that the next run finds its
 * age as it was (a process that is killed cannot do that). SIGIO is ignored during the call with
 * in_use (a broken lease raises it). Where there is a second processor the call may use a thread
 * beside the caller's: to look, in a dry run without max_deletions that reports errors only, and to
 * close what was removed with in_use. All events come from the caller's thread, errors in the same
 * order as without. */
bool files_sweep(const struct files_options *options, struct files_report *report,
                 struct error *err);

/* How much is to be free on the file system of a root. */
struct files_room {
    double share; /* of what the file system has for this user, as df(1) counts it: 0 to 1;
                     negative: bytes count */
    int64_t bytes;
    size_t remembered; /* tests: how many files are remembered at a time; 0: 500,000 */
    /* Filled in: */
    bool found; /* the root exists, and the others are known */
    int64_t wanted;
    int64_t before, after; /* free; in a dry run after is what would be */
    bool reached;
};

/* files_sweep, but the oldest first, by the youngest of the times that count, and no more than it
 * takes until so much is free. The tree is read once to find out which, and then swept; again if
 * that did not free enough. Files of the same age go together. Memory is bounded. When enough is
 * free at once, nothing is read. Failure as in files_sweep. */
bool files_sweep_for_room(const struct files_options *options, struct files_room *room,
                          struct files_report *report, struct error *err);

/* Who holds the lock of a root that files_sweep found locked: "pgsweep, process 4711", owned by
 * ctx. NULL: it is not known (any more). */
char *files_lock_holder(const void *ctx, const char *root);

enum files_tree_outcome {
    FILES_TREE_REMOVED, /* all of it is gone (dry run: would be) */
    FILES_TREE_MISSING, /* there was no such directory: as good as removed */
    FILES_TREE_KEPT,    /* something stays; the report says what */
    FILES_TREE_REFUSED  /* not a name to act on; reason says why */
};

/* What the names of pgsweep's own files in a root begin with. */
#define FILES_OWN_PREFIX ".pgsweep-"

/* What the calls of a run for one root have in common: its trash, which takes longer to make and
 * remove than a few files, and what is known of open files. Owned by ctx; freed after
 * files_finish_trash. */
struct files_shared *files_shared_new(const void *ctx);

/* Removes the directory name directly below the root whatever its age (but see young_stay), special
 * files included. Protected files stay where they are, with their directories. When nothing in it
 * has to stay, the tree is first renamed into the trash (0700, owned by the caller, same file
 * system), so that it disappears at once and a killed run leaves only trash; otherwise, or when
 * there is no room for a trash directory, it is emptied in place. A protected file that appears
 * between check and rename brings the tree back. Returns false when the root is refused
 * (SWEEP_USAGE). *reason (may be NULL) is a constant. */
bool files_remove_tree(const struct files_options *options, const char *name,
                       enum files_tree_outcome *outcome, const char **reason,
                       struct files_report *report, struct error *err);

/* Finishes what a killed run left in the trash of the root, then removes the empty trash; call it
 * before files_sweep and files_remove_tree. Nothing there: success. Only directories are wiped:
 * that is all that is ever put there. Failure as in files_remove_tree. */
bool files_finish_trash(const struct files_options *options, struct files_report *report,
                        struct error *err);

/* The rules, as pure functions. */

/* FRESH, FUTURE or FILES_NOT_KEPT (expired: t < cutoff). now is the clock of the machine. */
enum files_kept files_judge_age(struct timespec t, struct timespec cutoff, struct timespec now);

bool files_is_before(struct timespec a, struct timespec b);

/* Does the pattern match? One without a slash is matched against the last component of path, at any
 * depth. One with a slash is matched against the whole path below the root, component by component
 * (fnmatch(3): "*", "?",
 * "[...]", a backslash quotes, a leading dot is nothing special); there "**" alone between slashes
 * stands for any number of components, also none, and at the end for all below. A leading slash
 * means the root, a trailing one is ignored. any_case: upper and lower case are the same. */
bool files_match_pattern(const char *pattern, const char *path, bool any_case);

/* NULL when the pattern can match something and hardly is a slip; else why not ("ends with a
 * backslash"), and *advice what to write. The texts are constants or owned by ctx. */
const char *files_refuse_pattern(const void *ctx, const char *pattern, const char **advice);

/* Protected unless the options say otherwise: "result*" and "output*"; NULL-terminated. */
extern const char *const files_default_protect[];

/* NULL when name can be the name of a working directory, else the reason why not: empty, ".", "..",
 * a slash, a control character, more than 255 bytes, the name of the trash. */
const char *files_refuse_name(const char *name);

/* The root with trailing and doubled slashes and "." removed, owned by ctx; NULL (SWEEP_USAGE, with
 * a hint) when its text alone is reason enough to refuse it. */
char *files_clean_root(const void *ctx, const char *root, struct error *err);

#endif
