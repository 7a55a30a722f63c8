/* The engine of the file sweep. Private to src/files. */
#ifndef FILES_WALK_H
#define FILES_WALK_H

#include "fsys.h"
#include "pgsweep/files.h"
#include "trash.h"

/* An opened and checked root (fd -1: it does not exist). Owned by the talloc context on which it
 * was created, except for fd, which root_close closes. */
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

/* system.c: refuses (SWEEP_USAGE) a system directory, a home directory and a mount point, unless
 * the options allow it. */
bool root_check_system(const struct files_options *options, const struct files_root *root,
                       struct error *err);

struct pattern {
    const char *text;
    size_t prefix; /* the length of the literal part of "literal*"; 0: use files_match_pattern */
    bool any_case;
};

/* One entry of a block. */
struct entry {
    uint64_t ino;
    uint32_t name_at; /* in walk.names */
    unsigned char type;
};

/* One directory on the path from the base to the current position. */
struct frame {
    int fd; /* -1: closed to limit the number of descriptors; reopened on the way back */
    struct file_id id;
    struct timespec mtime; /* before the sweep touched it */
    uint32_t uid;
    uint32_t mode;
    bool append_only;
    enum files_kept age;  /* FILES_NOT_KEPT: expired */
    enum files_kept lost; /* why it was given up (MOVED, LOCKED, ...), or FILES_NOT_KEPT */
    bool finished;        /* all names have been read */
    bool stays;           /* something in it was kept */
    bool touched;         /* something in it was removed */
    bool read_failed;
    bool uncounted;     /* it is part of a trash: not counted */
    int write_error;    /* dry run: errno that a removal here would give; -1: not determined yet */
    int64_t position;   /* where to continue reading if not finished */
    size_t path_length; /* length of walk.path up to and including the name of this directory */
    size_t name_at;     /* position of that name in walk.path */
    char *pending;      /* sub-directories to enter: names, each NUL-terminated */
    size_t pending_size;
    size_t pending_at;
};

/* A file with several links, some of which a dry run has seen. */
struct seen_links {
    uint64_t ino;
    uint32_t count;
};

struct links {
    struct seen_links *table;
    size_t used;
    size_t room;
};

/* State that the calls of a run share. */
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
    bool wipe;              /* remove everything regardless of age, special files too */
    struct file_id lock_id; /* the lock file, if it is in the root */
    bool in_left; /* the base is the trash of a killed run: names are judged as in the root */
    bool dry_run;
    bool ended; /* limit, deadline or signal */
    bool has_fowner;
    bool maps_by_inode; /* see users_look */
    bool has_lease;     /* may take leases on other users' files */
    uint32_t euid;
    struct timespec now;
    struct timespec judged; /* the time by which the current file was judged */
    struct pattern *patterns;
    size_t pattern_count;

    struct frame *frames;
    size_t depth;
    char *path; /* path of the top frame below the base; no leading slash */
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
    unsigned removals_held;  /* removals of files that are held open, counted for closer.c */
    struct closer *closer;   /* NULL: files are closed at once */
    struct waiting *waiting; /* NULL: no file has waited so far */
    struct links *links;
    pthread_mutex_t *links_lock; /* NULL: no other thread walks */
};

/* Creates a walk whose frame 0 is the directory fd (borrowed; path base_path). With only_name,
 * frame 0 is not read, and only that sub-directory is wiped. Owned by ctx. */
struct walk *walk_new(const void *ctx, const struct files_options *options,
                      const struct files_root *root, struct files_report *report, int fd,
                      const char *base_path, const char *only_name);

/* Walks to the end, or until a limit or a signal ends the walk. */
void walk_run(struct walk *w);

/* Parts of walk_run: enters the directory name of the top frame, unless it is to be kept; takes one
 * step. */
void walk_enter(struct walk *w, const char *name);
void walk_step(struct walk *w);

/* To be called around code about a file with several links, because another thread may meet the
 * other links. */
void walk_lock_links(struct walk *w);
void walk_unlock_links(struct walk *w);

/* Frees the memory of the last block. */
void walk_free_names(struct walk *w);

