"""Code of other roles that fires, the state schema that others made, and what a role of its own needs."""
import re

import pytest

from sweeping import init, policy, run

OLD = "now() - interval '1 year'"


@pytest.fixture
def app(db, pgsweep):
    """Tables of a role "app", run by a role "sweeper"; an audit trigger and a rule of app's."""
    init(pgsweep)
    db.app = db.role("app", "USAGE, CREATE ON SCHEMA public")
    db.sql(f"SET ROLE {db.app}; CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t, n int DEFAULT 0); CREATE INDEX ON c (t);"
           "CREATE TABLE log (who text); INSERT INTO t VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2);"
           "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN INSERT INTO log VALUES (current_user); RETURN NULL; END$$;"
           "GRANT INSERT ON log TO PUBLIC; GRANT EXECUTE ON FUNCTION audit() TO PUBLIC; RESET ROLE")
    db.sweeper = db.role("sweeper", "SELECT, UPDATE, DELETE ON t, c")
    assert pgsweep("init", "--quiet", "--role", db.sweeper).code == 0
    yield db
    db.sql(f"DROP OWNED BY {db.app} CASCADE")


DETACH = policy(dependents=[{"table": "c", "action": "detach"}])
TRIGGER = "CREATE TRIGGER audit AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION audit()"


def as_app(db, text):
    db.sql(f"SET ROLE {db.app}; {text}; RESET ROLE")


def test_T2_triggers_of_other_roles_are_listed_and_refused(app, pgsweep, policy_file):
    as_app(app, TRIGGER)
    args = ("test", "--policy-dir", policy_file(DETACH))
    dry = run(pgsweep, *args, "--dry-run", user=app.sweeper)
    assert dry["triggers"] == [{"table": "public.t", "kind": "trigger", "name": "audit", "when": "after delete for each row",
                                "function": "public.audit()", "owner": app.app, "table_owner": app.app, "trusted": False}]
    assert any("triggers: allow" in note and "PGSWEEP_TEST_TRIGGERS" in note for note in dry["notes"])
    text = pgsweep(*args, "--dry-run", user=app.sweeper).out
    assert f"fires, of another role: trigger audit of public.t (role {app.app})" in text
    for user in (app.sweeper, None):
        result = pgsweep(*args, user=user)
        assert result.code == 4 and app.count("t") == 2, result
        assert all(word in result.err for word in ("trigger audit of public.t", app.app, "public.audit()", "--allow-triggers"))
    result = pgsweep(*args, "--allow-triggers", "--max-rows=1", user=app.sweeper)
    assert result.code == 0 and app.column("SELECT who FROM log") == [app.sweeper], result
    assert pgsweep(*args, user=app.sweeper).code == 4
    assert pgsweep(*args, user=app.sweeper, env={"PGSWEEP_TEST_TRIGGERS": "allow"}).code == 0 and app.count("t") == 0


def test_T2_the_policy_allows_triggers(app, pgsweep, policy_file):
    as_app(app, TRIGGER)
    result = pgsweep("test", "--policy-dir", policy_file(policy(dependents=[{"table": "c", "action": "detach"}],
                                                                 triggers="allow")), user=app.sweeper)
    assert result.code == 0 and app.count("t") == 0, result


def test_T3_a_word_for_triggers_that_is_none(app, pgsweep, policy_file):
    for result in (pgsweep("test", "-n", "--policy-dir", policy_file(policy(triggers="yes"))),
                   pgsweep("jobs", "-n", env={"PGSWEEP_JOBS_TRIGGERS": "yes"})):
        assert result.code == 2 and "triggers" in result.err and "allow" in result.err, result


