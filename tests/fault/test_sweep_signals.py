"""Signals, kills and closed outputs: what was committed is told, what was not is rolled back."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from harness import PATIENCE, binary, wait_until
from sweepworld import DELETES_ITEMS

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_O1_O5_a_signal_lets_the_chunk_in_flight_commit(world, proxy, number):
    world.through(proxy)
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=2)
    running = world.start()
    rule.wait()
    running.signal(number)
    rule.release()
    report = world.check(running.wait(), left=range(1, 5), code=128 + number)
    assert report["outcome"] == "stopped" and report["signal"] == number


@pytest.mark.parametrize("number", SIGNALS)
def test_O5_a_second_signal_cancels_and_rolls_back(world, number):
    world.hang_on(10)
    running = world.start()
    world.db.wait_for_sleeper()
    running.signal(number)
    time.sleep(0.3)  # time to do the wrong thing
    assert running.running()
    running.signal(number)
    # Rows go by age, the oldest (the highest number) first.
    report = world.check(running.wait(), left=range(1, 13), code=128 + number)
    assert report["outcome"] == "stopped"
    world.db.wait_for_no_session()


def test_O5_a_signal_ends_the_wait_for_a_table(make_world, proxy, db):
    world = make_world("locked").through(proxy)
    holder = db.connect(autocommit=False)
    holder.cursor().execute("LOCK TABLE parts IN EXCLUSIVE MODE")
    running = world.start()
    wait_until(lambda: len(proxy.executed("^LOCK TABLE")) > 1, what="tries")
    running.signal(signal.SIGTERM)
    world.check(running.wait(), left=range(1, 21), code=143)


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_O1_a_signal_while_counting_ends_the_run(make_world, mode):
    world = make_world("range", extra="where: pg_sleep(600) IS NOT NULL\n")
    running = world.start(*mode)
    world.db.wait_for_sleeper()
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 143 and world.gone() == 0
    assert result.json()["outcome"] == "stopped"


def test_O1_a_signal_during_backoff_ends_the_run(world, proxy):
    world.through(proxy)
    rule = proxy.rule("^WITH gone", "error", sqlstate="40001", nth=4, times=None)
    running = world.start("--retries=1000", chunk=4)
    wait_until(lambda: rule.fired > 3, what="retries")
    running.signal(signal.SIGTERM)
    result = running.wait()
    report = world.check(result, left=world.left(), code=143)
    assert 0 < report["deleted"] < 20 and report["error"] is None


def test_O1_a_signal_while_the_database_is_away_ends_the_run(world, proxy):
    world.through(proxy)
    rule = proxy.rule(DELETES_ITEMS, "hold", nth=2)
    running = world.start("--retries=1000")
    rule.wait()
    proxy.refuse = True
    proxy.drop_all()
    wait_until(lambda: proxy.refused >= 2, what="attempts to connect")
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 143 and world.gone() == 8
    # Nobody could ask whether the first chunk was on the server's disk: it is told apart.
    report = result.json()
    assert report["deleted"] == 8 or (report["deleted"] == 0 and
                                      any("8 rows more were deleted" in r for r in report["remarks"]))


def test_D7_O1_a_signal_during_a_pause_ends_the_run_and_nothing_is_open_meanwhile(world):
    running = world.start("--pause=10 min")
    wait_until(lambda: world.gone() == 8, what="the first chunk")
    for _ in range(10):
        assert world.idle_in_transaction() == []
        time.sleep(0.02)
    running.signal(signal.SIGINT)
    report = world.check(running.wait(), left=range(1, 13), code=130)
    assert report["outcome"] == "stopped"


def test_J7_nothing_is_open_during_backoff(world, proxy):
    world.through(proxy)
    proxy.rule("^WITH gone", "error", sqlstate="40001", nth=2, times=4)
    world.check(world.run())
    # After a failure the transaction is ended, and only then comes the wait (50 ms or more for the first one, 100...).
    # A busy machine makes it longer, never shorter.
    closed, waits = True, []
    for before, after in zip(list(proxy.log), list(proxy.log)[1:]):
        closed = before.sql in ("COMMIT", "ROLLBACK") or closed and not before.sql.startswith("BEGIN")
        waits += [after.at - before.at] if closed else []
    waits = sorted(waits)[-4:]
    assert len(waits) == 4 and all(wait >= 0.05 * 2 ** n for n, wait in enumerate(waits)), waits


def test_J6_O5_killed_again_and_again_until_all_is_gone(world):
    world.fill(range(21, 301), "30 days")
    world.old = 300
    random.seed(300)
    for _ in range(12):
        # At some row: a run that is quicker than this test ends at 24, and 12 of them leave some for the last one.
        enough = world.gone() + random.randint(0, 23)
        running = world.start("--pause=5 ms", "--max-rows=24", chunk=3)
        wait_until(lambda: world.db.count("pgsweep.runs", "outcome = 'running'") and world.gone() >= enough
                   or not running.running(), what="a run")
        running.kill()
        world.check_data()
        assert world.recorded() == world.gone()
    assert world.left()
    last = world.db.value("SELECT outcome FROM pgsweep.runs ORDER BY started DESC LIMIT 1")
    result = world.run(chunk=50)
    report = result.json()
    assert result.code == 0 and world.left() == [] and world.recorded() == 300
    outcomes = world.db.column("SELECT outcome FROM pgsweep.runs ORDER BY started")
    assert outcomes[-1] == "done" and set(outcomes) <= {"interrupted", "limit", "done"}
    assert any("did not finish" in remark for remark in report["remarks"]) == (last == "running")
    world.check_data()


def test_O1_O5_closed_standard_output_is_an_error_and_the_rows_are_gone(world):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([binary(), *map(str, world.args())], env=world.runner.environment(),
                          stdout=write, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    os.close(write)
    assert done.returncode == 1 and "standard output" in done.stderr
    assert world.left() == [] and world.recorded() == 20


@pytest.mark.parametrize("closed, code", [("<&-", 0), ("2>&-", 0), (">&-", 1), ("<&- >&- 2>&-", 1)])
def test_O5_no_standard_stream_becomes_the_connection(world, closed, code):
    command = " ".join(f"'{a}'" for a in (binary(), *map(str, world.args("--verbose"))))
    done = subprocess.run(["sh", "-c", f"exec {command} {closed}"], env=world.runner.environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
    assert done.returncode == code, done
    assert world.left() == [] and world.recorded() == 20
    if not closed.startswith(">&-") and "<&- >" not in closed:
        assert json.loads(done.stdout)["retries"] == 0
