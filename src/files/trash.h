/* The trash of a run: a private directory in the root, into which everything is moved before it is
 * removed. Private to src/files. */
#ifndef FILES_TRASH_H
#define FILES_TRASH_H

#include "fsys.h"
#include "pgsweep/files.h"

struct files_root;

/* The name of a trash: this prefix and 16 unpredictable hexadecimal digits. */
#define TRASH_PREFIX FILES_OWN_PREFIX "trash."

/* The content of a trash: the record (to whom the trash belongs and where the file in the slot
 * came from), the slot, and a directory of files that wait for a check of /proc, under their own
 * names. Job directories are beside them under their own names, which never begin with
 * FILES_OWN_PREFIX. */
#define TRASH_RECORD FILES_OWN_PREFIX "record"
#define TRASH_SLOT FILES_OWN_PREFIX "slot"
#define TRASH_HELD FILES_OWN_PREFIX "held"

enum { RECORD_PATH_MAX = 4096 };

/* The content of TRASH_RECORD. A trash is recognised by it and not by its name: only its owner
 * can create one in a directory of mode 0700, and it is not valid in another directory or
 * another root. */
struct trash_record {
    char magic[16];
    uint64_t ino; /* of the trash */
    int64_t born_s;
    int64_t born_ns;
    uint64_t root_ino;
    char boot[40]; /* the boot id of the system: the fields below may be stale after a crash of the
                      system */
    uint64_t gone_ino; /* the file in the slot that was confirmed as the one to remove, and its
                          ctime, which ... */
    int64_t gone_s;    /* ... differs from that of any file that gets its inode number later */
    int64_t gone_ns;
    struct file_id from; /* the directory that the file in the slot and the held files came from */
    char name[256];      /* its name there */
    char path[RECORD_PATH_MAX]; /* path of that directory below the root; unknown if it is longer */
    bool path_known;
};

struct trash {
    int fd;          /* -1: there is none */
    int root_fd;     /* a descriptor of its own */
    bool tried;      /* whether creating one was tried */
    bool gives_back; /* the file system renames without replacing, so that a file can be given back
                        safely */
    char name[sizeof TRASH_PREFIX + 16];
    char *path;
    struct file_id id;
    struct file_id slot; /* the file in the slot; ino 0: none */
    int held_fd;         /* -1: not opened */
    int record_fd;
    struct trash_record *record;
    bool mapped; /* the record is mapped from the file; otherwise each note is written */
};

enum trash_kind {
    TRASH_FOREIGN,
    TRASH_IN_HAND /* another run uses it */,
    TRASH_LEFT /* a killed run left it */
};

/* Initialises *t without a trash. */
void trash_start(struct trash *t);

/* Creates the trash of this run at the first call. False: there is none, and none can be created (a
 * full disk, no permission). Uses memory of its own, because talloc is not thread-safe. */
bool trash_make(struct trash *t, const struct files_root *root);

/* Creates or opens the directory of waiting files. False with errno: there is none. */
bool trash_make_held(struct trash *t);

/* Whether this could be the name of a trash. */
bool trash_has_name(const char *name);

/* Opens a directory of the root with such a name and finds out whose trash it is. With TRASH_LEFT
 * it is locked, and the caller closes *t; notes in its record do not affect others. */
enum trash_kind trash_open_left(struct trash *t, const struct files_root *root, const char *name);

/* Notes which file is about to be moved into the slot. path: the path of its directory below the
 * root, not terminated. */
void trash_note(struct trash *t, struct file_id from, const char *path, size_t path_length,
                const char *name);

/* Notes that the file in the slot is confirmed as the one to remove. */
void trash_note_gone(struct trash *t, const struct statx *stx);

/* For the trash of a killed run: whether the file in the slot is the confirmed one. */
bool trash_slot_is_gone(const struct trash *t);

/* Removes the file in the slot; false and errno on failure. */
bool trash_empty_slot(struct trash *t);

/* Moves name without replacing anything; errno EINVAL or ENOSYS if the file system does not support
 * that. */
bool trash_move(int from, const char *name, int to, const char *new_name);

/* Removes the trash if it holds only the record; otherwise it stays for the next run. Then does
 * what trash_leave does. */
void trash_close(struct trash *t);

/* Closes the trash and leaves its content. */
void trash_leave(struct trash *t);

#endif
