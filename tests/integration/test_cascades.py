"""Dependents that a foreign key deletes along with the candidates: no statement of pgsweep deletes them, and their number is
exact. Wherever that could go wrong, a statement deletes them."""
import json

import pytest

import harness

from sweeping import init, policy, preview_and_run, rows, run

OLD = "now() - interval '30 days'"
C = {"table": "c", "action": "delete"}
DELETE_C = r'DELETE FROM "public"\."c"'


@pytest.fixture
def world(db, pgsweep):
    """Nine old rows and a young one, each with two rows of c; every third row has a note."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, note text);"
           "CREATE TABLE c (id int PRIMARY KEY, t int CONSTRAINT c_t REFERENCES t ON DELETE CASCADE, key text);"
           "CREATE INDEX ON c (t);"
           f"INSERT INTO t SELECT i, {OLD} + i * interval '1 min' FROM generate_series(1, 9) AS i;"
           "INSERT INTO t VALUES (10, now()); INSERT INTO c SELECT i, (i + 1) / 2 FROM generate_series(1, 20) AS i")
    return db


def deletes_c(pgsweep, directory, user=None):
    """Does a statement of pgsweep delete the rows of c? Else something counts them."""
    text = pgsweep("show", "test", "--sql", "--policy-dir", directory, user=user).out
    statement, counts = 'DELETE FROM "public"."c"' in text, "count_cascaded" in text
    assert statement != counts and statement != ("note_counters" in text), text
    return statement


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("chunk", [1, 4, "auto"])
def test_D2_the_key_deletes_the_rows_and_the_counts_are_exact(world, pgsweep, policy_file, server_log, distance, chunk):
    directory = policy_file(policy(dependents=[C]))
    assert not deletes_c(pgsweep, directory)
    server_log.mark()
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", chunk, env={"PGSWEEP_TEST_DISTANCE": distance})
    assert rows(live) == {"public.t": 9, "public.c": 18}
    assert world.value("SELECT deleted FROM pgsweep.runs") == rows(live)
    assert world.column("SELECT id FROM t") == [10] and world.column("SELECT id FROM c ORDER BY 1") == [19, 20]
    assert server_log.matching('DELETE FROM "public"."t"') and not server_log.matching(DELETE_C)


def test_D2_several_tables_each_with_its_own_number(world, pgsweep, policy_file, server_log):
    world.sql("CREATE SCHEMA \"Odd 'one\"; CREATE TABLE \"Odd 'one\".\"D\" (t int REFERENCES t ON DELETE CASCADE);"
              "CREATE TABLE e (t int REFERENCES t ON DELETE CASCADE); CREATE TABLE f (t int REFERENCES t);"
              "INSERT INTO \"Odd 'one\".\"D\" SELECT 3 FROM generate_series(1, 5); INSERT INTO e VALUES (10); INSERT INTO f VALUES (1)")
    directory = policy_file(policy(dependents=[C, {"table": "\"Odd 'one\".\"D\"", "action": "delete"},
                                               {"table": "e", "action": "delete"}, {"table": "f", "action": "delete"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", 2)
    assert rows(live) == {"public.t": 9, "public.c": 18, "\"Odd 'one\".\"D\"": 5, "public.e": 0, "public.f": 1}
    # f has no ON DELETE CASCADE: only there a statement deletes.
    assert server_log.matching('DELETE FROM "public"."f"') and not server_log.matching('DELETE FROM "[^"]*"."(c|D|e)"')


def test_D2_a_key_of_two_columns(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (a int, b text, at timestamptz, PRIMARY KEY (a, b));"
           "CREATE TABLE c (b text, a int, FOREIGN KEY (a, b) REFERENCES t MATCH FULL ON DELETE CASCADE);"
           f"INSERT INTO t VALUES (1, 'x', {OLD}), (1, 'y', now()), (2, 'x', {OLD}), (2, 'y', {OLD});"
           "INSERT INTO c SELECT b, a FROM t, generate_series(1, 3); INSERT INTO c VALUES (NULL, NULL)")
    directory = policy_file(policy(dependents=[C]))
    assert not deletes_c(pgsweep, directory)
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", 1)
    assert rows(live) == {"public.t": 3, "public.c": 9} and db.count("c") == 4


TRIGGER = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN OLD; END$$;" \
          "CREATE TRIGGER g BEFORE DELETE ON {} FOR EACH ROW EXECUTE FUNCTION f()"
SECOND = "ALTER TABLE c DROP CONSTRAINT c_t, ADD CONSTRAINT c_t FOREIGN KEY (t) REFERENCES t "
D = "CREATE TABLE d (id int, t int REFERENCES t)"
KEPT = {
    "another action of the constraint": (SECOND, {}),
    "set null": (SECOND + "ON DELETE SET NULL", {}),
    "a deferrable constraint": (SECOND + "ON DELETE CASCADE DEFERRABLE", {}),
    "a constraint that is not validated": (SECOND + "ON DELETE CASCADE NOT VALID", {}),
    "a disabled constraint": ("ALTER TABLE t DISABLE TRIGGER ALL", {}),
    "a constraint for replicas": ("SELECT 'ALTER TABLE t ENABLE REPLICA TRIGGER ' || quote_ident(tgname) FROM pg_trigger"
                                  " WHERE tgrelid = 't'::regclass AND tgfoid = '\"RI_FKey_cascade_del\"'::regproc", {}),
    "two constraints of the same column": ("ALTER TABLE c ADD CONSTRAINT c_t_2 FOREIGN KEY (t) REFERENCES t ON DELETE RESTRICT", {}),
    "two references": ("ALTER TABLE c ADD u int REFERENCES t", {}),
    "a table that refers to it": ("CREATE TABLE d (c int REFERENCES c)", {"dependents": [C, {"table": "d", "action": "delete"}]}),
    "a reference to it that the policy states": (
        "CREATE TABLE d (c int)", {"dependents": [C, {"table": "d", "action": "delete"}],
                                   "references": [{"table": "d", "refers_to": "c", "columns": {"c": "id"}}]}),
    "a root that refers to itself": ("ALTER TABLE t ADD up int REFERENCES t", {"dependents": [C, {"table": "t", "action": "detach"}]}),
    "a table that refers to itself": ("ALTER TABLE c ADD up int REFERENCES c ON DELETE CASCADE", {}),
    "a trigger on the table": (TRIGGER.format("c"), {}),
    "a trigger on the root": (TRIGGER.format("t"), {}),
    "a trigger on another table": (D + ";" + TRIGGER.format("d"), {"dependents": [C, {"table": "d", "action": "delete"}]}),
    "a trigger after the statement": (TRIGGER.format("c").replace("BEFORE", "AFTER").replace("EACH ROW", "EACH STATEMENT"), {}),
    "a rule": ("CREATE TABLE log (id int); CREATE RULE r AS ON DELETE TO c DO ALSO INSERT INTO log VALUES (OLD.id)", {}),
    "a rule of the root": ("CREATE TABLE log (id int); CREATE RULE r AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (OLD.id)", {}),
    "objects": ("", {"dependents": [{**C, "objects": ["key"]}]}),
    "a shared row": ("CREATE TABLE s (id int PRIMARY KEY); ALTER TABLE c ADD s int REFERENCES s; CREATE INDEX ON c (s)",
                     {"dependents": [C, {"table": "s", "action": "delete_orphans", "via": "c"}]}),
    "a guard that reads it": ("", {"guards": [{"name": "g", "unless": "EXISTS (SELECT FROM c WHERE c.t = t.id AND c.key = 'x')"}]}),
    "a transaction for each row": ("", {"transaction": "row"}),
    "a table that inherits": ("CREATE TABLE d (id int NOT NULL); ALTER TABLE c INHERIT d", {}),
    "a root that inherits": ("CREATE TABLE d (id int NOT NULL); ALTER TABLE t INHERIT d", {}),
    "row security": ("ALTER TABLE c ENABLE ROW LEVEL SECURITY", {}),
    "row security of the root": ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", {}),
}


@pytest.mark.parametrize("why", KEPT)
def test_O5_where_it_could_go_wrong_a_statement_deletes_them(world, pgsweep, policy_file, why):
    sql, more = KEPT[why]
    assert not deletes_c(pgsweep, policy_file(policy(dependents=[C])))
    if sql:
        found = world.connect().cursor()
        found.execute(sql)
        if sql.startswith("SELECT"):
            world.sql(found.fetchone()[0])
    directory = policy_file(policy(**{"dependents": [C], **more}))
    assert deletes_c(pgsweep, directory)
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert (rows(live)["public.t"], rows(live)["public.c"]) == (9, 18)
    assert world.column("SELECT id FROM ONLY t") == [10] and world.column("SELECT id FROM ONLY c ORDER BY 1") == [19, 20]


def test_O5_a_partitioned_table_is_deleted_from_by_a_statement(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           "CREATE TABLE c (t int REFERENCES t ON DELETE CASCADE) PARTITION BY LIST (t);"
           "CREATE TABLE c_1 PARTITION OF c FOR VALUES IN (1, 2); CREATE TABLE c_2 PARTITION OF c DEFAULT;"
           f"INSERT INTO t SELECT i, {OLD} FROM generate_series(1, 4) AS i; INSERT INTO c SELECT id FROM t")
    directory = policy_file(policy(dependents=[C]))
    assert deletes_c(pgsweep, directory)
    assert rows(preview_and_run(pgsweep, "test", "--policy-dir", directory)) == {"public.t": 4, "public.c": 4}


def test_O5_a_session_that_does_not_count_deletes_by_statements(world, pgsweep, policy_file):
    directory = policy_file(policy(dependents=[C]))
    assert not deletes_c(pgsweep, directory)
    world.sql(f'ALTER DATABASE "{world.name}" SET track_counts = off')
    assert deletes_c(pgsweep, directory)
    assert rows(run(pgsweep, "test", "--policy-dir", directory)) == {"public.t": 9, "public.c": 18}


def test_O5_a_role_that_may_not_read_the_counter_deletes_by_statements(world, pgsweep, policy_file):
    directory = policy_file(policy(dependents=[C]))
    reader = world.role("reader", "SELECT ON t, c")
    assert not deletes_c(pgsweep, directory, reader)
    world.sql("REVOKE EXECUTE ON FUNCTION pg_stat_get_xact_tuples_deleted(oid) FROM public")
    assert deletes_c(pgsweep, directory, reader)


def test_O5_rows_that_others_delete_meanwhile_are_not_counted(world, start_pgsweep, policy_file, server_log):
    other = world.connect(autocommit=False)
    other.cursor().execute("DELETE FROM c WHERE id IN (3, 20)")
    running = start_pgsweep("test", "--policy-dir", policy_file(policy(dependents=[C])), "--format=json")
    harness.wait_for_lock_timeout(server_log)
    other.commit()
    result = running.wait()
    report = json.loads(result.out)
    assert result.code == 0 and rows(report) == {"public.t": 9, "public.c": 17}, result
    assert world.column("SELECT id FROM c") == [19]


def test_O5_rows_that_others_move_meanwhile_stay(world, start_pgsweep, policy_file, server_log):
    other = world.connect(autocommit=False)
    other.cursor().execute("UPDATE c SET t = 10 WHERE id = 3")
    running = start_pgsweep("test", "--policy-dir", policy_file(policy(dependents=[C])), "--format=json")
    harness.wait_for_lock_timeout(server_log)
    other.commit()
    result = running.wait()
    assert result.code == 0 and rows(json.loads(result.out)) == {"public.t": 9, "public.c": 17}, result
    assert world.column("SELECT id FROM c ORDER BY 1") == [3, 19, 20]


def test_T2_a_role_that_may_not_delete_the_rows_is_refused(world, pgsweep, policy_file):
    directory = policy_file(policy(dependents=[C]))
    sweeper = world.role("sweeper", "SELECT, UPDATE, DELETE ON t", "SELECT, UPDATE ON c", "USAGE ON SCHEMA pgsweep",
                         "ALL ON ALL TABLES IN SCHEMA pgsweep", "USAGE ON ALL SEQUENCES IN SCHEMA pgsweep")
    result = pgsweep("test", "--policy-dir", directory, user=sweeper)
    assert result.code == 2 and "GRANT SELECT, UPDATE, DELETE ON" in result.err and "public.c" in result.err, result
    assert world.count("t") == 10 and world.count("c") == 20
    world.sql(f'GRANT DELETE ON c TO "{sweeper}"')
    assert rows(run(pgsweep, "test", "--policy-dir", directory, user=sweeper)) == {"public.t": 9, "public.c": 18}
