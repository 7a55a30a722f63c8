"""Rows of the policy's own table that are deleted along its reference to itself: a tree goes as a whole."""
import pytest

from sweeping import init, policy

OLD = "now() - interval '30 days'"
RUNS = [("chunk", "near"), ("chunk", "far"), ("row", "far")]


@pytest.fixture
def trees(db, pgsweep):
    """Trees of 1 (with 2 to 6 below it, over three levels), 10 (with 11) and 20."""
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES t ON DELETE CASCADE, at timestamptz DEFAULT {OLD},"
           " s3_key text GENERATED ALWAYS AS (pg_catalog.textcat('key', id::pg_catalog.text)) STORED); CREATE INDEX ON t (parent);"
           "INSERT INTO t (id, parent) VALUES (1, NULL), (2, 1), (3, 1), (4, 2), (5, 4), (6, 4), (10, NULL), (11, 10), (20, NULL);"
           "CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE); CREATE INDEX ON c (t);"
           "INSERT INTO c SELECT id, id FROM t")
    init(pgsweep)
    return db


def written(transaction):
    return policy(transaction=transaction, objects=["s3_key"],
                  dependents=[{"table": "t", "action": "delete"}, {"table": "c", "action": "delete"}])


@pytest.mark.parametrize("transaction, distance", RUNS)
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_M2_tree_goes_with_all_its_keys_whatever_the_chunk(trees, pgsweep, policy_file, transaction, distance, chunk):
    where = policy_file(written(transaction))
    result = pgsweep("test", "--policy-dir", where, "--chunk", chunk, "--format", "json",
                     env={"PGSWEEP_TEST_DISTANCE": distance})
    report = result.json()
    assert trees.count("t") == trees.count("c") == 0, result
    assert {t["table"]: t["rows"] for t in report["tables"] if t["rows"]} == {"public.t": 9, "public.c": 9}
    assert trees.count("pgsweep.object_queue") == 9


@pytest.mark.parametrize("transaction, distance", RUNS)
def test_F4_max_rows_counts_whole_trees(trees, pgsweep, policy_file, transaction, distance):
    where = policy_file(written(transaction))
    result = pgsweep("test", "--policy-dir", where, "--max-rows", 4, "--format", "json",
                     env={"PGSWEEP_TEST_DISTANCE": distance})
    report = result.json()
    left = trees.column("SELECT id FROM t ORDER BY 1")
    assert report["deleted"] == 9 - len(left) <= 4 and report["limit"] == "max-rows", result
    # A row goes with everything below it, and each with its key.
    assert trees.count("pgsweep.object_queue") == report["deleted"] and trees.count("c") == len(left)
