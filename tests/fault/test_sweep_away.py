"""The database is away for a while, whatever the run is at: it is tried again, and the run goes on. G3, J6, O1."""
import signal

import pytest

import harness
from harness import wait_until
from pgproxy import PgProxy
from sweepworld import DELETES_ITEMS, World

TRYING = "trying again"
PHASES = {
    "set up": "pg_catalog.set_config.s.name, s.value",
    "planning": "FROM pg_catalog.pg_constraint",
    "lock": "pg_try_advisory_lock",
    "unfinished": "SET outcome = 'interrupted'",
    "counting": "pg_catalog.count",
    "record": "^INSERT INTO pgsweep.runs",
    "letters": "^UPDATE pgsweep.dead_letters",
    "durable": "^UPDATE pgsweep.runs SET last_chunk",
    "end of the record": "^UPDATE pgsweep.runs.*finished",
}


def outcomes(world):
    return world.db.column("SELECT outcome FROM pgsweep.runs ORDER BY started")


@pytest.fixture
def one(make_world, proxy):
    """One strategy: what is in question is not in a chunk."""
    return make_world("locked").through(proxy)


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
@pytest.mark.parametrize("phase", PHASES)
def test_G3_J6_a_connection_lost_in_any_phase_is_made_again(one, proxy, phase, action):
    rule = proxy.rule(PHASES[phase], action)
    result = one.run()
    if rule.fired == 0:
        pytest.fail(f"nothing was sent in phase {phase}: {proxy.executed('')}")
    assert result.code == 0, result
    assert one.left() == [] and one.recorded() == 20 and one.letters() == []
    one.check_data()
    assert outcomes(one)[-1] == "done" and set(outcomes(one)[:-1]) <= {"interrupted"}
    assert result.json()["retries"] >= 1 or phase == "end of the record"
    one.db.wait_for_no_session()


@pytest.mark.parametrize("phase", ["planning", "counting"])
def test_G3_O1_a_dry_run_is_tried_again_too(one, proxy, phase):
    rule = proxy.rule(PHASES[phase], "drop_after")
    result = one.run("--dry-run")
    assert rule.fired == 1 and result.code == 0 and result.json()["eligible"] == 20 and one.gone() == 0


