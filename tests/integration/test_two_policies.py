"""Runs of policies whose tables overlap, side by side: neither is in the other's way for long."""
import pytest

from sweeping import init, policy

TABLES = """
    CREATE TABLE p (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE TABLE c (id int PRIMARY KEY, p int NOT NULL REFERENCES p{rule}, at timestamptz NOT NULL);
    CREATE INDEX ON p (at); CREATE INDEX ON c (p); CREATE INDEX ON c (at DESC);
    INSERT INTO p SELECT i, now() - interval '30 days' + i * interval '1 second' FROM generate_series(1, 4000) AS i;
    INSERT INTO c SELECT i, 1 + i % 4000, now() - interval '30 days' - i * interval '1 second' FROM generate_series(1, 12000) AS i"""


@pytest.mark.parametrize("rule", ["", " ON DELETE CASCADE"])
@pytest.mark.parametrize("strategy", ["range", "locked", "row"])
def test_G2_policies_of_parent_and_child_do_not_deadlock(db, pgsweep, start_pgsweep, policy_file, server_log, rule, strategy):
    """The child's policy goes through the children in the opposite order."""
    db.sql(TABLES.format(rule=rule))
    init(pgsweep)
    policy_file(policy("p", dependents=[{"table": "c", "action": "delete"}]), "parents")
    more = {"range": {}, "locked": {"guards": [{"name": "g", "unless": "EXISTS (SELECT FROM p WHERE p.id = -t.id)"}]},
            "row": {"transaction": "row"}}[strategy]
    where = policy_file(policy("c", **more), "children")
    running = [start_pgsweep(name, "--policy-dir", where, "--chunk=40", "--format=json") for name in ("parents", "children")]
    results = [each.wait() for each in running]
    assert [result.code in (0, 1) for result in results] == [True, True], results
    for result in results:
        report = result.json()
        assert report["failed"] == 0 and report["error"] is None and report["outcome"] != "failed", report
    assert [message for _, message in server_log.records("") if "deadlock detected" in message] == []
    for name in ("children", "parents"):
        assert pgsweep(name, "--policy-dir", where).code == 0
    assert db.count("p") == db.count("c") == db.count("pgsweep.dead_letters") == 0
