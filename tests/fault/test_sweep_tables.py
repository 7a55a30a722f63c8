"""Other sessions' locks on tables: a migration beside a run goes first, and is never the victim of a deadlock."""
import threading

import psycopg2
import pytest

from harness import wait_until
from test_sweep_concurrency import hold

MIGRATION = ["CREATE TABLE late (item bigint REFERENCES items ON DELETE CASCADE)",
             "INSERT INTO late SELECT id FROM items", "DROP TABLE late"]


def refused(server_log):
    """How often pgsweep could not have a table at once."""
    return sum("could not obtain lock on relation" in message or "due to lock timeout" in message
               for _, message in server_log.records())


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("strategy", ["locked", "cascade", "rows"])
def test_O5_a_migration_beside_a_chunk_is_no_victim_of_a_deadlock(make_world, db, proxy, server_log, strategy, distance):
    world = make_world(strategy)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    ends = []

    def migrate():
        connection = db.connect(autocommit=False, application_name="migration")
        try:
            for sql in MIGRATION:
                connection.cursor().execute(sql)
            connection.commit()
            ends.append("committed")
        except psycopg2.Error as error:
            ends.append(error)

    # The candidates are locked by now; the migration takes SHARE ROW EXCLUSIVE on items, then locks all its rows.
    rule = proxy.rule('DELETE FROM "public"."items"', "hold")
    running = world.start()
    rule.wait(60)
    thread = threading.Thread(target=migrate)
    thread.start()
    db.wait_for_lock_waiter("migration")
    rule.release()
    result = running.wait()
    thread.join()
    assert ends == ["committed"]
    assert not [m for _, m in server_log.records("") if "deadlock detected" in m]
    world.check(result)


@pytest.mark.parametrize("strategy, table", [("range", "items"), ("locked", "items"), ("locked", "parts"),
                                             ("cascade", "parts"), ("rows", "parts")])
def test_O5_a_table_that_others_have_locked_costs_no_candidate(make_world, server_log, strategy, table):
    """As while somebody creates an index: pgsweep waits outside any transaction, and then goes on."""
    world = make_world(strategy)
    holder = hold(world.db, f"LOCK TABLE {table} IN SHARE MODE")
    running = world.start("--retries=1", chunk=1)
    wait_until(lambda: refused(server_log) >= 4 or not running.running(), what="four tries")
    assert running.running() and world.gone() == 0 and world.letters() == []
    assert world.idle_in_transaction() == []
    holder.commit()
    world.check(running.wait())


def test_O5_a_role_that_may_update_single_columns_needs_no_right_to_lock_their_table(db, pgsweep, policy_file, server_log):
    """LOCK TABLE takes a privilege on the whole table; what is detached needs none."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);"
           "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t); CREATE INDEX ON c (t);"
           "INSERT INTO t SELECT i, now() - interval '9 days' FROM generate_series(1, 5) i; INSERT INTO c SELECT i, i FROM generate_series(1, 5) i")
    role = db.role("sweeper", "SELECT, DELETE, UPDATE ON t", "SELECT, UPDATE (t) ON c")
    directory = policy_file("table: t\nage: at\nretain: 7 days\ndependents:\n  - { table: c, action: detach }\n")
    assert pgsweep("init", f"--role={role}").code == 0
    result = pgsweep("test", "--policy-dir", directory, user=role)
    assert result.code == 0 and db.count("t") == 0 and db.count("c", "t IS NULL") == 5, result
    assert server_log.matching("^LOCK TABLE .*ROW EXCLUSIVE") == ['LOCK TABLE "public"."t" IN ROW EXCLUSIVE MODE NOWAIT']


@pytest.mark.parametrize("through", ["itself", "a proxy"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_O5_a_long_count_gives_way_to_who_waits_for_its_table(db, pgsweep, policy_file, proxy, pgsweep_env, server_log,
                                                              dry_run, through):
    """The count would last for ever; an ALTER TABLE goes first all the same, and the count begins anew."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE TABLE slow (); INSERT INTO slow DEFAULT VALUES;"
           "INSERT INTO t SELECT i, now() - interval '9 days' FROM generate_series(1, 5) i")
    directory = policy_file("table: t\nage: at\nretain: 7 days\nwhere: NOT EXISTS (SELECT FROM slow) OR pg_sleep(600) IS NOT NULL\n"
                            "limits: { count_timeout: 10 min }\n")
    assert pgsweep("init").code == 0
    running = pgsweep.start("test", "--policy-dir", directory, "--format=json", *["--dry-run"] * dry_run,
                            env=pgsweep_env if through == "a proxy" else None)
    db.wait_for_sleeper()
    other = db.connect(autocommit=False, application_name="other")
    other.cursor().execute("SET lock_timeout = '60s'")
    other.cursor().execute("ALTER TABLE t ADD COLUMN extra int; DELETE FROM slow")
    other.commit()
    result = running.wait()
    assert (result.code, result.json()["eligible"]) == (0, 5), result.err + result.out
    assert db.count("t") == (5 if dry_run else 0), result
    assert any("canceling statement due to user request" in m for _, m in server_log.records(""))
    wait_until(lambda: not db.count("pg_stat_activity", "application_name LIKE 'pgsweep%' AND datname = current_database()"),
               what="the end of both sessions")
