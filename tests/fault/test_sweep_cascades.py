"""Dependents that a foreign key deletes: what happens to that key, or to who counts, while a run is on."""
import json

import pytest

from harness import wait_until

POLICY = "table: t\nage: at\nretain: 7 days\ndependents:\n  - { table: c, action: delete }\n"
OLD = "now() - interval '30 days'"
DELETE_T = r'DELETE FROM "public"\."t"'
DELETE_C = r'DELETE FROM "public"\."c"'


@pytest.fixture
def world(db, pgsweep):
    """Nine old rows and a young one, each with two rows of c."""
    assert pgsweep("init").code == 0
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           "CREATE TABLE c (id int PRIMARY KEY, t int CONSTRAINT c_t REFERENCES t ON DELETE CASCADE); CREATE INDEX ON c (t);"
           f"INSERT INTO t SELECT i, {OLD} + i * interval '1 min' FROM generate_series(1, 9) AS i;"
           "INSERT INTO t VALUES (10, now()); INSERT INTO c SELECT i, (i + 1) / 2 FROM generate_series(1, 20) AS i")
    return db


@pytest.fixture(params=["near", "far"])
def sweep(request, start_pgsweep, pgsweep_env, policy_file):
    directory = policy_file(POLICY)
    return lambda: start_pgsweep("test", "--policy-dir", directory, "--chunk=3", "--format=json",
                                 env={**pgsweep_env, "PGSWEEP_TEST_DISTANCE": request.param})


def rows(report):
    return {entry["table"]: entry["rows"] for entry in report["tables"]}


KEEP = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS" \
       " $$BEGIN IF OLD.id = 5 THEN RETURN NULL; END IF; RETURN OLD; END$$;" \
       "CREATE TRIGGER keeper BEFORE DELETE ON {} FOR EACH ROW EXECUTE FUNCTION keep()"


def after_the_lock(proxy, sweep, db, change, nth=2):
    """The change is made while the candidates are locked and nothing of this chunk is deleted. (With nth=1 nothing is.)"""
    hold = proxy.rule("set_config\\('pgsweep.b'", "hold", nth=nth)
    running = sweep()
    hold.wait(60)
    db.sql(change)
    hold.release()
    return running.wait()


def no_orphans(db):
    return db.value("SELECT count(*) FROM c WHERE NOT EXISTS (SELECT FROM t WHERE t.id = c.t)") == 0


@pytest.mark.parametrize("change", [
    "ALTER TABLE t DISABLE TRIGGER ALL",
    "ALTER TABLE c DROP CONSTRAINT c_t, ADD CONSTRAINT c_t FOREIGN KEY (t) REFERENCES t",
    "ALTER TABLE c DROP CONSTRAINT c_t, ADD CONSTRAINT c_t FOREIGN KEY (t) REFERENCES t ON DELETE SET NULL",
    "ALTER TABLE c ALTER CONSTRAINT c_t DEFERRABLE INITIALLY DEFERRED"])
def test_M1_a_key_that_changes_during_the_run_leaves_no_orphan(world, proxy, sweep, change):
    """At the first chunk that is held nothing else of the run has locked the tables: the change takes effect between
    the transactions' statements, or waits for them."""
    hold = proxy.rule("^BEGIN.*READ WRITE", "hold", nth=2)
    running = sweep()
    hold.wait(60)
    world.sql(change)
    hold.release()
    result = running.wait()
    report = json.loads(result.out)
    assert result.code == 0 and rows(report) == {"public.t": 9, "public.c": 18}, result
    assert world.value("SELECT deleted FROM pgsweep.runs") == rows(report)
    assert no_orphans(world) and world.count("c") == 2
    assert [note for note in report["remarks"] if "the plan was made again" in note] and proxy.executed(DELETE_C)


def test_M1_a_key_that_is_dropped_for_good_ends_the_run_as_a_new_one_would(world, proxy, sweep):
    hold = proxy.rule("^BEGIN.*READ WRITE", "hold", nth=2)
    running = sweep()
    hold.wait(60)
    world.sql("ALTER TABLE c DROP CONSTRAINT c_t")
    hold.release()
    result = running.wait()
    assert result.code == 1 and "no reference of public.c leads to" in result.err, result
    assert no_orphans(world) and (world.count("t"), world.count("c")) == (7, 14)
    assert rows(json.loads(result.out)) == {"public.t": 3, "public.c": 6}


