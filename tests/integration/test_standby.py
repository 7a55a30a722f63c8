"""A primary with a hot standby: the standby is waited for, and dry runs on it are exact whatever recovery cancels."""

import pytest

import harness
from harness import wait_until
from sweeping import init, policy, rows, run

ROWS = 60
NAME = "reader"


@pytest.fixture(scope="module")
def standby(server):
    instance = harness.Server(f"cluster_name = '{NAME}'", "wal_receiver_status_interval = '1s'", "hot_standby = on",
                              "max_standby_streaming_delay = 0", "hot_standby_feedback = off", standby_of=server)
    yield instance
    instance.stop()


def on(server, text, *values, dbname="postgres"):
    """The first column of the first row of a query on that server."""
    connection = server.connect(dbname)
    try:
        with connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def caught_up(db, standby):
    """The standby has replayed all that was written so far."""
    lsn = db.value("SELECT pg_current_wal_insert_lsn()")  # a commit may not wait for its WAL to be written
    wait_until(lambda: on(standby, "SELECT pg_last_wal_replay_lsn() >= %s", lsn), what="the standby")


@pytest.fixture
def directory(db, standby, pgsweep, policy_file):
    """Where the policy test is, for a table with ROWS candidates that the standby has too."""
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);"
           f"INSERT INTO t SELECT i, now() - interval '30 days' FROM generate_series(1, {ROWS}) AS i;"
           "CREATE INDEX ON t (at, id); ANALYZE t")
    init(pgsweep)
    caught_up(db, standby)
    return policy_file(policy(chunk=1))


@pytest.fixture
def paused(db, standby):
    """Replay is paused and behind; called: it goes on."""
    on(standby, "SELECT pg_wal_replay_pause()::text")
    db.sql("CREATE TABLE wal AS SELECT repeat('x', 500) FROM generate_series(1, 2000)")
    # Both measures: a standby says how far it is once a second, and the time that it is late grows only then.
    wait_until(lambda: db.value("SELECT pg_wal_lsn_diff(sent_lsn, replay_lsn) > 100000 AND replay_lag > '200 ms'"
                                " FROM pg_stat_replication"), what="the lag")
    yield lambda: on(standby, "SELECT pg_wal_replay_resume()::text")
    on(standby, "SELECT pg_wal_replay_resume()::text")
    caught_up(db, standby)


@pytest.mark.parametrize("limit", ["64 KiB", "100 ms"])
def test_G4_a_standby_that_is_behind_is_waited_for(db, directory, paused, start_pgsweep, limit):
    running = start_pgsweep("test", "--policy-dir", directory, "--format=json", "--replica-lag", limit)
    running.wait_for(rf"waits: replica_lag: standby {NAME} replays .* late, .* behind")
    assert db.count("t") == ROWS
    paused()
    result = running.wait()
    report = result.json()
    assert result.code == 0 and db.count("t") == 0 and report["waited"]["replica_lag"] > 0, result


def test_G4_a_standby_that_falls_behind_stops_a_run_that_is_on(db, directory, standby, start_pgsweep):
    running = start_pgsweep("test", "--policy-dir", directory, "--format=json", "--replica-lag=1 kB", "--pause=50 ms")
    wait_until(lambda: db.count("t") < ROWS, what="the first chunk")
    on(standby, "SELECT pg_wal_replay_pause()::text")
    try:
        running.wait_for("waits: replica_lag")
        assert db.count("t") > 0
    finally:
        on(standby, "SELECT pg_wal_replay_resume()::text")
    result = running.wait()
    assert result.code == 0 and db.count("t") == 0 and result.json()["waited"]["replica_lag"] > 0, result


@pytest.mark.parametrize("option", [["--replica-lag=64 KiB", f"--ignore-replicas={NAME},other"], ["--replica-lag=none"],
                                    ["--throttle=none"], ["--replica-lag=1 GiB"]])
def test_G4_a_standby_that_does_not_count_is_not_waited_for(db, directory, paused, pgsweep, option):
    report = run(pgsweep, "test", "--policy-dir", directory, *option)
    assert db.count("t") == 0 and report["waited"] == {}


def test_G4_a_role_that_may_not_see_standbys_is_told_the_grant_once(db, directory, paused, pgsweep):
    role = db.role("sweeper", "SELECT, UPDATE, DELETE ON t")
    assert pgsweep("init", "--quiet", "--role", role).code == 0
    db.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    report = run(pgsweep, "test", "--policy-dir", directory, "--replica-lag=64 KiB", user=role)
    assert [r for r in report["remarks"] if f'GRANT pg_read_all_stats TO "{role}"' in r] == report["remarks"]
    assert len(report["remarks"]) == 1 and db.count("t") == 0


@pytest.fixture
def there(standby):
    """The environment that leads to the standby."""
    return {"PGHOST": standby.host, "PGPORT": standby.port}


def test_M5_everything_that_only_reads_works_on_a_standby(directory, pgsweep, there):
    args = ("--policy-dir", directory)
    assert rows(run(pgsweep, "test", *args, "--dry-run", env=there)) == {"public.t": ROWS}
    for command in (["test", "--dry-run", "--estimate"], ["show", "test"], ["show", "test", "--sql"], ["grants", "test"], ["list"]):
        result = pgsweep(*command, *args, env=there)
        assert result.code == 0, result
    result = pgsweep("test", *args, env=there)
    assert result.code == 2 and "is a standby" in result.err, result


@pytest.mark.parametrize("kind", ["vacuum", "lock"])
def test_M5_a_dry_run_that_recovery_cancels_is_tried_again(db, directory, standby, pgsweep, policy_file, there, kind):
    """The count is under way on the standby when replay needs its snapshot, or its lock, out of the way."""
    db.sql("CREATE FUNCTION slow(bigint) RETURNS bool LANGUAGE sql VOLATILE AS"
           f" 'SELECT pg_sleep({2 / ROWS}) IS NOT NULL'; INSERT INTO t SELECT i, now() FROM generate_series(1000, 2000) AS i")
    caught_up(db, standby)
    before = on(standby, "SELECT conflicts FROM pg_stat_database WHERE datname = %s", db.name)
    running = pgsweep.start("test", "--policy-dir", policy_file(policy(where="slow(t.id)")), "--dry-run", "--format=json", env=there)
    wait_until(lambda: not running.running() or
               on(standby, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="the count")
    assert running.running(), running.wait()
    if kind == "vacuum":
        db.sql("DELETE FROM t WHERE id >= 1000")
        db.sql("VACUUM t")
    else:
        db.sql("BEGIN; ALTER TABLE t ADD COLUMN more int; COMMIT")
    result = running.wait()
    after = wait_until(lambda: on(standby, "SELECT conflicts FROM pg_stat_database WHERE datname = %s", db.name) > before,
                       what="a conflict")
    report = result.json()
    assert after and result.code == 0 and rows(report) == {"public.t": ROWS} and report["retries"] > 0, result
