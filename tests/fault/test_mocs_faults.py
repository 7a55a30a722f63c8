"""The policy "mocs" among others who use its tables, and when connection or process are lost."""
import random
import re
import threading
import time

import psycopg2
import pytest

import harness
from harness import keys_wait, wait_until
from mocsworld import Mocs, expected, rows

LISTED = r"LIMIT \$"
ROOT_DELETE = r'^WITH gone AS .DELETE FROM "public"."moc_instructions"'
BRICKS = r'^WITH gone AS .UPDATE "public"."moc_parts"'
COLLECT = r"^SELECT pg_catalog.count.*set_config.*FOR UPDATE OF s"


@pytest.fixture
def mocs(db, pgsweep):
    return Mocs(db, pgsweep)


def run(pgsweep, *args, **kwargs):
    result = pgsweep(*args, "--format=json", **kwargs)
    assert result.code == keys_wait(result.json()), result
    return result.json()


def finish(running, code=0):
    result = running.wait()
    assert result.code == (code or keys_wait(result.json())), result
    return result.json()


def start(mocs, *args, env=None):
    return mocs.pgsweep.start("mocs", "--format=json", *args, env=env)


@pytest.mark.parametrize("place, nth", [("^BEGIN.*READ WRITE", 1), ("'locked '", 2), ("'candidates '", 2)])
def test_M2_a_moc_restored_between_list_and_delete_survives_whole(mocs, proxy, pgsweep_env, place, nth):
    mocs.add(1, 2, 3, 4, images=[1]).link(2, 2)
    rule = proxy.rule(place, "hold", nth=nth)
    running = start(mocs, env=pgsweep_env)
    rule.wait()
    # The row of a statement that is held back may be locked already: then the restore waits.
    done = threading.Event()

    def restore():
        with mocs.db.connect().cursor() as cursor:
            cursor.execute("UPDATE moc_instructions SET deleted_at = NULL WHERE id = 2")
        done.set()

    threading.Thread(target=restore).start()
    waits = not done.wait(0.5)
    rule.release()
    report = finish(running)
    wait_until(done.is_set, what="the restore")
    mocs.check_whole()
    if waits:
        assert mocs.left() == [] and place == "'candidates '"
    else:
        assert mocs.left() == [2] and mocs.images() == [1, 2]
        assert rows(report) == expected(3, 0, 3) and report["spared_late"] <= 1


def test_M2_a_restore_that_is_not_committed_keeps_its_moc(mocs, db):
    mocs.add(1, 2, 3, images=[1])
    holder = db.connect(autocommit=False)
    holder.cursor().execute("UPDATE moc_instructions SET deleted_at = NULL WHERE id = 2")
    running = start(mocs)
    wait_until(lambda: mocs.left() == [2], what="all the others")
    holder.commit()
    report = finish(running)
    assert mocs.left() == [2] and mocs.images() == [1] and report["deleted"] == 2
    mocs.check_whole()


@pytest.mark.parametrize("place", ["^BEGIN.*READ WRITE", COLLECT])
def test_M2_an_image_linked_before_it_is_looked_at_survives(mocs, proxy, pgsweep_env, place):
    mocs.add(1, images=[1, 2]).add(9, deleted=None)
    rule = proxy.rule(place, "hold")
    running = start(mocs, env=pgsweep_env)
    rule.wait()
    mocs.link(9, 1)
    rule.release()
    report = finish(running)
    assert mocs.left() == [9] and mocs.images() == [1]
    assert mocs.db.sql("SELECT * FROM moc_gallery_images") == [(9, 1)]
    assert rows(report) == expected(1, 1, 2)


def test_M2_an_image_whose_new_link_is_not_committed_survives(mocs, db, server_log):
    mocs.add(1, images=[1, 2]).add(9, deleted=None)
    holder = db.connect(autocommit=False)
    holder.cursor().execute("INSERT INTO moc_gallery_images VALUES (9, 1)")
    running = start(mocs)
    wait_until(lambda: server_log.matching(r'FROM "public"\."gallery_images" .*FOR UPDATE'), what="a look at the locked image")
    holder.commit()
    report = finish(running)
    assert mocs.left() == [9] and mocs.images() == [1] and rows(report) == expected(1, 1, 2)


