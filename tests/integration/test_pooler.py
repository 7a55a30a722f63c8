"""Behind a pooler: it works, and leaves nothing behind in the sessions that others use."""
import os
import re
import signal
import threading

import psycopg2
import pytest

import objectsworld
from harness import PATIENCE, wait_until
from pooling import Pooler
from sweeping import init, policy, rows, run

# What a client may leave in a session that makes another one's statements mean something else.
BAD_MANNERS = {"search_path": "elsewhere", "row_security": "on", "lock_timeout": "1ms", "statement_timeout": "7min",
               "TimeZone": "Asia/Tokyo", "DateStyle": "German, DMY",
               "default_transaction_read_only": "on", "default_transaction_isolation": "serializable",
               "session_replication_role": "replica", "standard_conforming_strings": "off", "synchronous_commit": "off",
               "extra_float_digits": "-15", "transform_null_equals": "on", "idle_in_transaction_session_timeout": "1h",
               "role": "intruder"}


class Others:
    """Clients of the same pool, which take turns with pgsweep until stop()."""

    def __init__(self, pooler):
        self.pooler, self.over = pooler, threading.Event()
        self.turns = 0
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        connection = self.pooler.connect()
        with connection.cursor() as cursor:
            while not self.over.wait(0.001):
                cursor.execute("SELECT 1")
                self.turns += 1
        connection.close()

    def stop(self):
        self.over.set()
        self.thread.join(PATIENCE)