# What is made, and whether it fires in a run that deletes from t and detaches c.
FIRES = {
    "CREATE TRIGGER x BEFORE UPDATE ON c FOR EACH STATEMENT EXECUTE FUNCTION audit()": True,
    "CREATE TRIGGER x AFTER UPDATE OF t ON c FOR EACH ROW EXECUTE FUNCTION audit()": True,
    "CREATE RULE x AS ON UPDATE TO c DO ALSO INSERT INTO log VALUES (current_user)": True,
    "CREATE RULE x AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (current_user)": True,
    "CREATE FUNCTION own(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'; CREATE INDEX x ON c (own(n))": True,
    "CREATE FUNCTION own(int) RETURNS boolean LANGUAGE sql AS 'SELECT true'; ALTER TABLE c ADD CONSTRAINT x CHECK (own(n))": True,
    "CREATE FUNCTION own(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';"
    "ALTER TABLE c ADD COLUMN x int GENERATED ALWAYS AS (own(n)) STORED": True,
    "CREATE TRIGGER x AFTER UPDATE OF n ON c FOR EACH ROW EXECUTE FUNCTION audit()": False,
    "CREATE TRIGGER x AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION audit()": False,
    "CREATE TRIGGER x AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit()": False,
    TRIGGER.replace("audit", "x", 1) + "; ALTER TABLE t DISABLE TRIGGER x": False,
    "ALTER TABLE c ADD CONSTRAINT x CHECK (n < 5)": False,
    "CREATE FUNCTION own(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1'; CREATE INDEX x ON t (own(id))": False,
}


@pytest.mark.parametrize("made", FIRES)
def test_T2_what_fires_is_known(app, pgsweep, policy_file, made):
    as_app(app, made)
    args = ("test", "--policy-dir", policy_file(DETACH))
    found = run(pgsweep, *args, "--dry-run", user=app.sweeper)["triggers"]
    assert [entry["name"] for entry in found] == (["x"] if FIRES[made] else []), found
    result = pgsweep(*args, user=app.sweeper)
    assert result.code == (4 if FIRES[made] else 0) and app.count("t") == (2 if FIRES[made] else 0), result


def test_T2_a_trigger_on_a_partition_is_told_once_with_that_of_its_whole(db, pgsweep, policy_file):
    if db.server.version < 13:
        pytest.skip("before PostgreSQL 13 a partitioned table has no such triggers")
    init(pgsweep)
    app = db.role("app")
    db.sql("CREATE TABLE t (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
           "CREATE TABLE p PARTITION OF t DEFAULT; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$;"
           "CREATE TRIGGER whole BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();"
           "CREATE TRIGGER part BEFORE DELETE ON p FOR EACH ROW EXECUTE FUNCTION f();"
           "CREATE TRIGGER never BEFORE DELETE ON p FOR EACH STATEMENT EXECUTE FUNCTION f();" + f"INSERT INTO t SELECT 1, {OLD};"
           f"GRANT CREATE ON SCHEMA public TO {app}; ALTER TABLE p OWNER TO {app}; REVOKE CREATE ON SCHEMA public FROM {app}")
    report = run(pgsweep, "test", "--dry-run", "--policy-dir", policy_file(policy()))
    assert [(e["table"], e["name"], e["trusted"]) for e in report["triggers"]] == \
        [("public.p", "part", False), ("public.t", "whole", True)]
    assert pgsweep("test", "--policy-dir", policy_file(policy())).code == 4 and db.count("t") == 1
    db.sql("ALTER TABLE p OWNER TO CURRENT_USER")
    assert pgsweep("test", "--policy-dir", policy_file(policy())).code == 0 and db.count("t") == 0


@pytest.mark.parametrize("change", ["CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$",
                                    "ALTER FUNCTION slow() OWNER TO {app}"])
