/* The engine of the file sweep, shared by its parts; private to src/files. */
#ifndef FILES_WALK_H
#define FILES_WALK_H

#include "fsys.h"
#include "pgsweep/files.h"
#include "trash.h"

/* An opened and checked root (fd -1: it does not exist). Owned by the talloc context it was made
 * on, except for fd, which root_close closes. */
struct files_root {
    int fd;
    char *path; /* cleaned */
    struct file_id id;
    struct file_id *protected; /* the directories of options->protect_dirs that exist */
    size_t protected_count;
};

bool root_open(const void *ctx, const struct files_options *options, struct files_root *root,
               struct error *err);
void root_close(struct files_root *root);

/* system.c: refuses (SWEEP_USAGE) a directory of the system, a home and a mount point, unless the
 * options allow it. */
bool root_check_system(const struct files_options *options, const struct files_root *root,
                       struct error *err);

struct pattern {
    const char *text;
    size_t prefix; /* the length of the literal part of "literal*"; 0: ask files_match_pattern */
    bool any_case;
};

/* One name of a block of names. */
struct entry {
    uint64_t ino;
    uint32_t name_at; /* in walk.names */
    unsigned char type;
};

/* One directory on the way from the base to where the sweep is. */
struct frame {
    int fd; /* -1: closed to bound the number of descriptors, opened again on the way back */
    struct file_id id;
    struct timespec mtime; /* before the sweep touched it */
    uint32_t uid;
    uint32_t mode;
    bool append_only;
    enum files_kept age;  /* FILES_NOT_KEPT: expired */
    enum files_kept lost; /* why it was given up (MOVED, LOCKED, ...), or FILES_NOT_KEPT */
    bool finished;        /* all names were read */
    bool stays;           /* something in it stays */
    bool touched;         /* something in it was removed */
    bool read_failed;
    bool uncounted;     /* it is part of a trash */
    int write_error;    /* dry run: errno of removing anything here; -1: not asked yet */
    int64_t position;   /* where to go on reading, when not finished */
    size_t path_length; /* of walk.path up to and with the name of this directory */
    size_t name_at;     /* of that name in walk.path */
    char *pending;      /* sub-directories to enter: names, each with its NUL */
    size_t pending_size;
    size_t pending_at;
};

/* A file with several links, of which a dry run saw some. */
struct seen_links {
    uint64_t ino;
    uint32_t count;
};

struct links {
    struct seen_links *table;
    size_t used;
    size_t room;
};

/* What the calls of a run have in common. */
struct files_shared {
    struct trash trash;
    struct users *users; /* NULL: not read yet */
};

struct walk {
    const struct files_options *options;
    struct files_shared *shared;
    const struct files_root *root;
    struct files_report *report;
    struct fsys sys;
    const char *base_path;  /* of frame 0, absolute */
    bool wipe;              /* whatever the age, special files too */
    struct file_id lock_id; /* of the lock's file, if it is in the root */
    bool in_left;           /* the base is the trash of a killed run: names count as in the root */
    bool dry_run;
    bool ended; /* limit, deadline or signal */
    bool has_fowner;
    bool maps_by_inode; /* see users_look */
    bool has_lease;     /* may have leases of other people's files */
    uint32_t euid;
    struct timespec now;
    struct timespec judged; /* the time that the file in hand was judged by */
    struct pattern *patterns;
    size_t pattern_count;

    struct frame *frames;
    size_t depth;
    char *path; /* of the top frame, below the base; no leading slash */
    size_t path_room;

    char *names;
    size_t names_size;
    size_t names_room;
    struct entry *entries;
    size_t entry_count;
    size_t entry_room;
    char *list_buffer;
    size_t pending_total;

    unsigned since_check; /* removals since the place of the top frame was checked */
    int64_t checked_ms;
    unsigned ticks;
    unsigned removals_held;  /* removals of files held open, as far as closer.c counts them */
    struct closer *closer;   /* NULL: they are closed at once */
    struct waiting *waiting; /* NULL: no file has waited yet */
    struct links *links;
    pthread_mutex_t *links_lock; /* NULL: no other thread walks */
};

/* Makes a walk whose frame 0 is the directory fd (borrowed; path base_path). With only_name, frame
 * 0 is not read, and that one sub-directory is wiped. Owned by ctx. */
