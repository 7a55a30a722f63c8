"""The audit trail: what a role may do with the state schema, and what the record of a run holds, a refused one too.
D6, D8, O5."""
import hashlib

import psycopg2
import pytest

from sweeping import init, policy, run

DENIED = psycopg2.errors.InsufficientPrivilege


@pytest.fixture
def jobs(db):
    db.load("jobs")
    db.sql("INSERT INTO jobs (status, created_at) SELECT 'finished', now() - interval '8 days' FROM generate_series(1, 5);"
           "INSERT INTO job_logs (job_id, line) SELECT id, 'x' FROM jobs")
    return db


@pytest.fixture
def sweeper(jobs, pgsweep):
    """A role with what README says, and no more."""
    role = jobs.role("sweeper", "SELECT, UPDATE, DELETE ON jobs, job_logs")
    assert pgsweep("init", "--role", role, "--quiet").code == 0
    return role


def as_role(db, role, statement, *values):
    """Runs one statement as that role, with a connection of its own."""
    with db.connect(user=role).cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# What a role may do

def test_D8_the_grants_suffice_for_rows(jobs, pgsweep, sweeper, start_pgsweep):
    jobs.sql("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                    $$BEGIN RAISE EXCEPTION 'no'; END$$;
                CREATE TRIGGER refuse BEFORE DELETE ON jobs FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION refuse()""")
    jobs.sql(f'ALTER TABLE jobs OWNER TO "{sweeper}"; ALTER FUNCTION refuse() OWNER TO "{sweeper}"')
    run(pgsweep, "jobs", "--dry-run", user=sweeper)
    run(pgsweep, "jobs", user=sweeper, code=1)
    letter, = jobs.column("SELECT id FROM pgsweep.dead_letters")
    for words in (("list",), ("show", letter), ("retry", letter), ("discard", letter), ("retry", "jobs")):
        result = pgsweep("dlq", *words, user=sweeper)
        assert result.code == (2 if words == ("retry", "jobs") else 0), result
    assert jobs.column("SELECT id FROM jobs") == [3]
    jobs.sql("DROP TRIGGER refuse ON jobs")
    assert pgsweep("dlq", "retry", letter, user=sweeper).code == 0
    run(pgsweep, "jobs", user=sweeper)
    assert jobs.count("jobs") == 0


def test_D8_the_grants_suffice_after_a_kill(jobs, pgsweep, sweeper, start_pgsweep):
    jobs.sql("INSERT INTO jobs (status, created_at) SELECT 'finished', now() - interval '8 days' FROM generate_series(1, 300)")
    running = start_pgsweep("jobs", "--chunk", "10", "--pause", "200 ms", "--verbose", user=sweeper)
    running.wait_for("deleted")
    running.kill()
    run(pgsweep, "jobs", user=sweeper)
    assert jobs.count("jobs") == 0
    assert jobs.column("SELECT outcome FROM pgsweep.runs ORDER BY started") == ["interrupted", "done"]


def test_D8_the_grants_suffice_for_objects(mocs, s3, pgsweep):
    """Queued, refused by the store, retried, bound again, given up, put back and discarded."""
    db = mocs.db
    role = db.role("sweeper", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public")
    assert pgsweep("init", "--role", role, "--quiet").code == 0
    mocs.add(1, files=["a", "b"])
    s3.down()
    mocs.run(code=1, user=role)
    s3.reset()
    ids = db.column("SELECT id FROM pgsweep.object_queue ORDER BY value")
    assert len(ids) == 2
    env = {**mocs.env, "PGUSER": role}
    for words in (("list",), ("sources",), ("rebind", "mocs"), ("retry",), ("retry", ids[0]), ("discard", ids[0])):
        result = pgsweep("objects", *words, env=env)
        assert result.code == 0, result
    letter, = db.column("SELECT id FROM pgsweep.dead_letters")
    assert pgsweep("dlq", "retry", letter, env=env).code == 0
    assert pgsweep("objects", "drain", env=env).code == 0
    assert mocs.keys() == [] and db.count("pgsweep.object_queue") == 0
    mocs.add(2, files=["c"])
    s3.down()
    mocs.run(code=1, user=role)
    db.sql("UPDATE pgsweep.object_queue SET attempts = 9, next_attempt = now()")
    pgsweep("objects", "drain", env=env)  # given up: a dead letter
    assert db.column("SELECT state FROM pgsweep.dead_letters") == ["parked"]
    s3.reset()
    column = db.value("SELECT max(id) FROM pgsweep.object_sources")
    assert pgsweep("objects", "forget", column, env=env).code == 0


FORGERIES = [
    "UPDATE pgsweep.runs SET outcome = 'done'",
    "UPDATE pgsweep.runs SET deleted = '{}', chunks = 0",
    "UPDATE pgsweep.runs SET error = NULL",
    "UPDATE pgsweep.runs SET outcome = 'running', finished = NULL",
    "UPDATE pgsweep.runs SET policy_text = ''",
    "UPDATE pgsweep.runs SET role = 'somebody'",
    "UPDATE pgsweep.runs SET started = now() - interval '1 year'",
    "UPDATE pgsweep.runs SET run_id = 'x'",
    "DELETE FROM pgsweep.runs",
    "TRUNCATE pgsweep.runs",
    "DROP TRIGGER keep_records ON pgsweep.runs",
    "ALTER TABLE pgsweep.runs DISABLE TRIGGER ALL",
    "INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, host, pid, version) VALUES ('x', 'jobs', 'live', 'done', 'h', 1, '1')",
    "INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, role, host, pid, version)"
    " VALUES ('x', 'jobs', 'live', 'running', 'somebody', 'h', 1, '1')",
    "INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, started, host, pid, version)"
    " VALUES ('x', 'jobs', 'live', 'running', now() - interval '1 year', 'h', 1, '1')",
    "INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, host, pid, version)"
    " SELECT run_id, policy, mode, 'running', host, pid, version FROM pgsweep.runs"
    " ON CONFLICT (run_id) DO UPDATE SET outcome = 'running'",
    "UPDATE pgsweep.state SET version = 1",
]


@pytest.mark.parametrize("statement", FORGERIES)
def test_D8_the_sweeper_cannot_rewrite_the_record(jobs, pgsweep, sweeper, statement):
    run(pgsweep, "jobs", user=sweeper)
    before = jobs.sql("SELECT * FROM pgsweep.runs")
    with pytest.raises(DENIED):
        as_role(jobs, sweeper, statement)
    assert jobs.sql("SELECT * FROM pgsweep.runs") == before


def test_D8_a_closed_record_is_closed_for_its_owner_too(jobs, pgsweep):
    """Where the sweeper installed the schema itself: it must want to, to change it."""
    init(pgsweep)
    run(pgsweep, "jobs")
    with pytest.raises(DENIED):
        jobs.sql("UPDATE pgsweep.runs SET error = 'x'")


def test_D8_init_takes_back_what_was_granted_before(jobs, pgsweep, sweeper):
    jobs.sql(f'GRANT ALL ON ALL TABLES IN SCHEMA pgsweep TO "{sweeper}"')
    assert pgsweep("init", "--role", sweeper).code == 0
    run(pgsweep, "jobs", user=sweeper)
    with pytest.raises(DENIED):
        as_role(jobs, sweeper, "DELETE FROM pgsweep.runs")
    assert jobs.count("pgsweep.runs") == 1
    kinds = set(jobs.sql("SELECT table_name, privilege_type FROM information_schema.role_table_grants"
                         " WHERE grantee = %s AND table_schema = 'pgsweep'", sweeper))
    every = {"state", "runs", "object_queue", "object_sources", "dead_letters", "spared", "locks"}
    queues = {"object_queue", "object_sources", "dead_letters"}
    assert kinds == {*((t, "SELECT") for t in every), ("spared", "INSERT"), ("spared", "DELETE"),
                     ("locks", "INSERT"), ("locks", "UPDATE"),
                     *((t, p) for t in queues for p in ("INSERT", "UPDATE", "DELETE"))}


def test_D8_init_for_the_owner_takes_nothing_from_it(db, pgsweep):
    owner = db.role("owner")
    db.sql(f'GRANT CREATE ON DATABASE {db.name} TO "{owner}"')
    for _ in range(3):
        result = pgsweep("init", "--role", owner, user=owner)
        assert result.code == 0, result
    db.sql(f'DROP SCHEMA pgsweep CASCADE; REVOKE ALL ON DATABASE {db.name} FROM "{owner}"')


def test_D8_an_older_state_schema_is_upgraded(jobs, pgsweep, sweeper):
    """Version 2 before it had these columns, with a run in it."""
    run(pgsweep, "jobs", user=sweeper)
    jobs.sql("DROP TRIGGER keep_records ON pgsweep.runs; DROP TRIGGER begin_records ON pgsweep.runs;"
             "ALTER TABLE pgsweep.runs DROP COLUMN policy_text CASCADE, DROP COLUMN IF EXISTS policy_digest;"
             "ALTER TABLE pgsweep.runs ALTER COLUMN role DROP DEFAULT, ALTER COLUMN retain SET NOT NULL,"
             " ALTER COLUMN cutoff SET NOT NULL; DROP FUNCTION pgsweep.text_digest, pgsweep.keep_records CASCADE")
    assert pgsweep("init", "--role", sweeper).code == 0
    jobs.sql("INSERT INTO jobs (status, created_at) VALUES ('finished', now() - interval '8 days')")
    run(pgsweep, "jobs", user=sweeper)
    assert jobs.column("SELECT policy_text IS NULL FROM pgsweep.runs ORDER BY started") == [True, False]


# What the record holds

def test_D8_the_record_has_the_policy_as_it_was_used(jobs, pgsweep, sweeper):
    env = {"PGSWEEP_JOBS_MAX_ROWS": "4", "PGPASSWORD": "hush"}
    run(pgsweep, "jobs", "--retain", "8 days", env=env, user=sweeper)
    text, found, role = jobs.sql("SELECT policy_text, policy_digest, role FROM pgsweep.runs")[0]
    shown = pgsweep("show", "jobs", "--retain", "8 days", env=env).out.split("\n", 1)[1]
    assert text == shown and "retain: 8 days" in text and "max_rows: 4" in text and "hush" not in text
    assert found == digest(text) and role == sweeper


def test_D8_a_policy_that_the_database_cannot_spell_is_recorded(server, jobs, pgsweep, policy_file):
    """The text is only kept: that a LATIN1 database has no such character must not stop the run."""
    name = jobs.name + "_latin"
    jobs.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    connection = server.connect(name)
    try:
        env = {"PGDATABASE": name}
        with connection.cursor() as cursor:
            cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
                           "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, '2020-01-01')")
            assert pgsweep("init", env=env).code == 0
            where = policy_file(policy(description="wenig für 5 €"))
            run(pgsweep, "test", "--policy-dir", where, env=env)
            cursor.execute("SELECT policy_text, (SELECT count(*) FROM t) FROM pgsweep.runs")
            text, left = cursor.fetchone()
            assert "5 \\xe2\\x82\\xac" in text and left == 0
    finally:
        connection.close()
        jobs.sql(f"DROP DATABASE {name} WITH (FORCE)" if server_version(jobs) >= 13 else f"DROP DATABASE {name}")


def server_version(db):
    return int(db.value("SHOW server_version_num")) // 10000


def refusals(db):
    return db.sql("SELECT policy, error, policy_text, policy_digest, role, finished IS NOT NULL, chunks"
                  " FROM pgsweep.runs WHERE outcome = 'refused'")


REFUSED = {  # policy, arguments, environment, exit code, what the reason says
    "unlisted": (policy("jobs", "created_at"), [], {}, 4, "job_logs"),
    "broken": ("table: jobs\nage: created_at\nretain: 7\n", [], {}, 2, "number without a unit"),
    "variable": (None, [], {"PGSWEEP_JOBS_RETIAN": "hush"}, 2, "PGSWEEP_JOBS_RETIAN"),
    "option": (None, ["--max-rows", "none"], {}, 2, "max-rows"),
    "column": (policy("jobs", "nosuch"), [], {}, 2, "nosuch"),
    "files": (None, ["--root", "/tmp/x"], {}, 2, "--root"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_D8_a_refused_run_is_recorded(jobs, pgsweep, sweeper, policy_file, case):
    text, args, env, code, why = REFUSED[case]
    if text:
        args = [*args, "--policy-dir", policy_file(text, "jobs")]
    result = pgsweep("jobs", *args, "--dry-run", env=env, user=sweeper)
    assert result.code == code and refusals(jobs) == [], result  # a dry run leaves no trace
    result = pgsweep("jobs", *args, env=env, user=sweeper)
    assert result.code == code and jobs.count("jobs") == 5, result
    (name, error, kept, found, role, finished, chunks), = refusals(jobs)
    assert (name, role, finished, chunks) == ("jobs", sweeper, True, 0)
    assert why in error and "hush" not in error
    assert error.split("\n")[0] in result.err
    if case == "broken" or case == "option":
        assert kept is None or "retain" in kept
    else:
        assert "table: jobs" in kept and found == digest(kept)


def test_D8_what_is_no_refused_run_is_not_recorded(jobs, pgsweep, sweeper):
    """A word that names no policy, another run that is on, a policy of files, other commands."""
    holder = jobs.connect()
    run(pgsweep, "jobs", "--max-rows", "1", user=sweeper)
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (lock_key("jobs"),))
    assert pgsweep("jobs", user=sweeper).code == 75
    assert pgsweep("jbos", user=sweeper).code == 2
    assert pgsweep("tempfiles", "--estimate", "--dry-run", user=sweeper).code == 2
    assert pgsweep("tempfiles", "--root", "relative", user=sweeper).code == 2
    assert pgsweep("show", "jobs", "--retain", "x", user=sweeper).code == 2
    assert pgsweep("jobs", "--nonsense", user=sweeper).code == 2
    assert refusals(jobs) == []


def lock_key(name):
    """src/state/lock.c: "pgsw" and FNV-1a."""
    value = 2166136261
    for byte in name.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return (0x70677377 << 32) | value


SPOILS = {
    "no schema": "DROP SCHEMA pgsweep CASCADE",
    "no rights": "REVOKE INSERT ON pgsweep.runs FROM {role}; REVOKE ALL ON SCHEMA pgsweep FROM {role}",
    "old version": "UPDATE pgsweep.state SET version = 1",
    "no column": "ALTER TABLE pgsweep.runs DROP COLUMN policy_text CASCADE",
    "trouble": "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no record today'; END$$;"
               "CREATE TRIGGER no BEFORE INSERT ON pgsweep.runs FOR EACH ROW EXECUTE FUNCTION no()",
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_D8_the_refusal_is_the_same_where_it_cannot_be_recorded(jobs, pgsweep, sweeper, policy_file, spoil):
    where = policy_file(policy("jobs", "created_at"), "jobs")
    told = pgsweep("jobs", "--policy-dir", where, user=sweeper)
    jobs.sql(SPOILS[spoil].format(role=f'"{sweeper}"'))
    result = pgsweep("jobs", "--policy-dir", where, user=sweeper)
    assert (result.code, result.err) == (told.code, told.err) == (4, told.err)
    assert "no record today" not in result.err and jobs.count("jobs") == 5

