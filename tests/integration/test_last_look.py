"""The look at what is left after the last chunk: every run that ends well has looked."""
import pytest

from sweeping import init, policy, run

# Two ages, so that the row that is born stands behind the walk: older than all.
TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX ON t (at);
    INSERT INTO t SELECT i, now() - interval '60 days' + i * interval '1 minute' FROM generate_series(1, 50) AS i;
    INSERT INTO t SELECT i, now() FROM generate_series(1001, 1010) AS i"""
LOOK = r"^SELECT pg_catalog.count\(\*\) FROM \(SELECT FROM \S+ AS t WHERE .* LIMIT \$2"
# What another session might do while the run is on: a trigger does it, once, after the first chunk.
BORN = "INSERT INTO t VALUES (2000, now() - interval '90 days')"
GONE = "DELETE FROM t WHERE id = 50"
RENEWED = "UPDATE t SET at = now() WHERE id = 50"
AGED = "UPDATE t SET at = now() - interval '90 days' WHERE id = 50"


def meanwhile(db, *acts):
    body = "; ".join(acts)
    db.sql("CREATE TABLE done (); CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
           " IF pg_trigger_depth() = 1 AND NOT EXISTS (SELECT FROM done) THEN"
           f" INSERT INTO done DEFAULT VALUES; {body}; END IF; RETURN NULL; END $$")
    db.sql("CREATE TRIGGER meanwhile AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION meanwhile()")


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("args", [(), ("--chunk=7",), ("--verbose",)], ids=["auto", "chunk", "verbose"])
def test_O5_a_range_run_that_took_all_that_it_counted_looks(db, pgsweep, policy_file, server_log, args, distance):
    db.sql(TABLE)
    init(pgsweep)
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()), *args, env={"PGSWEEP_TEST_DISTANCE": distance})
    assert report["deleted"] == 50 and report["outcome"] == "done" and report["left_locked"] == 0
    assert db.count("t", "id <= 1000") == 0 and len(server_log.matching(LOOK)) == 1


@pytest.mark.parametrize("limits, more", [
    ({"count_timeout": "0 s"}, {}),                       # nobody counted
    ({}, {"dependents": [{"table": "c", "action": "delete"}]}),  # locked: passes over rows that others hold
    ({}, {"transaction": "row"}),
    ({"max_rows": 50}, {}),                               # the limit was reached with the last row: was it the last?
], ids=["not counted", "locked", "row", "limit"])
def test_O5_other_runs_look(db, pgsweep, policy_file, server_log, limits, more):
    db.sql(TABLE + "; CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t); CREATE INDEX ON c (t)")
    init(pgsweep)
    more = {"dependents": [{"table": "c", "action": "delete"}], **more} if more else {}
    if not more:
        db.sql("DROP TABLE c")
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy(limits=limits, **more)))
    assert report["deleted"] == 50 and report["outcome"] == "done" and len(server_log.matching(LOOK)) == 1


@pytest.mark.parametrize("distance", ["near", "far"])
def test_O5_a_row_that_was_passed_over_is_found_although_the_sums_agree(db, pgsweep, policy_file, server_log, distance):
    """One row is held by another session, one is born ahead of the walk: as many go as were counted."""
    db.sql(TABLE)
    init(pgsweep)
    meanwhile(db, "INSERT INTO t SELECT 2000, at FROM t WHERE id = 40")
    other = db.connect(autocommit=False).cursor()
    other.execute("SELECT FROM t WHERE id = 30 FOR UPDATE")
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--chunk=10", code=1,
                 env={"PGSWEEP_TEST_DISTANCE": distance})
    assert report["deleted"] == report["eligible"] == 50 and report["left_locked"] == 1
    assert db.column("SELECT id FROM t WHERE id NOT BETWEEN 1001 AND 1010") == [30] and server_log.matching(LOOK)


@pytest.mark.parametrize("acts, deleted, left", [
    ((GONE,), 49, []),
    ((RENEWED,), 49, [50]),
    ((AGED,), 50, []),            # moved behind the walk: a second pass takes it
    ((BORN, GONE), 50, []),
    ((BORN,), 51, []),            # born behind the walk
], ids=["gone", "renewed", "aged", "born and gone", "born"])
def test_O5_what_others_do_meanwhile(db, pgsweep, policy_file, server_log, acts, deleted, left):
    db.sql(TABLE)
    init(pgsweep)
    meanwhile(db, *acts)
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--chunk=10")
    assert (report["deleted"], report["left_locked"], report["outcome"]) == (deleted, 0, "done")
    assert db.column("SELECT id FROM t WHERE id NOT BETWEEN 1001 AND 1010") == left
    assert server_log.matching(LOOK)
    assert run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--chunk=10")["deleted"] == 0
