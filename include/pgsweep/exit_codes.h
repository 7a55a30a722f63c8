/*
 * The exit codes of pgsweep: one table, from which --help, the man page check and the code take
 * them. */
#ifndef PGSWEEP_EXIT_CODES_H
#define PGSWEEP_EXIT_CODES_H

/* X(name, number, what it means to the person or scheduler that reads it) */
#define PGSWEEP_EXIT_CODES(X)                                                                      \
    X(SWEEP_OK, 0, "everything eligible is deleted, or the report says what a limit left")         \
    X(SWEEP_SOME_FAILED, 1,                                                                        \
      "some items failed or stayed locked, or the run ended early: see the report")                \
    X(SWEEP_USAGE, 2, "wrong usage, policy, schema or privilege; nothing was changed")             \
    X(SWEEP_UNREACHABLE, 3,                                                                        \
      "the database could not be reached, or the connection was lost for good")                    \
    X(SWEEP_REFUSED, 4, "a safeguard refused the run; nothing was deleted")                        \
    X(SWEEP_ALERT, 6, "finished, but a person should look: see the alert")                         \
    X(SWEEP_INTERNAL, 70, "internal error or out of memory; the open transaction was rolled back") \
    X(SWEEP_LOCKED, 75, "another run of the same policy holds the lock; try again later")

enum exit_code {
#define PGSWEEP_EXIT_ENUM(name, number, meaning) name = (number),
    PGSWEEP_EXIT_CODES(PGSWEEP_EXIT_ENUM)
#undef PGSWEEP_EXIT_ENUM
};

/* A run that was stopped by a signal exits with this plus the signal's number, as shells expect. */
#define SWEEP_SIGNAL_BASE 128

#endif