@pytest.mark.parametrize("place", [BRICKS, ROOT_DELETE, "^COMMIT"])
def test_M2_a_link_made_after_the_image_was_locked_is_refused_and_nothing_dangles(
        mocs, proxy, pgsweep_env, place):
    mocs.add(1, images=[1]).add(9, deleted=None)
    rule = proxy.rule(place, "hold")
    running = start(mocs, env=pgsweep_env)
    rule.wait()
    wait_until(lambda: not mocs.db.sql("SELECT id FROM gallery_images FOR KEY SHARE SKIP LOCKED"),
               what="the image's lock")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        mocs.db.sql("SET lock_timeout = '100ms'; INSERT INTO moc_gallery_images VALUES (9, 1)")
    rule.release()
    finish(running)
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        mocs.db.sql("INSERT INTO moc_gallery_images VALUES (9, 1)")
    assert mocs.left() == [9] and mocs.images() == []


@pytest.mark.parametrize("place", [BRICKS, r'DELETE FROM "public"."moc_parts_lists"', ROOT_DELETE])
def test_M2_a_brick_added_while_its_list_goes_is_refused_or_survives(mocs, proxy, pgsweep_env, place):
    """The declared cascade from the list would take it along."""
    mocs.add(1)
    rule = proxy.rule(place, "hold")
    running = start(mocs, env=pgsweep_env)
    rule.wait()
    time.sleep(0.2)  # what was sent before is carried out meanwhile
    added = 0
    try:
        mocs.db.sql("SET lock_timeout = '100ms';"
                    "INSERT INTO moc_parts (parts_list_id) SELECT min(id) FROM moc_parts_lists")
        added = 1
    except psycopg2.errors.LockNotAvailable:
        pass
    rule.release()
    finish(running)
    assert mocs.left() == [] and mocs.db.count("moc_parts") == 6 + added
    assert mocs.db.count("moc_parts", "status = 'available'") == 6 + added


def test_J7_M5_a_deadlock_with_a_writer_ends_for_both(mocs, db, server_log):
    mocs.add(1, 2, 3)
    writer = db.connect(autocommit=False)
    cursor = writer.cursor()
    cursor.execute("UPDATE moc_files SET s3_key = 'mine' WHERE moc_id = 2")
    running = start(mocs, "--retries=20")
    harness.wait_for_lock_timeout(server_log)
    try:
        cursor.execute("SELECT FROM moc_instructions WHERE id = 2 FOR UPDATE")
    except psycopg2.errors.DeadlockDetected:
        pass
    writer.rollback()
    report = finish(running)
    assert mocs.left() == [] and rows(report) == expected(3) and report["failed"] == 0
    mocs.check_whole()


LOST = {"40001": {"action": "error", "sqlstate": "40001"}, "57P01": {"action": "fatal", "sqlstate": "57P01"},
        "dropped": {"action": "drop_before"}, "reply lost": {"action": "drop_after"},
        "reply cut": {"action": "drop_mid"}, "at work": {"action": "drop_during", "delay": 0.2}}


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("place", [LISTED, "'candidates '", BRICKS, COLLECT, ROOT_DELETE,
                                   "^UPDATE pgsweep.runs AS r SET chunks", "^COMMIT"])
def test_O5_a_fault_in_the_middle_of_a_pipelined_chunk(mocs, proxy, pgsweep_env, place, fault):
    mocs.add(*range(1, 7), images=[1, 2]).link(3, 3)
    mocs.link(4, 4, 5)
    before = mocs.state()
    rule = proxy.rule(place, nth=2 if place == LISTED else 3, **LOST[fault])
    report = run(mocs.pgsweep, "mocs", "--chunk", 4, env=pgsweep_env)
    assert rule.fired == 1
    assert mocs.left() == mocs.images() == [] and rows(report) == expected(6, 5, 15)
    assert mocs.recorded() == mocs.gone(before) == rows(report)
    assert report["chunks"] == 6 and report["failed"] == 0
    assert mocs.db.count("pgsweep.dead_letters") == 0
    keys = mocs.db.column("SELECT value FROM pgsweep.object_queue")
    assert len(keys) == len(set(keys) - {"f/1", "f/2"}) + 12
    mocs.check_whole()


