"""The server and the session: restarts, settings that pgsweep overrides, standbys, cost, memory."""
import subprocess
import time

import pytest

import harness
from harness import wait_until
from pgproxy import PgProxy
from sweepworld import DELETES_ITEMS, World


@pytest.fixture
def own_server(request):
    """A server that this test may restart, and a database on it."""
    instance = harness.Server("synchronous_commit = 'on'")
    request.addfinalizer(instance.stop)
    return instance


@pytest.fixture(params=["range", "locked"])
def strategy(request):
    return request.param


@pytest.fixture
def restartable(own_server, home, policy_file, strategy):
    database = harness.Database(own_server, "mine")
    runner = harness.Runner(database, home)
    yield World(database, runner, policy_file, strategy)
    runner.close()


def test_O1_a_server_that_is_away_is_told(world):
    result = world.runner(*world.args("--retry-for=1 s"), env={"PGPORT": "1"})
    assert result.code == 3 and "cannot connect" in result.err and result.json()["exit_code"] == 3


def test_J6_an_immediate_restart_is_survived_and_a_server_gone_for_good_is_told(restartable, own_server, request):
    world = restartable
    proxy = PgProxy(own_server.host, own_server.port)
    request.addfinalizer(proxy.close)
    world.through(proxy)
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=3)
    running = world.start("--pause=1 ms", chunk=2)  # with pauses, commits wait for the disk
    rule.wait()
    own_server.restart("immediate")
    rule.release()
    world.db.forget_connections()
    world.check(running.wait())
    world.fill(range(1, 21), "30 days")
    proxy.clear()
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=3)
    running = world.start("--retry-for=1 s", "--pause=1 ms", chunk=2)
    rule.wait()
    own_server.shutdown("immediate")
    rule.release()
    result = running.wait()
    own_server.startup()
    world.db.forget_connections()
    report = result.json()
    assert result.code == 3 and report["outcome"] == "error", result
    assert report["deleted"] == world.gone() >= 4
    assert world.recorded() == 20 + world.gone()
    again = world.run()
    assert again.code == 0 and world.left() == [] and world.recorded() == 40
    assert "did not finish" in " ".join(again.json()["remarks"])


def test_J6_its_session_is_terminated_in_the_middle(world, proxy):
    world.through(proxy)
    rules = [proxy.rule(DELETES_ITEMS, "hold", nth=nth) for nth in (3, 6)]
    running = world.start(chunk=2)
    for rule in rules:
        rule.wait()
        world.db.sql("SELECT pg_terminate_backend(%s)", world.session())
        rule.release()
    world.check(running.wait())


def test_A6_J6_the_lost_session_still_holds_the_lock(world, proxy):
    """It hangs in a trigger, and does not notice that its client has gone: it is ended."""
    world.hang_on(10)
    world.through(proxy)
    running = world.start()
    world.db.wait_for_sleeper()
    for connection in list(proxy.live):
        connection.close_client()
    waiting = wait_until(lambda: len(proxy.executed("pg_terminate_backend")) > 0, what="the end of it")
    assert waiting
    running.signal(15)
    running.signal(15)
    result = running.wait()
    assert result.json()["deleted"] == world.gone() == world.recorded()
    world.check_data()


SETTINGS = {"default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
            "statement_timeout": "1ms", "lock_timeout": "1ms", "jit": "on", "TimeZone": "Asia/Tokyo",
            "search_path": "elsewhere, public", "synchronous_commit": "off",
            "idle_in_transaction_session_timeout": "1ms", "default_transaction_deferrable": "on",
            "DateStyle": "German, DMY", "enable_seqscan": "off"}


