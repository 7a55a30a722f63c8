"""Guards, and what changes between the moment a row is counted and the moment it is locked."""
import pytest

from harness import wait_for_lock_timeout, wait_until
from sweeping import init, policy, preview_and_run, rows, run, spared


@pytest.fixture
def ten(db, pgsweep):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, hold boolean, kind text);"
           "CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT n, '2020-01-01', n % 3 = 0, 'k' || n % 2 FROM generate_series(1, 10) n;"
           "CREATE TABLE holds (t_id int, reason text)")
    return db


def left(db):
    return db.column("SELECT id FROM t ORDER BY id")


def test_D3_guard_that_cannot_be_decided_spares(ten, pgsweep, policy_file):
    ten.sql("UPDATE t SET hold = NULL WHERE id IN (1, 2)")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(
        guards=[{"name": "hold", "unless": "t.hold", "by": "t.kind"}])))
    assert left(ten) == [1, 2, 3, 6, 9] and live["strategy"] == "range"
    assert spared(live) == {("hold", "k0"): 2, ("hold", "k1"): 3}


def test_D3_first_guard_that_spares_counts(ten, pgsweep, policy_file):
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(guards=[
        {"name": "hold", "unless": "t.hold"}, {"name": "odd", "unless": "t.kind = 'k1'"}])))
    assert spared(live) == {("hold", None): 3, ("odd", None): 3} and left(ten) == [1, 3, 5, 6, 7, 9]


def test_D3_where_that_is_null_is_no_candidate(ten, pgsweep, policy_file):
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(where="nullif(t.hold, false)")))
    assert live["deleted"] == 3 and left(ten) == [1, 2, 4, 5, 7, 8, 10]


@pytest.mark.parametrize("unless, strategy", [
    ("t.hold", "range"), ("lower(t.kind) = 'x'", "range"), ("EXISTS (SELECT FROM holds h WHERE h.t_id = t.id)", "locked"),
    ("t.id IN (TABLE holds_ids)", "locked"), ("t.id IN (WITH x AS (VALUES (0)) SELECT * FROM x)", "locked"),
    ("t.id IN (VALUES (0))", "locked"), ("is_held(t.id)", "locked"), ('public."is_held" (t.id)', "locked")])
def test_guard_that_looks_beyond_the_row_takes_the_locked_strategy(
        ten, pgsweep, policy_file, unless, strategy):
    ten.sql("CREATE VIEW holds_ids AS SELECT t_id FROM holds; CREATE FUNCTION is_held(int) RETURNS boolean"
            " LANGUAGE sql AS $$SELECT EXISTS (SELECT FROM holds WHERE t_id = $1)$$;")
    directory = policy_file(policy(guards=[{"name": "g", "unless": unless}]))
    assert run(pgsweep, "test", "--dry-run", "--policy-dir", directory)["strategy"] == strategy


@pytest.mark.parametrize("guard", [None, "EXISTS (SELECT FROM holds h WHERE h.t_id = t.id)"])
def test_row_renewed_while_it_is_waited_for_stays(ten, pgsweep, start_pgsweep, policy_file, server_log, guard):
    """Another session renews rows; pgsweep counted them as candidates before that was committed."""
    other = ten.connect(autocommit=False).cursor()
    other.execute("UPDATE t SET at = now() WHERE id IN (2, 5)")
    guards = [{"name": "g", "unless": guard}] if guard else []
    running = start_pgsweep("test", "--format", "json", "--policy-dir", policy_file(policy(guards=guards)))
    if guard:  # does not wait: takes the others, and comes back for these
        wait_until(lambda: ten.count("t") == 2, what="the end of the rows that nobody holds")
    else:
        wait_for_lock_timeout(server_log)
    other.connection.commit()
    result = running.wait()
    assert result.code == 0 and left(ten) == [2, 5], result
    assert (result.json()["eligible"], result.json()["deleted"]) == (10, 8)


def test_hold_committed_between_scan_and_lock_spares(ten, start_pgsweep, policy_file, server_log):
    """The guard is asked again once the row is locked: a dependent lock makes the run wait there."""
    ten.sql("CREATE TABLE d (t_id int REFERENCES t); INSERT INTO d SELECT id FROM t")
    other = ten.connect(autocommit=False).cursor()
    other.execute("SELECT FROM d WHERE t_id = 4 FOR UPDATE; INSERT INTO holds VALUES (4)")
    directory = policy_file(policy(
        guards=[{"name": "hold", "unless": "EXISTS (SELECT FROM holds h WHERE h.t_id = t.id)"}],
        dependents=[{"table": "d", "action": "delete"}]))
    running = start_pgsweep("test", "--format", "json", "--policy-dir", directory)
    wait_for_lock_timeout(server_log)
    other.connection.commit()
    result = running.wait()
    assert result.code == 0 and left(ten) == [4] and ten.column("SELECT t_id FROM d") == [4]
    report = result.json()
    assert report["spared_late"] + report["changed"] == 1 and report["deleted"] == 9


def test_rows_locked_to_the_end_are_reported_and_taken_by_the_next_run(ten, pgsweep, policy_file):
    directory = policy_file(policy(guards=[{"name": "g", "unless": "EXISTS (SELECT FROM holds)"}]))
    other = ten.connect(autocommit=False).cursor()
    other.execute("SELECT FROM t WHERE id = 7 FOR UPDATE")
    first = run(pgsweep, "test", "--policy-dir", directory, code=1)
    assert (first["deleted"], first["left_locked"], first["outcome"]) == (9, 1, "partial")
    assert left(ten) == [7]
    other.connection.rollback()
    assert run(pgsweep, "test", "--policy-dir", directory)["deleted"] == 1 and left(ten) == []
    assert rows(run(pgsweep, "test", "--policy-dir", directory)) == {"public.t": 0}