def test_T2_a_function_that_changes_hands_during_the_run(db, pgsweep, policy_file, start_pgsweep, change):
    """The next transaction that was prepared before does not go through: the plan is made again, and refuses what it would have refused."""
    init(pgsweep)
    app = db.role("app")
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD}); INSERT INTO t SELECT generate_series(1, 30);"
           "CREATE TABLE gate (open bool); CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN IF (SELECT count(*) FROM t) = 10 AND NOT EXISTS (SELECT FROM gate) THEN PERFORM pg_sleep(600); END IF;"
           " RETURN NULL; END$$; CREATE TRIGGER slow AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION slow()")
    running = start_pgsweep("test", "--chunk=10", "--format=json", "--policy-dir", policy_file(policy()))
    pid = db.wait_for_sleeper()
    db.sql("INSERT INTO gate VALUES (true);" + change.format(app=app))
    db.sql("SELECT pg_cancel_backend(%s)", pid)
    result = running.wait()
    if "OWNER" in change:
        assert result.code == 4 and app in result.err and "Nothing more was deleted" in result.err and db.count("t") > 0, result
        db.sql("ALTER FUNCTION slow() OWNER TO CURRENT_USER")
    else:
        assert result.code == 0 and db.count("t") == 0, result
        assert any("the plan was made again" in remark for remark in result.json()["remarks"]), result


# The state schema


STOLEN = {
    "an empty schema": "CREATE SCHEMA pgsweep",
    "a table": "CREATE SCHEMA pgsweep; CREATE TABLE pgsweep.state (one boolean PRIMARY KEY DEFAULT true, version int NOT NULL,"
               " changed_at timestamptz); CREATE TRIGGER ring BEFORE INSERT ON pgsweep.state FOR EACH ROW EXECUTE FUNCTION evil.ring()",
}


@pytest.fixture
def evil(db, server):
    """A role that may create schemas, and a function of its that only rings when a superuser runs it."""
    db.mallory = db.role("mallory", f"CREATE ON DATABASE {db.name}")
    path = server.data / "data" / f"alarm-{db.name}"
    db.sql(f"SET ROLE {db.mallory}; CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;"
           "CREATE FUNCTION evil.ring() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
           f" EXECUTE $x$COPY (SELECT 1) TO '{path}'$x$; RETURN NEW; END$$; RESET ROLE;"
           f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD}); INSERT INTO t VALUES (1)")
    db.rang = path.exists
    yield db
    db.sql(f"DROP OWNED BY {db.mallory} CASCADE")


@pytest.mark.parametrize("case", STOLEN)
def test_T2_init_adopts_nothing_of_another_role(evil, pgsweep, case):
    evil.sql(f"SET ROLE {evil.mallory}; {STOLEN[case]}; RESET ROLE")
    before = evil.sql("SELECT oid FROM pg_class WHERE relnamespace = 'pgsweep'::regnamespace ORDER BY 1")
    result = pgsweep("init")
    assert not evil.rang()
    assert result.code == 4 and "schema pgsweep" in result.err and evil.mallory in result.err and "DROP SCHEMA" in result.err, result
    assert evil.sql("SELECT oid FROM pg_class WHERE relnamespace = 'pgsweep'::regnamespace ORDER BY 1") == before
    evil.sql("DROP SCHEMA pgsweep CASCADE")
    init(pgsweep)


def test_T2_the_printed_script_adopts_nothing_either(evil, pgsweep):
    evil.sql(f"SET ROLE {evil.mallory}; {STOLEN['a table']}; RESET ROLE")
    text = pgsweep("init", "--print-sql").out
    with pytest.raises(Exception, match="belongs to another role"):
        evil.sql(text)
    evil.sql("ROLLBACK")
    assert not evil.rang()


LATER = {
    "a trigger": "CREATE TRIGGER ring BEFORE INSERT ON pgsweep.runs FOR EACH ROW EXECUTE FUNCTION evil.ring()",
    "a table's owner": "ALTER TABLE pgsweep.runs OWNER TO {mallory}",
    "a function's owner": "ALTER FUNCTION pgsweep.key_digest OWNER TO {mallory}",
    "the schema's owner": "ALTER SCHEMA pgsweep OWNER TO {mallory}",
    "the right to create": "GRANT CREATE ON SCHEMA pgsweep TO {mallory}",
    "a rule": "CREATE RULE ring AS ON INSERT TO pgsweep.runs DO INSTEAD NOTHING",
    "a row policy": "CREATE POLICY ring ON pgsweep.runs USING (true)",
    "a child": "CREATE TABLE evil.child () INHERITS (pgsweep.runs)",
    "a default": "CREATE FUNCTION evil.d() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'; ALTER FUNCTION evil.d OWNER TO {mallory};"
                 "ALTER TABLE pgsweep.runs ALTER error SET DEFAULT evil.d()",
}


