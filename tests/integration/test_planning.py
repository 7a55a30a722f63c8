"""What a plan asks the catalog: indexes that serve references, in how many statements."""
import pytest

from sweeping import init, policy, run

OLD = "now() - interval '1 year'"


@pytest.fixture
def world(db, pgsweep):
    init(pgsweep)
    db.sql("CREATE TABLE t (tenant int, id int, at timestamptz, PRIMARY KEY (tenant, id), UNIQUE (id));"
           "CREATE INDEX ON t (at);"
           f"INSERT INTO t VALUES (1, 1, {OLD}), (1, 2, now())")
    return db


# Eight rows to a page: nine thousand are above the 8 MiB from which an index is asked for.
LARGE = "SELECT 1, 2, n, repeat('x', 900) FROM generate_series(1, 9000) n"


def large(db, key="FOREIGN KEY (tenant, t) REFERENCES t (tenant, id)", partitioned=""):
    db.sql(f"CREATE TABLE c (tenant int, t int, n int, filler text, {key}) {partitioned}")
    if partitioned:
        db.sql("CREATE TABLE c_1 PARTITION OF c FOR VALUES FROM (0) TO (5000);"
               "CREATE TABLE c_2 PARTITION OF c FOR VALUES FROM (5000) TO (10000)")
    db.sql(f"INSERT INTO c {LARGE}")
    assert db.value("SELECT max(relpages) FROM pg_class WHERE relname ~ '^c(_.)?$'") == 0, "nobody has analysed them"


def refused(pgsweep, policy_file):
    directory = policy_file(policy(dependents=[{"table": "c", "action": "delete"}]))
    assert pgsweep("test", "--dry-run", "--policy-dir", directory).code == 0
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code in (0, 4), result
    assert (result.code == 4) == ("has no index" in result.err), result
    return result.code == 4


def test_O4_a_large_table_that_nobody_analysed_needs_an_index(world, pgsweep, policy_file):
    large(world, "FOREIGN KEY (t) REFERENCES t (id)")
    assert refused(pgsweep, policy_file) and world.count("t") == 2
    world.sql("CREATE INDEX ON c (t)")
    assert not refused(pgsweep, policy_file) and world.count("t") == 1


def test_O4_partitions_need_an_index_each(world, pgsweep, policy_file):
    large(world, "FOREIGN KEY (t) REFERENCES t (id)", "PARTITION BY RANGE (n)")
    world.sql("INSERT INTO c SELECT * FROM c; INSERT INTO c SELECT * FROM c")  # each partition is large by itself, now
    assert refused(pgsweep, policy_file)
    world.sql("CREATE INDEX ON c_1 (t)")
    assert refused(pgsweep, policy_file) and world.count("t") == 2
    world.sql("CREATE INDEX ON c_2 (t) WHERE t IS NOT NULL")
    assert not refused(pgsweep, policy_file) and world.count("t") == 1


@pytest.mark.parametrize("index, served", [
    ("INDEX ON c (tenant)", False), ("INDEX ON c (tenant, n, t)", False), ("INDEX ON c (tenant) INCLUDE (t)", False),
    ("INDEX ON c (t, tenant) WHERE n > 0", False), ("INDEX ON c (n, tenant, t)", False), ("INDEX ON c USING hash (tenant)", False),
    ("INDEX ON c (tenant, t)", True), ("INDEX ON c (t, tenant, n)", True),
    ("INDEX ON c (t, tenant) WHERE t IS NOT NULL", True)])
def test_O4_an_index_serves_a_key_of_several_columns_when_all_of_them_lead_it(world, pgsweep, policy_file, index, served):
    large(world)
    world.sql(f"CREATE {index}")
    assert refused(pgsweep, policy_file) is not served


def test_O4_a_unique_index_needs_no_more_columns_than_its_own(world, pgsweep, policy_file):
    large(world)
    world.sql("ALTER TABLE c DROP CONSTRAINT c_tenant_t_fkey; UPDATE c SET t = n + 2, tenant = NULL;"
              "ALTER TABLE c ADD FOREIGN KEY (tenant, t) REFERENCES t (tenant, id); CREATE UNIQUE INDEX ON c (t)")
    assert not refused(pgsweep, policy_file)


@pytest.mark.parametrize("unlisted", ["refuse", "cascade"])
def test_O4_the_number_of_questions_does_not_grow_with_the_number_of_tables(world, pgsweep, policy_file, server_log, unlisted):
    def questions(count):
        for i in range(world.value("SELECT count(*) FROM pg_class WHERE relname ~ '^c[0-9]+$'"), count):
            world.sql(f"CREATE TABLE c{i} (id int PRIMARY KEY, t int REFERENCES t (id) ON DELETE CASCADE, n int REFERENCES t (id)"
                      f" ON DELETE SET NULL); CREATE INDEX ON c{i} (t); CREATE INDEX ON c{i} (n)")
        dependents = [{"table": f"c{i}", "constraint": f"c{i}_{c}_fkey", "action": a} for i in range(count)
                      for c, a in (("t", "delete"), ("n", "detach"))]
        server_log.mark()
        run(pgsweep, "test", "--dry-run", "--policy-dir",
            policy_file(policy(unlisted=unlisted, dependents=dependents if unlisted == "refuse" else [])))
        return len(server_log.matching("pg_catalog.pg_(constraint|class|attribute|index|inherits) "))
    assert questions(2) == questions(20) <= 12
