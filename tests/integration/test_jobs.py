"""The built-in policy "jobs": finished jobs of a queue, with their logs."""
import json
import os
import pwd
import re
import socket

import pytest

from sweeping import init, preview_and_run, rows, run, spared

OLD = "now() - interval '8 days'"
FINISHED = ["completed", "complete", "succeeded", "success", "finished", "done", "failed", "failure",
            "error", "errored", "dead", "discarded", "cancelled", "canceled", "aborted", "expired",
            "timeout", "timed_out"]
ACTIVE = ["queued", "pending", "started", "running", "processing", "rendering", "waiting", "active",
          "retrying", "scheduled", "paused", "", "a status of tomorrow", "done?"]


@pytest.fixture
def jobs(db, pgsweep):
    db.load("jobs")
    init(pgsweep)
    return db


def text_jobs(db, column="status text"):
    db.sql(f"CREATE TABLE jobs (id bigserial PRIMARY KEY, {column}, created_at timestamptz NOT NULL);"
           "CREATE INDEX ON jobs (created_at)")


def add(db, status, age=OLD, logs=0):
    job = db.value(f"INSERT INTO jobs (status, created_at) VALUES (%s, {age}) RETURNING id", status)
    for line in range(logs):
        db.sql("INSERT INTO job_logs (job_id, line) VALUES (%s, %s)", job, str(line))
    return job


def test_J1_default_retention_is_seven_days(jobs, pgsweep):
    gone = add(jobs, "completed", "now() - interval '7 days 1 minute'")
    stays = add(jobs, "completed", "now() - interval '7 days' + interval '1 minute'")
    run(pgsweep, "jobs")
    assert jobs.column("SELECT id FROM jobs") == [stays] != [gone]


def test_J1_exactly_at_the_cutoff_stays_and_a_microsecond_older_goes(jobs, pgsweep):
    cutoff = "2026-01-02 03:04:05.678901+00"
    ids = {step: add(jobs, "finished",
                     f"timestamptz '{cutoff}' + interval '{step} microseconds'")
           for step in (-1, 0, 1)}
    preview_and_run(pgsweep, "jobs", "--cutoff", cutoff)
    assert jobs.column("SELECT id FROM jobs ORDER BY id") == [ids[0], ids[1]]


def test_J2_logs_go_with_their_jobs_and_only_with_them(jobs, pgsweep):
    add(jobs, "completed", logs=3)
    add(jobs, "failed", logs=0)
    young = add(jobs, "completed", "now()", logs=2)
    active = add(jobs, "running", logs=4)
    live = preview_and_run(pgsweep, "jobs")
    assert rows(live) == {"public.jobs": 2, "public.job_logs": 3}
    assert jobs.column("SELECT job_id FROM job_logs ORDER BY id") == [young] * 2 + [active] * 4
    assert jobs.value("SELECT count(*) FROM job_logs l LEFT JOIN jobs j ON j.id = l.job_id"
                      " WHERE j.id IS NULL") == 0


def test_J2_logs_go_without_a_declared_cascade_too(jobs, pgsweep, server_log):
    jobs.sql("ALTER TABLE job_logs DROP CONSTRAINT job_logs_job_id_fkey, ADD FOREIGN KEY (job_id)"
             " REFERENCES jobs ON DELETE RESTRICT")
    add(jobs, "completed", logs=3)
    run(pgsweep, "jobs")
    assert jobs.count("jobs") == jobs.count("job_logs") == 0
    deletes = server_log.matching("^(WITH gone AS .)?DELETE")
    assert ["job_logs" in text for text in deletes] == [True, False]


@pytest.mark.parametrize("kind", ["text", "varchar(40)", "char(40)"])
def test_J4_each_unfinished_status_is_spared_and_counted_by_name(db, pgsweep, kind):
    text_jobs(db, f"status {kind}")
    init(pgsweep)
    for number, status in enumerate([*ACTIVE, None]):
        for _ in range(number + 1):
            add(db, status)
    for status in FINISHED:
        add(db, status)
        add(db, status.upper())
    live = preview_and_run(pgsweep, "jobs")
    assert live["deleted"] == 2 * len(FINISHED)
    expected = {("active", status): n + 1 for n, status in enumerate(ACTIVE)}
    expected["active", "(null)"] = len(ACTIVE) + 1
    assert spared(live) == expected
    left = dict(db.sql("SELECT coalesce(rtrim(status), '(null)'), count(*) FROM jobs GROUP BY 1"))
    assert left == {label: n for (_, label), n in expected.items()}
    assert {e["label"]: e["rows"] for e in db.value("SELECT spared FROM pgsweep.runs")} == left


