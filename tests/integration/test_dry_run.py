"""The dry run: needs only SELECT, changes nothing, counts what a live run would take."""
import pytest

from sweeping import init, policy, preview_and_run, rows, run, spared

WRITES = r"^\s*(INSERT|UPDATE|DELETE|WITH gone|CREATE|ALTER|TRUNCATE|GRANT|LOCK(?!.* IN ACCESS SHARE MODE))|FOR (UPDATE|SHARE|NO KEY)"


@pytest.fixture
def jobs(db):
    db.load("jobs")
    db.sql("INSERT INTO jobs (status, created_at) SELECT s, now() - interval '10 days'"
           " FROM unnest(enum_range(NULL::job_status)) s, generate_series(1, 20);"
           "INSERT INTO job_logs (job_id, line) SELECT id, 'x' FROM jobs, generate_series(1, 3)")
    return db


def contents(db):
    """Everything in the database, down to the versions of its rows."""
    tables = db.column("SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
                       " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')".replace("%%", "%"))
    return {table: db.value(f"SELECT md5(string_agg(t.xmin || t.xmax::text || t.ctid::text || t::text, ''"
                            f" ORDER BY t.ctid)) FROM {table} t") for table in tables}


def test_O2_reader_without_a_state_schema(jobs, pgsweep, server_log):
    reader = jobs.role("reader", "SELECT ON jobs, job_logs")
    before = contents(jobs)
    dry = run(pgsweep, "jobs", "--dry-run", user=reader)
    assert rows(dry) == {"public.jobs": 100, "public.job_logs": 300}
    assert sum(spared(dry).values()) == 120
    assert contents(jobs) == before and jobs.value("SELECT to_regnamespace('pgsweep')") is None
    assert not server_log.matching(WRITES)
    init(pgsweep)
    assert rows(run(pgsweep, "jobs")) == rows(dry)


def test_O2_counts_in_one_read_only_snapshot(jobs, pgsweep, server_log):
    run(pgsweep, "jobs", "--dry-run")
    texts = server_log.statements("pgsweep/jobs/")
    begin = next(i for i, text in enumerate(texts) if "READ ONLY" in text)
    assert "REPEATABLE READ" in texts[begin]
    counts = [i for i, text in enumerate(texts) if '"public"."job' in text and "count(*)" in text]
    assert len(counts) == 1 and all(i > begin for i in counts)
    assert not any(text.startswith("COMMIT") for text in texts)


def test_O2_a_condition_that_writes_is_stopped(jobs, pgsweep, policy_file):
    jobs.sql("CREATE FUNCTION sly(bigint) RETURNS boolean LANGUAGE plpgsql AS"
             " $$BEGIN DELETE FROM job_logs; RETURN true; END$$")
    directory = policy_file(policy("jobs", age="created_at", where="sly(t.id)", dependents=[
        {"table": "job_logs", "action": "delete"}]))
    result = pgsweep("test", "--dry-run", "--policy-dir", directory)
    assert result.code == 2 and "read-only transaction" in result.err
    assert jobs.count("job_logs") == 660


@pytest.mark.parametrize("forced", [True, False])
def test_O2_row_level_security_is_an_error_not_a_short_count(jobs, pgsweep, forced):
    reader = jobs.role("reader", "SELECT ON jobs, job_logs")
    jobs.sql(
        "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON jobs USING (mod(id, 2) = 0)")
    user = reader
    if forced:
        owner = jobs.role("owner")
        jobs.sql(f'ALTER TABLE jobs OWNER TO "{owner}"; ALTER TABLE jobs FORCE ROW LEVEL SECURITY;'
                 f'GRANT SELECT ON job_logs TO "{owner}"')
        user = owner
    result = pgsweep("jobs", "--dry-run", user=user)
    if forced:
        jobs.sql(f'ALTER TABLE jobs OWNER TO "{jobs.server.user}"; DROP OWNED BY "{user}"')
    assert result.code == 2 and "row-level security" in result.err and "eligible" not in result.out


@pytest.mark.parametrize("table", ["jobs", "job_logs"])
def test_O2_missing_privilege_is_named_as_a_grant(jobs, pgsweep, table):
    other = {"jobs": "job_logs", "job_logs": "jobs"}[table]
    reader = jobs.role("reader", f"SELECT ON {other}")
    result = pgsweep("jobs", "--dry-run", user=reader)
    assert result.code == 2 and f'GRANT SELECT ON "public"."{table}" TO' in result.err
    jobs.sql(result.err.split("hint: ")[1].strip())
    run(pgsweep, "jobs", "--dry-run", user=reader)


def test_live_run_needs_what_the_grants_say_and_no_more(jobs, pgsweep):
    sweeper = jobs.role("sweeper", "SELECT ON jobs, job_logs")
    assert pgsweep("init", "--role", sweeper, "--quiet").code == 0
    for _ in range(2):
        result = pgsweep("jobs", user=sweeper)
        assert result.code == 2 and "GRANT SELECT, UPDATE, DELETE ON" in result.err
        jobs.sql(result.err.split("hint: ")[1].strip())
    assert run(pgsweep, "jobs", user=sweeper)["deleted"] == 100


def test_live_run_without_a_state_schema_names_the_way_out(jobs, pgsweep, server_log):
    result = pgsweep("jobs")
    assert result.code == 2 and "pgsweep init" in result.err
    assert jobs.count("jobs") == 220 and not server_log.matching(r"\bDELETE FROM")


def test_dry_run_beside_a_live_lock_and_open_transactions(jobs, pgsweep):
    """It waits for nobody's row locks and sees only what is committed."""
    other = jobs.connect(autocommit=False).cursor()
    other.execute("DELETE FROM job_logs; UPDATE jobs SET status = 'running'")
    assert rows(run(pgsweep, "jobs", "--dry-run")) == {"public.jobs": 100, "public.job_logs": 300}
    other.connection.rollback()
