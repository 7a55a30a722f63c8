"""throttle: what a run waits for between chunks, and what ends it there. Replicas: tests/integration/test_standby.py."""
import contextlib
import datetime
import re
import signal
import threading

import psycopg2
import pytest

from harness import wait_until
from sweeping import init, policy, run

ROWS = 60


@pytest.fixture
def rows(db, pgsweep):
    """A table with ROWS candidates, and the state schema."""
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);"
           f"INSERT INTO t SELECT i, now() - interval '30 days' FROM generate_series(1, {ROWS}) AS i;"
           "CREATE INDEX ON t (at, id); ANALYZE t")
    init(pgsweep)


@pytest.fixture
def start(rows, policy_file, start_pgsweep):
    """start(throttle, *options): a run in the background, one row per chunk."""
    def begin(throttle, *options, **how):
        directory = policy_file(policy(throttle=throttle, chunk=1))
        return start_pgsweep("test", "--policy-dir", directory, "--format=json", *options, **how)
    return begin


def in_background(db, *statements):
    """The thread of another session that runs statements, of which the last takes long."""
    connection = db.connect(application_name="other")
    for statement in statements[:-1]:
        connection.cursor().execute(statement)

    def work():
        with contextlib.suppress(psycopg2.Error):  # the test may end it
            connection.cursor().execute(statements[-1])
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def end_others(db):
    db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'other'")


def finishes(running, db, reason):
    """The run waits for that reason, having deleted nothing, and without a transaction; what() ends the wait."""
    running.wait_for(rf"waits: .*{reason}: ")
    sessions = db.sql("SELECT state, backend_xmin, xact_start FROM pg_stat_activity"
                      " WHERE application_name LIKE 'pgsweep%%' AND datname = %s AND state <> 'active'", db.name)
    assert all(session == ("idle", None, None) for session in sessions), sessions
    assert db.count("t") == ROWS

    def end(what):
        what()
        result = running.wait()
        report = result.json()
        assert result.code == 0 and report["deleted"] == ROWS and db.count("t") == 0, result
        assert report["waited_ms"] > 0 and 0 < report["waited"][reason] <= report["waited_ms"], report
        recorded = db.sql("SELECT waited_ms, waited FROM pgsweep.runs ORDER BY started DESC LIMIT 1")
        assert recorded == [(report["waited_ms"], report["waited"])]
        return report
    return end