@pytest.mark.parametrize("table, left", [("t", (2, 4)), ("c", (2, 4))])
def test_O5_a_trigger_that_comes_and_keeps_rows_leaves_no_orphan(world, proxy, sweep, table, left):
    hold = proxy.rule("^BEGIN.*READ WRITE", "hold", nth=2)
    running = sweep()
    hold.wait(60)
    world.sql(KEEP.format(table) if table == "t" else KEEP.format(table).replace("= 5", "= 9"))
    hold.release()
    result = running.wait()
    report = json.loads(result.out)
    assert result.code == 1 and report["failed"] == 1 and "keeper" in report["failures"][0]["error"], result
    assert no_orphans(world) and (world.count("t"), world.count("c")) == left
    assert rows(report) == {"public.t": 8, "public.c": 16}


def test_O5_a_role_that_loses_the_right_to_delete_is_refused(world, proxy, sweep, pgsweep_env):
    sweeper = world.role("sweeper", "SELECT, UPDATE, DELETE ON t, c", "USAGE ON SCHEMA pgsweep",
                         "ALL ON ALL TABLES IN SCHEMA pgsweep", "USAGE ON ALL SEQUENCES IN SCHEMA pgsweep")
    pgsweep_env["PGUSER"] = sweeper
    result = after_the_lock(proxy, sweep, world, f'REVOKE DELETE ON c FROM "{sweeper}"')
    assert result.code != 0 and "public.c" in result.err and "GRANT" in result.err, result
    assert (world.count("t"), world.count("c")) == (7, 14) and rows(json.loads(result.out)) == {"public.t": 3, "public.c": 6}


@pytest.mark.parametrize("where", ["^UPDATE pgsweep.runs", "pg_stat_get_xact_tuples_deleted\\(\\$2", DELETE_T])
@pytest.mark.parametrize("what", [{"action": "drop_before"}, {"action": "drop_after"}, {"action": "error", "sqlstate": "40P01"}])
def test_M1_a_chunk_that_is_tried_again_counts_once(world, proxy, sweep, where, what):
    proxy.rule(where, **what, nth=2)
    result = sweep().wait()
    report = json.loads(result.out)
    assert result.code == 0 and rows(report) == {"public.t": 9, "public.c": 18}, result
    assert world.value("SELECT deleted FROM pgsweep.runs") == rows(report)
    assert world.count("c") == 2 and not proxy.executed(DELETE_C)


def test_M1_a_counter_that_does_not_count_is_noticed_and_nothing_is_lost(world, proxy, sweep):
    """As if the session had not counted: its answer is the failure of the look."""
    proxy.rule("pg_stat_get_xact_tuples_deleted\\(\\$2", "error", sqlstate="22P02", nth=2)
    result = sweep().wait()
    report = json.loads(result.out)
    assert result.code == 0 and rows(report) == {"public.t": 9, "public.c": 18}, result
    assert world.value("SELECT deleted FROM pgsweep.runs") == rows(report)
    assert proxy.executed(DELETE_C) and [note for note in report["remarks"] if "track_counts" in note]


def test_O5_counting_that_stops_during_the_run_is_noticed(world, proxy, sweep, server_log):
    """Between two statements of a chunk the server stops counting."""
    hold = proxy.rule("set_config\\('pgsweep.b'", "hold", nth=2)
    running = sweep()
    hold.wait(60)
    try:
        world.sql("ALTER SYSTEM SET track_counts = off")
        world.sql("SELECT pg_reload_conf()")
        wait_until(lambda: world.value("SHOW track_counts") == "off", what="the new setting")
        hold.release()
        result = running.wait()
    finally:
        world.sql("ALTER SYSTEM RESET track_counts")
        world.sql("SELECT pg_reload_conf()")
    report = json.loads(result.out)
    assert result.code == 0 and rows(report) == {"public.t": 9, "public.c": 18}, result
    assert world.value("SELECT deleted FROM pgsweep.runs") == rows(report)
    assert [note for note in report["remarks"] if "track_counts" in note] and server_log.matching(DELETE_C)
    assert world.count("c") == 2
