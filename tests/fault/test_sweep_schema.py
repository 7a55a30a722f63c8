"""The schema changes while a run is on: the plan stays true, or the run ends as a new one would."""
import re

import pytest

from harness import wait_until

BEGIN = r"^BEGIN.*READ WRITE"
# A transaction begins and nothing of the run is under way; the guard's second look begins one of its own.
THIRD = {"range": 3, "locked": 3, "rows": 10}
LATE = "CREATE TABLE late (item bigint NOT NULL REFERENCES items ON DELETE CASCADE);" \
       "CREATE INDEX ON late (item); INSERT INTO late SELECT id FROM items WHERE id <= 20"


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("strategy", ["range", "locked", "rows"])
def test_M1_foreign_key_created_during_the_run_cascades_nothing(make_world, db, proxy, strategy, distance):
    world = make_world(strategy, old=20)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    # Held while the first deletion is still to come: the plan was made without the new table.
    rule = proxy.rule(BEGIN, "hold", nth=1)
    running = world.start()
    rule.wait(60)
    db.sql(LATE)
    rule.release()
    result = running.wait()
    assert result.code == 4 and "public.late" in result.err and "Nothing was deleted." in result.err, result
    assert db.count("late") == 20 and world.gone() == result.json()["deleted"] == 0
    world.check_data()


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("strategy", ["range", "locked", "rows"])
def test_M1_what_was_deleted_before_the_schema_changed_is_reported(make_world, db, proxy, strategy, distance):
    world = make_world(strategy, old=20)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    hold = proxy.rule(BEGIN, "hold", nth=THIRD[strategy])
    running = world.start()
    hold.wait(60)
    db.sql(LATE)
    hold.release()
    result = running.wait()
    report = result.json()
    assert result.code == 4 and "public.late" in result.err, result
    assert "Nothing more was deleted." in result.err and "Nothing was deleted" not in result.err
    assert 0 < report["deleted"] == world.gone() == world.recorded() < 20
    assert db.count("late") == len(world.left())
    world.check_data()


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("strategy", ["range", "locked", "rows"])
@pytest.mark.parametrize("change", ["CREATE INDEX ON items (note)", "GRANT SELECT ON items TO public",
                                    "ALTER TABLE items ADD COLUMN more int", "ALTER TABLE items RENAME COLUMN note TO remark",
                                    "ALTER TABLE items ALTER COLUMN note SET DEFAULT 'x'"])
def test_O5_change_that_the_policy_fits_is_followed(make_world, db, proxy, strategy, distance, change):
    world = make_world(strategy, old=20)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    hold = proxy.rule(BEGIN, "hold", nth=THIRD[strategy])
    running = world.start()
    hold.wait(60)
    db.sql(change)
    hold.release()
    result = running.wait()
    report = world.check(result)
    assert any("the plan was made again" in remark for remark in report["remarks"]), report["remarks"]


@pytest.mark.parametrize("strategy", ["range", "locked", "rows"])
@pytest.mark.parametrize("change", ["ALTER TABLE items RENAME COLUMN created_at TO made", "DROP TABLE items CASCADE"])
def test_O5_change_that_the_policy_does_not_fit_ends_the_run_as_a_new_one(make_world, db, proxy, strategy, change):
    world = make_world(strategy, old=20)
    world.through(proxy)
    hold = proxy.rule(BEGIN, "hold", nth=THIRD[strategy])
    running = world.start()
    hold.wait(60)
    db.sql(change)
    hold.release()
    result = running.wait()
    again = world.run()
    assert result.code in (1, 2) and again.code == 2, (result, again)
    told = [re.search(r"\S*\.yaml:\d+: .*", each.err).group() for each in (result, again)]
    assert told[0] == told[1]
    assert db.column("SELECT outcome FROM pgsweep.runs WHERE mode = 'live' ORDER BY started")[0] == "error"
    assert db.count("pgsweep.runs", "outcome = 'running'") == 0


def test_T2_a_run_that_deletes_nothing_while_the_schema_keeps_changing_ends(make_world, db, proxy):
    """A chunk whose rows are all spared is no progress: each new plan begins at the first row again."""
    world = make_world("locked", old=20)
    world.through(proxy)
    # The first candidates are spared once their parts are locked, that is at each second look.
    world.directory = world.policy_file(world.policy.replace("p.id < 0", "p.id < 0 OR t.id > 15 AND EXISTS ("
                                        "SELECT FROM pg_locks AS l WHERE l.pid = pg_backend_pid()"
                                        " AND l.mode = 'RowShareLock' AND l.relation = 'parts'::regclass)"), "locked")
    running = world.start(chunk=1)
    for i in range(200):
        rule = proxy.rule(BEGIN, "hold", nth=1)
        wait_until(lambda: rule.event.is_set() or not running.running(), what="a transaction, or the end of the run")
        if not running.running():
            break
        db.sql(f"ALTER TABLE items ALTER COLUMN note SET DEFAULT '{i}'")
        rule.release()
    else:
        running.kill()
    result = running.wait()
    assert result.code == 1 and "changed 20 times" in result.err, result
    assert world.gone() == 0
    world.check_data()