struct walk *walk_new(const void *ctx, const struct files_options *options,
                      const struct files_root *root, struct files_report *report, int fd,
                      const char *base_path, const char *only_name);

/* Walks to the end, or until it has to stop. */
void walk_run(struct walk *w);

/* Its parts: enters the directory name of the top frame, unless it has to stay; goes one step on.
 */
void walk_enter(struct walk *w, const char *name);
void walk_step(struct walk *w);

/* Around what is about a file with several links, because another thread may meet the other ones.
 */
void walk_lock_links(struct walk *w);
void walk_unlock_links(struct walk *w);

/* Gives back the memory of the last block. */
void walk_free_names(struct walk *w);

/* crew.c: may several threads share the work in the top frame? They walk the directories that are
 * pending there, or sort out the entries of the block. */
bool crew_may_share(const struct walk *w);
void crew_walk_directories(struct walk *base);
void crew_examine_files(struct walk *base);

/* place.c: is the directory still where it was opened; a bounded number of descriptors. */
enum { PLACE_CHECK_NOW = 64 }; /* walk.since_check that makes the next check due */
bool place_is_kept(struct walk *w);
void place_close_far(struct walk *w);
bool place_reopen_parent(struct walk *w);

/* block.c: reads the next block of names of the top frame, examines what is no directory, and
 * leaves the directories pending. */
void block_read(struct walk *w);
/* Examines one entry of a block, whose name is in names; its type says afterwards if it is a
 * directory. */
void block_sort_out(struct walk *w, const char *names, struct entry *e);

/* entry.c */
struct verdict {
    enum files_kept kept; /* FILES_NOT_KEPT: it may go */
    int error;            /* or errno; ENOENT: it is gone */
    const char *action;   /* of which that is the errno; NULL: remove */
    bool waits;           /* it is decided later: see waiting.c */
};

/* Did a signal or the deadline end the walk? */
bool entry_may_go_on(struct walk *w);
/* Examines name in the top frame and removes it when it is to go; true when it is a directory. When
 * all of a block are examined, waiting_settle must follow. */
bool entry_examine(struct walk *w, const char *name);
/* Counts what became of name in the top frame. */
void entry_settle(struct walk *w, const char *name, const struct statx *stx, struct verdict v);
bool entry_is_protected(const struct walk *w, const char *name, const struct file_id *id);
/* May what belongs to this user go? */
bool entry_is_owned(const struct walk *w, uint32_t uid);
enum files_kept entry_judge_time(struct walk *w, struct timespec t);
/* By the youngest of the times whose bits are set (FILES_AGE_BIT). */
enum files_kept entry_judge_times(struct walk *w, const struct statx *stx, unsigned age_by);
/* By those of the options; where age does not matter: FILES_NOT_KEPT. */
enum files_kept entry_judge_age(struct walk *w, const struct statx *stx);
/* May one more item go under the limits? Ends the walk when not. */
bool entry_within_limit(struct walk *w);
/* What the kernel would answer to the removal of an object of f (dry run): errno or 0. */
int entry_predict(const struct walk *w, struct frame *f, const struct statx *stx);
/* After each removal: the pause, and the distance to the next place check. */
void entry_count_removal(struct walk *w, struct frame *f);

/* A file that was tested, held open until after its removal. */
struct hold {
    int fd;         /* -1: none */
    bool leased;    /* nobody else has it open, and whoever opens it waits */
    bool looked_up; /* no lease is to be had: /proc decided */
};

/* users.c: what processes have open, run, map, or are in, by device and inode. */
/* assume_complete (tests): as if every process of the host could be looked at. */
struct users *users_read(const void *ctx, bool assume_complete);
/* Reads again what is old; now: in any case. */
void users_refresh(struct users *u, bool now);
enum in_use {
    IN_USE,
    IN_USE_NOT,
    IN_USE_UNKNOWN /* not every process of the host can be looked at */
};
/* by_inode: on this file system the device of a mapping is another one than that of its file. */
enum in_use users_look(const struct users *u, struct file_id id, bool by_inode);

/* inuse.c: before a walk: what a dry run knows of files in use, which its threads share. */
void inuse_prepare(struct walk *w);
/* Decides whether a directory that is to go is in use; in a dry run also files. */
enum in_use inuse_look(struct walk *w, struct file_id id);
/* The same by /proc as it is now. */
enum in_use inuse_look_again(struct walk *w, struct file_id id);
/* What inuse_test will say, without touching the file. */
struct verdict inuse_predict(struct walk *w, const char *name, const struct statx *stx);

