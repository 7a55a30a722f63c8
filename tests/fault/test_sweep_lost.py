"""Items whose deletion costs the connection, or crashes the server, each time: they stand alone in the end, and
the others go. When everything costs it, no item is to blame."""
import pytest

import harness
from sweepworld import World, failed_keys

TERMINATE = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(600)"
# The shell's parent is the server process: to the server it has crashed, and all its sessions with it.
CRASH = "COPY (SELECT 1) TO PROGRAM 'kill -9 $PPID'"
STRATEGIES = ("range", "locked", "rows")


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return request.param


@pytest.fixture(params=["near", "far"])
def distance(request):
    return request.param


@pytest.fixture
def world(make_world, strategy, distance):
    world = make_world(strategy)
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    return world


# By age the highest number goes first.
@pytest.mark.parametrize("items", [[20], [13], [1], [18, 19, 20], [2, 9, 17]],
                         ids=["first", "middle", "last", "side by side", "scattered"])
def test_M5_J6_an_item_that_costs_the_connection_is_set_aside(world, items):
    world.on_delete(items, TERMINATE)
    result = world.run(chunk=8)
    report = world.check(result, left=items, code=1, failed=len(items))
    assert failed_keys(report) == items and report["outcome"] == "partial" and report["error"] is None
    assert all("cost the connection" in f["error"] and f["sqlstate"] == "57P01" for f in report["failures"])
    assert world.letters() == [(item, "waiting", 1) for item in items]
    assert world.letters("DISTINCT run_id, key[1]::int")[0][0] == report["run_id"]


def test_M5_the_only_item_costs_the_connection(make_world, strategy, distance):
    world = make_world(strategy, old=1)
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    world.on_delete([1], TERMINATE)
    for attempt, state in ((1, "waiting"), (2, "waiting"), (3, "waiting"), (4, "parked")):
        world.db.sql("DELETE FROM pgsweep.runs")
        world.check(world.run(), left=[1], code=1, failed=1)
        assert world.letters() == [(1, state, attempt)]
    world.check(world.run(), left=[1])
    world.allow()
    world.check(world.run(), left=[1])


def test_M5_J6_an_item_that_costs_the_connection_at_commit(world):
    world.on_delete([13], TERMINATE, when="AFTER DELETE DEFERRABLE INITIALLY DEFERRED")
    report = world.check(world.run(chunk=8), left=[13], code=1, failed=1)
    assert failed_keys(report) == [13] and world.letters() == [(13, "waiting", 1)]


def test_O1_when_each_item_costs_the_connection_the_run_ends_without_a_letter(world):
    world.on_delete(range(1, 21), TERMINATE)
    result = world.run(chunk=8)
    report = result.json()
    assert result.code == 3 and report["outcome"] == "error" and report["failed"] == report["deleted"] == 0
    assert f"pgsweep: error: policy {world.strategy}, run {report['run_id']}: the connection was lost over each of 6" \
           " candidates in a row" in result.err and "hint" in result.err, result
    assert world.letters() == [] and world.gone() == world.recorded() == 0
    assert world.db.column("SELECT outcome FROM pgsweep.runs") == ["error"]
    world.check_data()
    world.allow()
    assert world.run().code == 0 and world.left() == [] and world.recorded() == 20


@pytest.mark.parametrize("old", [1, 3])
def test_O1_when_every_deletion_costs_it_few_items_are_not_to_blame_either(make_world, strategy, distance, old):
    """A trigger for the statement, whatever it deletes."""
    world = make_world(strategy, old=old)
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    world.db.sql(f"""
        CREATE FUNCTION fall() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {TERMINATE}; RETURN NULL; END$$;
        CREATE TRIGGER fall BEFORE DELETE ON items FOR EACH STATEMENT EXECUTE FUNCTION fall()""")
    result = world.run()
    assert result.code == 3 and "a transaction that deletes nothing" in result.err, result
    assert world.letters() == [] and world.gone() == world.recorded() == 0


def test_M5_O1_many_items_that_cost_the_connection_end_the_run(make_world, distance):
    """Ten of them and another one, and the server has peace; what can go before has gone, and nothing is lost."""
    world = make_world("locked", old=30)
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    bad = range(1, 31, 2)
    world.on_delete(bad, TERMINATE)
    result = world.run(chunk=1)
    report = result.json()
    assert result.code == 3 and "10 candidates each cost the connection" in result.err, result
    assert len(world.letters()) == report["failed"] == 10 and report["deleted"] == world.gone() == world.recorded() == 11
    world.db.wait_for_no_session()
    world.check_data()


def test_M5_an_item_that_fails_beside_one_that_costs_the_connection(world):
    world.on_delete([13], TERMINATE, "fall")
    world.refuse([5, 14])
    report = world.check(world.run(chunk=8), left=[5, 13, 14], code=1, failed=3)
    assert failed_keys(report) == [5, 13, 14] and [row[0] for row in world.letters()] == [5, 13, 14]


@pytest.mark.parametrize("item", [20, 16], ids=["first", "last"])
def test_J6_a_limit_holds_while_one_is_looked_for(world, item):
    world.on_delete([item], TERMINATE)
    report = world.run("--max-rows=5").json()
    assert report["deleted"] == 4 and report["failed"] == 1 and report["limit"] == "max-rows"
    assert world.left() == sorted([*range(1, 16), item]) and world.letters() == [(item, "waiting", 1)]
    assert report["exit_code"] == 1


@pytest.fixture
def crashing(request, home, policy_file, strategy):
    """A world on a server of its own, whose commits reach the disk late."""
    server = harness.Server("wal_writer_delay = '10s'", "bgwriter_delay = '10s'", "synchronous_commit = 'on'")
    request.addfinalizer(server.stop)
    runner = harness.Runner(harness.Database(server, "mine"), home)
    request.addfinalizer(runner.close)
    return World(runner.database, runner, policy_file, strategy)


@pytest.mark.parametrize("items", [[13], [3, 20]], ids=["one", "two"])
def test_M5_O5_an_item_that_crashes_the_server_is_set_aside_and_nothing_is_counted_twice(crashing, items):
    world = crashing
    world.on_delete(items, CRASH)
    result = world.run(chunk=4)
    world.db.forget_connections()
    report = world.check(result, left=items, code=1, failed=len(items))
    assert failed_keys(report) == items
    assert world.letters() == [(item, "waiting", 1) for item in items]
    # Each crash takes the whole application along: there are few.
    crashes = world.db.server.log_path.read_text().count("was terminated by signal 9")
    assert 4 * len(items) <= crashes <= 6 * len(items)


def test_O5_a_crash_undoes_letters_of_no_item_and_tells_none_twice(crashing):
    """The letter of an item that failed before the crash stays; the item is told once."""
    world = crashing
    world.refuse([18])
    world.on_delete([3], CRASH, "fall")
    result = world.run(chunk=2)
    world.db.forget_connections()
    report = world.check(result, left=[3, 18], code=1, failed=2)
    assert failed_keys(report) == [3, 18]
    assert world.letters() == [(3, "waiting", 1), (18, "waiting", 1)]