def test_O5_settings_of_the_role_are_overridden(world):
    db = world.db
    role = db.role("odd", "ALL ON ALL TABLES IN SCHEMA public", "USAGE, CREATE ON SCHEMA public")
    assert world.runner("init", "--role", role).code == 0
    names = [n for n in SETTINGS if n not in ("search_path", "enable_seqscan")]
    db.sql("CREATE TABLE seen (name text, value text); GRANT INSERT ON seen TO public;"
           "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO seen"
           f" SELECT n, current_setting(n) FROM unnest(%s) n; RETURN NULL; END$$;"
           "CREATE TRIGGER look AFTER DELETE ON items FOR EACH STATEMENT EXECUTE FUNCTION look()",
           names + ["transaction_isolation", "transaction_read_only"])
    for name, value in SETTINGS.items():
        quoted = value if name == "search_path" else f"'{value}'"
        db.sql(f'ALTER ROLE "{role}" SET {name} = {quoted}')
    world.env = {"PGUSER": role}
    world.check(world.run())
    seen = dict(db.sql("SELECT DISTINCT name, value FROM seen"))
    assert seen["transaction_isolation"] == "read committed" and seen["transaction_read_only"] == "off"
    assert seen["jit"] == "off" and seen["TimeZone"] == "UTC"
    # A chunk does not wait for the disk, but the run does before it tells what is gone.
    assert world.db.value("SELECT outcome FROM pgsweep.runs") == "done"
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert seen[name] not in ("0", "1ms")


def test_J7_range_costs_one_round_trip_a_chunk_and_locked_at_most_four(world, proxy):
    world.fill(range(21, 201), "30 days")
    world.old = 200
    world.through(proxy)
    proxy.latency = 0.005
    trips = []
    for chunk, count in ((50, 4), (5, 40)):
        proxy.clear()
        world.check(world.run(chunk=chunk))
        trips.append(proxy.round_trips)
        world.fill(range(1, 201), "30 days")
        world.db.sql("DELETE FROM pgsweep.runs")
    extra = (trips[1] - trips[0]) / 36
    assert extra <= (1.1 if world.strategy == "range" else 4.05), trips


@pytest.mark.unsanitized
def test_J7_a_distant_server_gets_no_smaller_chunks(make_world, proxy, strategy):
    """Of what the server takes to work, not of the way: it would be chunks of 100 rows."""
    world = make_world(strategy, old=0)
    world.through(proxy)
    ids = range(2000, 12000)
    chunks = {}
    for latency in (0.02, 0):
        proxy.latency = latency
        world.fill(ids, "30 days")
        report = world.run(chunk="auto").json()
        assert report["deleted"] == len(ids) and report["outcome"] == "done"
        chunks[latency] = report["chunks"]
    assert chunks[0.02] <= max(2 * chunks[0], 40), chunks


def test_O1_O2_a_standby_is_refused_and_can_be_previewed(own_server, home, policy_file):
    database = harness.Database(own_server, "mine")
    runner = harness.Runner(database, home)
    world = World(database, runner, policy_file, "locked")
    own_server.shutdown()
    own_server.become_standby()
    own_server.startup()
    database.forget_connections()
    live = world.run()
    assert live.code == 2 and "standby" in live.err and "hint" in live.err
    dry = world.run("--dry-run")
    assert dry.code == 0 and dry.json()["eligible"] == 20, dry
    assert world.gone() == 0


def peak_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(l.split()[1]) for l in status if l.startswith("VmHWM")), 0)
    except (OSError, ProcessLookupError):
        return 0


@pytest.mark.unsanitized
def test_F5_memory_does_not_grow_with_the_rows(make_world, strategy):
    linked = subprocess.run(["ldd", harness.binary()], stdout=subprocess.PIPE, text=True, check=True)
    if "asan" in linked.stdout:
        pytest.skip("the sanitizers need memory of their own")
    world = make_world(strategy)
    world.db.sql("INSERT INTO items SELECT i, now() - interval '30 days' - i * interval '1 second'"
                 " FROM generate_series(10000, 109999) AS i")
    running = world.runner.start(*world.args())
    peak = 0
    while running.running():
        peak = max(peak, peak_kib(running.pid))
        time.sleep(0.01)
    result = running.wait()
    assert result.code == 0 and result.json()["deleted"] == 100020
    assert 0 < peak <= 16 * 1024, peak