/* inuse.c: decides whether a regular file is in use. */
struct verdict inuse_test(struct walk *w, const char *name, const struct statx *stx,
                          struct hold *held);
/* What the answer to the question whether it is in use means for a file. */
enum files_kept inuse_reason(enum in_use use);
/* Where there is a lease: has nobody begun to open the file since? */
bool inuse_is_still_free(const struct hold *held);
/* From here on nobody waits for us. */
void inuse_let_go(struct hold *held);

/* slot.c: removes name, which is no directory, if it still is what stx says. */
struct verdict slot_remove(struct walk *w, const char *name, const struct statx *stx,
                           const struct hold *held);
/* Is what was moved out of the way (moved) what was looked at (seen), and may it still go? use:
 * what the look for those who have it open came to. */
enum files_kept slot_judge(struct walk *w, const struct statx *seen, const struct statx *moved,
                           enum files_kept use);
/* Moves the file from in trash_fd back to its name, or to one beside it when that is taken. False
 * and errno: it stays. */
bool slot_give_back(struct walk *w, int trash_fd, const char *from, int dirfd, const char *name);

/* waiting.c: moves the file name of the top frame, which is no directory, into the trash, where it
 * waits for a look into /proc. error: it was not moved. */
struct verdict waiting_add(struct walk *w, struct trash *t, const char *name,
                           const struct statx *stx);
size_t waiting_count(const struct walk *w);
/* Looks into /proc, removes those that nobody has open, and gives the others back. */
void waiting_settle(struct walk *w);

/* lock.c: of the sweeps of a user at most one is at work in a root. The lock is a file that other
 * users cannot open: in /run/pgsweep, in $XDG_RUNTIME_DIR, or else in the root. */
struct root_lock {
    int fd;     /* -1: none */
    int dir_fd; /* of its directory */
    char name[80];
    struct file_id id;
};

enum lock_state {
    LOCK_TAKEN,
    LOCK_HELD /* by another sweep */,
    LOCK_NOWHERE /* there is no place for one */
};

/* look_only: takes nothing, and makes nothing. */
enum lock_state lock_take(struct root_lock *lock, const struct files_root *root, bool look_only);
void lock_release(struct root_lock *lock);

/* left.c: what a killed run left in its trash. Sweeps it if name, in the root, is one, by the rules
 * that hold for everything else; false: it is a directory as any other. */
bool left_sweep(struct walk *w, const char *name);
/* Opens it as trash_open_left; a file in the slot that no run had found to be the one to remove
 * goes back. */
enum trash_kind left_open(struct walk *w, struct trash *t, const char *name);
/* The names of the directories in a trash, or of the root, that are wanted; wanted NULL: all that
 * is there. They are taken down first, because wiping changes what is being listed. */
char **left_list(const void *ctx, int dirfd, bool (*wanted)(const char *name), size_t *count);

/* tree.c: moves the trees in the trash that hold something protected back to the root. */
void tree_bring_back(const struct files_options *o, const struct files_root *root,
                     const struct trash *t, struct files_report *report);

/* special.c: has a process this socket or fifo? SPECIAL: that cannot be found out. */
struct verdict special_test(const struct walk *w, const char *name, const struct statx *stx);

/* closer.c: closes a file that was removed, at some time before closer_end. */
void closer_close(struct walk *w, int fd);
/* Waits until all is closed; false when nothing was open. */
bool closer_drain(struct walk *w);
void closer_end(struct walk *w);

/* tally.c: the report, the events. name NULL: the directory of the top frame. */
void tally_deleted(struct walk *w, const char *name, char type, int64_t bytes);
void tally_kept(struct walk *w, enum files_kept reason);
void tally_aside(struct walk *w, const char *new_name);
void tally_failed(struct walk *w, const char *name, char type, int error, const char *action);
void tally_error(const struct files_options *options, struct files_report *report, const char *path,
                 char type, int error, const char *action);
/* Counts the errno; true when this report had not seen it (0: one of those that found no slot). */
bool tally_count_error(struct files_report *r, int error, int64_t count);
/* Adds the numbers of a part, but for its errors by errno. */
void tally_add(struct files_report *sum, const struct files_report *part);
int64_t tally_bytes(struct walk *w, const struct statx *stx);

#endif
