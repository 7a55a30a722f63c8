"""pgsweep tempfiles with a database: directories of active jobs stay, whatever their age (T2)."""
import json
import os
import re
import subprocess
import sys
import uuid

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import NOBODY, box, need_root  # noqa: E402,F401  pylint: disable=unused-import

ACTIVE = ["queued", "pending", "started", "running", "processing", "rendering"]
FINISHED = ["finished", "completed", "failed", "error", "cancelled"]


def run(pgsweep, box, *args, code=0, **kwargs):
    result = pgsweep("tempfiles", "--root", box.root, "--format=json", *args, **kwargs)
    assert result.code == code, result
    return result.json()


def job(db, status, table="jobs", **columns):
    names = ["status", "created_at", *columns]
    return db.value(f"INSERT INTO {table} ({', '.join(names)}) VALUES (%s, now() - interval '90 days'"
                    + ", %s" * len(columns) + ") RETURNING id", status, *columns.values())


def directories(box, ids):
    for name in ids:
        box.file(f"{name}/frame.tmp")
    box.age_dirs()


def test_T2_J4_directories_of_active_jobs_stay_those_of_finished_go(db, pgsweep, box):
    db.load("jobs")
    active = [job(db, status) for status in ACTIVE] + [job(db, None)]
    finished = [job(db, status) for status in FINISHED]
    directories(box, [*active, *finished, 9999, "other"])
    box.file(str(job(db, "running")))  # a file of that name is no working directory, and goes by age
    dry = run(pgsweep, box, "--dry-run")
    assert len(os.listdir(box.root)) == len(active) + len(finished) + 3
    live = run(pgsweep, box)
    assert sorted(os.listdir(box.root)) == sorted(map(str, active))
    for found in (dry, live):
        assert found["kept"]["active_job"] == len(active)
        assert found["directories_deleted"] == len(finished) + 2
    assert all((box.root / str(name) / "frame.tmp").exists() for name in active)
    text = pgsweep("tempfiles", "--root", box.root).out
    assert "7 of active jobs" in text


def test_T2_the_database_may_be_given_by_option(db, pgsweep, box):
    db.load("jobs")
    active = job(db, "running")
    directories(box, [active, "other"])
    none = {name: None for name in db.env}
    live = run(pgsweep, box, "-d", db.name, "-h", db.env["PGHOST"], "-p", db.env["PGPORT"], "-U", db.env["PGUSER"], env=none)
    assert live["kept"]["active_job"] == 1 and os.listdir(box.root) == [str(active)]
    assert run(pgsweep, box, env=none)["kept"]["active_job"] == 0 and os.listdir(box.root) == []


def test_T2_text_ids_and_unknown_states(db, pgsweep, box):
    db.sql("CREATE TABLE jobs (id uuid PRIMARY KEY, status text, created_at timestamptz)")
    states = ["RUNNING", "a state of tomorrow", "", None, "Done", "FAILED"]
    ids = {state: str(uuid.uuid4()) for state in states}
    for state, name in ids.items():
        db.sql("INSERT INTO jobs VALUES (%s, %s, NULL)", name, state)
    directories(box, ids.values())
    run(pgsweep, box)
    assert sorted(os.listdir(box.root)) == sorted(ids[state] for state in states[:4])


def test_T2_jobs_of_any_age_count_and_only_below_the_root(db, pgsweep, box):
    db.load("jobs")
    young = db.value("INSERT INTO jobs (status) VALUES ('running') RETURNING id")
    directories(box, [young, f"deep/{young}"])
    run(pgsweep, box)
    assert box.names() == [str(young), f"{young}/frame.tmp"]


def test_T2_the_column_that_names_the_directory_counts(db, pgsweep, box, policy_file):
    db.sql("CREATE TABLE work (a int, b int, uid text, status text, created_at timestamptz, PRIMARY KEY (a, b))")
    db.sql("INSERT INTO work VALUES (1, 1, 'x', 'running', now()), (1, 2, 'y', 'done', now()), (2, 2, NULL, 'running', now())")
    policies = policy_file("table: work\nage: created_at\nretain: 1 day\nfiles: {directory: uid}\n"
                           "guards: [{name: active, unless: t.status <> 'done'}]\n", "work")
    policy_file("kind: files\nretain: 7 days\nactive: work\n", "tempfiles")
    directories(box, "xyz")
    run(pgsweep, box, "--policy-dir", policies)
    assert os.listdir(box.root) == ["x"]


def test_T2_without_a_policy_for_active_no_database_is_asked(db, pgsweep, box, policy_file, server_log):
    policies = policy_file("kind: files\nretain: 7 days\n", "tempfiles")
    directories(box, ["1"])
    assert run(pgsweep, box, "--policy-dir", policies)["directories_deleted"] == 1
    assert server_log.statements() == []


