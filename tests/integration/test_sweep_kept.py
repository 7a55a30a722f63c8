"""Triggers and rules that keep rows without an error: what a transaction set out to do is looked at for every table."""
import pytest

from sweeping import init, policy

OLD = "now() - interval '30 days'"
RUNS = [("chunk", "near"), ("chunk", "far"), ("row", "far")]
KEEP = """CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN IF OLD.id = 3 THEN RETURN NULL; END IF; IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END$$;"""


def sweep(pgsweep, directory, distance):
    return pgsweep("test", "--policy-dir", directory, "--format=json", env={"PGSWEEP_TEST_DISTANCE": distance})


def check_failed(db, result, trigger, table):
    report = result.json()
    assert result.code == 1 and report["failed"] == 1, result
    message = report["failures"][0]["error"]
    assert trigger in message and table in message, message
    assert db.sql("SELECT key, sqlstate FROM pgsweep.dead_letters") == [(["3"], "P0004")]


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_O5_dependent_that_a_trigger_keeps_stays_with_its_row(db, pgsweep, policy_file, transaction, distance):
    db.sql(KEEP + f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE SET NULL); CREATE INDEX ON c (t);"
           "CREATE TRIGGER keeper BEFORE DELETE ON c FOR EACH ROW EXECUTE FUNCTION keep();"
           "INSERT INTO t SELECT generate_series(1, 5); INSERT INTO c SELECT i, i FROM generate_series(1, 5) AS i")
    init(pgsweep)
    result = sweep(pgsweep, policy_file(policy(transaction=transaction,
                                               dependents=[{"table": "c", "action": "delete"}])), distance)
    assert db.column("SELECT id FROM t") == [3] and db.sql("SELECT id, t FROM c") == [(3, 3)]
    check_failed(db, result, "keeper", "public.c")


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_O5_detached_row_that_a_trigger_keeps_is_not_cascaded_away(db, pgsweep, policy_file, transaction, distance):
    db.sql(KEEP + f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE); CREATE INDEX ON c (t);"
           "CREATE TRIGGER keeper BEFORE UPDATE ON c FOR EACH ROW EXECUTE FUNCTION keep();"
           "INSERT INTO t SELECT generate_series(1, 5); INSERT INTO c SELECT i, i FROM generate_series(1, 5) AS i")
    init(pgsweep)
    result = sweep(pgsweep, policy_file(policy(transaction=transaction,
                                               dependents=[{"table": "c", "action": "detach"}])), distance)
    assert db.column("SELECT id FROM t") == [3]
    assert db.sql("SELECT id, t FROM c ORDER BY 1") == [(1, None), (2, None), (3, 3), (4, None), (5, None)]
    check_failed(db, result, "keeper", "public.c")


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_O5_shared_row_that_a_trigger_keeps_stays_with_its_link(db, pgsweep, policy_file, transaction, distance):
    db.sql(KEEP + f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE image (id int PRIMARY KEY);"
           "CREATE TABLE link (t int REFERENCES t, image int REFERENCES image, PRIMARY KEY (t, image));"
           "CREATE INDEX ON link (image);"
           "CREATE TRIGGER keeper BEFORE DELETE ON image FOR EACH ROW EXECUTE FUNCTION keep();"
           "INSERT INTO t SELECT generate_series(1, 5); INSERT INTO image SELECT generate_series(1, 5);"
           "INSERT INTO link SELECT i, i FROM generate_series(1, 5) AS i")
    init(pgsweep)
    result = sweep(pgsweep, policy_file(policy(transaction=transaction, dependents=[
        {"table": "link", "action": "delete"}, {"table": "image", "via": "link", "action": "delete_orphans"}])), distance)
    assert db.column("SELECT id FROM t") == [3] and db.sql("SELECT t, image FROM link") == [(3, 3)]
    assert db.column("SELECT id FROM image") == [3]
    check_failed(db, result, "keeper", "public.image")
