/* The sweep room: what follows from a failure, as tables of cases. No database is needed, for
 * nothing is done here. */
#include "unit.h"

#include "../../src/sweep/decide.h"

enum { KEYED = 2 }; /* columns of the cursor: age and key */

/* What is not given is what a sweep begins with: the first pass of a locked plan, retries left. */
struct state {
    struct pace pace;
    struct recovery recovery;
    struct locked_rows locked;
    struct suspects suspects;
    struct replan replan;
    int pass; /* 0: the first */
    bool range, verbose, finds_locked, cascades;
};

struct failure_case {
    const char *what;
    const char *sqlstate;
    enum db_failure class;
    struct chunk chunk;
    struct failed failed; /* chunk and class are filled in */
    struct state state;
    enum next next; /* what is expected */
    enum stop_because because;
    bool impatient;
};

#define TRANSIENT .sqlstate = "40P01", .class = DB_FAILURE_TRANSIENT
#define TIMEOUT .sqlstate = "57014", .class = DB_FAILURE_TRANSIENT
#define ROW_LOCK .sqlstate = "55P03", .class = DB_FAILURE_TRANSIENT
#define GAVE_WAY .sqlstate = "PGS01", .class = DB_FAILURE_TRANSIENT
#define ROW .sqlstate = "P0001", .class = DB_FAILURE_ROW
#define FOREIGN_KEY .sqlstate = "23503", .class = DB_FAILURE_ROW
#define FATAL .sqlstate = "42501", .class = DB_FAILURE_FATAL
#define NO_TABLE .sqlstate = "42P01", .class = DB_FAILURE_FATAL
#define OTHER_TYPE .sqlstate = "0A000", .class = DB_FAILURE_FATAL
#define DISK_FULL .sqlstate = "53100", .class = DB_FAILURE_FATAL
#define CANCELLED .sqlstate = "57014", .class = DB_FAILURE_CANCELLED
#define LOST .sqlstate = "08006", .class = DB_FAILURE_CONNECTION, .failed = {.lost = true}
#define NO_SQLSTATE .sqlstate = "", .class = DB_FAILURE_CONNECTION

#define MANY .asked = 100, .key_count = 80, .end.columns = KEYED
#define HALF_KNOWN .asked = 100, .end.columns = 1
#define ONE .asked = 1, .key_count = 1, .end.columns = KEYED
#define ONE_OF_RANGE .asked = 1, .end.columns = KEYED
#define UNKNOWN .asked = 100