def test_J6_O5_killed_again_and_again_until_all_is_gone(mocs):
    mocs.db.sql("INSERT INTO moc_instructions SELECT n, 'm', 'thumb/' || n, now() - interval '40 days'"
                " FROM generate_series(1, 300) n;"
                "INSERT INTO gallery_images SELECT n, 'i/' || n, NULL FROM generate_series(1, 100) n;"
                "INSERT INTO moc_gallery_images SELECT n, 1 + n % 100 FROM generate_series(1, 300) n;"
                "INSERT INTO moc_files (moc_id, s3_key) SELECT n, 'f/' || n FROM generate_series(1, 300) n;"
                "INSERT INTO moc_parts_lists (moc_id) SELECT n FROM generate_series(1, 300) n;"
                "INSERT INTO moc_parts (parts_list_id) SELECT id FROM moc_parts_lists")
    before, rng, kills = mocs.state(), random.Random(7), 0
    while kills < 8 and mocs.left():
        running = start(mocs, "--pause=5 ms", "--chunk=5")
        wait_until(lambda: mocs.db.count("pgsweep.runs", "outcome = 'running'") or not running.running(),
                   what="a run")
        time.sleep(rng.uniform(0, 0.08))
        running.kill()
        kills += 1
        wait_until(lambda: not mocs.db.count("pg_locks", "locktype = 'advisory'"), what="the end")
        left = mocs.left()
        assert mocs.db.column("SELECT moc_id FROM moc_files ORDER BY 1") == left
        assert mocs.db.column("SELECT DISTINCT 1 + moc_id % 100 FROM moc_gallery_images ORDER BY 1") == \
            mocs.images()
        assert mocs.recorded() == mocs.gone(before)
    assert kills >= 4
    run(mocs.pgsweep, "mocs")
    assert mocs.left() == mocs.images() == []
    assert mocs.db.count("moc_parts", "parts_list_id IS NULL AND status = 'available'") == 300
    assert mocs.recorded() == mocs.gone(before)
    values = mocs.db.column("SELECT value FROM pgsweep.object_queue")
    assert len(values) == len(set(values)) == 700


def test_M2_round_trips_for_each_moc(mocs, proxy, pgsweep_env):
    mocs.add(*range(1, 41), images=[1])
    proxy.latency = 0.005
    run(mocs.pgsweep, "mocs", "--max-rows", 10, "--chunk", 10, env=pgsweep_env)
    few = proxy.round_trips
    proxy.clear()
    run(mocs.pgsweep, "mocs", "--chunk", 10, env=pgsweep_env)
    # The start costs the same in both: 20 more MOCs, in chunks of ten.
    assert (proxy.round_trips - few) / 20 <= 0.5, (few, proxy.round_trips)
    assert mocs.left() == []


def test_M2_round_trips_of_the_start(mocs, proxy, pgsweep_env):
    """A plan of nine tables, and a run that finds nothing to do: hardly more than one for each thing it asks.

    The proxy counts a few more where it is slow: a pipeline that comes in two pieces counts twice. So the
    limits are a little above the 17 and 36 that are needed.
    """
    mocs.add(1, deleted=None)
    run(mocs.pgsweep, "mocs", "--dry-run", env=pgsweep_env)
    assert proxy.round_trips <= 20
    proxy.clear()
    run(mocs.pgsweep, "mocs", env=pgsweep_env)
    assert proxy.round_trips <= 39


CATALOG = {"tables": r"^SELECT u\.name AS asked", "columns": r"^WITH .*SELECT a\.attrelid, a\.attname",
           "foreign keys": r"^SELECT c\.oid, c\.conname"}


@pytest.mark.parametrize("place", CATALOG)
@pytest.mark.parametrize("action", ["drop_before", "drop_mid", "fatal", "error"])
def test_O5_the_catalog_is_read_ahead_and_something_fails(mocs, proxy, pgsweep_env, place, action):
    """The names of tables that cannot be asked for together are asked for one by one; all else is told."""
    mocs.add(1)
    rule = proxy.rule(CATALOG[place], action)
    result = mocs.pgsweep("mocs", "--format=json", env=pgsweep_env)
    assert rule.fired == 1
    if action != "error" or place == "tables":  # a lost connection is made again
        assert result.code == keys_wait(result.json()) and mocs.left() == [], result
    else:
        assert result.code == 2 and mocs.left() == [1] and "injected by the test" in result.err + result.out, result
    mocs.check_whole()


@pytest.mark.parametrize("place", CATALOG)
@pytest.mark.parametrize("sqlstate", ["40P01", "55P03", "57014"])
def test_O5_others_are_in_the_way_while_the_catalog_is_read(mocs, proxy, pgsweep_env, place, sqlstate):
    mocs.add(1)
    rule = proxy.rule(CATALOG[place], "error", sqlstate=sqlstate)
    report = run(mocs.pgsweep, "mocs", env=pgsweep_env)
    assert rule.fired == 1 and report["deleted"] == 1 and mocs.left() == []
    mocs.check_whole()