@pytest.mark.parametrize("case", LATER)
def test_T2_every_run_looks_whose_the_state_schema_is(evil, pgsweep, policy_file, case):
    init(pgsweep)
    evil.sql(LATER[case].format(mallory=evil.mallory))
    directory = policy_file(policy())
    for command in (("test", "--policy-dir", directory), ("test", "-n", "--policy-dir", directory), ("dlq", "list"), ("init",),
                    ("objects", "list")):
        result = pgsweep(*command)
        assert result.code == 4 and "state schema" in result.err, result
    assert evil.count("t") == 1 and not evil.rang() and evil.count("pgsweep.runs") == 0


def test_T2_a_superuser_trusts_superusers_alone(evil, pgsweep, policy_file):
    """The owner of the database may set the schema up for others, and a member may use what a group owns."""
    owner, member, sweeper = evil.role("owner"), evil.role("member"), evil.role("sweeper", "SELECT, UPDATE, DELETE ON t")
    evil.sql(f"ALTER DATABASE {evil.name} OWNER TO {owner}; GRANT {owner} TO {member}")
    assert pgsweep("init", "--role", sweeper, user=owner).code == 0
    directory = policy_file(policy())
    assert pgsweep("test", "-n", "--policy-dir", directory, user=sweeper).code == 0
    for user in (owner, member):
        assert pgsweep("dlq", "list", user=user).code == 0
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code == 4 and owner in result.err, result
    assert pgsweep("test", "--policy-dir", directory, user=sweeper).code == 0 and evil.count("t") == 0
    evil.sql(f"ALTER DATABASE {evil.name} OWNER TO CURRENT_USER; DROP OWNED BY {owner}, {sweeper} CASCADE")


# A role of its own


def test_T2_a_superuser_is_warned_once(evil, pgsweep, policy_file):
    init(pgsweep)
    args = ("test", "--policy-dir", policy_file(policy()))
    warned = {"PGSWEEP_SUPERUSER": None}
    for more in (["-n"], ["-n", "--format=json"], []):
        result = pgsweep(*args, *more, env=warned)
        assert result.code == 0 and result.err.count("pgsweep: warning:") == 1 and "pgsweep grants test" in result.err, result
        if more[1:]:
            assert result.json()["policy"] == "test"
    assert "superuser" not in pgsweep(*args, "--quiet", env=warned).err
    assert pgsweep(*args, "-n", env={"PGSWEEP_SUPERUSER": "allow"}).err == ""
    reader = evil.role("reader", "SELECT ON t")
    assert pgsweep(*args, "-n", env=warned, user=reader).err == ""
    result = pgsweep(*args, env={"PGSWEEP_SUPERUSER": "no"})
    assert result.code == 2 and "PGSWEEP_SUPERUSER" in result.err and "allow" in result.err, result


