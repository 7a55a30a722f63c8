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
    assert world.db.value("SELECT error FROM pgsweep.runs") == report["error"]["message"]
