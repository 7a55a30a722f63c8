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


def test_F5_four_hundred_and_fifty_tables(db, pgsweep, policy_file, server_log):
    """Each of the first fifty hangs on the root, the others on one of those before them, and on the root as well."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);"
           "INSERT INTO t SELECT i, CASE WHEN i < 3 THEN now() - interval '8 days' ELSE now() END FROM generate_series(1, 3) i")
    for n in range(450):
        up = "t" if n < 50 else f"c{n - 50}"
        db.sql(f"CREATE TABLE c{n} (id int PRIMARY KEY, up int REFERENCES {up} ON DELETE CASCADE, t int REFERENCES t ON DELETE CASCADE);"
               f"CREATE INDEX ON c{n} (up); CREATE INDEX ON c{n} (t);"
               f"INSERT INTO c{n} SELECT i, i, nullif(i, 2) FROM generate_series(1, 3) i")
    server_log.mark()
    directory = policy_file(policy(unlisted="cascade"))
    dry = run(pgsweep, "test", "--policy-dir", directory, "--dry-run")
    # What is asked of the catalog does not grow with the number of tables.
    assert len(server_log.matching("pg_constraint")) < 20, len(server_log.matching("pg_constraint"))
    live = run(pgsweep, "test", "--policy-dir", directory, "--cutoff", dry["cutoff"])
    assert rows(dry) == rows(live) == {f"public.{n}": 2 for n in ["t", *(f"c{n}" for n in range(450))]}
    assert db.column("SELECT id FROM t") == [3] and all(db.column(f"SELECT id FROM c{n}") == [3] for n in range(450))