@pytest.fixture
def pooler(db):
    started = []

    def start(**how):
        started.append(Pooler(db, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX ON t (at);
    INSERT INTO t SELECT i, now() - i * interval '1 hour' FROM generate_series(1, 1000) AS i"""


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("size", [1, 5])
def test_G3_a_run_through_a_pooler_leaves_nothing_behind(db, pgsweep, policy_file, pooler, mode, size):
    db.sql(TABLE)
    through = pooler(mode=mode, size=size)
    result = pgsweep("init", env=through.env)
    assert result.code == 0, result
    args = ["test", "--policy-dir", policy_file(policy()), "--chunk=100"]
    others = Others(through) if mode == "transaction" else None
    dry = run(pgsweep, *args, "--dry-run", env=through.env)
    live = run(pgsweep, *args, env=through.env)
    if others:
        others.stop()
    assert rows(dry)["public.t"] == rows(live)["public.t"] == 1000 - 167
    assert db.count("t") == 167 and db.column("SELECT outcome FROM pgsweep.runs") == ["done"]
    through.clean()


@pytest.mark.parametrize("args", [["--dry-run"], []], ids=["dry", "live"])
def test_G3_a_pooler_without_transactions_is_refused(db, pgsweep, policy_file, pooler, args):
    db.sql(TABLE)
    init(pgsweep)
    through = pooler(mode="statement")
    result = pgsweep("test", "--policy-dir", policy_file(policy()), *args, env=through.env)
    assert result.code == 2 and "pool_mode = transaction" in result.err, result
    assert db.count("t") == 1000 and through.locks() == 0


@pytest.mark.parametrize("size", [1, 5])
def test_G3_what_others_leave_in_a_session_changes_nothing(db, pgsweep, policy_file, pooler, size):
    """Rights, path, time zone, isolation, triggers: another client of the pool has set all of them."""
    db.sql(TABLE)
    intruder = db.role("intruder")
    db.sql("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.t (LIKE public.t INCLUDING ALL);"
           "INSERT INTO elsewhere.t SELECT * FROM public.t;"
           "CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES public.t ON DELETE CASCADE);"
           "CREATE INDEX ON child (t_id); INSERT INTO child SELECT i, i FROM generate_series(1, 1000) AS i")
    init(pgsweep)
    through = pooler(size=size)
    spoilt = []
    for _ in range(size):
        connection = through.connect()
        connection.autocommit = False
        with connection.cursor() as cursor:
            for name, value in BAD_MANNERS.items():
                cursor.execute(f"SELECT set_config('{name}', %s, false)", (intruder if name == "role" else value,))
        spoilt.append(connection)  # open, so that the next one gets another session
    for connection in spoilt:
        connection.commit()
    text = policy(table="t", dependents=[{"table": "child", "action": "delete"}])
    args = ["test", "--policy-dir", policy_file(text), "--chunk=100"]
    assert rows(run(pgsweep, *args, "--dry-run", env=through.env))["public.t"] == 833
    live = run(pgsweep, *args, env=through.env)
    assert rows(live) == {"public.t": 833, "public.child": 833}
    assert db.count("public.t") == db.count("child") == 167 and db.count("elsewhere.t") == 1000
    # And they find it as they left it.
    with spoilt[0].cursor() as cursor:
        for name, value in BAD_MANNERS.items():
            cursor.execute(f"SHOW {name}")
            seen = cursor.fetchone()[0]
            assert seen == (intruder if name == "role" else value), name


SHAPES = {
    "locked": policy(dependents=[{"table": "child", "action": "delete"}], guards=[
        {"name": "odd", "unless": "EXISTS (SELECT FROM spare s WHERE s.id = t.id)"}]),
    "row": policy(dependents=[{"table": "child", "action": "delete"}], transaction="row"),
    "detach": policy(dependents=[{"table": "child", "action": "detach"}]),
}


@pytest.mark.parametrize("chunk", [1, 50])
@pytest.mark.parametrize("shape", SHAPES)
def test_G3_each_way_to_sweep_works_through_a_pooler(db, pgsweep, policy_file, pooler, shape, chunk):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT i, '2001-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, 100) AS i;"
           "CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES t); CREATE INDEX ON child (t_id);"
           "INSERT INTO child SELECT i, i FROM generate_series(1, 100) AS i; CREATE TABLE spare (id int PRIMARY KEY)")
    if shape == "locked":
        db.sql("INSERT INTO spare SELECT i FROM generate_series(1, 10) AS i")
    init(pgsweep)
    through = pooler(size=2)
    others = Others(through)
    live = run(pgsweep, "test", "--policy-dir", policy_file(SHAPES[shape]), f"--chunk={chunk}", env=through.env)
    others.stop()
    left = 10 if shape == "locked" else 0
    assert rows(live)["public.t"] == rows(live)["public.child"] == 100 - left
    assert db.count("t") == left and db.count("child", "t_id IS NOT NULL") == left
    through.clean()


def test_G3_objects_are_queued_and_drained_through_a_pooler(mocs, db, pooler):
    through = pooler(size=2)
    for i in range(1, 5):
        mocs.add(i, [f"mocs/{i}/a.pdf", f"mocs/{i}/b.pdf"])
    report = mocs.run(env=through.env)
    assert report["objects"]["deleted"] == 8 and mocs.queue() == [] and mocs.keys() == []
    assert db.column("SELECT lock_name FROM pgsweep.locks WHERE holder <> ''") == []
    through.clean()


@pytest.mark.parametrize("end", ["failure", "signal", "kill"])
def test_G3_nothing_is_left_behind_however_a_run_ends(db, pgsweep, start_pgsweep, policy_file, pooler, end):
    db.sql(TABLE)
    init(pgsweep)
    through = pooler(size=1)
    with db.connect() as waiting, waiting.cursor() as cursor:
        waiting.autocommit = False
        if end == "failure":
            db.sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                   " RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$;"
                   "CREATE TRIGGER no BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION no()")
        else:
            cursor.execute("LOCK TABLE pgsweep.runs IN SHARE MODE")  # the run stops in a transaction
        running = start_pgsweep("test", "--policy-dir", policy_file(policy()), "--allow-triggers", "--chunk=100",
                                env=through.env)
        if end == "failure":
            assert running.wait().code == 1
        else:
            db.wait_for_lock_waiter()
            if end == "kill":
                running.kill(sessions_end=False)
            else:
                running.signal(signal.SIGINT)
                running.signal(signal.SIGINT)
                assert running.wait().code != 0
        waiting.rollback()
    through.clean()


def held_by(db):
    return db.value("SELECT holder FROM pgsweep.locks WHERE lock_name = 'test' AND holder <> ''")


def paused(start_pgsweep, directory, env):
    """A run that has deleted its first chunk and pauses for very long."""
    running = start_pgsweep("test", "--policy-dir", directory, "--chunk=100", "--pause=1 h", env=env)
    wait_until(lambda: running.database.count("t") < 1000 or not running.running(), what="the first chunk")
    return running


@pytest.mark.parametrize("first", ["direct", "pooled"])
@pytest.mark.parametrize("second", ["direct", "pooled"])
def test_G3_two_runs_never_both_hold_the_lock(db, pgsweep, start_pgsweep, policy_file, pooler, first, second):
    db.sql(TABLE)
    init(pgsweep)
    directory = policy_file(policy())
    through = pooler(size=2)
    env = {"direct": {}, "pooled": through.env}
    running = paused(start_pgsweep, directory, env[first])
    holder = held_by(db)
    assert holder
    # The second one watches whether the lease is renewed, which a pausing run does now and then.
    result = pgsweep("test", "--policy-dir", directory, env=env[second])
    assert result.code == 75 and "pgsweep/test/" in result.err, result
    assert held_by(db) == holder and db.count("t") == 900
    running.signal(signal.SIGINT)
    assert running.wait().code == 130 and held_by(db) is None
    # And the next one may.
    assert pgsweep("test", "--policy-dir", directory, env=env[second]).code == 0 and db.count("t") == 167


@pytest.mark.parametrize("second", ["direct", "pooled"])
def test_G3_the_lease_of_a_killed_run_is_taken_over_when_it_ends(db, pgsweep, start_pgsweep, policy_file, pooler, second):
    db.sql(TABLE)
    init(pgsweep)
    directory = policy_file(policy())
    through = pooler(size=2)
    running = paused(start_pgsweep, directory, through.env)
    running.kill(sessions_end=False)
    left = db.value("SELECT extract(epoch FROM expires - clock_timestamp()) FROM pgsweep.locks WHERE lock_name = 'test'")
    assert left <= 60
    late = start_pgsweep("test", "--policy-dir", directory, env=through.env if second == "pooled" else {})
    late.wait_for("waiting for the lease of pgsweep/test/")
    assert db.count("t") == 900
    db.sql("UPDATE pgsweep.locks SET expires = clock_timestamp() - interval '1 s'")
    result = late.wait()
    assert result.code == 0 and db.count("t") == 167, result
    assert db.column("SELECT outcome FROM pgsweep.runs ORDER BY started") == ["interrupted", "done"]
    through.clean()


def test_G3_a_run_whose_lease_was_taken_over_commits_nothing_more(db, pgsweep, start_pgsweep, policy_file, pooler):
    db.sql(TABLE)
    init(pgsweep)
    directory = policy_file(policy())
    through = pooler(size=2)
    running = start_pgsweep("test", "--policy-dir", directory, "--chunk=100", "--pause=1 s", env=through.env)
    wait_until(lambda: db.count("t") < 1000, what="the first chunk")
    os.kill(running.pid, signal.SIGSTOP)
    db.wait_for_no_session("pgsweep/%")
    db.sql("UPDATE pgsweep.locks SET expires = clock_timestamp() - interval '1 s'")
    before = db.count("t")
    assert rows(run(pgsweep, "test", "--policy-dir", directory, "--max-rows=10", env=through.env)) == {"public.t": 10}
    os.kill(running.pid, signal.SIGCONT)
    result = running.wait()
    assert result.code == 75 and "taken over" in result.err, result
    assert db.count("t") == before - 10
    assert db.column("SELECT outcome FROM pgsweep.runs ORDER BY started") == ["interrupted", "limit"]
    through.clean()


def test_G3_a_restart_of_the_server_behind_the_pooler_is_survived(db, server, start_pgsweep, pgsweep, policy_file, pooler):
    db.sql(TABLE)
    init(pgsweep)
    through = pooler(size=2)
    running = start_pgsweep("test", "--policy-dir", policy_file(policy()), "--chunk=100", "--pause=300 ms", env=through.env)
    wait_until(lambda: db.count("t") < 1000, what="the first chunk")
    db.forget_connections()
    server.restart("immediate")
    result = running.wait()
    assert result.code == 0 and db.count("t") == 167, result
    assert db.column("SELECT outcome FROM pgsweep.runs") == ["done"]