/* crew.c: whether several threads may share the work in the top frame. They walk the directories
 * that are pending there, or sort the entries of the block. */
bool crew_may_share(const struct walk *w);
void crew_walk_directories(struct walk *base);
void crew_examine_files(struct walk *base);

/* place.c: whether directories are still where they were opened; limits the number of
 * descriptors. */
enum { PLACE_CHECK_NOW = 64 }; /* value of walk.since_check at which a check is due */
bool place_is_kept(struct walk *w);
void place_close_far(struct walk *w);
bool place_reopen_parent(struct walk *w);

/* block.c: reads the next block of names of the top frame, examines everything but directories, and
 * leaves the directories pending. */
void block_read(struct walk *w);
/* Examines one entry of a block, whose name is in names; afterwards its type shows whether it is a
 * directory. */
void block_sort_out(struct walk *w, const char *names, struct entry *e);

/* entry.c */
struct verdict {
    enum files_kept kept; /* FILES_NOT_KEPT: it may be removed */
    int error;            /* or an errno; ENOENT: it is gone */
    const char *action;   /* the action that gave the errno; NULL: remove */
    bool waits;           /* to be decided later: see waiting.c */
};

/* Whether the walk may go on: no signal or deadline has ended it. */
bool entry_may_go_on(struct walk *w);
/* Examines name in the top frame and removes it if it is expired; true: it is a directory. After
 * all entries of a block, waiting_settle must be called. */
bool entry_examine(struct walk *w, const char *name);
/* Counts the result for name in the top frame. */
void entry_settle(struct walk *w, const char *name, const struct statx *stx, struct verdict v);
bool entry_is_protected(const struct walk *w, const char *name, const struct file_id *id);
/* Whether files of this user may be removed. */
bool entry_is_owned(const struct walk *w, uint32_t uid);
enum files_kept entry_judge_time(struct walk *w, struct timespec t);
/* Judges by the youngest of the times whose bits are set (FILES_AGE_BIT). */
enum files_kept entry_judge_times(struct walk *w, const struct statx *stx, unsigned age_by);
/* Judges by the times of the options; FILES_NOT_KEPT if age does not matter. */
enum files_kept entry_judge_age(struct walk *w, const struct statx *stx);
/* Whether the limits allow one more removal. Ends the walk if not. */
bool entry_within_limit(struct walk *w);
/* The errno, or 0, with which the kernel would answer the removal of an object of f (dry run). */
int entry_predict(const struct walk *w, struct frame *f, const struct statx *stx);
/* To be called after each removal: makes the pause and counts towards the next check of the
 * place. */
void entry_count_removal(struct walk *w, struct frame *f);

/* A tested file that is held open until after its removal. */
struct hold {
    int fd;         /* -1: none */
    bool leased;    /* nobody else has it open, and a process that opens it has to wait */
    bool looked_up; /* no lease could be taken: /proc decided */
};

/* users.c: the files and directories that processes have open, execute, map or work in, by device
 * and inode. */
/* assume_complete (tests): treats the table as if every process of the host could be examined. */
struct users *users_read(const void *ctx, bool assume_complete);
/* Reads the table again if it is old; now: in any case. */
void users_refresh(struct users *u, bool now);
enum in_use {
    IN_USE,
    IN_USE_NOT,
    IN_USE_UNKNOWN /* not every process of the host can be examined */
};
/* by_inode: on this file system the device of a mapping differs from that of its file. */
enum in_use users_look(const struct users *u, struct file_id id, bool by_inode);

/* inuse.c: to be called before a walk: reads what a dry run needs to know about files in use, which
 * its threads share. */
void inuse_prepare(struct walk *w);
/* Decides whether a directory that is to be removed is in use; in a dry run also files. */
enum in_use inuse_look(struct walk *w, struct file_id id);
/* The same with /proc as it is now. */
enum in_use inuse_look_again(struct walk *w, struct file_id id);
/* Predicts the answer of inuse_test without touching the file. */
struct verdict inuse_predict(struct walk *w, const char *name, const struct statx *stx);

/* inuse.c: decides whether a regular file is in use. */
struct verdict inuse_test(struct walk *w, const char *name, const struct statx *stx,
                          struct hold *held);
