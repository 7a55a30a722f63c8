"""The cutoff, by retention or by hand, and the budget of a run."""
import time

import pytest

from sweeping import init, policy, preview_and_run, run


@pytest.fixture
def days(db, pgsweep, policy_file):
    """Rows 1 to 60 days old, id = age in days (and half a day more)."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT n, now() - (n + 0.5) * interval '1 day' FROM generate_series(1, 60) n")
    db.directory = policy_file(policy())
    return db


def survivors(db):
    return db.column("SELECT id FROM t ORDER BY id")


@pytest.mark.parametrize("retain, left", [
    ("30 days", 29), ("30d", 29), ("P30D", 29), ("720 hours", 29), ("12 hours", 0), ("PT12H", 0),
    ("2 weeks", 13), ("1 week 2 days", 8), ("1 week, 2 days", 8), ("90 min", 0), ("1.5 days", 0),
    ("100 years", 60)])
def test_F4_retention_with_a_unit(days, pgsweep, retain, left):
    preview_and_run(pgsweep, "test", "--policy-dir", days.directory, "--retain", retain)
    kept = survivors(days)
    # A whole row may be half a day from the edge; "1.5 days" is exactly at one.
    assert len(kept) in (left, left + 1) if retain == "1.5 days" else kept == list(range(1, left + 1))


def test_F4_a_month_is_a_calendar_month(days, pgsweep):
    expected = days.column("SELECT id FROM t WHERE at >= now() - interval '1 month' ORDER BY id")
    run(pgsweep, "test", "--policy-dir", days.directory, "--retain", "1 month")
    assert survivors(days) == expected


WRONG = [
    "0 days", "0.0 days", "-3 days", "30", "", " ", "5 m", "1 fortnight", "days", "30 days ago", "P", "PT",
    "P30", "1 day 2", "999999999999999 years", "300000 years", "7 dayz", "infinity", "-infinity", "NULL", "1e400 days",
    "30 days; DROP TABLE t", "1 day 1", "02:30", "3 days -2 hours"]


@pytest.mark.parametrize("way", ["option --retain", "PGSWEEP_TEST_RETAIN", "test.yaml:"])
def test_F4_what_is_no_retention_is_refused(days, pgsweep, policy_file, server_log, way):
    for retain in WRONG:
        args = [f"--retain={retain}"] if way.startswith("option") else []
        env = {way: retain} if way.startswith("PGSWEEP") else {}
        directory = policy_file(policy(retain=retain)) if way.endswith(":") else days.directory
        result = pgsweep("test", "--policy-dir", directory, *args, env=env)
        assert result.code == 2 and way in result.err and result.out == "", result
        assert "parameter $" not in result.err, result
    assert len(survivors(days)) == 60 and not server_log.matching(r"\bDELETE FROM")


@pytest.mark.parametrize("text", [
    "2026-06-01 12:00:00+00", "2026-06-01T12:00:00Z", "2026-06-01 12:00", "2026-06-01 17:30:00+05:30",
    "2026-06-01 08:00:00 America/New_York", "20260601T120000Z", "2026-06-01 12:00:00.000000 UTC"])
def test_cutoff_in_many_spellings_is_one_moment(db, pgsweep, policy_file, text):
    init(pgsweep)
    db.sql(f'ALTER DATABASE "{db.name}" SET TimeZone = \'Asia/Kolkata\';'
           f'ALTER DATABASE "{db.name}" SET DateStyle = \'SQL, DMY\'')
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t"
           " VALUES (1, '2026-06-01 11:59:59.999999+00'), (2, '2026-06-01 12:00:00+00')")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--cutoff", text)
    assert live["cutoff"] == "2026-06-01 12:00:00+00" and survivors(db) == [2]


@pytest.mark.parametrize("text, said", [
    ("2999-01-01", "future"), ("yesterday", "not a point in time"), ("now", "not a point in time"),
    ("tomorrow", "not a point in time"), ("today", "not a point in time"), ("epoch", "not a point in time"),
    ("infinity", "not a point in time"), ("-infinity", "not a point in time"), ("soon", "option --cutoff"),
    ("", "option --cutoff"), ("2026-02-30", "option --cutoff"), ("1764547200", "option --cutoff")])
def test_cutoff_that_makes_no_sense_is_refused(days, pgsweep, text, said):
    for mode in ([], ["--dry-run"]):
        result = pgsweep("test", "--policy-dir", days.directory, f"--cutoff={text}", *mode)
        assert result.code == 2 and said in result.err and "option --cutoff" in result.err, result
        assert "parameter" not in result.err, result
    assert len(survivors(days)) == 60


def test_O2_same_cutoff_same_counts_although_time_goes_on(days, pgsweep):
    cutoff = days.value("SELECT (now() - interval '20 days')::text")
    live = preview_and_run(pgsweep, "test", "--policy-dir", days.directory, "--cutoff", cutoff)
    assert live["deleted"] == 41 and survivors(days) == list(range(1, 20))


STRATEGIES = {"range": {}, "locked": {"where": "EXISTS (SELECT)"}}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("chunk, maximum", [(1, 1), (7, 10), (10, 10), (50, 3), (3, 52), (3, 53), (3, 54)])
def test_max_rows_is_exact(days, pgsweep, policy_file, strategy, chunk, maximum):
    directory = policy_file(policy(**STRATEGIES[strategy]))
    live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", chunk, "--max-rows", maximum)
    expected = min(maximum, 54)
    assert (live["strategy"], live["deleted"]) == (strategy, expected)
    # The oldest go first.
    assert survivors(days) == list(range(1, 61 - expected))
    assert live["limit"] == ("max-rows" if maximum < 54 else None)
    assert live["outcome"] == ("limit" if maximum < 54 else "done")
    outcome = days.value("SELECT outcome FROM pgsweep.runs")
    assert outcome == live["outcome"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunk_is_the_largest_transaction(days, pgsweep, policy_file, strategy):
    directory = policy_file(policy(**STRATEGIES[strategy]))
    days.sql("CREATE TABLE log (x bigint); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
             " $$BEGIN INSERT INTO log VALUES (txid_current()); RETURN OLD; END$$;"
             "CREATE TRIGGER note BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()")
    run(pgsweep, "test", "--policy-dir", directory, "--chunk", "8")
    assert days.column("SELECT count(*) FROM log GROUP BY x ORDER BY min(x::text::bigint)") == [8] * 6 + [6]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pause_and_max_runtime(days, pgsweep, policy_file, strategy):
    directory = policy_file(policy(**STRATEGIES[strategy]))
    result = pgsweep("test", "--policy-dir", directory, "--chunk", "2", "--pause", "200 ms",
                     "--max-runtime", "500 ms")
    assert result.code == 0 and "stopped at max-runtime" in result.out
    gone = 60 - len(survivors(days))
    assert gone <= 8 and f"{54 - gone} eligible rows are left" in result.out
    started = time.monotonic()
    run(pgsweep, "test", "--policy-dir", directory, "--chunk", "20", "--pause", "200 ms")
    assert time.monotonic() - started >= 0.4 and len(survivors(days)) == 6


def test_limits_in_the_file_and_their_order_of_precedence(days, pgsweep, policy_file):
    directory = policy_file(policy(chunk=2, limits={"max_rows": 5}))
    assert run(pgsweep, "test", "--policy-dir", directory)["deleted"] == 5
    env = {"PGSWEEP_TEST_MAX_ROWS": "7"}
    assert run(pgsweep, "test", "--policy-dir", directory, env=env)["deleted"] == 7
    assert run(pgsweep, "test", "--policy-dir", directory, "--max-rows", "9", env=env)["deleted"] == 9
    assert len(survivors(days)) == 60 - 21


@pytest.mark.parametrize("option", ["--chunk=0", "--chunk=-1", "--chunk=many", "--chunk=100001", "--max-rows=0",
                                    "--max-rows=1.5", "--max-runtime=10", "--pause=5 m", "--pause=-1 s",
                                    "--max-runtime=0 s"])
def test_budget_that_makes_no_sense_is_refused(days, pgsweep, option):
    result = pgsweep("test", "--policy-dir", days.directory, option)
    assert result.code == 2 and option.split("=")[0] in result.err and len(survivors(days)) == 60, result
