"""References of the policy's own table to itself that are deleted along: a row goes together with all that is below it,
in one transaction, whatever the chunk, or not at all."""
import pytest

from mocsworld import rows as by_table
from sweeping import init, policy, run

DEPENDENTS = [{"table": "t", "action": "delete"}, {"table": "c", "action": "delete"}]


@pytest.fixture
def trees(db, pgsweep):
    """2 and 11 refer to each other, 3 to 11 and 10 to 3; 5 to itself and 6 to 5; 1 to 9. All are old."""
    def make(rule="NO ACTION"):
        init(pgsweep)
        db.sql(f"""CREATE TABLE t (id int PRIMARY KEY, at timestamptz, up int REFERENCES t ON DELETE {rule});
            INSERT INTO t SELECT n, now() - interval '30 days' FROM generate_series(1, 12) n;
            UPDATE t SET up = CASE id WHEN 2 THEN 11 WHEN 11 THEN 2 WHEN 3 THEN 11 WHEN 10 THEN 3 WHEN 5 THEN 5
                WHEN 6 THEN 5 WHEN 1 THEN 9 END;
            CREATE TABLE c (t int PRIMARY KEY REFERENCES t); INSERT INTO c SELECT generate_series(1, 12)""")
    return make


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("rule", ["NO ACTION", "CASCADE", "SET NULL"])
@pytest.mark.parametrize("transaction, chunk, distance", [("row", 100, "near"), ("row", 1, "far"), ("chunk", 1, "near"),
                                                          ("chunk", 1, "far"), ("chunk", 3, "near"), ("chunk", 100, "far")])
def test_D2_O2_rows_go_with_all_that_is_below_them(db, pgsweep, policy_file, trees, guarded, rule, transaction, chunk, distance):
    trees(rule)
    guards = [{"name": "held", "unless": "t.id = 10"}] if guarded else []
    directory = policy_file(policy(transaction=transaction, guards=guards, dependents=DEPENDENTS))
    args = ("--policy-dir", directory, "--chunk", chunk)
    dry = run(pgsweep, "test", "--dry-run", *args)
    live = run(pgsweep, "test", *args, "--cutoff", dry["cutoff"], env={"PGSWEEP_TEST_DISTANCE": distance})
    left = [2, 3, 10, 11] if guarded else []
    assert by_table(dry) == by_table(live) == {"public.t": 12 - len(left), "public.c": 12 - len(left)}
    assert db.column("SELECT id FROM t ORDER BY 1") == left == db.column("SELECT t FROM c ORDER BY 1")


@pytest.mark.parametrize("transaction", ["row", "chunk"])
@pytest.mark.parametrize("limit", [1, 3, 5, 11])
def test_F5_a_limit_holds_with_the_rows_below(db, pgsweep, policy_file, trees, limit, transaction):
    """A row with more below it than the limit leaves is left for a run that may take them."""
    trees()
    directory = policy_file(policy(transaction=transaction, dependents=DEPENDENTS))
    live = run(pgsweep, "test", "--policy-dir", directory, "--max-rows", limit)
    assert 0 < live["deleted"] <= limit and db.count("t") == 12 - live["deleted"] == db.count("c")
    assert live["limit"] == "max-rows"
    assert run(pgsweep, "test", "--policy-dir", directory)["deleted"] == 12 - live["deleted"] and db.count("t") == 0


@pytest.mark.parametrize("chunk", [1, 100])
def test_M5_what_is_above_a_row_that_cannot_go_stays_with_it(db, pgsweep, policy_file, trees, chunk):
    trees("CASCADE")
    db.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;"
           "CREATE TRIGGER refuse BEFORE DELETE ON t FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION refuse()")
    directory = policy_file(policy(dependents=DEPENDENTS))
    live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", chunk, code=1)
    assert db.column("SELECT id FROM t ORDER BY 1") == [2, 3, 11] == db.column("SELECT t FROM c ORDER BY 1")
    assert live["deleted"] == 9 and live["failed"] == 3
