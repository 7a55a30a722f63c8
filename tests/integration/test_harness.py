"""The ground that the other tests stand on: is it level?"""
import signal
import subprocess

import psycopg2
import pytest

import harness


@pytest.mark.parametrize("schema, table", [("jobs", "jobs"), ("jobs", "job_logs"),
                                           ("auth", '"user"'), ("auth", "session")])
def test_each_test_has_an_empty_database(db, schema, table):
    db.load(schema)
    assert db.count(table) == 0


def test_role_has_only_what_it_was_granted(db):
    db.load("jobs")
    reader = db.role("reader", "SELECT ON jobs")
    cursor = db.connect(user=reader).cursor()
    cursor.execute("SELECT count(*) FROM jobs")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("DELETE FROM jobs")


def test_server_log_shows_the_sql_of_one_application(db, server_log):
    cursor = db.connect(application_name="pgsweep/x").cursor()
    cursor.execute("SELECT 1,\n  2")
    db.sql("SELECT 'ours'")
    assert server_log.statements() == ["SELECT 1, 2"]
    assert server_log.matching("ours", application="test")
    server_log.mark()
    assert server_log.statements() == []


def test_second_connection_is_a_second_session(db):
    db.load("jobs")
    other = db.connect(autocommit=False).cursor()
    other.execute("INSERT INTO jobs (status) VALUES ('queued')")
    assert db.count("jobs") == 0
    other.connection.commit()
    assert db.count("jobs", "status = %s", "queued") == 1


def test_environment_of_a_run_is_clean(pgsweep, db, monkeypatch):
    monkeypatch.setenv("PGSWEEP_JOBS_RETAIN", "1 second")
    monkeypatch.setenv("PGPASSWORD", "secret")
    env = pgsweep.environment({"PGPORT": None, "X": 1}, user="u")
    assert env["PGDATABASE"] == db.name and env["PGUSER"] == "u" and env["X"] == "1"
    assert not {"PGSWEEP_JOBS_RETAIN", "PGPASSWORD", "PGPORT"} & set(env)


def test_runs_can_be_watched_and_stopped(pgsweep, start_pgsweep, monkeypatch):
    monkeypatch.setattr(harness, "binary", lambda: "/bin/sh")
    result = pgsweep("-c", "cat; echo E >&2; exit 3", stdin='{"a": 1}')
    assert (result.code, result.err, result.json()) == (3, "E\n", {"a": 1})
    running = start_pgsweep("-c", "echo ready >&2; exec sleep 60")
    running.wait_for("^ready")
    running.signal(signal.SIGINT)
    assert running.wait().code == -signal.SIGINT
    with pytest.raises(AssertionError, match="still running"):
        pgsweep("-c", "exec sleep 60", timeout=0.2)


def test_throwaway_server_goes_with_its_caller(tmp_path_factory):
    directory = harness.tempfile.mkdtemp(prefix="pgsweep-t.", dir="/tmp")
    place = harness.Path(directory, "a b")
    harness.Path(directory).chmod(0o711)
    caller = subprocess.Popen(["sleep", "60"])
    try:
        out = subprocess.run([harness.THROWAWAY, "start", "--while", str(caller.pid), str(place)],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        sockets = harness.Path(dict(w.split("=", 1) for w in out.split()[1:])["PGHOST"])
        assert sockets.is_dir() and len(str(sockets / ".s.PGSQL.5432")) <= 107
    finally:
        caller.kill()
        caller.wait()
    harness.wait_until(lambda: not place.exists() and not sockets.exists(), what="clean-up")
    harness.Path(directory).rmdir()