static const struct failure_case failures[] = {
    /* Trouble that passes by itself. */
    {"a deadlock", TRANSIENT, .chunk = {MANY}, .next = NEXT_RETRY},
    {"its last retry", TRANSIENT, .chunk = {MANY}, .state.recovery.tries = 7, .next = NEXT_RETRY},
    {"no retry is left", TRANSIENT, .chunk = {MANY}, .state.recovery.tries = 8,
     .next = NEXT_SMALLER, .impatient = true},
    {"a single candidate without a retry", TRANSIENT, .chunk = {ONE}, .state.recovery.tries = 8,
     .next = NEXT_SET_ASIDE, .impatient = true},
    {"waiting has not helped before", TRANSIENT, .chunk = {MANY},
     .state.recovery = {.tries = 1, .impatient = true}, .next = NEXT_SMALLER, .impatient = true},
    {"impatient, one retry all the same", TRANSIENT, .chunk = {MANY},
     .state.recovery.impatient = true, .next = NEXT_RETRY},
    {"a statement's timeout", TIMEOUT, .chunk = {MANY}, .next = NEXT_RETRY},
    {"a second one", TIMEOUT, .chunk = {MANY}, .state.recovery.tries = 1, .next = NEXT_SMALLER,
     .impatient = true},
    {"an act", TRANSIENT, .next = NEXT_RETRY},
    {"an act without a retry", TRANSIENT, .state.recovery.tries = 8, .next = NEXT_STOP,
     .impatient = true},
    {"no candidates are known", TRANSIENT, .chunk = {UNKNOWN}, .state.recovery.tries = 8,
     .next = NEXT_STOP, .impatient = true},

    /* A candidate that cannot go. */
    {"one of many", ROW, .chunk = {MANY}, .next = NEXT_SMALLER},
    {"one of two", ROW, .chunk = {.asked = 2, .end.columns = KEYED}, .state.pace.exact = true,
     .next = NEXT_SMALLER},
    {"the only one, by its key", ROW, .chunk = {.asked = 1, .key_count = 1},
     .next = NEXT_SET_ASIDE},
    {"the only one", ROW, .chunk = {ONE}, .next = NEXT_SET_ASIDE},
    {"the only one of a range that is cut between rows", ROW, .chunk = {ONE_OF_RANGE},
     .state.pace.exact = true, .next = NEXT_SET_ASIDE},
    {"a range of one age may hold more", ROW, .chunk = {ONE_OF_RANGE}, .next = NEXT_SMALLER},
    {"the last of a range, whose key is not known", ROW, .chunk = {.asked = 1, .last = true},
     .state.pace.exact = true, .next = NEXT_STOP},
    {"only an age is known", ROW, .chunk = {.asked = 1, .end.columns = 1}, .state.pace.exact = true,
     .next = NEXT_STOP},
    {"half known", ROW, .chunk = {HALF_KNOWN}, .next = NEXT_SMALLER},
    {"looking for candidates", ROW, .chunk = {UNKNOWN}, .next = NEXT_STOP},
    {"a row's failure in an act", ROW, .next = NEXT_STOP},
    {"a row's failure in an act, exact", ROW, .state.pace.exact = true, .next = NEXT_STOP},

    /* Rows that another session has locked. */
    {"a range leaves them out", ROW_LOCK, .chunk = {MANY}, .state.range = true,
     .next = NEXT_LEAVE_OUT},
    {"a range that left them out", ROW_LOCK, .chunk = {MANY},
     .state = {.range = true, .locked.step_over = true}, .next = NEXT_ROW_BY_ROW},
    {"a range whose keys are logged", ROW_LOCK, .chunk = {MANY},
     .state = {.range = true, .verbose = true}, .next = NEXT_ROW_BY_ROW},
    {"a range row by row looks first", ROW_LOCK, .chunk = {MANY},
     .state = {.range = true, .locked.row_by_row = true, .finds_locked = true},
     .next = NEXT_LOOK_FIRST},
    {"a later pass looks first", ROW_LOCK, .chunk = {MANY},
     .state = {.range = true, .pass = 2, .finds_locked = true}, .next = NEXT_LOOK_FIRST},
    {"it has looked", ROW_LOCK, .chunk = {MANY, .looked_ahead = true}, .state.finds_locked = true,
     .next = NEXT_SMALLER},
    {"there is nothing to look for", ROW_LOCK, .chunk = {MANY}, .next = NEXT_SMALLER},
    {"a single one", ROW_LOCK, .chunk = {ONE}, .next = NEXT_STEP_OVER},
    {"none of many could go", ROW_LOCK, .chunk = {MANY}, .state.locked.in_the_way = 23,
     .next = NEXT_STEP_OVER},
    {"more than are stepped over at once", ROW_LOCK, .chunk = {MANY}, .state.locked.in_the_way = 22,
     .next = NEXT_SMALLER},
    {"a single one without an end", ROW_LOCK, .chunk = {.asked = 1, .key_count = 1},
     .next = NEXT_SMALLER},
    {"it costs no try", ROW_LOCK, .chunk = {ONE}, .state.recovery.tries = 8,
     .next = NEXT_STEP_OVER},
    {"the candidates are not known", ROW_LOCK, .chunk = {UNKNOWN}, .next = NEXT_RETRY},

    /* Tables that another session has locked, or waits for. */
    {"its table is locked", ROW_LOCK, .chunk = {MANY, .table_locked = true},
     .next = NEXT_WAIT_FOR_TABLE},
    {"an act gave way", GAVE_WAY, .next = NEXT_WAIT_FOR_TABLE},
    {"an act met a lock", ROW_LOCK, .next = NEXT_WAIT_FOR_TABLE},
    {"locked for two minutes", GAVE_WAY, .failed.now_ms = 120000,
     .state.recovery = {.table_tries = 50}, .next = NEXT_STOP, .because = BECAUSE_TABLE_LOCKED},
    {"locked for a bit less", GAVE_WAY, .failed.now_ms = 120000,
     .state.recovery = {.table_tries = 50, .table_since_ms = 1}, .next = NEXT_WAIT_FOR_TABLE},
    {"the first time", GAVE_WAY, .failed.now_ms = 120000, .next = NEXT_WAIT_FOR_TABLE},
    {"some rows went before it was locked", ROW_LOCK,
     .chunk = {MANY, .table_locked = true, .transactions = 3, .fatal = true},
     .failed.now_ms = 120000, .state.recovery = {.table_tries = 50}, .next = NEXT_WAIT_FOR_TABLE},

    /* The plan does not fit any more. */
    {"the check of the plan fails", .sqlstate = "22P02", .class = DB_FAILURE_ROW,
     .chunk = {MANY, .plan_changed = true}, .next = NEXT_REPLAN},
    {"again and again", .sqlstate = "22P02", .class = DB_FAILURE_ROW,
     .chunk = {MANY, .plan_changed = true}, .state.replan.times = 20, .next = NEXT_REPLAN},
    {"a table is gone", NO_TABLE, .chunk = {MANY}, .next = NEXT_REPLAN},
    {"a privilege is gone", FATAL, .chunk = {MANY}, .next = NEXT_REPLAN},
    {"a result has another type", OTHER_TYPE, .next = NEXT_REPLAN},
    {"a new plan has not cured it", NO_TABLE, .chunk = {MANY}, .state.replan.times = 1,
     .next = NEXT_STOP},
    {"a foreign key refuses, none of the plan's", FOREIGN_KEY, .chunk = {ONE},
     .next = NEXT_SET_ASIDE},
    {"a foreign key refuses", FOREIGN_KEY, .chunk = {ONE}, .state.cascades = true,
     .next = NEXT_LOOK_AT_KEY},
    {"it is the same key", FOREIGN_KEY, .chunk = {ONE}, .failed.key_looked = true,
     .state.cascades = true, .next = NEXT_SET_ASIDE},
    {"it is another key", FOREIGN_KEY, .chunk = {ONE},
     .failed = {.key_looked = true, .key_changed = true}, .state.cascades = true,
     .next = NEXT_REPLAN},
    {"another failure of a plan with cascades", ROW, .chunk = {ONE}, .state.cascades = true,
     .next = NEXT_SET_ASIDE},
    {"the session does not count", .sqlstate = "22P02", .class = DB_FAILURE_ROW,
     .chunk = {MANY, .uncounted = true}, .next = NEXT_COUNT_BY_STATEMENT},
    {"more rows than a transaction may delete", .sqlstate = "40001", .class = DB_FAILURE_TRANSIENT,
     .chunk = {HALF_KNOWN, .too_many = true}, .next = NEXT_BOUND_EXACTLY},

    /* While the plan is made again. */
    {"a deadlock, for a new plan", TRANSIENT, .state.replan = {.due = true, .times = 1},
     .next = NEXT_RETRY},
    {"a lock, for a new plan", ROW_LOCK, .state.replan = {.due = true, .times = 1},
     .next = NEXT_WAIT_FOR_TABLE},
    {"the connection, for a new plan", LOST, .state.replan = {.due = true, .times = 1},
     .next = NEXT_RECONNECT},
    {"the policy does not fit the tables", NO_SQLSTATE, .state.replan = {.due = true, .times = 1},
     .next = NEXT_STOP},
    {"a condition does not fit them", NO_TABLE, .state.replan = {.due = true}, .next = NEXT_STOP},
    {"a new plan is cancelled", CANCELLED, .state.replan = {.due = true, .times = 1},
     .next = NEXT_STOP},

    /* Signals. */
    {"a person cancels", CANCELLED, .chunk = {MANY}, .next = NEXT_END},
    {"a second signal, a row's failure", ROW, .chunk = {ONE},
     .failed = {.stop_requested = true, .stop_forced = true}, .next = NEXT_END},
    {"a second signal, a deadlock", TRANSIENT, .chunk = {MANY},
     .failed = {.stop_requested = true, .stop_forced = true}, .next = NEXT_END},
    {"a second signal, the disk is full", DISK_FULL, .chunk = {MANY},
     .failed = {.stop_requested = true, .stop_forced = true}, .next = NEXT_END},
    {"a first signal finishes the chunk", TRANSIENT, .chunk = {MANY}, .failed.stop_requested = true,
     .next = NEXT_RETRY},
    {"a signal, and the connection lost before COMMIT", .sqlstate = "08006",
     .class = DB_FAILURE_CONNECTION, .chunk = {MANY},
     .failed = {.lost = true, .stop_requested = true}, .next = NEXT_END},
    {"a signal, and the connection lost at COMMIT", .sqlstate = "08006",
     .class = DB_FAILURE_CONNECTION, .chunk = {MANY, .commit_sent = true},
     .failed = {.lost = true, .stop_requested = true}, .next = NEXT_RECONNECT},
    {"two signals, and the connection lost at COMMIT", .sqlstate = "08006",
     .class = DB_FAILURE_CONNECTION, .chunk = {MANY, .commit_sent = true},
     .failed = {.lost = true, .stop_requested = true, .stop_forced = true}, .next = NEXT_RECONNECT},

    /* The rest. */
    {"the connection", LOST, .chunk = {MANY}, .next = NEXT_RECONNECT},
    {"no class is no success", NO_SQLSTATE, .chunk = {MANY}, .next = NEXT_RECONNECT},
    {"the disk is full", DISK_FULL, .chunk = {MANY}, .next = NEXT_STOP},
    {"the disk is full, one candidate", DISK_FULL, .chunk = {ONE}, .next = NEXT_STOP},
    {"single rows that cannot go on", ROW, .chunk = {MANY, .fatal = true}, .next = NEXT_STOP},
};

