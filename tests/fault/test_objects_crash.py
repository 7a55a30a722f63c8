"""Objects when processes die, hang or meet each other. O5: a crash at any instant leaves a state that the
next run completes; the store is never waited for inside of a transaction."""
import signal
import time

import pytest

from harness import wait_until


def test_O5_killed_between_commit_and_object_deletion(mocs, s3):
    mocs.add(1, ["a", "b"], "t.png", [(1, "i.png", None)])
    s3.fault("hang", count=100)
    running = mocs.start()
    mocs.wait_committed()
    running.kill()
    assert mocs.keys() == mocs.queue() == ["a", "b", "i.png", "t.png"]
    s3.reset()
    report = mocs.run()
    assert mocs.keys() == mocs.queue() == [] and report["objects"]["deleted"] == 4
    assert mocs.db.column("SELECT outcome FROM pgsweep.runs ORDER BY started") == ["interrupted", "done"]


def test_O5_killed_after_the_object_is_gone_and_before_that_is_noted(mocs):
    mocs.add(1, ["a"])
    mocs.db.sql("""CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_sleep(600); RETURN OLD; END$$;
        CREATE TRIGGER hang BEFORE DELETE ON pgsweep.object_queue FOR EACH ROW EXECUTE FUNCTION hang()""")
    running = mocs.start()
    mocs.wait_committed()
    mocs.db.wait_for_sleeper()
    running.kill(sessions_end=False)
    mocs.db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    mocs.db.wait_for_no_session()
    assert mocs.queue() == ["a"]
    mocs.db.sql("DROP TRIGGER hang ON pgsweep.object_queue")
    assert mocs.run()["objects"]["deleted"] == 1 and mocs.queue() == []


def test_O5_killed_while_many_mocs_go(mocs, s3):
    for moc in range(60):
        mocs.add(moc, [f"{moc}/a", f"{moc}/b"])
    mocs.db.sql("""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END$$;
        CREATE TRIGGER slow BEFORE DELETE ON moc_instructions FOR EACH ROW EXECUTE FUNCTION slow()""")
    running = mocs.start("--chunk=10")
    wait_until(lambda: len(mocs.left()) < 40, what="some of the MOCs to go")
    running.kill()
    left = mocs.left()
    assert left
    gone = sorted(f"{moc}/{f}" for moc in set(range(60)) - set(left) for f in "ab")
    assert mocs.queue() == gone and len(mocs.keys()) == 120
    mocs.run()
    assert mocs.left() == mocs.keys() == mocs.queue() == []


def test_O5_stopped_by_a_signal_while_the_store_hangs(mocs, s3):
    mocs.add(1, ["a"])
    s3.fault("hang", count=100)
    running = mocs.start()
    mocs.wait_committed()
    wait_until(s3.log, what="the request")
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 128 + signal.SIGTERM, result
    assert mocs.queue() == ["a"] and mocs.left() == []
    s3.reset()
    mocs.make_due()
    mocs.run()
    assert mocs.keys() == mocs.queue() == []


def test_O5_no_transaction_is_open_while_the_store_hangs(mocs, s3):
    for moc in range(5):
        mocs.add(moc, [f"k{moc}"])
    s3.configure(held=True)
    running = mocs.start()
    wait_until(s3.log, what="the request")
    seen = set()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        seen.update(mocs.db.sql("SELECT state, xact_start, backend_xmin::text FROM pg_stat_activity"
                                " WHERE datname = %s AND application_name LIKE 'pgsweep/mocs%%'", mocs.db.name))
        time.sleep(0.02)
    assert len(mocs.queue()) == 5 and running.running()
    assert ("idle", None, None) in seen
    assert not [s for s in seen if s[0].startswith("idle in transaction")]
    # Nothing is locked either: an operator may look at and change the queue.
    mocs.db.sql("SET lock_timeout = '1s'; LOCK pgsweep.object_queue IN ACCESS EXCLUSIVE MODE")
    s3.configure(held=False)
    assert running.wait().code == 0 and mocs.keys() == []


