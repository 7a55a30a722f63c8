"""Limits hold by construction, and a green exit is looked up."""
import pytest

RUNS = [("range", "near"), ("range", "far"), ("locked", "near"), ("rows", "far")]
BEGIN = r"^BEGIN.*READ WRITE"
# The beginning of the second chunk of ten.
SECOND = {"range": 2, "locked": 2, "rows": 11}


@pytest.mark.parametrize("strategy, distance", RUNS)
def test_F4_max_rows_holds_when_many_rows_become_eligible(make_world, db, proxy, strategy, distance):
    world = make_world(strategy, old=30, fresh=0)
    world.fill(range(101, 1001), "1 day")
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    hold = proxy.rule(BEGIN, "hold", nth=SECOND[strategy])
    running = world.start("--max-rows=20", chunk=10)
    hold.wait(60)
    db.sql("UPDATE items SET created_at = (SELECT created_at FROM items WHERE id = 15) WHERE id > 100")
    hold.release()
    result = running.wait()
    report = result.json()
    assert result.code == 0 and report["limit"] == "max-rows", result
    assert report["deleted"] == 930 - db.count("items") == 20


@pytest.mark.parametrize("strategy, distance", RUNS)
def test_F4_what_a_limit_left_is_counted(make_world, db, pgsweep, proxy, strategy, distance):
    world = make_world(strategy, old=30, fresh=0)
    world.fill(range(101, 201), "1 day")
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    hold = proxy.rule(BEGIN, "hold", nth=SECOND[strategy])
    running = pgsweep.start(*[a for a in world.args("--max-rows=20", "--chunk=10") if a != "--format=json"], env=world.env)
    hold.wait(60)
    db.sql("UPDATE items SET created_at = now() - interval '20 days' WHERE id > 100")
    hold.release()
    result = running.wait()
    assert result.code == 0 and "stopped at max-rows; 110 eligible rows are left" in result.out, result


@pytest.mark.unsanitized
@pytest.mark.parametrize("distance, limit", [("near", 10000), ("far", 40000)])
def test_O1_transaction_is_small_whatever_the_statistics_say(db, pgsweep, policy_file, distance, limit):
    """They say that ages are unique; then 65,000 rows of one age come."""
    db.sql("CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL) WITH (autovacuum_enabled = false);"
           "CREATE INDEX ON items (created_at);"
           "CREATE TABLE log (x bigint DEFAULT txid_current(), rows bigint);"
           "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN INSERT INTO log (rows) SELECT count(*) FROM gone; RETURN NULL; END$$;"
           "CREATE TRIGGER note AFTER DELETE ON items REFERENCING OLD TABLE AS gone"
           " FOR EACH STATEMENT EXECUTE FUNCTION note();"
           "INSERT INTO items SELECT i, now() - interval '30 days' + i * interval '1 second'"
           " FROM generate_series(1, 20000) AS i; ANALYZE items;"
           "INSERT INTO items SELECT i, now() - interval '20 days' FROM generate_series(100001, 165000) AS i")
    assert pgsweep("init").code == 0
    directory = policy_file("table: items\nage: created_at\nretain: 7 days\n")
    result = pgsweep("test", "--policy-dir", directory, env={"PGSWEEP_TEST_DISTANCE": distance})
    assert result.code == 0 and db.count("items") == 0, result
    assert db.value("SELECT sum(rows) FROM log") == 85000
    assert db.value("SELECT max(sum) FROM (SELECT sum(rows) FROM log GROUP BY x) AS s") <= limit


@pytest.mark.parametrize("strategy, distance", RUNS)
def test_J6_locked_row_is_reported_although_as_many_went_as_were_counted(make_world, db, proxy, strategy, distance):
    world = make_world(strategy, old=20, fresh=0)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    with db.connect(autocommit=False).cursor() as holder:
        holder.execute("SELECT FROM items WHERE id = 20 FOR UPDATE")  # the oldest
        hold = proxy.rule(BEGIN, "hold", nth=1)
        running = world.start()
        hold.wait(60)
        world.fill([900], "8 days")
        hold.release()
        result = running.wait()
    report = result.json()
    assert db.column("SELECT id FROM items") == [20] and report["deleted"] == 20
    assert result.code == 1 and report["left_locked"] == 1, result


@pytest.mark.parametrize("strategy, distance", RUNS)
def test_J6_rows_that_become_eligible_behind_the_cursor_are_taken(make_world, db, proxy, strategy, distance):
    world = make_world(strategy, old=20, fresh=0)
    world.through(proxy)
    world.env["PGSWEEP_TEST_DISTANCE"] = distance
    hold = proxy.rule(BEGIN, "hold", nth=10 if strategy == "rows" else 3)
    running = world.start()
    hold.wait(60)
    world.fill(range(901, 911), "90 days")
    hold.release()
    result = running.wait()
    assert result.code == 0 and db.count("items") == 0 and result.json()["deleted"] == 30, result


@pytest.mark.parametrize("partitioned", [True, False])
def test_O3_partitioned_tables_are_planned_for_their_parameters(db, pgsweep, policy_file, partitioned):
    """A generic plan would lock every partition with every statement."""
    db.sql("CREATE TABLE items (id bigint, created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at))"
           + (" PARTITION BY RANGE (created_at); CREATE TABLE all_items PARTITION OF items DEFAULT" if partitioned else "") +
           ";CREATE TABLE log (mode text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN INSERT INTO log VALUES (current_setting('plan_cache_mode')); RETURN NULL; END$$;"
           "CREATE TRIGGER note AFTER DELETE ON items FOR EACH ROW EXECUTE FUNCTION note();"
           "INSERT INTO items VALUES (1, now() - interval '30 days')")
    assert pgsweep("init").code == 0
    directory = policy_file("table: items\nage: created_at\nretain: 7 days\n")
    assert pgsweep("test", "--policy-dir", directory).code == 0
    assert db.column("SELECT mode FROM log") == ["force_custom_plan" if partitioned else "auto"]