static struct sweep_budget budget;
static struct plan plan;
static struct plan_node root;
static struct plan_node *nodes[] = {&root};

/* As it is in the sweep, with the parts that the case gives. */
static struct sweep sweep_of(const struct state *state)
{
    budget = (struct sweep_budget){.retries = 8, .verbose = state->verbose};
    root.cascades = state->cascades;
    plan = (struct plan){.nodes = nodes,
                         .node_count = 1,
                         .cursor_count = KEYED,
                         .strategy = state->range ? STRATEGY_RANGE : STRATEGY_LOCKED};
    return (struct sweep){.plan = &plan,
                          .budget = &budget,
                          .statements.finds_locked = state->finds_locked,
                          .position.pass = state->pass ? state->pass : 1,
                          .pace = state->pace,
                          .locked = state->locked,
                          .recovery = state->recovery,
                          .suspects = state->suspects,
                          .replan = state->replan};
}

static void ck_decision(struct decision is, enum next next, enum stop_because because,
                        const char *what)
{
    ck_assert_msg(is.next == next, "%s: next is %d, not %d", what, is.next, next);
    ck_assert_msg(is.because == because, "%s: because is %d, not %d", what, is.because, because);
}

START_TEST(a_failure_has_one_consequence)
{
    const struct failure_case *c = &failures[_i];
    struct sweep sweep = sweep_of(&c->state);
    struct chunk chunk = c->chunk;
    error_set(&chunk.error, SWEEP_SOME_FAILED, "%s", c->what);
    error_sqlstate(&chunk.error, c->sqlstate);
    struct failed failed = c->failed;
    failed.chunk = &chunk;
    failed.class = c->class;
    struct decision decision = failure_next(&sweep, &failed);
    ck_decision(decision, c->next, c->because, c->what);
    ck_assert_msg(decision.impatient == c->impatient, "%s: impatient", c->what);
    error_clear(&chunk.error);
}
END_TEST

