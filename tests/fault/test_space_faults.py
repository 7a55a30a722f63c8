"""What a run looks up about WAL and space is information: no fault there is one of the run."""
import pytest

LOOKS = {"wal": r"AS session$", "tables": r"AS v WHERE .o\.deleted", "holder": r"AS h\(who, xmin\)"}
FAULTS = {"error": {"action": "error", "sqlstate": "42501"}, "cancelled": {"action": "error", "sqlstate": "57014"},
          "lost": {"action": "drop_before"}, "reply lost": {"action": "drop_after"}}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("look", LOOKS)
def test_O4_O5_the_look_at_the_space_fails(db, pgsweep, policy_file, proxy, pgsweep_env, look, fault):
    assert pgsweep("init", "--quiet").code == 0
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT i, now() - interval '60 days' FROM generate_series(1, 30) i")
    rule = proxy.rule(LOOKS[look], **FAULTS[fault])
    directory = policy_file("table: t\nage: at\nretain: 7 days\n")
    result = pgsweep("test", "--format", "json", "--policy-dir", directory, env=pgsweep_env)
    report = result.json()
    assert result.code == 0, result
    assert rule.fired == 1 and report["deleted"] == 30 and report["error"] is None and db.count("t") == 0
    outcome, wal, dead = db.sql("SELECT outcome, wal_bytes, dead_rows FROM pgsweep.runs")[0]
    assert outcome == "done"
    # What was not found out is unknown, and not 0.
    assert wal != 0 and dead in (None, {"public.t": 30})
    if FAULTS[fault]["action"] == "error":
        assert (wal is None) == (look == "wal") and (dead is None) == (look == "tables")
