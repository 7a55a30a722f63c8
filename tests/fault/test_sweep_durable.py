"""Chunks whose ends are ages alone, and commits that a crash of the server undoes."""
import pytest

from sweepworld import DELETES_ITEMS, World, failed_keys


@pytest.fixture
def range_world(db, pgsweep, policy_file):
    return World(db, pgsweep, policy_file, "range", extra="where: t.note IS DISTINCT FROM 'keep'\n", old=900, fresh=5)


def run_auto(world):
    return world.runner(*world.args(), env=world.env)


@pytest.mark.parametrize("distance", ["near", "far"])
def test_J1_J7_chunks_between_two_ages_leave_exactly_what_must_stay(range_world, server_log, distance):
    world = range_world
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    # Three rows of each age, so that ends of chunks meet ties; every 50th row stays.
    world.db.sql("UPDATE items SET created_at = now() - interval '30 days' - (id / 3) * interval '1 second'"
                 " WHERE id <= 900")
    world.db.sql("UPDATE items SET note = 'keep' WHERE id % 50 = 0 AND id <= 900")
    world.db.sql("VACUUM ANALYZE items")
    report = world.check(run_auto(world), left=range(50, 901, 50))
    assert report["deleted"] == 882 and report["chunks"] >= 2
    ends = server_log.matching(r"OFFSET .* 1 LIMIT 1")
    assert ends and all('"id"' not in text for text in ends), ends
    assert not server_log.matching("SKIP LOCKED")  # nothing was left for a second pass


def test_A3_a_row_that_cannot_go_is_found_between_two_ages(range_world):
    world = range_world
    world.db.sql("UPDATE items SET created_at = now() - interval '30 days' - (id / 3) * interval '1 second'"
                 " WHERE id <= 900")
    world.db.sql("VACUUM ANALYZE items")
    world.refuse([7, 500])
    for distance in ("near", "far"):
        world.env = {"PGSWEEP_TEST_DISTANCE": distance}
        if distance == "near":
            report = world.check(run_auto(world), left=[7, 500], code=1, failed=2)
        else:
            report = run_auto(world).json()
        assert failed_keys(report) == [7, 500]


@pytest.mark.parametrize("strategy", ["range", "locked"])
def test_O5_commits_that_a_crash_undid_are_swept_again_and_counted_once(db, pgsweep, policy_file, proxy, strategy):
    world = World(db, pgsweep, policy_file, strategy).through(proxy)
    rule = proxy.rule(DELETES_ITEMS, "drop_before", nth=3)
    running = world.start("--retries=1000")
    rule.wait(20)
    proxy.refuse = True
    # What recovery leaves when the second chunk had not reached the disk: its rows are back, its record is not.
    gone = sorted(set(range(1, 21)) - set(world.left()))
    assert len(gone) == 16
    back = [i for i in gone if i <= 12]  # older rows have higher ids and went first
    world.fill(back, "30 days")
    record = '{"public.items": 8, "public.parts": 16}' if world.locked else '{"public.items": 8}'
    db.sql("UPDATE pgsweep.runs AS r SET chunks = 1, deleted = %s", record)
    proxy.refuse = False
    report = world.check(running.wait(30))
    assert report["chunks"] >= 3  # begun again, it may end with an empty one
    assert any("lost the last 1 transactions" in r for r in report["remarks"])
