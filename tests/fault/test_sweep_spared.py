"""What is spared when a run starts is spared by it, whatever becomes of its connection, its process or the server. O2."""
import pytest

import harness
from harness import wait_until

TEXT = """
table: a
age: created_at
retain: 7 days
dependents:
  - { table: b, constraint: b_a1_fkey, action: delete }
  - { table: b, constraint: b_a2_fkey, action: keep }
"""
ARGS = ("test", "--chunk=2", "--pause=100 ms", "--format=json", "--policy-dir")


def fill(db):
    """Each even row is kept by a row of b that goes with the odd one before it."""
    db.sql("CREATE TABLE a (id int PRIMARY KEY, created_at timestamptz); CREATE INDEX ON a (created_at);"
           "CREATE TABLE b (id int PRIMARY KEY, a1 int CONSTRAINT b_a1_fkey REFERENCES a, a2 int CONSTRAINT b_a2_fkey REFERENCES a);"
           "CREATE INDEX ON b (a1); CREATE INDEX ON b (a2);"
           "INSERT INTO a SELECT n, '2020-01-01'::timestamptz + n * interval '1 s' FROM generate_series(1, 60) n;"
           "INSERT INTO b SELECT n, 2 * n - 1, 2 * n FROM generate_series(1, 30) n")


def check(db, result):
    report = result.json()
    assert result.code == 0 and report["deleted"] == 30, result
    assert db.column("SELECT id FROM a ORDER BY id") == list(range(2, 61, 2))
    assert db.count("b") == 0 and db.count("pgsweep.spared") == 0


@pytest.fixture
def pairs(db, pgsweep):
    assert pgsweep("init", "--quiet").code == 0
    fill(db)
    return db


def test_O2_J6_after_its_session_was_terminated(pairs, start_pgsweep, policy_file):
    running = start_pgsweep(*ARGS, policy_file(TEXT))
    for left in (56, 52):
        wait_until(lambda bound=left: pairs.count("a") <= bound, what="two chunks")
        pairs.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pgsweep/%'"
                  " AND datname = current_database()")
    check(pairs, running.wait(60))


@pytest.fixture
def crashing(request, home):
    instance = harness.Server("synchronous_commit = 'on'")
    request.addfinalizer(instance.stop)
    database = harness.Database(instance, "mine")
    runner = harness.Runner(database, home)
    request.addfinalizer(runner.close)
    assert runner("init", "--quiet").code == 0
    fill(database)
    return database, runner, instance


def test_O2_J6_after_a_crash_of_the_server(crashing, policy_file):
    db, runner, server = crashing
    running = runner.start(*ARGS, policy_file(TEXT))
    wait_until(lambda: db.count("a") <= 54, what="three chunks")
    server.restart("immediate")
    db.forget_connections()
    check(db, running.wait(60))


def test_O2_J6_a_run_that_was_killed_leaves_nothing_to_the_next(pairs, pgsweep, start_pgsweep, policy_file):
    """What it wrote down was for its own start: the next run begins anew, and its start is now."""
    directory = policy_file(TEXT)
    running = start_pgsweep(*ARGS, directory)
    wait_until(lambda: pairs.count("a") <= 54, what="three chunks")
    running.kill()
    wait_until(lambda: not pairs.value("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'pgsweep/%%'"
                                       " AND datname = current_database())"), what="the end of its session")
    spared = pairs.column("SELECT a2 FROM b ORDER BY 1")
    assert pairs.count("pgsweep.spared") == 30
    assert pgsweep("test", "--policy-dir", directory, "--chunk", "1").code == 0
    assert pairs.column("SELECT id FROM a ORDER BY id") == spared and pairs.count("pgsweep.spared") == 0
