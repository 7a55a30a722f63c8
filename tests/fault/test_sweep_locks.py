"""Everything that a transaction uses is locked before it is read: another session changes it between two statements."""
import json
import threading

import pytest

from harness import wait_until

OLD = "now() - interval '30 days'"
RUNS = [("chunk", "near"), ("chunk", "far"), ("row", "far")]


@pytest.fixture
def race(db, pgsweep, policy_file, proxy, pgsweep_env):
    """race(policy, at, sql): another session sends sql before the statement that matches at; how many rows it changed."""
    def run(transaction, distance, at, sql, **more):
        directory = policy_file(json.dumps({"table": "t", "age": "at", "retain": "7 days", "transaction": transaction, **more}))
        assert pgsweep("init").code == 0
        changed = []
        rule = proxy.rule(at, "hold")
        running = pgsweep.start("test", "--policy-dir", directory, env={**pgsweep_env, "PGSWEEP_TEST_DISTANCE": distance})
        rule.wait(60)

        def other():
            cursor = db.connect(autocommit=True).cursor()
            cursor.execute("SET application_name = 'other'")
            cursor.execute(sql)
            changed.append(cursor.rowcount)

        thread = threading.Thread(target=other)
        thread.start()
        wait_until(lambda: changed or db.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'other' AND wait_event_type = 'Lock'"),
            what="the other session")
        rule.release()
        result = running.wait()
        thread.join()
        return result, changed[0]
    return run


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_M3_name_of_an_object_that_changes_under_a_chunk_is_not_lost(db, race, transaction, distance):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE f (id int PRIMARY KEY, t int NOT NULL REFERENCES t, s3_key text); CREATE INDEX ON f (t);"
           "INSERT INTO t VALUES (1), (2); INSERT INTO f VALUES (1, 1, 'old'), (2, 2, 'other')")
    result, changed = race(transaction, distance, r'DELETE FROM "public"\."f"', "UPDATE f SET s3_key = 'new' WHERE id = 1",
                           dependents=[{"table": "f", "action": "delete", "objects": ["s3_key"]}])
    queued = db.column("SELECT value FROM pgsweep.object_queue ORDER BY 1")
    assert db.count("t") == db.count("f") == 0, result
    assert ("new" in queued) == (changed == 1), (queued, changed)


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_M2_link_that_moves_under_a_chunk_leaves_no_orphan(db, race, transaction, distance):
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz DEFAULT {OLD});"
           "CREATE TABLE image (id int PRIMARY KEY);"
           "CREATE TABLE link (t int NOT NULL REFERENCES t, image int NOT NULL REFERENCES image, PRIMARY KEY (t, image));"
           "CREATE INDEX ON link (image);"
           "INSERT INTO t VALUES (1); INSERT INTO image VALUES (1), (2); INSERT INTO link VALUES (1, 1)")
    result, changed = race(transaction, distance, r'DELETE FROM "public"\."link"', "UPDATE link SET image = 2",
                           dependents=[{"table": "link", "action": "delete"},
                                       {"table": "image", "via": "link", "action": "delete_orphans"}])
    assert result.code == 0 and db.count("t") == db.count("link") == 0, result
    # The one that the link named when it was deleted is gone.
    assert db.column("SELECT id FROM image") == [1 if changed else 2]
