"""Long statements beside a migration: each gives way, and where that is impossible the report says so."""
import pytest

from sweepworld import REMAINING

POLICY = "table: t\nage: at\nretain: 7 days\nlimits: { count_timeout: 10 min }\n"
ASLEEP = "EXISTS (SELECT FROM slow) AND pg_sleep(600) IS NULL"  # false, but not soon while there is a row in slow


@pytest.fixture
def old(db, pgsweep):
    """t has five expired rows; slow says whether the conditions take for ever."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at);"
           "CREATE TABLE slow (); INSERT INTO t SELECT i, now() - interval '9 days' FROM generate_series(1, 5) i")
    assert pgsweep("init").code == 0
    return db


def migrate(db, sql):
    """Another session changes a table while a statement of pgsweep sleeps; then conditions are fast again."""
    other = db.connect(autocommit=False, application_name="other")
    other.cursor().execute("SET lock_timeout = '60s'")
    other.cursor().execute(f"{sql}; DELETE FROM slow")
    other.commit()


def cancelled(server_log):
    return any("canceling statement due to user request" in m for _, m in server_log.records(""))


def sleeping(db):
    """The statement of pgsweep that sleeps."""
    return db.value("SELECT query FROM pg_stat_activity WHERE pid = %s", db.wait_for_sleeper())


def test_O5_writing_down_what_is_spared_gives_way(old, pgsweep, policy_file, server_log):
    """The guard reads a table that the run deletes from; which rows it spares is written down before the first chunk."""
    old.sql("CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE); CREATE INDEX ON c (t);"
            "INSERT INTO c VALUES (2, 1); INSERT INTO slow DEFAULT VALUES")
    directory = policy_file(POLICY.replace("10 min", "0 s") + "dependents:\n  - { table: c, action: delete }\nguards:\n"
                            f'  - {{ name: next, unless: "EXISTS (SELECT FROM c WHERE c.id = t.id) OR {ASLEEP}" }}\n')
    running = pgsweep.start("test", "--policy-dir", directory, "--format=json")
    assert sleeping(old).startswith("INSERT INTO pgsweep.spared")
    migrate(old, "ALTER TABLE t ADD COLUMN extra int")
    result = running.wait()
    assert (result.code, old.column("SELECT id FROM t")) == (0, [2]), result
    assert cancelled(server_log) and old.count("pgsweep.spared") == 0 and old.count("c") == 0


def test_O5_the_last_look_gives_way(old, pgsweep, policy_file, proxy, pgsweep_env, server_log):
    directory = policy_file(f"{POLICY}where: NOT ({ASLEEP})\n")
    rule = proxy.rule(REMAINING, "hold", on="parse")  # before it has its snapshot
    running = pgsweep.start("test", "--policy-dir", directory, "--format=json", env=pgsweep_env)
    rule.wait(60)
    old.sql("INSERT INTO slow DEFAULT VALUES; INSERT INTO t VALUES (6, now() - interval '9 days')")
    rule.release()
    assert "LIMIT" in sleeping(old)
    migrate(old, "ALTER TABLE t ADD COLUMN extra int")
    result = running.wait()
    report = result.json()
    assert (result.code, old.count("t"), report["deleted"], report["arrived"]) == (0, 0, 6, 1), result
    assert cancelled(server_log)


@pytest.mark.parametrize("dry_run", [True, False])
def test_O5_a_run_that_may_have_one_connection_says_that_nobody_watched(old, pgsweep, policy_file, dry_run):
    role = old.role("lonely", "SELECT, UPDATE, DELETE ON t")
    old.sql(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    assert pgsweep("init", f"--role={role}").code == 0
    directory = policy_file(f"{POLICY}where: pg_sleep(0.2) IS NOT NULL\n")
    result = pgsweep("test", "--policy-dir", directory, "--format=json", *["--dry-run"] * dry_run, user=role)
    remarks = [r for r in result.json()["remarks"] if "second connection" in r]
    assert result.code == 0 and len(remarks) == 1 and "too many connections" in remarks[0], result
    assert old.count("t") == (5 if dry_run else 0)
