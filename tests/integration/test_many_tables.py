"""Policies with many tables: no limit of SQL on arguments or columns stands in the way."""
import pytest

from sweeping import init, policy, rows, run


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_F5_sixty_tables(db, pgsweep, policy_file, distance, transaction):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now() - interval '8 days')")
    db.sql("INSERT INTO t (id) SELECT * FROM generate_series(1, 3)")
    names = [f"c{i:02}" for i in range(60)]
    for name in names:
        db.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, t int REFERENCES t)")
        db.sql(f"INSERT INTO {name} SELECT i, i FROM generate_series(1, 3) AS i")
    where = policy_file(policy(transaction=transaction, dependents=[{"table": n, "action": "delete"} for n in names]))
    init(pgsweep)
    live = run(pgsweep, "test", "--policy-dir", where, env={"PGSWEEP_TEST_DISTANCE": distance})
    expected = {f"public.{n}": 3 for n in ["t", *names]}
    assert rows(live) == expected
    assert all(db.count(n) == 0 for n in ["t", *names])
    assert db.value("SELECT deleted FROM pgsweep.runs") == expected
