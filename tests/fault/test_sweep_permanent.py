"""What cannot go stands alone in the end, is told with its key, and does not stop the rest."""
import pytest

from sweepworld import DELETES_ITEMS, failed_keys


@pytest.mark.parametrize("items", [[7], [1, 33, 100], list(range(1, 101))], ids=["one", "three", "all"])
def test_A3_J6_rows_that_cannot_go_are_isolated(make_world, items, strategy):
    world = make_world(strategy, old=100)
    world.refuse(items, "legal hold")
    result = world.run(chunk=64)
    report = world.check(result, left=items, code=1, failed=len(items))
    assert failed_keys(report) == items
    assert all("legal hold" in f["error"] and f["sqlstate"] == "P0001" for f in report["failures"])
    assert report["outcome"] == "partial" and report["left_locked"] == 0


@pytest.fixture(params=["range", "locked"])
def strategy(request):
    return request.param


def test_A3_rows_that_cannot_go_are_not_counted_again_in_a_later_pass(make_world, db, strategy):
    world = make_world(strategy, old=40)
    world.refuse([5, 20])
    holder = db.connect(autocommit=False)
    holder.cursor().execute("SELECT FROM items WHERE id = 30 FOR UPDATE")
    report = world.check(world.run(chunk=64), left=[5, 20, 30], code=1, failed=2)
    assert failed_keys(report) == [5, 20] and report["left_locked"] == 1


def test_O5_deferred_constraint_that_fails_at_commit_takes_only_its_row(make_world, db, strategy):
    world = make_world(strategy, extra="dependents:\n  - { table: holds, action: ignore, reason: test }\n"
                       if strategy == "range" else "")
    db.sql("CREATE TABLE holds (item_id bigint REFERENCES items DEFERRABLE INITIALLY DEFERRED);"
           "CREATE INDEX ON holds (item_id); INSERT INTO holds VALUES (11)")
    if strategy == "locked":
        policy = world.directory / "locked.yaml"
        policy.write_text(policy.read_text() + "  - { table: holds, action: ignore, reason: test }\n")
    report = world.check(world.run(chunk=64), left=[11], code=1, failed=1)
    assert failed_keys(report) == [11] and report["failures"][0]["sqlstate"] == "23503"


def test_J2_O5_restrict_through_ignore_keeps_only_its_row(make_world, db):
    world = make_world("locked")
    db.sql("CREATE TABLE holds (item_id bigint REFERENCES items ON DELETE RESTRICT);"
           "CREATE INDEX ON holds (item_id); INSERT INTO holds VALUES (4), (18)")
    policy = world.directory / "locked.yaml"
    policy.write_text(policy.read_text() + "  - { table: holds, action: ignore, reason: test }\n")
    report = world.check(world.run(chunk=64), left=[4, 18], code=1, failed=2)
    assert "holds" in report["failures"][0]["error"]


def test_O5_a_trigger_that_keeps_a_row_is_told_and_keeps_its_parts(make_world, db, strategy):
    world = make_world(strategy)
    db.sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;"
           "CREATE TRIGGER keep BEFORE DELETE ON items FOR EACH ROW WHEN (OLD.id IN (3, 12))"
           " EXECUTE FUNCTION keep()")
    report = world.check(world.run(chunk=64), left=[3, 12], code=1, failed=2)
    assert failed_keys(report) == [3, 12]
    assert all("trigger" in f["error"] for f in report["failures"])


def test_O5_a_trigger_that_deletes_another_row(make_world, db, strategy):
    world = make_world(strategy, old=20)
    db.sql("CREATE TABLE twins (id bigint PRIMARY KEY); INSERT INTO twins SELECT generate_series(1, 30);"
           "CREATE FUNCTION twin() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN DELETE FROM twins WHERE id = OLD.id; RETURN OLD; END$$;"
           "CREATE TRIGGER twin BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION twin()")
    world.refuse([9])
    world.check(world.run(chunk=64), left=[9], code=1, failed=1)
    assert db.column("SELECT id FROM twins ORDER BY id") == [9, *range(21, 31)]


