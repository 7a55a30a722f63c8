"""What goes away by itself, injected at each statement of a chunk: every row goes exactly once."""
import pytest

from sweepworld import DELETES_ITEMS, REMAINING

STATEMENTS = {
    "range": {"bound": r"OFFSET .* LIMIT 1\) AS t$", "begin": r"^BEGIN.*READ WRITE", "delete": r"^WITH gone",
              "commit": r"^COMMIT"},
    "locked": {"begin": r"^BEGIN.*READ WRITE", "lock": r"SKIP LOCKED\) AS t$", "verify": r"^SELECT pg_catalog.count.*AS t\s+WHERE t\.\S+ OPERATOR.pg_catalog.=. ANY",
               "dependents": r'^WITH gone AS .DELETE FROM "public"."parts"', "delete": DELETES_ITEMS,
               "record": r"^UPDATE pgsweep.runs AS r SET chunks", "commit": r"^COMMIT"},
}
PLACES = [(strategy, place) for strategy, places in STATEMENTS.items() for place in places]
FAULTS = {
    "40001": {"action": "error", "sqlstate": "40001"},
    "40P01": {"action": "error", "sqlstate": "40P01"},
    "55P03": {"action": "error", "sqlstate": "55P03"},
    "57014": {"action": "error", "sqlstate": "57014"},
    "57P01": {"action": "fatal", "sqlstate": "57P01"},
    "57P02": {"action": "fatal", "sqlstate": "57P02"},
    "dropped before": {"action": "drop_before"},
    "reply lost": {"action": "drop_after"},
    "reply cut": {"action": "drop_mid"},
    "left at work": {"action": "drop_during", "delay": 0.3},
}


@pytest.mark.parametrize("strategy, place", PLACES)
@pytest.mark.parametrize("fault", FAULTS)
def test_J6_O5_transient_fault_at_each_statement(make_world, proxy, strategy, place, fault):
    world = make_world(strategy).through(proxy)
    rule = proxy.rule(STATEMENTS[strategy][place], nth=2, **FAULTS[fault])
    result = world.run()
    assert rule.fired == 1
    report = world.check(result)
    assert report["outcome"] == "done" and report["error"] is None
    assert result.err == ""


@pytest.mark.parametrize("action, seen", [("drop_after", True), ("drop_mid", True),
                                          ("drop_during", None), ("drop_before", False)])
def test_O5_lost_commit_reply_is_not_counted_twice(world, proxy, action, seen):
    world.through(proxy)
    proxy.rule("^COMMIT", action, nth=2)
    report = world.check(world.run())
    assert report["chunks"] == 3
    found = any("it had taken effect" in r for r in report["remarks"])
    # A session that is still at work when the next one ends it may have come to its COMMIT or not.
    assert seen is None or found == seen
    seen = found
    # The chunk was done again only where its COMMIT had not been executed.
    assert len(proxy.executed("^COMMIT")) == (3 if seen else 4)


def test_O5_every_commit_reply_is_lost_and_each_chunk_counts_once(world, proxy):
    world.through(proxy)
    proxy.rule("^COMMIT", "drop_after", times=None)
    report = world.check(world.run())
    assert report["chunks"] == 3 and len(report["remarks"]) == 3


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "40000"])
def test_O5_commit_answered_with_an_error_is_no_success(world, proxy, sqlstate):
    world.through(proxy)
    proxy.rule("^COMMIT", "error", sqlstate=sqlstate, nth=1)
    assert world.check(world.run())["retries"] == 1


def test_O5_commit_answered_with_rollback_is_no_success(world, proxy):
    world.through(proxy)
    rule = proxy.rule("^COMMIT", "rollback", nth=2)
    report = world.check(world.run())
    assert rule.fired == 1 and report["retries"] == 1


def test_O5_commit_of_a_single_row_answered_with_rollback_does_not_set_the_row_aside(world, proxy):
    world.through(proxy)
    proxy.rule("^COMMIT", "rollback", nth=3)
    world.check(world.run(chunk=1))


def test_J6_several_faults_in_one_run(world, proxy):
    world.through(proxy)
    proxy.rule("^WITH gone", "error", sqlstate="40P01", nth=2, times=2)
    proxy.rule("^COMMIT", "drop_after", nth=2)
    proxy.rule("^COMMIT", "drop_before", nth=4)
    proxy.rule("^BEGIN.*READ WRITE", "fatal", sqlstate="57P01", nth=3)
    world.check(world.run(chunk=4))


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "error"])
def test_J6_O1_fault_while_what_is_left_is_counted(make_world, proxy, action):
    world = make_world("locked").through(proxy)
    world.db.connect(autocommit=False).cursor().execute("SELECT FROM items WHERE id = 5 FOR UPDATE")
    rule = proxy.rule(REMAINING, action, sqlstate="40001")
    result = world.run()
    assert rule.fired == 1
    assert world.check(result, left=[5], code=1)["left_locked"] == 1


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "error"])
def test_J5_J6_fault_while_the_end_of_the_run_is_recorded(world, proxy, action):
    world.through(proxy)
    rule = proxy.rule("^UPDATE pgsweep.runs SET outcome = .2", action, sqlstate="40001")
    result = world.run()
    assert rule.fired == 1
    world.check(result)


@pytest.mark.parametrize("action, kind", [("error", "40001"), ("error", "40P01"), ("error", "57014")])
def test_J6_a_transient_error_that_never_goes_away_ends(world, proxy, action, kind):
    """The culprits stand alone in the end, and are reported."""
    world.through(proxy)
    proxy.rule(DELETES_ITEMS, action, sqlstate=kind, times=None)
    result = world.run("--retries=1", chunk=2)
    report = world.check(result, left=range(1, 21), code=1, failed=20)
    assert {f["sqlstate"] for f in report["failures"]} == {kind}


@pytest.mark.parametrize("action", ["drop_before", "fatal"])
def test_O1_when_every_chunk_costs_the_connection_the_run_ends(world, proxy, action):
    """Not even a transaction that deletes nothing goes through: no row is to blame."""
    world.through(proxy)
    rule = proxy.rule(DELETES_ITEMS, action, nth=2, times=None)
    result = world.run("--retries=2")
    report = result.json()
    assert result.code == 3 and report["error"]
    assert rule.fired == 6  # the chunk twice, its first candidate twice, none at all twice
    assert report["failed"] == 0 and world.letters() == []
    assert report["deleted"] == world.gone() == world.recorded() == 8
    world.check_data()
    world.env = {}
    assert world.run().code == 0
    assert world.left() == [] and world.recorded() == 20