/* What has no candidates in hand never sets one aside, whatever fails and whatever came before. */
START_TEST(an_act_is_never_set_aside)
{
    static const char *const states[] = {"40P01", "57014", "55P03", "P0001", "23503", "53100", ""};
    for (int class = DB_FAILURE_TRANSIENT; class <= DB_FAILURE_CANCELLED; class ++)
        for (int s = 0; s < COUNT(states); s++)
            for (int bits = 0; bits < 16; bits++) {
                struct state state = {.pace = {.exact = bits & 1, .singly = bits & 2},
                                      .recovery.tries = bits & 4 ? 8 : 0,
                                      .replan.due = bits & 8};
                struct sweep sweep = sweep_of(&state);
                struct chunk none = {.error = ERROR_INIT};
                error_set(&none.error, SWEEP_SOME_FAILED, "it fails");
                error_sqlstate(&none.error, states[s]);
                struct failed failed = {.chunk = &none, .class = (enum db_failure) class};
                enum next next = failure_next(&sweep, &failed).next;
                ck_assert(next == NEXT_STOP || next == NEXT_END || next == NEXT_RETRY ||
                          next == NEXT_RECONNECT || next == NEXT_WAIT_FOR_TABLE);
                error_clear(&none.error);
            }
}
END_TEST

