"""Other people's operators, functions, types and tables on the search path: pgsweep uses none of them. The fixture db
fails a test here in which one was used, even where the run went on (tests/README.md)."""
import pytest

from sweeping import init, policy, rows, run

pytestmark = pytest.mark.hostile

# Types of which PostgreSQL compares most by way of another: an overload for exactly these fits better.
KEYS = ["varchar(20)", "name", "char(8)", "code", "int2", "regclass"]
OLD, YOUNG = "timestamptz '2020-01-01'", "now()"


def key(kind, n):
    if kind == "regclass":
        return f"({n} + 100000)::oid::regclass"
    return f"({n})::int2" if kind == "int2" else f"'c' || ({n})"


@pytest.fixture
def world(db, pgsweep):
    """docs, of which 1 to 9 are old and may refer to each other; their files with objects, pages (detached), shared tags."""
    def make(kind, **more):
        init(pgsweep)
        db.sql(f"""CREATE DOMAIN code AS varchar(20);
            CREATE TABLE docs (id {kind} PRIMARY KEY, up {kind} REFERENCES docs ON DELETE CASCADE, at timestamptz, held bool, n int);
            CREATE INDEX ON docs (at); CREATE INDEX ON docs (up);
            INSERT INTO docs SELECT {key(kind, 'n')}, NULL, CASE WHEN n < 10 THEN {OLD} ELSE {YOUNG} END, n = 9, n
              FROM generate_series(1, 12) n;
            UPDATE docs SET up = {key(kind, 1)} WHERE n IN (2, 3);
            CREATE TABLE files (id {kind} PRIMARY KEY, doc {kind} REFERENCES docs, s3 varchar);
            CREATE INDEX ON files (doc);
            INSERT INTO files SELECT {key(kind, 'n')}, id, 'files/' || n FROM docs;
            CREATE TABLE pages (id {kind} PRIMARY KEY, doc {kind} REFERENCES docs); CREATE INDEX ON pages (doc);
            INSERT INTO pages SELECT {key(kind, 'n')}, id FROM docs;
            CREATE TABLE tags (id {kind} PRIMARY KEY);
            INSERT INTO tags SELECT {key(kind, 'n')} FROM generate_series(1, 3) n;
            CREATE TABLE doc_tags (doc {kind} REFERENCES docs, tag {kind} REFERENCES tags, PRIMARY KEY (doc, tag));
            CREATE INDEX ON doc_tags (tag);
            INSERT INTO doc_tags SELECT id, {key(kind, 'CASE WHEN n < 5 THEN 1 WHEN n < 9 THEN 2 ELSE 3 END')} FROM docs""")
        return policy("docs", **more, guards=[{"name": "held", "unless": "t.held"}], dependents=[
            {"table": "docs", "action": "delete"}, {"table": "files", "action": "delete", "objects": ["s3"]},
            {"table": "pages", "action": "detach"}, {"table": "doc_tags", "action": "delete"},
            {"table": "tags", "via": "doc_tags", "action": "delete_orphans"}])
    return make


@pytest.mark.parametrize("transaction, distance", [("row", "far"), ("chunk", "near"), ("chunk", "far")])
@pytest.mark.parametrize("kind", KEYS)
def test_O2_T3_rows_and_what_hangs_on_them_go_by_postgresqls_own_operators(db, pgsweep, policy_file, world, kind, transaction,
                                                                          distance):
    directory = policy_file(world(kind, transaction=transaction))
    args = ("--policy-dir", directory, "--chunk", 3)
    dry = run(pgsweep, "test", "--dry-run", *args)
    live = run(pgsweep, "test", *args, "--cutoff", dry["cutoff"], env={"PGSWEEP_TEST_DISTANCE": distance})
    assert rows(dry) == rows(live) == {"public.docs": 8, "public.files": 8, "public.pages": 8, "public.doc_tags": 8}
    assert db.column("SELECT n FROM docs ORDER BY n") == [9, 10, 11, 12]
    assert db.count("tags") == 1 and db.count("pgsweep.object_queue") == 8


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("kind", KEYS)
def test_O2_T3_a_range_ends_where_postgresqls_own_order_says(db, pgsweep, policy_file, kind, index, distance):
    init(pgsweep)
    db.sql(f"""CREATE DOMAIN code AS varchar(20);
        CREATE TABLE t (id {kind}, more {kind}, at timestamptz, n int, PRIMARY KEY (id, more));
        INSERT INTO t SELECT {key(kind, 'n % 4')}, {key(kind, 'n')}, CASE WHEN n < 10 THEN {OLD} ELSE {YOUNG} END, n
          FROM generate_series(1, 12) n""")
    if index:
        db.sql("CREATE INDEX ON t (at)")
    args = ("--policy-dir", policy_file(policy()), "--chunk", 2)
    env = {"PGSWEEP_TEST_DISTANCE": distance}
    assert run(pgsweep, "test", "--dry-run", *args, env=env)["eligible"] == 9
    assert run(pgsweep, "test", *args, env=env)["chunks"] >= 5
    assert db.column("SELECT n FROM t ORDER BY n") == [10, 11, 12]


def test_O2_T3_jobs_with_keys_of_another_roles_choice(db, pgsweep):
    """What somebody who may create objects in a schema of the path can try: an "=" that says yes to everything."""
    init(pgsweep)
    db.sql(f"""CREATE TABLE jobs (id varchar PRIMARY KEY, status varchar, created_at timestamptz);
        INSERT INTO jobs SELECT 'j' || n, CASE WHEN n % 2 = 0 THEN 'finished' ELSE 'running' END, {OLD}
          FROM generate_series(1, 20) n;
        CREATE TABLE job_logs (id varchar PRIMARY KEY, job_id varchar REFERENCES jobs ON DELETE CASCADE);
        CREATE INDEX ON job_logs (job_id); INSERT INTO job_logs SELECT id, id FROM jobs;
        DROP OPERATOR public.= (varchar, varchar); CREATE FUNCTION public.yes(varchar, varchar) RETURNS bool LANGUAGE plpgsql AS
        $$BEGIN RAISE LOG 'hostile overload: yes'; RETURN true; END$$;
        CREATE OPERATOR public.= (FUNCTION = public.yes, LEFTARG = varchar, RIGHTARG = varchar)""")
    for mode in (["--dry-run"], ["--max-rows", "5"], []):
        run(pgsweep, "jobs", *mode)
        assert db.count("jobs") == {"--dry-run": 20, "--max-rows": 15}.get(mode[0] if mode else "", 10)
    assert db.column("SELECT DISTINCT status::text FROM jobs") == ["running"] and db.count("job_logs") == 10