def test_G4_pause_file_holds_the_run_until_it_is_gone(db, start, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    report = finishes(start({"pause_file": str(file)}), db, "pause_file")(file.unlink)
    assert list(report["waited"]) == ["pause_file"]


def test_G4_own_condition_is_asked_again_and_again(db, start):
    db.sql("CREATE TABLE brake (why text); INSERT INTO brake VALUES ('deployment')")
    waits = finishes(start({"wait_while": "EXISTS (SELECT FROM brake)"}), db, "wait_while")
    waits(lambda: db.sql("DELETE FROM brake"))


def test_G4_a_slot_that_keeps_wal_is_waited_for(db, start):
    slot = f"slot_{db.name}"
    db.sql("SELECT pg_create_physical_replication_slot(%s, true)", slot)
    db.sql("CREATE TABLE wal AS SELECT repeat('x', 500) FROM generate_series(1, 2000)")
    waits = finishes(start({"slot_wal": "100 kB"}), db, "slot_wal")
    waits(lambda: db.sql("SELECT pg_drop_replication_slot(%s)", slot))


def test_G4_a_slot_that_does_not_count_is_not_waited_for(db, start):
    slot = f"slot_{db.name}"
    db.sql("SELECT pg_create_physical_replication_slot(%s, true)", slot)
    db.sql("CREATE TABLE wal AS SELECT repeat('x', 500) FROM generate_series(1, 2000)")
    result = start({"slot_wal": "100 kB", "ignore_replicas": [slot]}).wait()
    db.sql("SELECT pg_drop_replication_slot(%s)", slot)
    assert result.code == 0 and result.json()["waited"] == {} and db.count("t") == 0, result


def test_G4_more_active_sessions_than_allowed_are_waited_for(db, start):
    threads = [in_background(db, "SELECT pg_sleep(600)") for _ in range(2)]
    wait_until(lambda: db.value("SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="two sessions")
    finishes(start({"active_sessions": 1}), db, "active_sessions")(lambda: end_others(db))
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("limit", ["1 ms", "3"])
def test_G4_an_old_snapshot_is_waited_for(db, start, limit):
    old = db.connect(autocommit=False)
    old.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t")
    for _ in range(5):
        db.sql("SELECT txid_current()")
    finishes(start({"snapshot_age": limit}), db, "snapshot_age")(old.rollback)


def test_G4_a_session_without_a_snapshot_is_not_waited_for(db, start):
    idle = db.connect(autocommit=False)
    idle.cursor().execute("SELECT 1")
    result = start({"snapshot_age": "1 ms"}).wait()
    assert result.code == 0 and result.json()["waited"] == {}, result


def own_role(db, pgsweep):
    role = db.role("sweeper", "SELECT, UPDATE, DELETE ON t")
    assert pgsweep("init", "--quiet", "--role", role).code == 0
    db.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return role


@pytest.mark.parametrize("superuser", [True, False])
def test_G4_vacuum_of_the_table_is_waited_for(db, start, pgsweep, superuser):
    user = {} if superuser else {"user": own_role(db, pgsweep)}
    db.sql("ALTER TABLE t ADD COLUMN pad text DEFAULT repeat('x', 2000)")
    db.sql("INSERT INTO t SELECT i, now() FROM generate_series(1000, 4000) AS i")
    db.sql("DELETE FROM t WHERE id >= 1000")
    thread = in_background(db, "SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1", "VACUUM t")
    wait_until(lambda: db.value("SELECT count(*) = 1 FROM pg_stat_progress_vacuum"), what="VACUUM")
    finishes(start({"autovacuum": "wait"}, **user), db, "autovacuum")(lambda: end_others(db))
    thread.join()


def test_G4_a_migration_that_queues_goes_first(db, start):
    """The run does not queue behind it, and so nobody else does behind the run."""
    reader = db.connect(autocommit=False)
    running = start({}, "--pause=50 ms")
    wait_until(lambda: db.count("t") < ROWS, what="the first chunk")
    reader.cursor().execute("SELECT FROM t")
    thread = in_background(db, "ALTER TABLE t ADD COLUMN migrated int")
    running.wait_for(r"waits: lock_waiters: server process \d+ waits for AccessExclusiveLock on t\b")
    left = db.count("pg_stat_activity", "application_name LIKE 'pgsweep%%' AND wait_event_type = 'Lock'")
    assert left == 0
    reader.rollback()
    thread.join()
    result = running.wait()
    report = result.json()
    assert result.code == 0 and db.count("t") == 0 and report["waited"]["lock_waiters"] > 0, result
    assert db.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'migrated'") == 1


def test_G4_a_table_that_is_locked_counts_as_waited_for(db, start):
    other = db.connect(autocommit=False)
    running = start({}, "--pause=50 ms")
    wait_until(lambda: db.count("t") < ROWS, what="the first chunk")
    other.cursor().execute("LOCK TABLE t IN SHARE MODE")
    running.wait_for("waits: lock_waiters: ")
    other.rollback()
    result = running.wait()
    assert result.code == 0 and db.count("t") == 0 and result.json()["waited"]["lock_waiters"] > 0, result


def test_G4_a_signal_ends_a_condition_that_takes_long(db, start, server_log):
    running = start({"wait_while": "pg_sleep(4) IS NULL"}, "--pause=50 ms")
    db.wait_for_sleeper()
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 128 + signal.SIGTERM and result.json()["retries"] == 0 and db.count("t") == ROWS, result
    assert any("canceling statement due to user request" in message for _, message in server_log.records())


def test_G4_grants_have_what_the_condition_reads(db, rows, pgsweep, policy_file):
    db.sql("CREATE TABLE brake (why text)")
    directory = policy_file(policy(throttle={"wait_while": "EXISTS (SELECT FROM brake)"}))
    out = pgsweep("grants", "test", "--policy-dir", directory, "--role=sweeper").out
    assert "GRANT SELECT ON public.brake TO sweeper;" in out.replace('"', ""), out
    assert "(throttle): GRANT pg_read_all_stats TO" in out
    out = pgsweep("grants", "test", "--policy-dir", policy_file(policy(throttle="none"))).out
    assert out and "pg_read_all_stats" not in out


def test_G4_checkpoints_are_looked_at(db, start, server_log):
    result = start({"checkpoints": "wait"}).wait()
    assert result.code == 0 and db.count("t") == 0, result
    assert server_log.matching("pg_stat_bgwriter|pg_stat_checkpointer")


def test_G4_throttle_none_waits_for_nothing(db, start, server_log, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    result = start({"pause_file": str(file), "snapshot_age": "1 ms"}, "--throttle=none").wait()
    assert result.code == 0 and db.count("t") == 0 and result.json()["waited_ms"] == 0, result
    assert not server_log.matching(" AS lag_ms")


def test_G4_a_look_costs_next_to_nothing(db, start, server_log):
    """Not one for each chunk: no more than the seconds that the run took."""
    result = start({"slot_wal": "1 GiB"}).wait()
    looks = server_log.matching("pg_replication_slots")
    assert result.json()["chunks"] >= ROWS and 1 <= len(looks) <= 2 + result.seconds, (looks, result)


def test_G4_max_wait_ends_the_run_with_exit_code_1(db, start, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    result = start({"pause_file": str(file), "max_wait": "300 ms"}).wait()
    report = result.json()
    assert result.code == 1 and (report["limit"], report["left"], report["outcome"]) == ("max-wait", ROWS, "limit"), result
    assert str(file) in report["limit_detail"] and report["waited"]["pause_file"] >= 300
    assert db.count("t") == ROWS and db.value("SELECT outcome FROM pgsweep.runs") == "limit"


def test_G4_max_runtime_counts_waiting(db, start, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    result = start({"pause_file": str(file)}, "--max-runtime=1 s").wait()
    assert result.code == 0 and result.json()["limit"] == "max-runtime" and db.count("t") == ROWS, result


def test_G4_a_signal_ends_a_wait(db, start, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    running = start({"pause_file": str(file), "max_wait": "none"})
    running.wait_for("waits: pause_file")
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 128 + signal.SIGTERM and db.count("t") == ROWS, result
    assert db.value("SELECT outcome FROM pgsweep.runs") == "stopped"


def test_O5_a_connection_that_is_lost_during_a_wait_is_made_again(db, start, tmp_path):
    file = tmp_path / "pause"
    file.touch()
    running = start({"pause_file": str(file)})

    def lose():
        lost = db.value("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgsweep%%' AND datname = %s", db.name)
        db.sql("SELECT pg_terminate_backend(%s)", lost)
        wait_until(lambda: db.value("SELECT count(*) = 1 FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid)"
                                    " WHERE application_name LIKE 'pgsweep%%' AND datname = %s AND pid <> %s"
                                    " AND locktype = 'advisory' AND granted", db.name, lost), what="a new session with the lock")
        assert running.running() and db.count("t") == ROWS
        file.unlink()
    finishes(running, db, "pause_file")(lose)


def test_G4_stop_file_ends_a_run_between_two_chunks(db, start, tmp_path):
    file = tmp_path / "stop"
    running = start({"stop_file": str(file)}, "--pause=100 ms")
    wait_until(lambda: db.count("t") < ROWS, what="the first chunk")
    file.touch()
    result = running.wait()
    report = result.json()
    assert result.code == 0 and (report["limit"], report["outcome"]) == ("stop-file", "limit"), result
    assert 0 < db.count("t") == report["left"] == ROWS - report["deleted"]
    assert db.sql("SELECT outcome FROM pgsweep.runs") == [("limit",)]


def test_G4_a_run_that_starts_under_a_stop_file_does_nothing(db, start, pgsweep, tmp_path, server_log):
    file = tmp_path / "stop"
    file.touch()
    result = start({"stop_file": str(file)}).wait()
    report = result.json()
    assert result.code == 0 and (report["limit"], report["left"], report["eligible"]) == ("stop-file", None, None), result
    assert db.count("t") == ROWS and db.count("pgsweep.runs") == 0 and not server_log.matching(r"pg_try_advisory_lock\(|^(INSERT|DELETE|UPDATE|WITH gone)")


def clock(zone, minutes):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=zone, minutes=minutes)
    return now.strftime("%H:%M")


@pytest.mark.parametrize("name, zone", [("", 0), (" UTC", 0), (" Etc/GMT-9", 9), (" Asia/Tokyo", 9), (" America/Phoenix", -7)])
def test_G4_window_is_kept_in_its_time_zone(db, pgsweep, rows, policy_file, name, zone, tmp_path):
    directory = policy_file(policy(chunk=1))
    closed = f"{clock(zone, 60)}-{clock(zone, -60)}{name}"
    metrics = tmp_path / "metrics"
    result = pgsweep("test", "--policy-dir", directory, "--window", closed, "--metrics-file", metrics)
    assert result.code == 0 and db.count("t") == ROWS, result
    assert "not begun because of window: it is " in result.out and "nothing was counted or deleted" in result.out, result
    assert re.search(r"^pgsweep_last_success_timestamp_seconds\S* 0$", metrics.read_text(), re.M), "nothing was done: no success"
    dry = pgsweep("test", "--policy-dir", directory, "--window", closed, "--dry-run")
    assert dry.code == 0 and "a live run would not begin now because of window" in dry.out and f"{ROWS}  delete" in dry.out, dry
    opened = f"{clock(zone, -60)}-{clock(zone, 60)}{name}"
    report = run(pgsweep, "test", "--policy-dir", directory, "--window", opened)
    assert report["deleted"] == ROWS and report["limit"] is None


def test_G4_what_a_role_may_not_see_is_said_once_with_the_grant(db, pgsweep, rows, policy_file):
    role = own_role(db, pgsweep)
    directory = policy_file(policy(throttle={"active_sessions": 1}))
    report = run(pgsweep, "test", "--policy-dir", directory, user=role)
    said = [remark for remark in report["remarks"] if "GRANT pg_read_all_stats TO" in remark]
    assert len(said) == 1 and "active_sessions" in said[0] and role in said[0] and db.count("t") == 0, report
    db.sql(f'GRANT pg_read_all_stats TO "{role}"')
    assert not run(pgsweep, "test", "--policy-dir", directory, user=role)["remarks"]


@pytest.mark.parametrize("condition, words", [
    ("EXISTS (SELECT FROM no_such_table)", ["no_such_table", "wait_while is not understood"]),
    ("t.id > 5", ["wait_while is not understood"]),
    ("1 / 0 = 1", ["division by zero"]),
    ("writes()", ["read-only transaction"]),
])
def test_O5_a_condition_that_fails_ends_the_run_before_the_first_row(db, pgsweep, rows, policy_file, condition, words):
    db.sql("CREATE TABLE noted (n int); CREATE FUNCTION writes() RETURNS bool LANGUAGE sql AS"
           " 'INSERT INTO noted VALUES (1); SELECT false'")
    directory = policy_file(policy(throttle={"wait_while": condition}))
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code in (1, 2) and "test.yaml:1: wait_while" in result.err, result
    assert all(word in result.err for word in words), result
    assert db.count("t") == ROWS and db.count("noted") == 0


@pytest.mark.parametrize("key, value, words", [
    ("replica_lag", "10", ["replica_lag \"10\" is not understood", "10 s"]),
    ("replica_lag", "-10 s", ["replica_lag"]),
    ("replica_lag", "10 parsecs", ["replica_lag \"10 parsecs\" is not understood", "64 MiB"]),
    ("slot_wal", "10 s", ["slot_wal \"10 s\" is not understood", "bytes with a unit"]),
    ("slot_wal", "-1 GiB", ["slot_wal"]),
    ("active_sessions", "-3", ["active_sessions \"-3\" is not understood", "whole number"]),
    ("active_sessions", "many", ["active_sessions"]),
    ("snapshot_age", "1 hourr", ["snapshot_age"]),
    ("max_wait", "0 s", ["max_wait \"0 s\" is not understood"]),
    ("max_wait", "5", ["max_wait"]),
    ("lock_waiters", "wait", ["lock_waiters must be one of give_way, ignore"]),
    ("checkpoints", "yes", ["checkpoints must be one of ignore, wait"]),
    ("pause_file", "pause", ["pause_file must be an absolute path"]),
    ("stop_file", "", ["stop_file must not be empty"]),
    ("wait_while", "true; DROP TABLE t", ["semicolon"]),
    ("wait_while", "now() > :cutoff", ["wait_while cannot use :cutoff"]),
    ("window", "00:00-00:00", ["window \"00:00-00:00\" never opens"]),
    ("window", "13:00-13:00 Europe/Berlin", ["never opens"]),
    ("window", "1:00-5:00", ["window \"1:00-5:00\" is not understood", "01:00-05:00 UTC"]),
    ("window", "25:00-26:00", ["is not understood"]),
    ("window", "01:60-05:00", ["is not understood"]),
    ("window", "01:00-05:00 UTC+2", ["is not understood"]),
    ("windows", "01:00-05:00", ["unknown key \"windows\" in throttle", "Did you mean \"window\"?"]),
])
def test_G4_a_setting_that_is_not_understood_is_refused(pgsweep, policy_file, key, value, words):
    directory = policy_file(f'table: t\nage: at\nretain: 7 days\nthrottle:\n  {key}: "{value}"\n')
    result = pgsweep("show", "test", "--policy-dir", directory)
    assert result.code == 2 and "test.yaml:5: " in result.err, result
    assert all(word in result.err for word in words), result


def test_G4_a_zone_that_is_none_is_refused(db, pgsweep, rows, policy_file):
    directory = policy_file(policy(throttle={"window": "01:00-05:00 Europe/Berln"}))
    for args in ([], ["--dry-run"]):
        result = pgsweep("test", "--policy-dir", directory, *args)
        assert result.code == 2 and "test.yaml:1: window" in result.err and "pg_timezone_names" in result.err, result
    assert db.count("t") == ROWS


SETTINGS = {"replica_lag": "64 MiB", "slot_wal": "10 GiB", "lock_waiters": "ignore", "active_sessions": "20",
            "snapshot_age": "1 hour", "checkpoints": "wait", "autovacuum": "wait", "wait_while": "SELECT_ME",
            "pause_file": "/run/pause", "max_wait": "none", "stop_file": "/run/stop", "window": "22:00-24:00 Asia/Tokyo",
            "ignore_replicas": "a"}


@pytest.mark.parametrize("key", SETTINGS)
def test_G4_every_setting_is_a_key_a_variable_and_an_option(pgsweep, policy_file, key):
    value = SETTINGS[key]
    shown = f"  {key}:\n  - {value}" if key == "ignore_replicas" else f"  {key}: {value}"
    args = ("show", "test", "--policy-dir", policy_file(policy(throttle={key: value})))
    assert shown in pgsweep(*args).out
    args = ("show", "test", "--policy-dir", policy_file(policy(throttle="none")))
    assert "replica_lag: none" in pgsweep(*args).out
    assert shown in pgsweep(*args, env={f"PGSWEEP_TEST_{key.upper()}": value}).out
    result = pgsweep(*args, f"--{key.replace('_', '-')}={value}", env={f"PGSWEEP_TEST_{key.upper()}": value})
    assert shown in result.out, result


def test_G4_throttle_none_in_the_environment_leaves_what_is_given_beside_it(pgsweep, policy_file):
    args = ("show", "test", "--policy-dir", policy_file(policy(throttle={"pause_file": "/run/pause"})))
    out = pgsweep(*args, env={"PGSWEEP_TEST_THROTTLE": "none", "PGSWEEP_TEST_STOP_FILE": "/run/stop"}).out
    assert "pause_file" not in out and "replica_lag: none" in out and "stop_file: /run/stop" in out
    assert pgsweep(*args, env={"PGSWEEP_TEST_THROTTLE": "off"}).code == 2