def test_G3_J6_rows_that_stay_for_the_run_are_written_down_again(db, pgsweep, policy_file, proxy, pgsweep_env):
    """The write of what the run's own deletions could free: once, whatever became of the first try."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, parent int)")
    db.sql("INSERT INTO t SELECT i, now() - interval '30 days', i - 1 FROM generate_series(1, 9) AS i")
    directory = policy_file("table: t\nage: at\nretain: 7 days\n"
                            "where: NOT EXISTS (SELECT FROM t AS c WHERE c.parent = t.id)\n", "leaves")
    assert pgsweep("init").code == 0
    rule = proxy.rule("^INSERT INTO pgsweep.spared", "drop_after")
    result = pgsweep("leaves", "--policy-dir", directory, env=pgsweep_env)
    assert rule.fired == 1 and result.code == 0, result
    assert db.column("SELECT id FROM t ORDER BY id") == list(range(1, 9))
    assert db.count("pgsweep.spared") == 0


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_G3_O1_a_server_that_is_away_at_the_start_is_waited_for(one, proxy, mode):
    proxy.refuse = True
    running = one.start(*mode)
    wait_until(lambda: proxy.refused >= 9, what="attempts to connect")
    assert TRYING in running.err()
    proxy.refuse = False
    result = running.wait()
    assert result.code == 0 and one.gone() == (0 if mode else 20), result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_G3_O1_a_signal_ends_the_waiting_for_a_server(one, proxy, number):
    proxy.refuse = True
    running = one.start("--retry-for=1 hour")
    wait_until(lambda: proxy.refused >= 9, what="attempts to connect")
    running.signal(number)
    result = running.wait()
    report = result.json()
    assert result.code == 128 + number and report["outcome"] == "stopped" and report["error"] is None, result
    assert "before anything was deleted" in result.out and one.gone() == 0


def test_G3_O1_retry_for_ends_the_waiting(one, proxy):
    proxy.refuse = True
    result = one.run("--retry-for=1 s")
    assert result.code == 3 and TRYING in result.err and "cannot connect" in result.json()["error"]["message"], result
    # Each try asks up to three times: is somebody there, and does he refuse?
    once = proxy.refused
    proxy.refused = 0
    result = one.run("--retry-for=0 s")
    assert result.code == 3 and TRYING not in result.err and 0 < proxy.refused < once, result


def test_G3_retry_for_comes_from_the_policy_the_environment_and_the_option(pgsweep, policy_file):
    directory = policy_file("table: t\nage: at\nretain: 7 days\nlimits: { retry_for: 1 s }\n")
    args = ("show", "test", "--policy-dir", directory)
    env = {"PGSWEEP_TEST_RETRY_FOR": "2 s"}
    assert "retry_for: 1 s" in pgsweep(*args).out
    assert "retry_for: 2 s" in pgsweep(*args, env=env).out
    assert "retry_for: 3 s" in pgsweep(*args, "--retry-for=3 s", env=env).out
    assert pgsweep(*args, "--retry-for=3").code == 2


@pytest.mark.parametrize("why", ["no database", "no role", "no login"])
def test_G3_O1_what_does_not_pass_is_told_at_once(one, server, why):
    env = {"no database": {"PGDATABASE": "nosuch"}, "no role": {"PGUSER": "nosuch"},
           "no login": {"PGUSER": "mute_role"}}[why]
    if why == "no login":
        one.db.sql("DROP ROLE IF EXISTS mute_role; CREATE ROLE mute_role NOLOGIN")
    env |= {"PGHOST": server.host, "PGPORT": str(server.port)}
    result = one.runner(*one.args("--retry-for=1 hour"), env=env)
    assert result.code == 3 and TRYING not in result.err, result


def test_G3_too_many_connections_pass(one, server):
    one.db.sql("DROP ROLE IF EXISTS crowded; CREATE ROLE crowded SUPERUSER LOGIN CONNECTION LIMIT 0")
    one.db.sql("ALTER ROLE crowded NOSUPERUSER")
    running = one.runner.start(*one.args("--dry-run"), env={"PGUSER": "crowded", "PGHOST": server.host, "PGPORT": str(server.port)})
    running.wait_for(TRYING)
    one.db.sql("GRANT ALL ON items, parts TO crowded; ALTER ROLE crowded CONNECTION LIMIT -1")
    result = running.wait()
    one.db.sql("DROP OWNED BY crowded; DROP ROLE crowded")
    assert result.code == 0 and "too many connections" in result.err, result


@pytest.fixture
def failing_over(home, policy_file, request):
    """A server of its own behind a proxy, which keeps its address."""
    server = harness.Server("synchronous_commit = 'on'")
    request.addfinalizer(server.stop)
    database = harness.Database(server, "mine")
    runner = harness.Runner(database, home)
    request.addfinalizer(runner.close)
    proxy = PgProxy(server.host, server.port)
    request.addfinalizer(proxy.close)
    world = World(database, runner, policy_file, "locked").through(proxy)
    return world, server, proxy


def test_G3_J6_a_server_that_stops_and_starts_while_the_run_counts(failing_over):
    world, server, proxy = failing_over
    rule = proxy.rule(PHASES["counting"], "hold")
    running = world.start()
    rule.wait()
    server.shutdown("immediate")
    rule.release()
    running.wait_for(TRYING)
    server.startup()
    world.db.forget_connections()
    result = running.wait()
    assert result.code == 0 and world.left() == [] and world.recorded() == 20, result


def test_G3_J6_a_standby_is_waited_for_until_it_is_promoted(failing_over):
    world, server, proxy = failing_over
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=2)
    running = world.start("--pause=1 ms")  # with pauses, commits wait for the disk
    rule.wait()
    server.shutdown("immediate")
    server.become_standby()
    server.startup()
    world.db.forget_connections()
    asked = len(proxy.executed("pg_is_in_recovery"))
    rule.release()
    wait_until(lambda: len(proxy.executed("pg_is_in_recovery")) > asked + 1, what="a look at the standby")
    assert running.running()
    world.db.sql("SELECT pg_promote()")
    world.check(running.wait())
