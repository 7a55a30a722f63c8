"""A network that swallows packets: nobody answers, and nobody says that the connection is gone. G3, O1, O5."""
import re
import signal

import pytest

from harness import wait_until
from sweepworld import DELETES_ITEMS

# In what phase, whether something may have been deleted by then, and what is sent.
PHASES = {
    "set up": (False, "pg_catalog.set_config.s.name, s.value"),
    "planning": (False, "FROM pg_catalog.pg_constraint"),
    "counting": (False, "pg_catalog.count"),
    "chunk": (True, DELETES_ITEMS),
    "commit": (True, "^COMMIT"),
    "end of the record": (True, "^UPDATE pgsweep.runs.*finished"),
}


@pytest.fixture
def world(make_world, proxy):
    return make_world("locked").through(proxy)


@pytest.mark.parametrize("phase", PHASES)
def test_G3_O5_a_second_signal_ends_a_run_that_nobody_answers(world, proxy, phase):
    deletes, regex = PHASES[phase]
    rule = proxy.rule(regex, "hang")
    running = world.start()
    wait_until(lambda: rule.fired, what=f"phase {phase}")
    proxy.black_hole = True
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGTERM)
    result = running.wait()
    # The cancel request went the same way, and was not waited for either.
    assert result.code == 143, result
    told = result.out + result.err
    assert re.search("a second signal came|before the connection was established|stopped by signal|may have come back", told), result
    assert world.gone() in ((0, 8, 16, 20) if deletes else (0,))
    world.check_data()
    world.db.wait_for_no_session()
    proxy.clear()
    proxy.black_hole = False
    assert world.run().code == 0 and world.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_G3_O1_one_signal_ends_a_run_that_cannot_connect(world, proxy, number):
    """A server that accepts, and says nothing."""
    proxy.black_hole = True
    running = world.start("--retry-for=1 hour")
    wait_until(lambda: proxy.connections > 0, what="a connection")
    running.signal(number)
    result = running.wait()
    assert result.code == 128 + number and result.json()["outcome"] == "stopped", result
    assert world.gone() == 0


def test_G3_O5_one_signal_lets_the_chunk_be_answered(world, proxy):
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=2)
    running = world.start()
    rule.wait()
    running.signal(signal.SIGTERM)
    assert running.running()
    rule.release()
    world.check(running.wait(), left=range(1, 5), code=143)


SERVER_SIDE = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "6",
               "tcp_user_timeout": "120000", "client_connection_check_interval": "10000"}


def seen_by_chunk(world):
    """The settings in a chunk's session, as pg_settings has them (a local socket shows 0 for those of TCP)."""
    world.db.sql("CREATE TABLE IF NOT EXISTS seen (name text, value text, source text); TRUNCATE seen; GRANT ALL ON seen TO public")
    world.on_delete([1], "INSERT INTO seen SELECT name, setting, source FROM pg_settings", "look")
    world.check(world.run())
    world.allow("look")
    return {name: (value, source) for name, value, source in world.db.sql("SELECT * FROM seen")}


def test_G3_D7_the_server_notices_a_dead_client_unless_somebody_has_chosen(make_world, db):
    world = make_world("locked")
    world.env = {}
    version = db.connect().server_version
    names = [n for n in SERVER_SIDE if n != "client_connection_check_interval" or version >= 140000]
    seen = seen_by_chunk(world)
    assert {seen[n][1] for n in names} == {"session"}
    if version >= 140000:
        assert seen["client_connection_check_interval"][0] == "10000"
    assert seen["idle_in_transaction_session_timeout"][0] not in ("0", "")
    world.fill(range(1, 21), "30 days")
    db.sql(f'ALTER DATABASE "{db.name}" SET tcp_keepalives_idle = 7')
    seen = seen_by_chunk(world)
    assert seen["tcp_keepalives_idle"][1] == "database"
    assert {seen[n][1] for n in names if n != "tcp_keepalives_idle"} == {"session"}