def test_T3_database_out_of_reach_touches_nothing(pgsweep, box):
    directories(box, ["1"])
    before = box.snapshot()
    result = pgsweep("tempfiles", "--root", box.root, env={"PGHOST": "/nowhere", "PGCONNECT_TIMEOUT": "2", "PGSWEEP_JOBS_RETRY_FOR": "1 s"})
    assert result.code == 3, result
    assert "asking policy jobs which files belong to active rows: " in result.err
    assert box.snapshot() == before


def test_T3_no_table_of_jobs_is_told(pgsweep, box):
    directories(box, ["1"])
    result = pgsweep("tempfiles", "--root", box.root)
    assert result.code == 2, result
    assert re.search(r'table "?jobs"?', result.err) and box.names()
    # Somebody with PG* variables for another purpose must see the way out.
    assert "Nothing was deleted. Without a connection (no -d, no PG* variables) no database is asked." in result.err


def test_T3_unknown_policy_for_active_is_told(pgsweep, box, policy_file):
    policies = policy_file("kind: files\nretain: 7 days\nactive: jobz\n", "tempfiles")
    directories(box, ["1"])
    result = pgsweep("tempfiles", "--root", box.root, "--policy-dir", policies)
    assert result.code == 2 and '"jobz"' in result.err and "tempfiles.yaml:3" in result.err, result
    assert box.names()


def test_T3_policy_of_files_for_active_is_told(pgsweep, box, policy_file):
    policies = policy_file("kind: files\nretain: 7 days\nactive: tempfiles\n", "tempfiles")
    directories(box, ["1"])
    result = pgsweep("tempfiles", "--root", box.root, "--policy-dir", policies)
    assert result.code == 2 and "tempfiles.yaml:3" in result.err and "about files" in result.err, result
    assert box.names()


def test_O2_T2_select_is_enough(db, pgsweep, box):
    db.load("jobs")
    name = job(db, "running")
    directories(box, [name, "other"])
    reader = db.role("reader", "SELECT ON jobs, job_logs")
    live = run(pgsweep, box, user=reader)
    assert live["kept"]["active_job"] == 1 and os.listdir(box.root) == [str(name)]


def test_T3_without_the_right_to_read_jobs_nothing_goes(db, pgsweep, box):
    db.load("jobs")
    directories(box, [job(db, "running"), "other"])
    result = pgsweep("tempfiles", "--root", box.root, user=db.role("nobody"))
    assert result.code == 2 and "GRANT" in result.err, result
    assert len(os.listdir(box.root)) == 2


def test_T2_very_many_active_jobs(db, pgsweep, box):
    db.load("jobs")
    db.sql("INSERT INTO jobs (status) SELECT 'running' FROM generate_series(1, 200000)")
    directories(box, [1, 777, 200000, 200001])
    result = run(pgsweep, box)
    assert result["kept"]["active_job"] == 3 and result["directories_deleted"] == 1
    assert sorted(os.listdir(box.root)) == ["1", "200000", "777"]


def test_T3_errors_are_counted_by_kind_and_the_rest_goes(pgsweep, box):
    need_root()
    box.file("free")
    for i in range(3):
        box.file(f"locked/f{i}")
    box.root.chmod(0o777)
    os.chown(box.root / "free", NOBODY, NOBODY)
    # The binary as a user who may write into the root and nowhere else in it.
    done = subprocess.run([harness.public_binary(), "tempfiles", "--root", str(box.root), "--format=json", "--quiet"],
                          env={"PATH": "/usr/bin:/bin", "PGSWEEP_TEMPFILES_IN_USE": "delete"}, user=NOBODY, group=NOBODY,
                          extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", check=False)
    assert done.returncode == 1, done
    found = json.loads(done.stdout)
    assert found["outcome"] == "partial" and found["files_deleted"] == 1
    assert sum(entry["count"] for entry in found["errors"]) == found["failed"] == 3
    assert {entry["errno"] for entry in found["errors"]} <= {1, 13}
    # Each kind of error once, even when nothing else is printed: cron mails it.
    assert len(re.findall(r"^pgsweep: warning: cannot \w+ /", done.stderr, re.M)) == len(found["errors"])


def test_T3_share_of_failures_raises_an_alert(pgsweep, box, policy_file):
    need_root()
    box.file("a")
    if os.system(f"chattr +i {box.root}/a 2>/dev/null") != 0:
        pytest.skip("no immutable files here")
    policies = policy_file("kind: files\nretain: 7 days\nalerts: {failed_share: 10%}\n", "mine")
    result = pgsweep("mine", "--root", box.root, "--policy-dir", policies)
    assert result.code == 6, result
    assert "pgsweep: alert: policy mine" in result.err and "1 of 1 items failed, more than 10%" in result.err
    assert re.search(r"\n  errors +1  1 Operation not permitted\n", result.out), result
