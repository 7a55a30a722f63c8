"""A row that another session has locked is no failure, wherever it lies: it is stepped over, tried again, and told."""
import concurrent.futures
import json

import pytest

from harness import wait_until
from sweepworld import REMAINING, STRATEGIES

OLD = "now() - interval '30 days'"
MODES = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")


def waits(server_log):
    """How often pgsweep has waited for a lock in vain."""
    return sum("due to lock timeout" in message for _, message in server_log.records())


def hold(db, sql):
    """A transaction that is left open after sql."""
    connection = db.connect(autocommit=False)
    connection.cursor().execute(sql)
    return connection


def told(report):
    """What the report says of rows that are left locked."""
    return sorted((entry["key"], entry["table"]) for entry in report["locked"])


def stepped_over(world, result, items, table):
    """They are left, all others are gone, and no try counts as a failure."""
    report = world.check(result, left=items, code=1)
    assert (report["left_locked"], report["outcome"], report["retries"]) == (len(items), "partial", 0), result
    assert told(report) == sorted((f"(id)=({i})", table) for i in items), result
    assert world.letters() == []
    assert world.db.value("SELECT left_locked FROM pgsweep.runs WHERE run_id = %s", report["run_id"]) == len(items)
    return report


@pytest.fixture
def sweep(db, pgsweep, policy_file):
    """sweep({policy}, *args): the JSON report of a run of a policy of table t; its exit code is in it."""
    assert pgsweep("init").code == 0

    def run(policy, *args):
        directory = policy_file(json.dumps({"table": "t", "age": "at", "retain": "7 days", **policy}))
        return pgsweep("test", "--policy-dir", directory, "--format=json", *args).json()
    return run


def letters(db):
    return db.count("pgsweep.dead_letters")


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("strategy", [*STRATEGIES, "rows"])
def test_G1_J7_locked_candidates_are_stepped_over(make_world, strategy, distance):
    """In the middle, at the end (the lowest number is the youngest) and at the beginning."""
    world = make_world(strategy)
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    holders = [hold(world.db, f"SELECT FROM items WHERE id = {i} FOR {mode}") for i, mode in zip((1, 7, 13, 20), MODES)]
    stepped_over(world, world.run(), [1, 7, 13, 20], "public.items")
    for holder in holders:
        holder.rollback()
    assert world.run().code == 0 and world.left() == []


@pytest.mark.parametrize("chunk", [1, 8, 1000])
@pytest.mark.parametrize("strategy", ["locked", "cascade", "rows"])
def test_G1_J7_candidates_with_a_locked_dependent_are_stepped_over(make_world, strategy, chunk):
    world = make_world(strategy)
    holders = [hold(world.db, f"SELECT FROM parts WHERE id = {2 * i} FOR {mode}") for i, mode in zip((1, 7, 13, 20), MODES)]
    stepped_over(world, world.run(chunk=chunk), [1, 7, 13, 20], "public.parts")
    for holder in holders:
        holder.rollback()
    assert world.run().code == 0 and world.left() == []


@pytest.mark.parametrize("strategy", ["locked", "cascade", "rows"])
def test_G1_J7_few_chunks_wait_for_locked_dependents(make_world, server_log, strategy):
    """Ten of 400 candidates; each may cost one wait at most, and not one in every pass."""
    world = make_world(strategy, old=400)
    hold(world.db, "SELECT FROM parts WHERE item_id % 40 = 7 AND id % 2 = 0 FOR UPDATE")
    stepped_over(world, world.run(chunk=50), range(7, 400, 40), "public.parts")
    assert waits(server_log) <= 10


def test_G1_J7_few_ranges_wait_for_locked_rows(make_world, server_log):
    world = make_world("range", old=400)
    hold(world.db, "SELECT FROM items WHERE id % 40 = 7 FOR UPDATE")
    stepped_over(world, world.run(chunk=50), range(7, 400, 40), "public.items")
    assert waits(server_log) <= 8


@pytest.mark.parametrize("strategy", [*STRATEGIES, "rows"])
def test_G1_J7_when_all_is_locked_the_run_ends_soon(make_world, server_log, strategy):
    world = make_world(strategy, old=300)
    table = "items" if strategy == "range" else "parts"
    hold(world.db, f"SELECT FROM {table} FOR UPDATE")
    report = world.check(world.run(chunk=10), left=range(1, 301), code=1)
    assert report["left_locked"] == 300 and len(report["locked"]) == 20
    assert {entry["table"] for entry in report["locked"]} == {f"public.{table}"}
    assert waits(server_log) <= 15


