/* The trash of a run: a private directory in the root through which everything goes that is
 * removed. Private to src/files. */
#ifndef FILES_TRASH_H
#define FILES_TRASH_H

#include "fsys.h"
#include "pgsweep/files.h"

struct files_root;

/* What the trash of a run is called: this and 16 hexadecimal digits that nobody can foresee. */
#define TRASH_PREFIX FILES_OWN_PREFIX "trash."

/* In it: what says whose trash it is and where the file in the slot was, the slot itself, and a
 * directory of files that wait for a look into /proc, under their own names. Job directories lie
 * beside them under their own names, which never begin with FILES_OWN_PREFIX. */
#define TRASH_RECORD FILES_OWN_PREFIX "record"
#define TRASH_SLOT FILES_OWN_PREFIX "slot"
#define TRASH_HELD FILES_OWN_PREFIX "held"

enum { RECORD_PATH_MAX = 4096 };

/* The content of TRASH_RECORD. A trash is recognised by it, not by its name: only who can write
 * into a directory of mode 0700 can make one, and it is worth nothing in another directory or
 * another root. */
struct trash_record {
    char magic[16];
    uint64_t ino; /* of the trash */
    int64_t born_s;
    int64_t born_ns;
    uint64_t root_ino;
    char boot[40];     /* of the system: what follows may be out of date after a crash of it */
    uint64_t gone_ino; /* the file in the slot that was found to be the one to remove, and its
                          ctime, which ... */
    int64_t gone_s;    /* ... no other file has that gets its inode later */
    int64_t gone_ns;
    struct file_id from; /* the directory that the file in the slot, and those held, were in */
    char name[256];      /* its name there */
    char path[RECORD_PATH_MAX]; /* of that directory, below the root; not known when it is longer */
    bool path_known;
};

struct trash {
    int fd;          /* -1: there is none */
    int root_fd;     /* a descriptor of its own */
    bool tried;      /* to make one */
    bool gives_back; /* the file system renames without replacing, so that a file can be given back
                        safely */
    char name[sizeof TRASH_PREFIX + 16];
    char *path;
    struct file_id id;
    struct file_id slot; /* the file in the slot; ino 0: none */
    int held_fd;         /* -1: not opened */
    int record_fd;
    struct trash_record *record;
    bool mapped; /* the record is the file itself; else each note is written */
};

enum trash_kind {
    TRASH_FOREIGN,
    TRASH_IN_HAND /* of another run */,
    TRASH_LEFT /* by a killed run */
};

/* No trash yet. */
void trash_start(struct trash *t);

/* Makes the trash of this run, at the first call. False: there is none, and none can be made (a
 * full disk, no permission). Memory of its own, because talloc knows no threads. */
bool trash_make(struct trash *t, const struct files_root *root);

/* Makes or opens the directory of files that wait. False and errno: there is none. */
bool trash_make_held(struct trash *t);

/* Is that the name of a trash? */
bool trash_has_name(const char *name);

/* Opens a directory of the root that has such a name: whose is it? With TRASH_LEFT it is locked,
 * and *t to be closed; what is noted in its record has no effect on others. */
enum trash_kind trash_open_left(struct trash *t, const struct files_root *root, const char *name);

/* Notes which file is about to be moved into the slot. path: of its directory below the root, not
 * terminated. */
void trash_note(struct trash *t, struct file_id from, const char *path, size_t path_length,
                const char *name);

/* Notes that the file in the slot, as it is there, is the one that was to be removed. */
void trash_note_gone(struct trash *t, const struct statx *stx);

/* Of what a killed run left: is the file in the slot that one? */
bool trash_slot_is_gone(const struct trash *t);

/* Removes the file in the slot; false and errno on failure. */
bool trash_empty_slot(struct trash *t);

/* Moves name without replacing anything; errno EINVAL or ENOSYS where the file system cannot
 * promise that. */
bool trash_move(int from, const char *name, int to, const char *new_name);

/* Removes the trash when nothing but the record is in it; else it stays for the next run. Then as
 * trash_leave. */
void trash_close(struct trash *t);

/* Lets go of it as it is. */
void trash_leave(struct trash *t);

#endif