def test_J4_upper_case_active_status_is_spared(db, pgsweep):
    text_jobs(db)
    init(pgsweep)
    for status in ACTIVE:
        add(db, status.upper())
    run(pgsweep, "jobs")
    assert db.count("jobs") == len(ACTIVE)


def test_J4_enum_status(jobs, pgsweep):
    for status in jobs.column("SELECT unnest(enum_range(NULL::job_status))::text"):
        add(jobs, status, logs=1)
    add(jobs, None)
    live = preview_and_run(pgsweep, "jobs")
    names = {"queued", "pending", "started", "running", "processing", "rendering"}
    assert set(jobs.column("SELECT status::text FROM jobs")) == names | {None}
    assert spared(live) == {("active", name): 1 for name in names | {"(null)"}}
    text = pgsweep("jobs", "--dry-run").out
    assert all(f"1 {name}" in text for name in names)


def test_J4_without_a_status_column_nothing_is_guessed(jobs, pgsweep, policy_file, server_log):
    add(jobs, "completed", logs=1)
    jobs.sql("ALTER TABLE jobs DROP COLUMN status, ADD COLUMN state text DEFAULT 'completed'")
    for args in ((), ("--dry-run",)):
        result = pgsweep("jobs", *args)
        assert result.code == 2 and result.out == ""
        line = result.err.splitlines()[0]
        assert 'built-in policy jobs:' in line and 'guard "active"' in line and "status" in line
        assert "pgsweep show jobs" in result.err and "--policy-dir" in result.err
    assert jobs.count("jobs") == jobs.count("job_logs") == 1
    assert not server_log.matching(r"\bDELETE FROM")
    assert jobs.count("pgsweep.runs", "outcome <> 'refused'") == 0
    # What the hint says to do is what helps.
    shown = pgsweep("show", "jobs").out
    directory = policy_file(shown.replace("t.status", "t.state"), "jobs")
    run(pgsweep, "jobs", "--policy-dir", directory)
    assert jobs.count("jobs") == jobs.count("job_logs") == 0


def test_J4_the_line_named_for_a_missing_status_is_the_guards(jobs, pgsweep, policy_file):
    jobs.sql("ALTER TABLE jobs DROP COLUMN status")
    text = pgsweep("show", "jobs").out
    directory = policy_file(text, "jobs")
    err = pgsweep("jobs", "--policy-dir", directory).err
    number = int(err.split("jobs.yaml:")[1].split(":")[0])
    assert "unless:" in text.splitlines()[number - 1], err


def test_jobs_without_logs_table(db, pgsweep):
    text_jobs(db)
    init(pgsweep)
    add(db, "done")
    live = preview_and_run(pgsweep, "jobs")
    assert rows(live) == {"public.jobs": 1} and db.count("jobs") == 0


def test_J5_run_record_holds_what_when_how_many_how_long_by_whom(jobs, pgsweep):
    for _ in range(7):
        add(jobs, "completed", logs=2)
    add(jobs, "running")
    before = jobs.value("SELECT clock_timestamp()")
    live = run(pgsweep, "jobs", "--chunk", "3")
    after = jobs.value("SELECT clock_timestamp()")
    columns = jobs.column("SELECT attname FROM pg_attribute WHERE attrelid = 'pgsweep.runs'::regclass"
                          " AND attnum > 0 AND NOT attisdropped ORDER BY attnum")
    record = dict(zip(columns, jobs.sql("SELECT * FROM pgsweep.runs")[0]))
    assert before <= record.pop("started") <= record.pop("last_chunk") <= record.pop("finished") <= after
    assert record.pop("pid") > 1 and record.pop("version")
    assert jobs.value("SELECT cutoff = %s::timestamptz FROM pgsweep.runs", live["cutoff"])
    assert jobs.value("SELECT started - cutoff BETWEEN '7 days' AND '7 days 10 s' FROM pgsweep.runs")
    del record["cutoff"]
    assert "table: jobs" in record.pop("policy_text") and len(record.pop("policy_digest")) == 64
    assert record.pop("wal_bytes") == live["wal_bytes"] > 0 and record.pop("wal_of") == live["wal_of"]
    assert record == {
        "run_id": live["run_id"], "policy": "jobs", "mode": "live", "outcome": "done",
        "retain": "7 days", "role": jobs.server.user, "os_user": pwd.getpwuid(os.geteuid()).pw_name,
        "host": socket.gethostname(), "total": None, "eligible": 7,
        "deleted": {"public.jobs": 7, "public.job_logs": 14},
        "spared": [{"guard": "active", "label": "running", "rows": 1}],
        "failed": 0, "left_locked": 0, "left_by_limit": 0, "spared_late": 0, "changed": 0, "arrived": 0, "chunks": 3, "error": None,
        "waited": {}, "waited_ms": 0, "dead_rows": {"public.jobs": 7, "public.job_logs": 14}}
    assert json.dumps(rows(live), sort_keys=True) == json.dumps(record["deleted"], sort_keys=True)