static const struct {
    const char *what;
    struct chunk chunk;
    struct state state;
    enum next next; /* what is expected */
    enum stop_because because;
} losses[] = {
    {"once may be chance", {MANY}, {.recovery.losses = 1}, .next = NEXT_AGAIN},
    {"once, of a single one", {ONE}, {.recovery.losses = 1, .pace.singly = 1}, .next = NEXT_AGAIN},
    {"it took effect", {MANY, .committed = true}, {.recovery.losses = 0}, .next = NEXT_AGAIN},
    {"twice", {MANY}, {.recovery.losses = 2}, .next = NEXT_ONE_BY_ONE},
    {"a chunk of one is tried singly first",
     {ONE},
     {.recovery.losses = 2},
     .next = NEXT_ONE_BY_ONE},
    {"many, although they are taken singly",
     {MANY},
     {.recovery.losses = 2, .pace.singly = 50},
     .next = NEXT_ONE_BY_ONE},
    {"a single one twice", {ONE}, {.recovery.losses = 2, .pace.singly = 1}, .next = NEXT_SUSPECT},
    {"of a range", {ONE_OF_RANGE}, {.recovery.losses = 2, .pace.singly = 7}, .next = NEXT_SUSPECT},
    {"the fifth in a row",
     {ONE},
     {.recovery.losses = 2, .pace.singly = 1, .suspects.count = 4},
     .next = NEXT_SUSPECT},
    {"the sixth in a row",
     {ONE},
     {.recovery.losses = 2, .pace.singly = 1, .suspects.count = 5},
     .next = NEXT_STOP,
     .because = BECAUSE_ALL_SUSPECT},
    {"a transaction without candidates, once",
     {.asked = 0},
     {.recovery.losses = 1, .suspects = {.control_due = true, .count = 1}},
     .next = NEXT_AGAIN},
    {"a transaction without candidates, twice",
     {.asked = 0},
     {.recovery.losses = 2, .suspects = {.control_due = true, .count = 1}},
     .next = NEXT_STOP,
     .because = BECAUSE_CONTROL_LOST},
    {"an act", {.asked = 0}, {.recovery.losses = 8}, .next = NEXT_AGAIN},
    {"an act, again and again",
     {.asked = 0},
     {.recovery.losses = 9},
     .next = NEXT_STOP,
     .because = BECAUSE_LOST_BEFORE},
    {"looking for candidates, again and again",
     {UNKNOWN},
     {.recovery.losses = 9, .pace.singly = 1},
     .next = NEXT_STOP,
     .because = BECAUSE_LOST_BEFORE},
    {"a single one whose key is not known",
     {.asked = 1, .last = true},
     {.recovery.losses = 3, .pace.singly = 1},
     .next = NEXT_AGAIN},
    {"many without keys, the last",
     {.asked = 100, .last = true},
     {.recovery.losses = 2},
     .next = NEXT_ONE_BY_ONE},
    {"nine dead letters",
     {MANY},
     {.recovery.losses = 2, .suspects.set_aside = 9},
     .next = NEXT_ONE_BY_ONE},
    {"ten dead letters",
     {MANY},
     {.recovery.losses = 2, .suspects.set_aside = 10},
     .next = NEXT_STOP,
     .because = BECAUSE_ENOUGH_LOST},
    {"ten dead letters, once",
     {MANY},
     {.recovery.losses = 1, .suspects.set_aside = 10},
     .next = NEXT_AGAIN},
};

START_TEST(a_lost_connection_has_one_consequence)
{
    struct sweep sweep = sweep_of(&losses[_i].state);
    ck_decision(loss_next(&sweep, &losses[_i].chunk), losses[_i].next, losses[_i].because,
                losses[_i].what);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("recovery");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, a_failure_has_one_consequence, 0, COUNT(failures));
    tcase_add_test(tests, an_act_is_never_set_aside);
    tcase_add_loop_test(tests, a_lost_connection_has_one_consequence, 0, COUNT(losses));
    Suite *suite = suite_create("recovery");
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
