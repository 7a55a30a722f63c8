"""The count: exact in a dry run, information before a live run, and what is told when it does not come to its end."""
import re
import signal

import pytest

import harness
import test_tokens
from sweeping import init, policy, rows, run

TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX ON t (at);
    CREATE TABLE child (id int PRIMARY KEY, t_id int NOT NULL REFERENCES t);
    CREATE INDEX ON child (t_id);
    INSERT INTO t SELECT i, now() - interval '30 days' FROM generate_series(1, 50) AS i;
    INSERT INTO t SELECT i, now() FROM generate_series(1001, 1010) AS i;
    INSERT INTO child SELECT i, i FROM generate_series(1, 20) AS i"""
CHILDREN = [{"table": "child", "action": "delete"}]


def condition(db, body):
    """A function for where; body runs for each row. The count runs in a read-only transaction, the sweep does not."""
    db.sql("CREATE FUNCTION slow(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN " + body + " RETURN true; END $$")


IN_COUNT = "current_setting('transaction_read_only') = 'on'"


@pytest.mark.parametrize("form", ["text", "json"])
def test_O2_an_interrupted_dry_run_says_what_was_not_counted(db, pgsweep, policy_file, form):
    db.sql(TABLE)
    condition(db, "PERFORM pg_sleep(300);")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN))
    running = pgsweep.start("test", "--dry-run", "--policy-dir", directory, f"--format={form}")
    harness.wait_until(lambda: db.value("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgsweep/test/%%'"
                                        " AND wait_event = 'PgSleep'"), what="the count")
    running.signal(signal.SIGINT)
    result = running.wait()
    assert result.code == 130, result
    if form == "json":
        report = result.json()
        assert report["eligible"] is None and report["total"] is None and report["spared"] is None
        assert report["count"] == "none" and report["signal"] == 2 and report["outcome"] == "stopped"
        assert [entry["rows"] for entry in report["tables"]] == [None, None]
    else:
        assert re.search(r"^  t +not counted  delete$", result.out, re.M), result
        assert re.search(r"child +not counted  delete$", result.out, re.M), result
        assert "signal 2" in result.out


@pytest.mark.parametrize("limit", ["100 ms", "0 s"])
@pytest.mark.parametrize("args, gone", [([], 50), (["--max-rows=20"], 20)], ids=["all", "max-rows"])
def test_M5_a_run_does_not_wait_for_its_count(db, pgsweep, policy_file, args, gone, limit):
    db.sql(TABLE)
    init(pgsweep)
    condition(db, f"IF {IN_COUNT} THEN PERFORM pg_sleep(300); END IF;")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN, limits={"count_timeout": limit}))
    report = run(pgsweep, "test", "--policy-dir", directory, *args)
    assert db.count("t", "id <= 1000") == 50 - gone and db.count("t", "id > 1000") == 10
    assert report["deleted"] == gone and report["outcome"] == ("limit" if args else "done")
    assert report["count"] == "none" and report["count_limit"] == limit
    assert report["eligible"] is None and report["total"] is None and report["spared"] is None
    assert db.sql("SELECT eligible, total, outcome FROM pgsweep.runs") == [(None, None, report["outcome"])]
    assert report["stderr"] == ""


def test_M5_a_run_without_a_total_says_so(db, pgsweep, policy_file, tmp_path):
    db.sql(TABLE)
    init(pgsweep)
    condition(db, f"IF {IN_COUNT} THEN PERFORM pg_sleep(300); END IF;")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN))
    metrics = tmp_path / "metrics"
    result = pgsweep("test", "--policy-dir", directory, "--count-timeout=50 ms", "--max-rows=20", "--metrics-file", metrics)
    assert result.code == 0 and db.count("t", "id <= 1000") == 30, result
    assert "took longer than 50 ms (count_timeout)" in result.out and "eligible not counted, deleted 20" in result.out, result
    assert "30 eligible rows are left" in result.out, result  # looked up at the end
    # What is not known is left out of the metrics.
    assert "eligible" not in metrics.read_text() and "pgsweep_last_run_processed" in metrics.read_text()


def test_O5_without_a_total_a_locked_row_is_not_taken_for_done(db, pgsweep, policy_file):
    db.sql(TABLE)
    init(pgsweep)
    condition(db, f"IF {IN_COUNT} THEN PERFORM pg_sleep(300); END IF;")
    other = db.connect(autocommit=False).cursor()
    other.execute("SELECT FROM t WHERE id = 7 FOR UPDATE")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN))
    report = run(pgsweep, "test", "--policy-dir", directory, "--count-timeout=50 ms", code=1)
    assert report["left_locked"] == 1 and db.column("SELECT id FROM t WHERE id <= 1000") == [7]


def test_M5_the_limits_of_count_and_sweep(db, pgsweep, policy_file):
    """30 s for the count, whatever the role has; the sweep has its own limit back. (Writing down what a run spares has none.)"""
    db.sql(TABLE)
    init(pgsweep)
    condition(db, f"IF {IN_COUNT} AND current_setting('statement_timeout') <> '30s' OR NOT {IN_COUNT} AND"
                  " current_setting('statement_timeout') NOT IN ('30min', '0') THEN"
                  " RAISE EXCEPTION 'limit %', current_setting('statement_timeout'); END IF;")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN))
    report = run(pgsweep, "test", "--policy-dir", directory, env={"PGOPTIONS": "-c statement_timeout=60000"})
    assert report["deleted"] == report["eligible"] == 50 and report["count"] == "exact"


def test_M5_count_timeout_comes_from_the_policy_the_environment_and_the_option(pgsweep, policy_file):
    directory = policy_file(policy(limits={"count_timeout": "1 s"}))
    args = ("show", "test", "--policy-dir", directory)
    assert "count_timeout: 1 s" in pgsweep(*args).out
    env = {"PGSWEEP_TEST_COUNT_TIMEOUT": "2 s"}
    assert "count_timeout: 2 s" in pgsweep(*args, env=env).out
    assert "count_timeout: 3 s" in pgsweep(*args, "--count-timeout=3 s", env=env).out
    for bad in ("soon", "5"):
        result = pgsweep(*args, f"--count-timeout={bad}")
        assert result.code == 2 and "--count-timeout" in result.err, result


def test_O2_a_dry_run_that_takes_too_long_names_the_estimate(db, pgsweep, policy_file):
    db.sql(TABLE)
    condition(db, "RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';")
    directory = policy_file(policy(where="slow(t.id)", dependents=CHILDREN))
    result = pgsweep("test", "--dry-run", "--policy-dir", directory)
    assert result.code == 2 and "statement timeout" in result.err and "--estimate" in result.err, result
    # What the hint says helps.
    assert pgsweep("test", "--dry-run", "--estimate", "--policy-dir", directory).code == 0


def test_O2_an_estimate_reads_no_table_and_is_marked(db, pgsweep, policy_file, server_log):
    db.sql(TABLE + "; INSERT INTO t SELECT i, now() - i * interval '1 second' FROM generate_series(10001, 30000) AS i;"
           " ANALYZE t; ANALYZE child")
    # It would fail if it ran.
    condition(db, "RAISE EXCEPTION 'this row was read';")
    directory = policy_file(policy(retain="4 hours", dependents=CHILDREN, count_total=True,
                                   guards=[{"name": "never", "unless": "t.id < 0 AND slow(t.id)"}]))
    args = ("test", "--dry-run", "--estimate", "--policy-dir", directory)
    server_log.mark()
    report = run(pgsweep, *args)
    assert report["count"] == "estimate" and report["spared"] is None and report["remarks"] == []
    exact = db.count("t", "at < now() - interval '4 hours'")
    assert exact / 2 <= report["eligible"] <= exact * 2 and rows(report)["public.t"] == report["eligible"]
    assert exact / 1.5 <= report["old_enough"] <= exact * 1.5
    assert rows(report)["public.child"] is not None and report["total"] >= report["eligible"]
    reading = [text for text in server_log.matching(r'"public"\."(t|child)"', "pgsweep/test/")
               if not text.startswith("EXPLAIN")]
    assert not [text for text in reading if "count(" in text], reading
    text = pgsweep(*args).out
    assert re.search(r"^  t +~[\d,]+  delete$", text, re.M) and "estimates from the statistics" in text, text


def test_O2_an_estimate_without_statistics_is_called_a_guess(db, pgsweep, policy_file):
    db.sql(TABLE + "; ANALYZE t")
    args = ("test", "--dry-run", "--estimate", "--policy-dir", policy_file(policy(dependents=CHILDREN)))
    remarks = run(pgsweep, *args)["remarks"]
    assert len(remarks) == 1 and "public.child" in remarks[0] and "ANALYZE" in remarks[0]
    db.sql("ANALYZE child")
    assert run(pgsweep, *args)["remarks"] == []


def test_O2_an_estimate_is_no_live_run(db, pgsweep, policy_file):
    db.sql(TABLE)
    init(pgsweep)
    result = pgsweep("test", "--estimate", "--policy-dir", policy_file(policy(dependents=CHILDREN)))
    assert result.code == 2 and "--dry-run" in result.err and db.count("t") == 60, result
    assert pgsweep("tempfiles", "--dry-run", "--estimate").code == 2


@pytest.mark.parametrize("name", ["jobs", "anonymous", "mocs", "tokens"])
def test_O2_every_built_in_policy_can_be_estimated(db, pgsweep, name):
    if name == "tokens":
        db.sql(test_tokens.SCHEMA.format(type="text"))
    else:
        db.load("auth" if name == "anonymous" else name)
    report = run(pgsweep, name, "--dry-run", "--estimate")
    assert report["eligible"] >= 0 and all(entry["rows"] >= 0 for entry in report["tables"])


def test_O2_a_dry_run_says_where_max_rows_stops(db, pgsweep, policy_file):
    db.sql(TABLE)
    directory = policy_file(policy(dependents=CHILDREN))
    text = pgsweep("test", "--dry-run", "--policy-dir", directory, "--max-rows=20").out
    assert "a live run stops after 20 of them (max_rows)" in text
    assert "max_rows" not in pgsweep("test", "--dry-run", "--policy-dir", directory, "--max-rows=50").out


def test_M3_a_dry_run_counts_what_keeps_shared_rows(db, pgsweep, policy_file):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);"
           "CREATE TABLE images (id int PRIMARY KEY);"
           "CREATE TABLE shown (t_id int REFERENCES t, image_id int REFERENCES images);"
           "CREATE INDEX ON shown (t_id); CREATE INDEX ON shown (image_id);"
           "INSERT INTO t VALUES (1, '2001-01-01'), (2, now());"
           "INSERT INTO images SELECT generate_series(1, 5);"
           "INSERT INTO shown VALUES (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (2, 4)")
    args = ("test", "--policy-dir", policy_file(policy(dependents=[
        {"table": "shown", "action": "delete"},
        {"table": "images", "action": "delete_orphans", "via": "shown"}])))
    report = run(pgsweep, *args, "--dry-run")
    images = [entry for entry in report["tables"] if entry["table"] == "public.images"][0]
    assert images["rows"] == 1 and images["kept"] == 2
    assert images["kept_by"] == [{"table": "public.shown", "constraint": "shown_image_id_fkey", "rows": 2}]
    assert "kept public.images: 2; by public.shown (shown_image_id_fkey) 2" in pgsweep(*args, "--dry-run").out
    init(pgsweep)
    assert "kept" not in [entry for entry in run(pgsweep, *args)["tables"] if entry["table"] == "public.images"][0]
    assert db.column("SELECT id FROM images ORDER BY 1") == [2, 3, 4, 5]


def test_O2_an_estimate_asks_once_for_each_reference(db, pgsweep, policy_file, server_log):
    """Each level refers twice to the one above: 2 to the power of 12 paths lead to the last."""
    levels = 12
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);"
           "INSERT INTO t SELECT i, now() - i * interval '1 day' FROM generate_series(1, 100) AS i;"
           "CREATE TABLE l0 (id int PRIMARY KEY, a int REFERENCES t, b int REFERENCES t);"
           "INSERT INTO l0 SELECT i, 1 + i % 100, NULL FROM generate_series(1, 1000) AS i")
    for level in range(1, levels):
        db.sql(f"CREATE TABLE l{level} (id int PRIMARY KEY, a int REFERENCES l{level - 1}, b int REFERENCES l{level - 1})")
    db.sql("ANALYZE")
    directory = policy_file(policy(dependents=[{"table": f"l{n}", "action": "delete"} for n in range(levels)]))
    server_log.mark()
    report = run(pgsweep, "test", "--dry-run", "--estimate", "--policy-dir", directory)
    assert len(server_log.matching("^EXPLAIN", "pgsweep/test/")) < 5 * levels
    counted = rows(run(pgsweep, "test", "--dry-run", "--policy-dir", directory))
    for table in ("public.t", "public.l0"):
        assert counted[table] / 1.5 <= rows(report)[table] <= counted[table] * 1.5