def test_O1_a_condition_that_fails_touches_nothing(make_world, strategy):
    world = make_world(strategy, extra="where: 1 / (t.id - 7) IS NOT NULL\n")
    for mode in ((), ("--dry-run",)):
        result = world.run(*mode)
        assert result.code == 2 and "division by zero" in result.err, result
        assert world.gone() == 0
    world.check_data()


@pytest.mark.parametrize("change", ["REVOKE DELETE ON items FROM {role}", "ALTER TABLE items RENAME TO away"])
def test_J6_O5_permission_or_table_lost_in_the_middle(make_world, db, proxy, strategy, change):
    world = make_world(strategy)
    grants = ["SELECT, UPDATE, DELETE ON items"] + ["SELECT, UPDATE, DELETE ON parts"] * world.locked
    role = db.role("sweeper", *grants)
    assert world.runner("init", "--role", role).code == 0
    world.through(proxy)
    rule = proxy.rule("^BEGIN.*READ WRITE", "hold", nth=2)
    world.env["PGUSER"] = role
    running = world.start()
    rule.wait()
    db.sql(change.format(role=f'"{role}"'))
    rule.release()
    result = running.wait()
    db.sql("ALTER TABLE IF EXISTS away RENAME TO items")
    report = result.json()
    assert result.code == 1 and report["error"]["sqlstate"] in ("42501", "42P01"), result
    assert report["deleted"] == world.gone() == world.recorded() == 8
    assert report["failed"] == 0 and report["outcome"] == "error"
    world.check_data()


@pytest.mark.parametrize("sqlstate", ["53100", "XX001", "58030"])
def test_J6_a_server_in_trouble_stops_the_run(world, proxy, sqlstate):
    world.through(proxy)
    rule = proxy.rule(DELETES_ITEMS, "error", sqlstate=sqlstate, nth=2,
                      message="could not extend file: No space left on device", times=None)
    result = world.run()
    report = result.json()
    assert rule.fired == 1 and result.code == 1
    assert "No space left" in result.err and report["error"]["sqlstate"] == sqlstate
    assert report["deleted"] == world.gone() == world.recorded() == 8
    assert world.db.value("SELECT error FROM pgsweep.runs").startswith(report["error"]["message"])


@pytest.fixture(params=["range", "locked", "rows"])
def any_world(request, make_world):
    return make_world(request.param)


@pytest.mark.parametrize("distance", ["near", "far"])
def test_G1_a_row_that_always_runs_into_a_lock_is_left_locked(any_world, distance):
    world = any_world
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    world.refuse([13], "again and again", "55P03")
    report = world.check(world.run("--retries=2"), left=[13], code=1)
    assert report["left_locked"] == 1 and report["retries"] == 0 and world.letters() == []


@pytest.mark.parametrize("sqlstate", ["57014", "40P01", "40001"])
@pytest.mark.parametrize("distance", ["near", "far"])
def test_M5_a_row_that_always_runs_into_a_timeout_or_deadlock_is_isolated(any_world, distance, sqlstate):
    """What else would go away by itself does not for this one: the others go."""
    world = any_world
    world.env = {"PGSWEEP_TEST_DISTANCE": distance}
    world.refuse([13], "again and again", sqlstate)
    report = world.check(world.run("--retries=2"), left=[13], code=1, failed=1)
    assert failed_keys(report) == [13] and report["failures"][0]["sqlstate"] == sqlstate
    assert world.letters() == [(13, "waiting", 1)]


def test_M5_what_runs_into_the_statement_timeout_is_not_done_over_and_over(any_world):
    """It may take half an hour each time: twice as a chunk, then on with the search."""
    world = any_world
    world.refuse([13], "canceling statement due to statement timeout", "57014")
    report = world.check(world.run("--retries=100", chunk=1), left=[13], code=1, failed=1)
    assert report["retries"] == 1


# When all fail