def test_O5_two_drains_at_once(mocs, s3):
    for moc in range(3):
        mocs.add(moc, [f"k{moc}"])
    s3.down()
    mocs.run(code=1)
    mocs.make_due()
    s3.reset()
    s3.configure(held=True)
    first = mocs.runner.start("objects", "drain", "--format=json", env=mocs.env)
    wait_until(lambda: mocs.db.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), what="the lock")
    second = mocs.drain()
    assert second["deleted"] == 0 and "another run" in second["result"].err
    s3.configure(held=False)
    result = first.wait()
    assert result.code == 0 and result.json()["deleted"] == 3, result
    assert mocs.keys() == mocs.queue() == []
    assert sum(entry["keys"] for entry in s3.log()) == 3


def test_O5_a_moc_that_is_rolled_back_leaves_nothing_in_the_queue(mocs):
    mocs.add(1, ["a"], "a.png", [(1, "i1", None)])
    mocs.add(2, ["b"], "b.png", [(2, "i2", None)])
    mocs.refuse(1)
    report = mocs.run(code=6, env={"PGSWEEP_S3_ENDPOINT": None, "PGSWEEP_S3_BUCKET": None})
    assert mocs.left() == [1] and mocs.queue() == ["b", "b.png", "i2"]
    assert report["objects"]["queued"] == 3
    mocs.run(code=6)
    assert mocs.keys() == ["a", "a.png", "i1"] and mocs.queue() == []


def test_O5_the_database_is_lost_while_the_store_answers(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.configure(held=True)
    running = mocs.start()
    wait_until(s3.log, what="the request")
    mocs.db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                " AND application_name LIKE 'pgsweep/mocs%%'", mocs.db.name)
    s3.configure(held=False)
    result = running.wait()
    assert result.code == 0 and result.json()["objects"]["deleted"] == 2, result
    assert mocs.keys() == [] and mocs.left() == [] and mocs.queue() == []
    assert mocs.db.column("SELECT outcome FROM pgsweep.runs") == ["done"]


@pytest.mark.parametrize("action", ["drop_before", "drop_after", "error"])
@pytest.mark.parametrize("place", [
    "^SELECT q.id, q.value", "^SELECT DISTINCT v.c", "^DELETE FROM pgsweep.object_queue"])
def test_O5_the_connection_is_lost_while_the_queue_is_drained(mocs, proxy, pgsweep_env, place, action):
    """It is made again, and the objects go in the same run. None is counted twice: one that left the queue with nobody
    to tell is not counted."""
    mocs.add(1, ["a", "b"])
    rule = proxy.rule(place, action, **({"sqlstate": "40P01"} if action == "error" else {}))
    report = mocs.run(env=pgsweep_env)
    assert rule.fired == 1 and mocs.keys() == mocs.queue() == mocs.left() == []
    untold = (place, action) == ("^DELETE FROM pgsweep.object_queue", "drop_after")
    assert report["objects"]["deleted"] == (0 if untold else 2) and report["deleted"] == 1


def test_O5_a_new_row_that_names_a_queued_object_keeps_it(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.down()
    mocs.run(code=1)
    mocs.add(2, ["s3://media/a"], age=None, put=False)
    s3.reset()
    mocs.make_due()
    report = mocs.run()
    assert mocs.keys() == ["a"] and mocs.queue() == [] and report["objects"]["in_use"] == 1


def test_M5_a_moc_that_costs_the_connection_each_time_is_set_aside_with_its_objects(mocs):
    """Its server process dies: its objects stay with it, the others go with all of theirs."""
    for moc in range(1, 6):
        mocs.add(moc, [f"k{moc}"])
    mocs.db.sql("""CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END$$;
        CREATE TRIGGER die BEFORE DELETE ON moc_instructions FOR EACH ROW WHEN (OLD.id = 3)
            EXECUTE FUNCTION die()""")
    result = mocs.runner("mocs", "--format=json", env=mocs.env)
    assert result.code == 6 and mocs.left() == [3], result
    assert mocs.keys() == ["k3"] and mocs.queue() == [] and mocs.letters() == [(["3"], "waiting", 1)]
