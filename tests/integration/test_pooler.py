"""Behind a pooler: it works, and leaves nothing behind in the sessions that others use."""
import pytest

from pooling import Pooler
from sweeping import init, policy, rows, run


@pytest.fixture
def pooler(db):
    started = []

    def start(**how):
        started.append(Pooler(db, **how))
        return started[-1]

    yield start
    for one in started:
        one.close()


TABLE = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX ON t (at);
    INSERT INTO t SELECT i, now() - i * interval '1 hour' FROM generate_series(1, 1000) AS i"""


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("size", [1, 5])
def test_O5_a_run_through_a_pooler_leaves_nothing_behind(db, pgsweep, policy_file, pooler, mode, size):
    db.sql(TABLE)
    through = pooler(mode=mode, size=size)
    result = pgsweep("init", env=through.env)
    assert result.code == 0, result
    args = ["test", "--policy-dir", policy_file(policy()), "--chunk=100"]
    dry = run(pgsweep, *args, "--dry-run", env=through.env)
    live = run(pgsweep, *args, env=through.env)
    assert rows(dry)["public.t"] == rows(live)["public.t"] == 1000 - 167
    assert db.count("t") == 167
    through.clean()


@pytest.mark.parametrize("args", [["--dry-run"], []], ids=["dry", "live"])
def test_O5_a_pooler_without_transactions_is_refused(db, pgsweep, policy_file, pooler, args):
    db.sql(TABLE)
    init(pgsweep)
    through = pooler(mode="statement")
    result = pgsweep("test", "--policy-dir", policy_file(policy()), *args, env=through.env)
    assert result.code == 2 and "pool_mode = transaction" in result.err, result
    assert db.count("t") == 1000 and through.locks() == 0
