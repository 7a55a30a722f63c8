"""Other roles of the database: nothing that a role without trust has put there runs with the rights of the sweep."""
import re
from contextlib import contextmanager

import pytest

from sweeping import init, policy, run

OLD = "now() - interval '1 year'"
WHERE = {"where": "t.kind = 'done'"}


@pytest.fixture
def world(db, pgsweep):
    """Three expired rows; schema public as in PostgreSQL 12 to 14: everybody may create objects there."""
    init(pgsweep)
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, kind varchar, at timestamptz DEFAULT {OLD});"
           "INSERT INTO t SELECT n, 'done' FROM generate_series(1, 3) n; GRANT CREATE ON SCHEMA public TO PUBLIC")
    return db


@contextmanager
def as_role(db, role):
    connection = db.connect(user=role)
    with connection.cursor() as cursor:
        yield cursor.execute
    connection.close()


@pytest.fixture
def alarm(db, server):
    """A file of the server's that only a superuser can write; what rings it is SQL for the body of a function."""
    path = server.data / "data" / f"alarm-{db.name}"

    class Alarm:
        body = f"BEGIN EXECUTE $x$COPY (SELECT 1) TO '{path}'$x$; RETURN"

        @staticmethod
        def rang():
            return path.exists()

    return Alarm


def overload(alarm, schema="public"):
    return (f"CREATE FUNCTION {schema}.same(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$ {alarm.body} true; END $$;"
            f"CREATE OPERATOR {schema}.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = {schema}.same)")


def refused(result, *words):
    assert result.code == 4, result
    for word in words:
        assert word in result.err, (word, result)
    return result.err


def hint(result):
    return re.search(r"^pgsweep: hint: (.*)$", result.err, re.M).group(1)


MODES = [["--dry-run"], []]