def test_J5_each_run_has_a_record_of_its_own_and_a_dry_run_none(jobs, pgsweep):
    first, second = run(pgsweep, "jobs"), run(pgsweep, "jobs")
    run(pgsweep, "jobs", "--dry-run")
    assert jobs.column("SELECT run_id FROM pgsweep.runs ORDER BY started") == \
        [first["run_id"], second["run_id"]]


def test_J6_second_run_completes_what_the_first_left(jobs, pgsweep):
    for _ in range(25):
        add(jobs, "completed", logs=1)
    first = run(pgsweep, "jobs", "--max-rows", "10", "--chunk", "4")
    assert (first["deleted"], first["limit"], jobs.count("jobs")) == (10, "max-rows", 15)
    second = run(pgsweep, "jobs")
    assert (second["deleted"], second["limit"]) == (15, None)
    third = run(pgsweep, "jobs")
    assert (third["deleted"], third["eligible"], third["outcome"]) == (0, 0, "done")
    assert jobs.count("jobs") == jobs.count("job_logs") == 0


def test_J6_unfinished_record_of_a_killed_run_is_noted(jobs, pgsweep):
    add(jobs, "completed")
    run(pgsweep, "jobs", "--max-rows", "1")
    jobs.sql("ALTER TABLE pgsweep.runs DISABLE TRIGGER USER; UPDATE pgsweep.runs SET outcome = 'running', finished = NULL;"
             "ALTER TABLE pgsweep.runs ENABLE TRIGGER USER")
    old = jobs.value("SELECT run_id FROM pgsweep.runs")
    live = run(pgsweep, "jobs")
    assert any(old in remark for remark in live["remarks"])
    assert jobs.value("SELECT outcome FROM pgsweep.runs WHERE run_id = %s", old) == "interrupted"


def test_J7_each_chunk_is_one_transaction_with_its_logs(jobs, pgsweep, server_log):
    for _ in range(20):
        add(jobs, "completed", logs=1)
    live = run(pgsweep, "jobs", "--chunk", "6")
    assert live["chunks"] == 4
    # Between BEGIN and COMMIT: jobs, with which the foreign key deletes their logs, the number of these, and the record, every time.
    open_, seen = False, []
    for text in server_log.statements("pgsweep/jobs/"):
        if "pgsweep.locks" in text:
            open_ = False  # the transaction that takes the lock
        elif text.startswith("BEGIN") and "READ ONLY" not in text:
            open_, inside = True, []
        elif open_ and text.startswith("COMMIT"):
            open_ = False
            seen.append(inside)
        elif open_ and text.startswith("ROLLBACK"):
            open_ = False
        elif open_ and (word := re.match(r"UPDATE|(?:WITH gone AS .)?(DELETE)|SELECT c.(rows), pg_catalog.set_config", text)):
            inside.append(word[1] or word[2] or word[0])
        else:
            assert open_ or "DELETE FROM" not in text, text
    assert seen == [["DELETE", "rows", "UPDATE"]] * 4
    assert jobs.count("jobs") == jobs.count("job_logs") == 0 and jobs.value("SELECT deleted FROM pgsweep.runs") == {
        "public.jobs": 20, "public.job_logs": 20}
