"""A reference means what PostgreSQL means by it: rows are matched with the operators and collations of the constraint."""
import pytest

from sweeping import init, policy, preview_and_run, rows, run, spared

OLD = "now() - interval '1 year'"


@pytest.fixture
def citext(db, pgsweep):
    """t and c with keys of a type that the search path does not lead to: its "=" ignores case."""
    init(pgsweep)
    db.sql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext;"
           "CREATE TABLE t (id ext.citext PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t VALUES ('acme', {OLD}), ('Bolt', {OLD}), ('cafe', now())")
    return db


def child(db, key, rule="CASCADE", values="('ACME'), ('bolt'), ('CAFE')", constraint=True):
    reference = f"REFERENCES t ON DELETE {rule}" if constraint else ""
    db.sql(f"CREATE TABLE c (id serial PRIMARY KEY, t_id {key} {reference}); CREATE INDEX ON c (t_id);"
           f"INSERT INTO c (t_id) VALUES {values}")


def test_O2_rows_are_deleted_with_the_operator_of_their_constraint(citext, pgsweep, policy_file):
    child(citext, "ext.citext", "NO ACTION")
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy(dependents=[{"table": "c", "action": "delete"}])))
    assert rows(live) == {"public.t": 2, "public.c": 2}
    assert citext.column("SELECT t_id::text FROM c") == ["CAFE"]


def test_M9_a_kept_row_keeps_whatever_the_case_of_its_key(citext, pgsweep, policy_file):
    child(citext, "ext.citext", values="('ACME')")
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy(dependents=[{"table": "c", "action": "keep"}])))
    assert spared(live) == {("has c", None): 1}
    assert citext.column("SELECT id::text FROM t ORDER BY 1") == ["acme", "cafe"] and citext.count("c") == 1


@pytest.mark.parametrize("action", ["delete", "detach"])
def test_F5_a_stated_reference_compares_as_the_types_do(citext, pgsweep, policy_file, action):
    child(citext, "ext.citext", constraint=False)
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(
        references=[{"table": "c", "refers_to": "t", "columns": {"t_id": "id"}}],
        dependents=[{"table": "c", "action": action}])))
    assert rows(live) == {"public.t": 2, "public.c": 2}
    assert citext.column("SELECT t_id::text FROM c WHERE t_id IS NOT NULL") == ["CAFE"]


def test_M4_shared_rows_lose_their_last_reference_by_the_operator_of_the_constraint(citext, pgsweep, policy_file):
    citext.sql("CREATE TABLE tag (name ext.citext PRIMARY KEY); INSERT INTO tag VALUES ('red'), ('blue'), ('green');"
               "CREATE TABLE c (id serial PRIMARY KEY, t_id ext.citext REFERENCES t, tag ext.citext REFERENCES tag);"
               "INSERT INTO c (t_id, tag) VALUES ('ACME', 'RED'), ('ACME', 'BLUE'), ('CAFE', 'Blue')")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(dependents=[
        {"table": "c", "action": "delete"}, {"table": "tag", "via": "c", "action": "delete_orphans"}])))
    assert live["deleted"] == 2
    assert citext.column("SELECT name::text FROM tag ORDER BY 1") == ["blue", "green"]


def collations_may_differ(db):
    if db.connect().server_version >= 180000:
        pytest.skip("PostgreSQL 18 refuses a foreign key whose columns differ in a nondeterministic collation")


@pytest.mark.parametrize("action", ["delete", "detach", "keep"])
def test_O2_a_nondeterministic_collation_of_the_parent_counts(db, pgsweep, policy_file, action):
    collations_may_differ(db)
    init(pgsweep)
    db.sql("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
           "CREATE TABLE t (id text COLLATE ci PRIMARY KEY, at timestamptz);"
           "CREATE TABLE c (id serial PRIMARY KEY, t_id text REFERENCES t ON DELETE CASCADE);"
           f"INSERT INTO t VALUES ('acme', {OLD}), ('Bolt', {OLD}), ('cafe', now());"
           "INSERT INTO c (t_id) VALUES ('ACME'), ('bolt'), ('CAFE')")
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy(dependents=[{"table": "c", "action": action}])))
    if action == "keep":
        assert spared(live) == {("has c", None): 2} and (db.count("t"), db.count("c")) == (3, 3)
    else:
        assert rows(live) == {"public.t": 2, "public.c": 2} and db.count("t") == 1
        assert db.column("SELECT t_id FROM c WHERE t_id IS NOT NULL") == ["CAFE"]


def test_O2_object_keys_of_rows_in_another_collation_are_not_lost(db, pgsweep, policy_file):
    collations_may_differ(db)
    init(pgsweep)
    db.sql("CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
           "CREATE TABLE t (id text COLLATE ci PRIMARY KEY, at timestamptz);"
           "CREATE TABLE c (id serial PRIMARY KEY, t_id text REFERENCES t ON DELETE CASCADE, key text);"
           f"INSERT INTO t VALUES ('acme', {OLD}); INSERT INTO c (t_id, key) VALUES ('ACME', 'a.png'), ('acme', 'b.png')")
    pgsweep("test", "--policy-dir", policy_file(policy(dependents=[{"table": "c", "action": "delete", "objects": ["key"]}])))
    assert db.count("c") == 0
    assert db.column("SELECT value FROM pgsweep.object_queue ORDER BY 1") == ["a.png", "b.png"]


@pytest.mark.parametrize("parent, key", [
    ("int8", "int4"), ("int4", "int8"), ("text", "varchar(10)"), ("varchar(10)", "text"), ("num", "num"), ("int4", "num"),
    ("num", "int8"), ("numeric", "int4"), ("char(4)", "char(9)"), ("date", "timestamp"), ("text", "ext.citext")])
@pytest.mark.parametrize("constraint", [True, False], ids=["declared", "stated"])
def test_O2_keys_of_different_types_match(db, pgsweep, policy_file, parent, key, constraint):
    init(pgsweep)
    db.sql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE DOMAIN num AS int4 CHECK (VALUE > 0)")
    if parent == "date":
        old, young = "2020-01-01", "2020-01-02"
    else:
        old, young = "1", "2"
    db.sql(f"CREATE TABLE t (id {parent} PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t VALUES ('{old}', {OLD}), ('{young}', now())")
    child(db, key, "NO ACTION", f"('{old}'), ('{young}'), (NULL)", constraint)
    more = {} if constraint else {"references": [{"table": "c", "refers_to": "t", "columns": {"t_id": "id"}}]}
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy(dependents=[{"table": "c", "action": "delete"}], **more)))
    assert rows(live) == {"public.t": 1, "public.c": 1} and (db.count("t"), db.count("c")) == (1, 2)


def test_O2_the_row_that_others_are_reassigned_to_is_spared_whatever_the_case_of_its_key(citext, pgsweep, policy_file):
    child(citext, "ext.citext", values="('bolt')")
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy(dependents=[{"table": "c", "action": "reassign", "to": "ACME"}])))
    assert spared(live) == {("takes over c", None): 1} and citext.column("SELECT t_id::text FROM c") == ["ACME"]
    assert citext.column("SELECT id::text FROM t ORDER BY 1") == ["acme", "cafe"]