def test_M5_when_all_rows_fail_the_run_ends_after_some(any_world):
    world = any_world
    world.refuse(range(1, 21))
    result = world.run("--max-failed=7", chunk=3)
    report = world.check(result, left=range(1, 21), code=1, failed=7)
    assert failed_keys(report) == list(range(14, 21))  # the oldest
    assert world.letters() == [(item, "waiting", 1) for item in range(14, 21)]
    assert (report["limit"], report["outcome"], report["error"]) == ("max-failed", "partial", None)
    assert any("7 candidates in a row failed" in remark for remark in report["remarks"])
    # The rest takes no harm, and those that failed do not keep the others from being tried.
    report = world.check(world.run("--max-failed=7", chunk=3), left=range(1, 21), code=1, failed=14)
    assert [row[2] for row in world.letters()] == [1] * 7 + [2] * 7
    world.allow()
    world.db.sql("DELETE FROM pgsweep.runs")
    world.check(world.run(), left=[])
    assert world.db.column("SELECT DISTINCT outcome FROM pgsweep.runs") == ["done"]


@pytest.mark.parametrize("goes", [15, 14])
def test_M5_one_that_goes_in_between_shows_that_not_all_fail(make_world, strategy, goes):
    """The sixth or the seventh of them: the count begins anew."""
    world = make_world(strategy)
    world.refuse([i for i in range(9, 21) if i != goes])
    result = world.run("--max-failed=7", chunk=1)
    world.check(result, left=[i for i in range(9, 21) if i != goes], code=1, failed=11)


def test_M5_as_many_as_may_fail_and_none_is_left(any_world):
    world = any_world
    world.refuse(range(1, 21))
    report = world.check(world.run("--max-failed=20"), left=range(1, 21), code=1, failed=20)
    assert report["limit"] is None


def test_M5_a_thousand_rows_that_fail_are_enough(make_world, db):
    world = make_world("rows", old=20)
    world.db.sql("INSERT INTO items SELECT i, now() - interval '40 days' FROM generate_series(10001, 14000) i;"
                 "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;"
                 "CREATE TRIGGER refuse BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION refuse()")
    result = world.runner("rows", "--policy-dir", world.directory, "--quiet")
    assert result.code == 1 and result.out == "" and "1000 candidates in a row failed" in result.err, result
    assert db.count("pgsweep.dead_letters") == 1000 and db.count("items") == 4025


@pytest.mark.parametrize("by", ["policy", "environment"])
def test_M5_how_many_may_fail_is_configurable(make_world, by):
    world = make_world("range", extra="limits: { max_failed: 4 }\n" if by == "policy" else "")
    world.refuse(range(1, 21))
    if by == "environment":
        world.env["PGSWEEP_RANGE_MAX_FAILED"] = "4"
    assert world.run().json()["failed"] == 4
    for wrong in ("0", "-1", "many"):
        assert world.run(f"--max-failed={wrong}").code == 2


# Writing the letter


@pytest.mark.parametrize("fault", [{"action": "drop_before"}, {"action": "drop_after"}, {"action": "drop_mid"},
                                   {"action": "fatal", "sqlstate": "57P01"}, {"action": "error", "sqlstate": "40001"}],
                         ids=lambda fault: fault["action"])
def test_M5_a_fault_while_a_letter_is_written(any_world, proxy, fault):
    """It is written all the same, and counts one attempt; what went with the chunk is counted once."""
    world = any_world.through(proxy)
    world.refuse([13])
    rule = proxy.rule("INSERT INTO pgsweep.dead_letters", **fault)
    report = world.check(world.run(), left=[13], code=1, failed=1)
    assert rule.fired == 1 and world.letters() == [(13, "waiting", 1)]
    assert failed_keys(report) == [13] and report["outcome"] == "partial"


def test_M5_J6_a_letter_that_cannot_be_written_ends_the_run(any_world):
    """No candidate that failed may be without one."""
    world = any_world
    world.refuse([20])
    world.db.sql("CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'quota exceeded'; END$$;"
                 "CREATE TRIGGER full BEFORE INSERT ON pgsweep.dead_letters FOR EACH ROW EXECUTE FUNCTION full()"
                 .replace("full", "no_more"))
    result = world.run()
    assert result.code == 1, result
    assert "the dead letter of public.items (id)=(20) could not be written: quota exceeded" in result.err
    assert 20 in world.left() and world.gone() == world.recorded() == result.json()["deleted"]
    assert world.db.column("SELECT outcome FROM pgsweep.runs") == ["error"]
    world.check_data()
