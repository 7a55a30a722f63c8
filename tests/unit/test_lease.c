/* Who may take the lock of a run, from what the database says about it. */
#include "unit.h"

#include "../../src/state/internal.h"

#define OURS "token-1"
#define OTHERS "token-2"
#define BEFORE "pgsweep/jobs/run-1"
#define LATER "pgsweep/jobs/run-2"

static const struct {
    const char *what;
    struct lease_facts facts;
    const char *before;
    enum lease_verdict verdict;
} cases[] = {
    {"nobody ever had it", {.holder = ""}, NULL, LEASE_FREE},
    {"a session has the advisory lock", {.holder = "", .session = true}, NULL, LEASE_OF_SESSION},
    {"a session has the advisory lock, and the row is ours",
     {.holder = OURS, .session = true},
     NULL,
     LEASE_OF_SESSION},
    {"a session has the advisory lock, and the row is locked",
     {.holder = OTHERS, .session = true, .locked = true},
     NULL,
     LEASE_OF_SESSION},
    {"another one's lease goes on",
     {.holder = OTHERS, .application = LATER, .leased = true, .ends_in_ms = 1},
     NULL,
     LEASE_HELD},
    {"another one's lease has expired",
     {.holder = OTHERS, .application = LATER, .leased = true},
     NULL,
     LEASE_FREE},
    {"another one's lease has expired during a long transaction",
     {.holder = OTHERS, .application = LATER, .leased = true, .at_work = true},
     NULL,
     LEASE_HELD},
    {"another one had it without a lease, and its session is gone",
     {.holder = OTHERS, .application = LATER},
     NULL,
     LEASE_FREE},
    {"another one had it without a lease; a transaction of that name is nothing to go by",
     {.holder = OTHERS, .application = LATER, .at_work = true},
     NULL,
     LEASE_FREE},
    {"a time without a lease means nothing",
     {.holder = OTHERS, .application = LATER, .ends_in_ms = 1000},
     NULL,
     LEASE_FREE},
    {"the row is locked, whatever it says", {.holder = "", .locked = true}, NULL, LEASE_HELD},
    {"the row is locked by another one whose lease has expired",
     {.holder = OTHERS, .leased = true, .locked = true},
     NULL,
     LEASE_HELD},
    {"it is ours", {.holder = OURS, .leased = true, .ends_in_ms = 60000}, NULL, LEASE_FREE},
    {"it is ours, and our lost session may still be at work on it",
     {.holder = OURS, .leased = true, .ends_in_ms = 60000, .locked = true},
     NULL,
     LEASE_HELD},
    {"this run had it before it was cut off",
     {.holder = OTHERS, .application = BEFORE, .leased = true, .ends_in_ms = 60000},
     BEFORE,
     LEASE_FREE},
    {"this run had it, and its lost transaction goes on without the row",
     {.holder = OTHERS, .application = BEFORE, .leased = true, .at_work = true},
     BEFORE,
     LEASE_FREE},
    {"this run had it, and its lost transaction has the row locked",
     {.holder = OTHERS, .application = BEFORE, .leased = true, .locked = true},
     BEFORE,
     LEASE_HELD},
    {"this run was cut off, and another one has it now",
     {.holder = OTHERS, .application = LATER, .leased = true, .ends_in_ms = 60000},
     BEFORE,
     LEASE_HELD},
    {"this run was cut off, and nobody knows who has it",
     {.holder = OTHERS, .leased = true, .ends_in_ms = 60000},
     BEFORE,
     LEASE_HELD},
    {"a run of that name, which we are not",
     {.holder = OTHERS, .application = BEFORE, .leased = true, .ends_in_ms = 60000},
     NULL,
     LEASE_HELD},
};

START_TEST(a_lock_is_taken_from_nobody_who_may_have_it)
{
    enum lease_verdict verdict = lease_decide(&cases[_i].facts, OURS, cases[_i].before);
    ck_assert_msg(verdict == cases[_i].verdict, "%s: %d", cases[_i].what, (int)verdict);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease");
    TCase *tests = tcase_create("lease");
    tcase_add_checked_fixture(tests, unit_setup, unit_teardown);
    tcase_add_loop_test(tests, a_lock_is_taken_from_nobody_who_may_have_it, 0, COUNT(cases));
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