@pytest.mark.parametrize("mode", MODES)
def test_T2_an_operator_of_another_role_does_not_run_as_superuser(world, pgsweep, policy_file, alarm, mode):
    mallory = world.role("mallory")
    with as_role(world, mallory) as sql:
        sql(overload(alarm))
    directory = policy_file(policy(**WHERE))
    result = pgsweep("test", "--policy-dir", directory, *mode)
    assert not alarm.rang()
    refused(result, "every role may create objects", "schema public", "search_path", "PGSWEEP_TEST_SEARCH_PATH",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;")
    assert world.count("t") == 3
    world.sql(hint(result))
    # What lies there from before is as dangerous as what may come.
    result = pgsweep("test", "--policy-dir", directory, *mode)
    assert not alarm.rang()
    refused(result, "operator public.=", "function public.same", mallory, "DROP")
    world.sql("DROP OPERATOR public.= (varchar, varchar); DROP FUNCTION public.same")
    assert pgsweep("test", "--policy-dir", directory, *mode).code == 0
    assert world.count("t") == (3 if mode else 0)


GRANTS = {
    "everybody": ("GRANT CREATE ON SCHEMA public TO PUBLIC", "every role"),
    "a role": ("GRANT CREATE ON SCHEMA public TO {mallory}", "{mallory}"),
    "a group": ("GRANT CREATE ON SCHEMA public TO {devs}; GRANT {devs} TO {mallory}", "{devs}"),
    "an option": ("GRANT CREATE ON SCHEMA public TO {devs} WITH GRANT OPTION; SET ROLE {devs};"
                  "GRANT CREATE ON SCHEMA public TO {mallory}; RESET ROLE", "{devs}"),
    "an option of one who is trusted": ("ALTER DATABASE {database} OWNER TO {devs}; GRANT CREATE ON SCHEMA public TO {devs} WITH"
                                        " GRANT OPTION; SET ROLE {devs}; GRANT CREATE ON SCHEMA public TO {mallory}; RESET ROLE",
                                        "{mallory}"),
    "the owner": ("ALTER SCHEMA public OWNER TO {mallory}", "{mallory}"),
}


@pytest.mark.parametrize("case", GRANTS)
def test_T2_what_is_to_be_pasted_settles_it(world, pgsweep, policy_file, case):
    names = {"database": world.name, "mallory": world.role("mallory"), "devs": world.role("devs", options="NOLOGIN")}
    world.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    grant, says = GRANTS[case]
    world.sql(grant.format(**names))
    directory = policy_file(policy(**WHERE))
    result = pgsweep("test", "--policy-dir", directory)
    refused(result, "public", says.format(**names))
    assert world.count("t") == 3
    world.sql(hint(result))
    run(pgsweep, "test", "--policy-dir", directory)
    assert world.count("t") == 0
    with pytest.raises(Exception, match="permission denied"):
        with as_role(world, names["mallory"]) as sql:
            sql("CREATE TABLE public.x ()")
    world.sql("ALTER DATABASE {database} OWNER TO CURRENT_USER; DROP OWNED BY {devs}, {mallory} CASCADE".format(**names))


def test_T2_owners_and_their_members_are_trusted(world, pgsweep, policy_file):
    """The owner of the table and the owner of the database may create objects, and so may who can act as they."""
    owner, member, sweeper = world.role("owner"), world.role("member"), world.role("sweeper", "SELECT ON t", "CREATE ON SCHEMA public")
    dba = world.role("dba")
    world.sql(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER TABLE t OWNER TO {owner};"
              f"GRANT {owner} TO {member}; ALTER DATABASE {world.name} OWNER TO {dba};"
              f"GRANT CREATE ON SCHEMA public TO {owner}, {member}, {dba}; SET ROLE {member};"
              "CREATE FUNCTION public.harmless() RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET ROLE")
    directory = policy_file(policy(**WHERE))
    assert run(pgsweep, "test", "--policy-dir", directory, "--dry-run", user=sweeper)["eligible"] == 3
    refused(pgsweep("test", "--policy-dir", directory, "--dry-run"), sweeper)
    world.sql(f"REVOKE CREATE ON SCHEMA public FROM {sweeper}")
    assert run(pgsweep, "test", "--policy-dir", directory, "--dry-run")["eligible"] == 3
    world.sql(f"REVOKE {owner} FROM {member}")
    refused(pgsweep("test", "--policy-dir", directory, "--dry-run", user=sweeper), member)
    world.sql(f"ALTER DATABASE {world.name} OWNER TO CURRENT_USER; DROP OWNED BY {dba}, {owner}, {member}, {sweeper} CASCADE")


def test_T2_a_schema_that_is_made_for_the_sweeper_is_not_looked_in(world, pgsweep, policy_file, alarm):
    """"$user" is in everybody's path, and who may create schemas may create that one."""
    mallory = world.role("mallory")
    sweeper = world.role("sweeper", "SELECT, UPDATE, DELETE ON t", options="LOGIN SUPERUSER")
    world.sql(f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT CREATE ON DATABASE {world.name} TO {mallory}")
    with as_role(world, mallory) as sql:
        sql(f"CREATE SCHEMA {sweeper}; GRANT USAGE ON SCHEMA {sweeper} TO PUBLIC;" + overload(alarm, sweeper))
    directory = policy_file(policy(**WHERE))
    refused(pgsweep("test", "--policy-dir", directory, "-n", user=sweeper), sweeper, mallory)
    assert not alarm.rang()
    run(pgsweep, "test", "--policy-dir", policy_file(policy(**WHERE, search_path=["public"])), user=sweeper)
    assert not alarm.rang() and world.count("t") == 0
    world.sql(f"DROP OWNED BY {mallory} CASCADE")


def test_T2_a_type_that_is_called_like_a_function(world, pgsweep, policy_file, alarm):
    """lower(varchar) is a cast to a type "lower", where there is one."""
    mallory = world.role("mallory")
    with as_role(world, mallory) as sql:
        sql(f"CREATE FUNCTION public.ring(text) RETURNS boolean LANGUAGE plpgsql AS $$ {alarm.body} true; END $$;"
            "CREATE DOMAIN public.lower AS text CHECK (public.ring(VALUE))")
    world.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    result = pgsweep("test", "--policy-dir", policy_file(policy(where="lower(t.kind) = 'done'")), "-n")
    assert not alarm.rang()
    refused(result, "type public.lower")


def test_T2_a_table_that_hides_another(world, pgsweep, policy_file):
    mallory = world.role("mallory")
    world.sql("CREATE SCHEMA app; CREATE TABLE app.holds (t_id int); INSERT INTO app.holds VALUES (1)")
    with as_role(world, mallory) as sql:
        sql("CREATE TABLE public.holds (t_id int); CREATE TABLE public.theirs (n int); GRANT SELECT ON public.holds TO PUBLIC")
    world.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    text = policy(guards=[{"name": "held", "unless": "EXISTS (SELECT FROM holds h WHERE h.t_id = t.id)"}],
                  search_path=["public", "app"])
    refused(pgsweep("test", "--policy-dir", policy_file(text), "-n"), "table public.holds")
    world.sql("DROP TABLE public.holds")
    run(pgsweep, "test", "--policy-dir", policy_file(text))
    assert world.column("SELECT id FROM t") == [1]


def test_T2_a_path_of_the_policy(world, pgsweep, policy_file, server_log, alarm):
    """search_path in the policy or in the environment: names are looked up there, and nowhere else."""
    with as_role(world, world.role("mallory")) as sql:
        sql(overload(alarm))
    world.sql('CREATE SCHEMA "My app"; ALTER TABLE t SET SCHEMA "My app"; CREATE TABLE t (id int PRIMARY KEY, at timestamptz);'
              f"INSERT INTO t SELECT 1, {OLD}")
    directory = policy_file(policy(**WHERE, search_path=["My app"]))
    report = run(pgsweep, "test", "--policy-dir", directory)
    assert report["table"] == '"My app".t' and world.count('"My app".t') == 0 and world.count("public.t") == 1
    assert not alarm.rang()
    directory = policy_file(policy(**WHERE))
    for value in ('"My app"', "My app", 'pg_catalog, "My app"'):
        assert run(pgsweep, "test", "--policy-dir", directory, env={"PGSWEEP_TEST_SEARCH_PATH": value})["table"] == '"My app".t'
    shown = pgsweep("show", "test", "--policy-dir", directory, env={"PGSWEEP_TEST_SEARCH_PATH": "app, public"})
    assert "search_path:\n- app\n- public\n" in shown.out
    assert not alarm.rang()


@pytest.mark.parametrize("value, words", [
    (["pubilc"], ["search_path", '"pubilc"', 'Did you mean "public"?', "test.yaml:1"]),
    (["public", "pg_temp"], ["pg_temp", "last"]),
    (["closed"], ["may not use schema closed", "GRANT USAGE ON SCHEMA closed TO"]),
    ("public", ["search_path must be a list of names"]),
])
def test_T3_a_path_that_cannot_be_meant_is_refused(world, pgsweep, policy_file, value, words):
    world.sql("CREATE SCHEMA closed")
    reader = world.role("reader", "SELECT ON t")
    result = pgsweep("test", "-n", "--policy-dir", policy_file(policy(search_path=value)), user=reader)
    assert result.code == 2 and all(word in result.err for word in words), result


@pytest.mark.parametrize("value", ["", "app,,public", "app,"])
def test_T3_a_path_in_the_environment_that_cannot_be_meant(world, pgsweep, value):
    result = pgsweep("jobs", "-n", env={"PGSWEEP_JOBS_SEARCH_PATH": value})
    assert result.code == 2 and "PGSWEEP_JOBS_SEARCH_PATH" in result.err, result


def test_T2_the_path_holds_after_a_reconnection(world, pgsweep, policy_file, start_pgsweep):
    """Both the schema of the policy and the place of pg_catalog before it."""
    world.sql("CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, kind varchar, at timestamptz);"
              f"INSERT INTO app.t SELECT n, 'done', {OLD} FROM generate_series(1, 50) n;"
              "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF (SELECT count(*) FROM app.t) < 30 AND"
              " NOT EXISTS (SELECT FROM public.t WHERE id = 99) THEN PERFORM pg_sleep(600); END IF; RETURN NULL; END$$;"
              "CREATE TRIGGER cut AFTER DELETE ON app.t FOR EACH STATEMENT EXECUTE FUNCTION cut()")
    running = start_pgsweep("test", "--chunk=10", "--policy-dir", policy_file(policy(**WHERE, search_path=["app"])))
    pid = world.wait_for_sleeper()
    world.sql("INSERT INTO public.t (id) VALUES (99)")
    world.sql("SELECT pg_terminate_backend(%s)", pid)
    result = running.wait()
    assert result.code == 0 and world.count("app.t") == 0 and world.count("public.t") == 4, result