/* Translates the answer into the reason for keeping a file. */
enum files_kept inuse_reason(enum in_use use);
/* Whether nobody has begun to open the file since the lease was taken. */
bool inuse_is_still_free(const struct hold *held);
/* Gives up the lease; from here on nobody waits for us. */
void inuse_let_go(struct hold *held);

/* slot.c: removes name, which is not a directory, if it is still the file that stx describes. */
struct verdict slot_remove(struct walk *w, const char *name, const struct statx *stx,
                           const struct hold *held);
/* Judges whether the file that was moved (moved) is the one that was examined (seen) and may still
 * be removed. use: whether a process has it open. */
enum files_kept slot_judge(struct walk *w, const struct statx *seen, const struct statx *moved,
                           enum files_kept use);
/* Moves the file from in trash_fd back to its name, or to a similar name if that is taken. False
 * with errno: it stays in the trash. */
bool slot_give_back(struct walk *w, int trash_fd, const char *from, int dirfd, const char *name);

/* waiting.c: moves the file name of the top frame, which is not a directory, into the trash, where
 * it waits for a check of /proc. error set: it was not moved. */
struct verdict waiting_add(struct walk *w, struct trash *t, const char *name,
                           const struct statx *stx);
size_t waiting_count(const struct walk *w);
/* Reads /proc, removes the waiting files that nobody has open, and gives the others back. */
void waiting_settle(struct walk *w);

/* lock.c: at most one sweep of a user works in a root. The lock is a file that other users cannot
 * open: in /run/pgsweep, in $XDG_RUNTIME_DIR, or else in the root. */
struct root_lock {
    int fd;     /* -1: none */
    int dir_fd; /* of its directory */
    char name[80];
    struct file_id id;
};

enum lock_state {
    LOCK_TAKEN,
    LOCK_HELD /* another sweep holds it */,
    LOCK_NOWHERE /* there is no directory for a lock file */
};

/* look_only: does not take the lock and creates nothing. */
enum lock_state lock_take(struct root_lock *lock, const struct files_root *root, bool look_only);
void lock_release(struct root_lock *lock);

/* left.c: sweeps name in the root by the usual rules if it is the trash of a killed run; false: it
 * is an ordinary directory. */
bool left_sweep(struct walk *w, const char *name);
/* Opens it like trash_open_left; a file in the slot that was not confirmed as the one to remove
 * goes back. */
enum trash_kind left_open(struct walk *w, struct trash *t, const char *name);
/* The names of the wanted directories in a trash or in the root; wanted NULL: all of them. The list
 * is read before anything is wiped, because wiping changes the directory. */
char **left_list(const void *ctx, int dirfd, bool (*wanted)(const char *name), size_t *count);

/* tree.c: moves trees in the trash that contain protected files back to the root. */
void tree_bring_back(const struct files_options *o, const struct files_root *root,
                     const struct trash *t, struct files_report *report);

/* special.c: tests whether a process uses this socket or fifo. SPECIAL: that cannot be found
 * out. */
struct verdict special_test(const struct walk *w, const char *name, const struct statx *stx);

/* closer.c: closes a removed file at some time before closer_end. */
void closer_close(struct walk *w, int fd);
/* Waits until all files are closed; false if none was open. */
bool closer_drain(struct walk *w);
void closer_end(struct walk *w);

/* tally.c: counts and events. name NULL: the directory of the top frame. */
void tally_deleted(struct walk *w, const char *name, char type, int64_t bytes);
void tally_kept(struct walk *w, enum files_kept reason);
void tally_aside(struct walk *w, const char *new_name);
void tally_failed(struct walk *w, const char *name, char type, int error, const char *action);
void tally_error(const struct files_options *options, struct files_report *report, const char *path,
                 char type, int error, const char *action);
/* Counts the errno; true if it is new in this report (0: the errors that found no slot). */
bool tally_count_error(struct files_report *r, int error, int64_t count);
/* Adds the numbers of a part, except for its errors by errno. */
void tally_add(struct files_report *sum, const struct files_report *part);
int64_t tally_bytes(struct walk *w, const struct statx *stx);

#endif