@pytest.mark.parametrize("table", ["upload_sessions", "moc_files"])
def test_O5_a_table_is_dropped_while_the_catalog_is_read(mocs, proxy, pgsweep_env, table):
    """It is as if the run had started after that: without an optional table, and refused without another."""
    mocs.add(1)
    rule = proxy.rule(CATALOG["columns"], "hold")
    running = start(mocs, env=pgsweep_env)
    rule.wait()
    mocs.db.sql(f"DROP TABLE {table}")
    rule.release()
    result = running.wait()
    if table == "upload_sessions":
        assert result.code == keys_wait(result.json()) and mocs.left() == [], result
    else:
        assert result.code == 2 and f"there is no table {table}" in result.err + result.out and mocs.left() == [1], result


def test_O5_writers_meanwhile(mocs, db):
    """Restores, new links and brick moves at random: what a writer was told has happened stays so."""
    mocs.db.sql("INSERT INTO moc_instructions SELECT n, 'm', NULL, now() - interval '40 days'"
                " FROM generate_series(1, 200) n; INSERT INTO moc_instructions VALUES (999, 'kept', NULL, NULL);"
                "INSERT INTO gallery_images SELECT n, 'i', NULL FROM generate_series(1, 60) n;"
                "INSERT INTO moc_gallery_images SELECT n, 1 + n % 60 FROM generate_series(1, 200) n;"
                "INSERT INTO moc_files (moc_id) SELECT n FROM generate_series(1, 200) n")
    stop, restored, linked, problems = threading.Event(), set(), set(), []

    def write(seed):
        rng, cursor = random.Random(seed), db.connect(application_name="writer").cursor()
        while not stop.is_set():
            moc, image = rng.randint(1, 200), rng.randint(1, 60)
            try:
                cursor.execute("UPDATE moc_instructions SET deleted_at = NULL WHERE id = %s", (moc,))
                if cursor.rowcount:
                    restored.add(moc)
                cursor.execute("INSERT INTO moc_gallery_images VALUES (999, %s) ON CONFLICT DO NOTHING", (image,))
                linked.add(image)
            except (psycopg2.errors.ForeignKeyViolation, psycopg2.errors.DeadlockDetected):
                pass
            except psycopg2.Error as problem:
                problems.append(problem)
            time.sleep(0.01)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    result = mocs.pgsweep("mocs", "--format=json", "--chunk=7", "--pause=20 ms")
    stop.set()
    for writer in writers:
        writer.join()
    assert problems == [] and result.code == keys_wait(result.json()), (problems, result)
    assert set(mocs.left()) == restored | {999} and linked <= set(mocs.images())
    assert set(db.column("SELECT moc_id FROM moc_files")) == restored
    assert set(mocs.images()) == set(db.column("SELECT gallery_image_id FROM moc_gallery_images"))
    assert linked == set(db.column("SELECT gallery_image_id FROM moc_gallery_images WHERE moc_id = 999"))
    assert result.json()["deleted"] == 200 - len(restored)


@pytest.mark.parametrize("distance", ["near", "far"])
def test_M5_M6_a_moc_that_costs_the_connection_is_set_aside_and_each_other_is_logged(mocs, distance):
    mocs.add(*range(1, 13), images=[1])
    before = mocs.state()
    mocs.db.sql("CREATE FUNCTION fall() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
                " PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(600); RETURN OLD; END$$;"
                "CREATE TRIGGER fall BEFORE DELETE ON moc_instructions FOR EACH ROW WHEN (OLD.id = 5)"
                " EXECUTE FUNCTION fall()")
    result = mocs.pgsweep("mocs", "--verbose", "--format=json", env={"PGSWEEP_TEST_DISTANCE": distance})
    report = result.json()
    assert result.code == 1 and mocs.left() == [5] and mocs.images() == [1], result
    mocs.check_whole()
    assert mocs.recorded() == mocs.gone(before) == {k: v for k, v in rows(report).items() if v}
    assert mocs.db.sql("SELECT key, state, attempts, run_id FROM pgsweep.dead_letters") == \
        [(["5"], "waiting", 1, report["run_id"])]
    logged = re.findall(rf"^\S+ {report['run_id']} mocs: deleted public\.moc_instructions \(id\)=\((\d+)\) with ",
                        result.err, re.M)
    assert sorted(map(int, logged)) == [i for i in range(1, 13) if i != 5]
    assert mocs.db.count("pgsweep.object_queue") == report["objects"]["queued"] == 11 * 3
