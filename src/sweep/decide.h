/* What follows from a failure. The functions here decide and do nothing: what they know is in their
 * parameters, and their answer is acted on in one place, src/sweep/recover.c. Private. */
#ifndef PGSWEEP_SWEEP_DECIDE_H
#define PGSWEEP_SWEEP_DECIDE_H

#include "internal.h"
#include "pgsweep/db_sqlstate.h"

/* What the sweep does next. */
enum next {
    NEXT_STOP,       /* the run ends with this failure */
    NEXT_END,        /* a signal has come: the loop sees it and ends */
    NEXT_AGAIN,      /* the same again, at once */
    NEXT_RETRY,      /* the same again after a pause */
    NEXT_SMALLER,    /* half as many candidates */
    NEXT_ONE_BY_ONE, /* the candidates of the chunk singly: one of them costs the connection */
    NEXT_SET_ASIDE,  /* its only candidate becomes a dead letter; the sweep goes on behind it */
    NEXT_SUSPECT,    /* its only candidate is noted as a suspect; the sweep goes on behind it */
    /* another session has rows of it locked: */
    NEXT_LEAVE_OUT,      /* the same range without the rows that are locked */
    NEXT_ROW_BY_ROW,     /* the same range, its rows locked one by one */
    NEXT_LOOK_FIRST,     /* the same again, after a look for locked rows */
    NEXT_STEP_OVER,      /* its candidates wait for a later pass */
    NEXT_WAIT_FOR_TABLE, /* another session has a table locked, or waits for it: wait, then again */
    /* the plan does not fit any more: */
    NEXT_REPLAN,             /* make it again */
    NEXT_COUNT_BY_STATEMENT, /* make it again, so that statements count what the session does not */
    NEXT_BOUND_EXACTLY,      /* a range held too many rows: find its end again, exactly */
    /* more has to be known first; then ask again: */
    NEXT_LOOK_AT_KEY, /* is the foreign key another one by now? Then ask failure_next */
    NEXT_RECONNECT,   /* connect, find out what took effect; then ask loss_next */
};

/* Why the run ends, where the failure itself does not say it. */
enum stop_because {
    BECAUSE_FAILED,       /* it does */
    BECAUSE_TABLE_LOCKED, /* a table stays locked */
    BECAUSE_CONTROL_LOST, /* a transaction that deletes nothing costs the connection, too */
    BECAUSE_LOST_BEFORE,  /* the connection is lost before there is a candidate */
    BECAUSE_ALL_SUSPECT,  /* each of many candidates in a row costs it */
    BECAUSE_ENOUGH_LOST,  /* as many dead letters of such candidates as one run writes */
};

struct decision {
    enum next next;
    enum stop_because because; /* of NEXT_STOP */
    bool impatient;            /* waiting did not help: do not wait long for the next ones */
};

/* A failure, and what was seen when it happened. */
struct failed {
    const struct chunk *chunk; /* what failed, with its error; without candidates: an act */
    enum db_failure class;
    bool lost;           /* the connection is gone */
    bool stop_requested; /* a signal has come, */
    bool stop_forced;    /* or a second one */
    bool key_looked;     /* NEXT_LOOK_AT_KEY has been done, */
    bool key_changed;    /* and it is another key */
    int64_t now_ms;
};

/* So many candidates that cost the connection are set aside by one run: the server deserves a rest,
 * and a person's look. */
enum { LOST_ROWS_MAX = 10 };

/* What follows from a failed chunk or act. */
struct decision failure_next(const struct sweep *sweep, const struct failed *failed);

/* What follows from a connection that was lost over the chunk, and made again. */
struct decision loss_next(const struct sweep *sweep, const struct chunk *chunk);

/* It is known which candidates the chunk consists of, or that there are no more of them. */
bool chunk_is_known(const struct chunk *chunk);

/* The key of its only candidate is known. */
bool chunk_has_key(const struct sweep *sweep, const struct chunk *chunk);

#endif
