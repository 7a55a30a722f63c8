/*
 * Files that other users of the host could have written or put in place. What decides about
 * deletions (a policy, credentials) is read only from where nobody but root and the user that runs
 * pgsweep could have written it, as ssh and cron do it (StrictModes of sshd_config(5), crontab(1)).
 * What is written (log, metrics) never goes through somebody else's link.
 *
 * A path is resolved here, component by component and relative to open descriptors, and what is
 * looked at is the descriptor that is used later: nothing can be exchanged between the look and the
 * use. */
#ifndef PGSWEEP_TRUST_H
#define PGSWEEP_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "pgsweep/error.h"

/*
 * Opens path for reading. Every directory on the way, every symbolic link (they are followed) and
 * the file belong to root or to the effective user, and nobody else may write to them: neither
 * group nor others, whatever the group. A directory with the sticky bit (/tmp) may be on the way,
 * because nobody can replace another user's entries there; a file that lies in one must not have a
 * second name, and must not lie there at all for TRUST_OWN_DIRECTORY. The file is a regular one.
 *
 * what: "policy file", for messages. *fd is -1, with true returned, when the path does not exist.
 * SWEEP_REFUSED when others could have written it, with the command that settles it as hint;
 * SWEEP_USAGE when it cannot be opened. */
enum trust_place {
    TRUST_ANY_PLACE,
    TRUST_OWN_DIRECTORY /* of a directory whose entries mean something by their names */
};
bool trust_open(const char *what, const char *path, enum trust_place place, int *fd,
                struct error *err);

/*
 * Opens (O_PATH) the directory that path, a file to be written, lies in. *name: the file's name
 * there, owned by ctx. The directories on the way may belong to other users (such as a directory of
 * another service for metrics), but not be writable by everybody, unless they have the sticky bit;
 * links on the way belong to root or to the effective user. The name itself is not looked at: see
 * trust_check_target. SWEEP_REFUSED and SWEEP_USAGE as above. */
bool trust_open_parent(const void *ctx, const char *what, const char *path, int *fd, char **name,
                       struct error *err);

/* Whether st is what may be written to: a regular file without another name, of root or of the
 * effective user, which nobody else may write to. SWEEP_REFUSED, with what it is and what to do. */
bool trust_check_target(const char *what, const char *path, const struct stat *st,
                        struct error *err);

#endif