def shops(db):
    """Guards on other tables and a view, a type and an operator of a schema, shared rows, detached ones."""
    db.sql("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE SCHEMA legal;"
           f"CREATE TABLE shop (name ext.citext PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE item (id int PRIMARY KEY, shop ext.citext REFERENCES shop, image int); CREATE INDEX ON item (shop);"
           "CREATE TABLE image (id int PRIMARY KEY); ALTER TABLE item ADD FOREIGN KEY (image) REFERENCES image;"
           "CREATE INDEX ON item (image); CREATE TABLE poster (image int REFERENCES image); CREATE INDEX ON poster (image);"
           "CREATE TABLE visit (id int PRIMARY KEY, shop ext.citext REFERENCES shop, state text); CREATE INDEX ON visit (shop);"
           "CREATE TABLE legal.cases (shop text); CREATE VIEW legal.held AS SELECT shop FROM legal.cases;"
           "CREATE FUNCTION legal.is_open(text) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
           "REVOKE EXECUTE ON FUNCTION legal.is_open FROM PUBLIC;"
           "REVOKE USAGE ON SCHEMA public FROM PUBLIC; " + f"REVOKE CONNECT ON DATABASE {db.name} FROM PUBLIC")
    return policy("shop", dependents=[
        {"table": "item", "action": "delete"}, {"table": "image", "via": "item", "action": "delete_orphans"},
        {"table": "poster", "action": "keep"},
        {"table": "visit", "action": "detach", "set": {"state": "gone"}}],
        guards=[{"name": "held", "unless": "EXISTS (SELECT FROM legal.held h WHERE h.shop = t.name::text)"},
                {"name": "open", "unless": "legal.is_open(t.name::text)"}])


def fill(db):
    db.sql("TRUNCATE shop, item, image, poster, visit; INSERT INTO shop VALUES ('a'), ('b'); INSERT INTO image VALUES (1), (2);"
           "INSERT INTO item VALUES (1, 'A', 1), (2, 'b', 2); INSERT INTO poster VALUES (2); INSERT INTO visit VALUES (1, 'a', 'new')")


def statements(text):
    return [one.strip() for one in re.sub(r"--.*", "", text).split(";") if one.strip()]


@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_T2_a_role_with_exactly_these_grants_can_run_the_policy(db, pgsweep, policy_file, transaction):
    init(pgsweep)
    text = shops(db).replace('"age"', f'"transaction": "{transaction}", "age"')
    args = ("test", "--policy-dir", policy_file(text))
    role = db.role("own")
    printed = pgsweep("grants", *args, "--role", role)
    assert printed.code == 0, printed
    assert 'UPDATE ("state", "shop") ON public.visit' in printed.out and printed.out.count("ON public.shop") == 1, printed.out
    grants = statements(printed.out)
    db.sql(printed.out)
    fill(db)
    for mode in (["-n"], []):
        result = pgsweep(*args, *mode, user=role)
        assert result.code == 0, result
    assert (db.count("shop"), db.count("item"), db.column("SELECT id FROM image"), db.sql("SELECT * FROM visit")) == \
        (0, 0, [2], [(1, None, "gone")])
    for grant in grants:
        if "pgsweep" in grant.split(" TO ")[0]:
            continue
        fill(db)
        db.sql(grant.replace("GRANT", "REVOKE", 1).replace(f' TO "{role}"', f' FROM "{role}"'))
        result = pgsweep(*args, user=role)
        assert result.code not in (0, 70) and db.count("shop") == 2, (grant, result)
        db.sql(grant)
    db.sql(f"DROP OWNED BY {role}")


@pytest.mark.parametrize("name", ["jobs", "mocs", "anonymous"])
def test_T2_grants_for_the_built_in_policies(db, pgsweep, name):
    init(pgsweep)
    db.load({"anonymous": "auth"}.get(name, name))
    role = db.role("own")
    printed = pgsweep("grants", name, "--role", role)
    assert printed.code == 0, printed
    db.sql(printed.out)
    for mode in (["-n"], []):
        result = pgsweep(name, *mode, user=role)
        assert result.code in (0, 1), result
        assert "denied" not in result.err + result.out and "may not" not in result.err, result
    db.sql(f"DROP OWNED BY {role}")


def test_T2_grants_leave_nothing_behind(db, pgsweep):
    db.load("jobs")
    before = db.count("pg_class")
    result = pgsweep("grants", "jobs")
    assert result.code == 0 and "TO \"pgsweep\";" in result.out and db.count("pg_class") == before, result
    assert pgsweep("grants", "tempfiles").code == 2
    assert pgsweep("grants", "jbos").code == 2
