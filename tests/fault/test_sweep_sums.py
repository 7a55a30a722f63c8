"""The numbers of a run add up: every candidate that was counted is somewhere in the report and in the record."""
import pytest

BEGINS = "^BEGIN.*READ WRITE"
FIELDS = ("spared_late", "failed", "left_locked", "left", "changed", "arrived")


def sums(world, result):
    """What the report says, after a look that it adds up and that the record and the text say the same."""
    report = result.json()
    values = {field: report[field] or 0 for field in FIELDS}
    assert report["eligible"] == report["deleted"] + sum(values.values()) - 2 * values["arrived"], result
    row = world.db.sql("SELECT eligible, (deleted ->> 'public.items')::int8, spared_late, failed, left_locked, left_by_limit,"
                       " changed, arrived FROM pgsweep.runs WHERE run_id = %s", report["run_id"])[0]
    assert row == (report["eligible"], report["deleted"], *values.values()), result
    return {"deleted": report["deleted"], **{field: n for field, n in values.items() if n}}


@pytest.fixture
def between(proxy, make_world):
    """between(strategy, sql, *args): the world and the result of a run; sql is done between its count and its first chunk."""
    def run(strategy, sql, *args, **options):
        world = make_world(strategy, **options).through(proxy)
        rule = proxy.rule(BEGINS, "hold", nth=1)
        running = world.start(*args)
        rule.wait()
        if callable(sql):
            sql(world)
        else:
            world.db.sql(sql)
        rule.release()
        return world, running.wait()
    return run


@pytest.mark.parametrize("strategy", ["range", "locked", "cascade", "rows"])
def test_O2_J7_candidates_that_others_renew_delete_lock_and_protect_are_accounted_for(between, strategy):
    def others(world):
        world.db.sql("UPDATE items SET created_at = now() WHERE id IN (1, 2); UPDATE items SET note = 'protected' WHERE id = 5")
        if world.locked:
            world.db.sql("DELETE FROM parts WHERE item_id = 3")
        world.db.sql("DELETE FROM items WHERE id = 3")
        world.db.connect(autocommit=False).cursor().execute("SELECT FROM items WHERE id = 4 FOR UPDATE")

    world, result = between(strategy, others, extra="where: note IS NULL\n")
    assert sums(world, result) == {"deleted": 15, "left_locked": 1, "changed": 4}
    assert result.code == 1 and world.left() == [1, 2, 4, 5]


@pytest.mark.parametrize("strategy", ["range", "locked"])
def test_O2_rows_that_become_eligible_after_the_count_are_accounted_for(between, strategy):
    world, result = between(strategy, lambda world: world.fill(range(100, 107), "30 days"))
    assert sums(world, result) == {"deleted": 27, "arrived": 7} and result.code == 0


def test_O2_what_a_limit_leaves_is_accounted_for(between):
    world, result = between("range", "UPDATE items SET created_at = now() WHERE id = 20", "--max-rows=8")
    assert sums(world, result) == {"deleted": 8, "left": 11, "changed": 1} and result.code == 0


def test_O2_a_candidate_that_is_spared_under_lock_is_accounted_for(make_world, proxy):
    world = make_world("locked").through(proxy)
    rule = proxy.rule("SKIP LOCKED", "hold", nth=2)
    holder = world.db.connect(autocommit=False)
    running = world.start()
    rule.wait()
    holder.cursor().execute("UPDATE parts SET id = -id WHERE id = 2")
    holder.commit()
    rule.release()
    found = sums(world, running.wait())
    assert found in ({"deleted": 19, "spared_late": 1}, {"deleted": 19, "changed": 1})


def test_O2_the_text_says_what_changed(proxy, make_world, pgsweep):
    world = make_world("range").through(proxy)
    rule = proxy.rule(BEGINS, "hold", nth=1)
    running = pgsweep.start(*[word for word in world.args() if word != "--format=json"], env=world.env)
    rule.wait()
    world.db.sql("DELETE FROM items WHERE id IN (3, 4)")
    rule.release()
    assert "changed between the count and their chunk: 2 (other sessions" in running.wait().out