@pytest.mark.parametrize("strategy", ["locked", "cascade", "rows"])
def test_G1_J7_a_dependent_that_is_unlocked_during_the_run_goes_in_a_later_pass(make_world, proxy, strategy):
    world = make_world(strategy).through(proxy)
    holder = hold(world.db, "SELECT FROM parts WHERE item_id = 10 FOR UPDATE")
    rule = proxy.rule(REMAINING, "hold")
    running = world.start()
    rule.wait()
    assert world.left() == [10]
    holder.rollback()
    rule.release()
    report = world.check(running.wait())
    assert report["left_locked"] == 0 and report["locked"] == [] and report["retries"] == 0


@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_G1_J7_a_detached_row_is_locked_when_its_update_would_wait(db, sweep, transaction):
    """A row that others only refer to can be updated."""
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE d (id int PRIMARY KEY, t int REFERENCES t); CREATE INDEX ON d (t);"
           "INSERT INTO t SELECT generate_series(1, 9); INSERT INTO d SELECT i, i FROM generate_series(1, 9) AS i")
    hold(db, "SELECT FROM d WHERE id = 3 FOR KEY SHARE")
    hold(db, "SELECT FROM d WHERE id = 7 FOR SHARE")
    report = sweep({"transaction": transaction, "dependents": [{"table": "d", "action": "detach"}]})
    assert db.column("SELECT id FROM t") == [7] and told(report) == [("(id)=(7)", "public.d")], report
    assert db.column("SELECT id FROM d WHERE t IS NOT NULL") == [7] and report["exit_code"] == 1


def test_G1_J7_M2_a_locked_shared_row_leaves_what_refers_to_it(db, sweep):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE image (id int PRIMARY KEY);"
           "CREATE TABLE link (t int NOT NULL REFERENCES t, image int NOT NULL REFERENCES image, PRIMARY KEY (t, image));"
           "CREATE INDEX ON link (image); INSERT INTO t SELECT generate_series(1, 9);"
           "INSERT INTO image SELECT generate_series(1, 9); INSERT INTO link SELECT i, i FROM generate_series(1, 9) AS i")
    holder = hold(db, "SELECT FROM image WHERE id = 4 FOR KEY SHARE")
    policy = {"dependents": [{"table": "link", "action": "delete"}, {"table": "image", "via": "link", "action": "delete_orphans"}]}
    report = sweep(policy)
    assert db.column("SELECT id FROM t") == db.column("SELECT id FROM image") == [4], report
    assert told(report) == [("(id)=(4)", "public.image")] and report["exit_code"] == 1 and letters(db) == 0
    holder.rollback()
    assert sweep(policy)["exit_code"] == 0 and db.count("image") == 0


def test_G1_J7_a_locked_row_below_leaves_the_rows_above_it(db, sweep):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD}, up int REFERENCES t); CREATE INDEX ON t (up);"
           "INSERT INTO t SELECT i, now() - interval '30 days' + i * interval '1 s', CASE WHEN i % 3 <> 1 THEN i - 1 END"
           "  FROM generate_series(1, 30) AS i")
    hold(db, "SELECT FROM t WHERE id = 12 FOR UPDATE")
    report = sweep({"dependents": [{"table": "t", "action": "delete"}]})
    assert db.column("SELECT id FROM t ORDER BY id") == [10, 11, 12], report
    assert report["left_locked"] == 3 and report["failed"] == 0 and letters(db) == 0 and report["exit_code"] == 1


@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_G1_J7_a_locked_row_that_a_trigger_changes_leaves_its_candidate(db, sweep, transaction):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD}, account int);"
           "CREATE TABLE account (id int PRIMARY KEY, n int); INSERT INTO account SELECT i, 0 FROM generate_series(1, 3) AS i;"
           "INSERT INTO t SELECT i, now() - interval '30 days' + i * interval '1 s', CASE i WHEN 17 THEN 1 WHEN 30 THEN 2 ELSE 3 END"
           "  FROM generate_series(1, 30) AS i;"
           "CREATE FUNCTION less() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN UPDATE account SET n = n + 1 WHERE id = OLD.account; RETURN OLD; END$$;"
           "CREATE TRIGGER less BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION less()")
    hold(db, "SELECT FROM account WHERE id IN (1, 2) FOR UPDATE")
    report = sweep({"transaction": transaction}, "--chunk=7")
    assert db.column("SELECT id FROM t ORDER BY id") == [17, 30], (report["error"], report["locked"], report["remarks"], report["failures"])
    assert [key for key, _ in told(report)] == ["(id)=(17)", "(id)=(30)"] and report["failed"] == 0 and letters(db) == 0
    assert db.value("SELECT n FROM account WHERE id = 3") == 28 and report["exit_code"] == 1


@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_G1_J7_when_all_candidates_wait_for_one_row_few_are_tried(db, sweep, server_log, transaction):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE total (n int); INSERT INTO total VALUES (0); INSERT INTO t SELECT generate_series(1, 3000);"
           "CREATE FUNCTION less() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE total SET n = n + 1; RETURN OLD; END$$;"
           "CREATE TRIGGER less BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION less()")
    hold(db, "SELECT FROM total FOR UPDATE")
    report = sweep({"transaction": transaction}, "--chunk=20")
    assert report["left_locked"] == db.count("t") == 3000, report["error"]
    assert report["failed"] == 0 and report["exit_code"] == 1
    assert waits(server_log) <= 200


@pytest.mark.parametrize("dependents", [[], [{"table": "d", "action": "delete"}]])
def test_G1_J7_locked_rows_of_partitions_are_stepped_over(db, sweep, dependents):
    db.sql("CREATE TABLE t (id int, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (id);"
           "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);"
           "CREATE INDEX ON t (at);"
           "CREATE TABLE d (id int, at timestamptz, FOREIGN KEY (id, at) REFERENCES t); CREATE INDEX ON d (id, at);"
           f"INSERT INTO t SELECT i, {OLD} FROM generate_series(1, 18) AS i")
    hold(db, "SELECT FROM t2 WHERE id = 12 FOR UPDATE")
    report = sweep({"dependents": dependents or [{"table": "d", "action": "ignore", "reason": "empty"}]}, "--chunk=5")
    assert db.column("SELECT id FROM t") == [12] and report["left_locked"] == 1 and report["exit_code"] == 1, report


def test_G1_J7_a_dependent_with_a_deferred_key_is_stepped_over(db, sweep):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE d (id int PRIMARY KEY, t int REFERENCES t DEFERRABLE INITIALLY DEFERRED); CREATE INDEX ON d (t);"
           "INSERT INTO t SELECT generate_series(1, 9); INSERT INTO d SELECT i, i FROM generate_series(1, 9) AS i")
    hold(db, "SELECT FROM d WHERE id = 3 FOR UPDATE")
    report = sweep({"dependents": [{"table": "d", "action": "delete"}]})
    assert db.column("SELECT id FROM t") == db.column("SELECT id FROM d") == [3], report
    assert told(report) == [("(id)=(3)", "public.d")] and report["exit_code"] == 1 and letters(db) == 0


@pytest.mark.parametrize("strategy", [*STRATEGIES, "rows"])
def test_D2_a_dry_run_neither_waits_for_locked_rows_nor_tells_of_them(make_world, strategy):
    world = make_world(strategy)
    hold(world.db, "SELECT FROM items WHERE id = 10 FOR UPDATE")
    report = world.run("--dry-run").json()
    assert (report["exit_code"], report["left_locked"], report["locked"], report["eligible"]) == (0, 0, [], 20)


def test_O5_the_record_of_a_transaction_costs_the_same_beside_an_old_one(make_world, db):
    """An old transaction keeps all versions of the record; which one counts is found at once all the same."""
    world = make_world("rows", old=300)
    hold(db, "SELECT FROM items WHERE id = 1001 FOR UPDATE")
    world.check(world.run(chunk=100))
    db.wait_for_no_session()
    read = db.value("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'runs_pkey'")
    assert read <= 4 * 300, read


@pytest.mark.parametrize("strategy", ["locked", "cascade", "rows"])
def test_G2_a_session_that_has_a_dependent_and_wants_the_candidate_is_no_victim_of_a_deadlock(make_world, proxy, strategy):
    """It waits for the candidate that pgsweep has, and pgsweep for its dependent: pgsweep gives way, long before a deadlock is looked for."""
    world = make_world(strategy)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = "near"
    other = hold(world.db, "SET LOCAL deadlock_timeout = '500ms'; SELECT FROM parts WHERE id = 40 FOR UPDATE")
    pid = other.info.backend_pid
    held = proxy.rule('^DELETE FROM "public"."items"' if strategy == "cascade" else '"public"."parts" AS d.*FOR UPDATE', "hold", nth=1)
    running = world.start(chunk=20)
    held.wait(60)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        wanted = pool.submit(other.cursor().execute, "SELECT FROM items WHERE id = 20 FOR UPDATE")  # the oldest
        wait_until(lambda: wanted.done() or
                   world.db.value("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", pid), what="the wait")
        assert not wanted.done()
        held.release()
        wanted.result()
    other.commit()
    result = running.wait()
    assert result.code == 0 and world.left() == [] and world.letters() == [], result
