"""Whatever contradicts itself, a run that makes no progress ends: by a bound on its steps, and with a message."""
import json

import pytest

from sweeping import init, policy

# A type whose operators do not agree with each other: one row is never above another, or always.
BROKEN = """
CREATE TYPE odd AS (n int);
CREATE FUNCTION odd_cmp(a odd, b odd) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT sign(a.n - b.n)::int';
CREATE FUNCTION odd_lt(a odd, b odd) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT a.n < b.n';
CREATE FUNCTION odd_le(a odd, b odd) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT {at_most}';
CREATE FUNCTION odd_eq(a odd, b odd) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT a.n = b.n';
CREATE FUNCTION odd_ge(a odd, b odd) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT a.n >= b.n';
CREATE FUNCTION odd_gt(a odd, b odd) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT {above}';
CREATE OPERATOR < (FUNCTION = odd_lt, LEFTARG = odd, RIGHTARG = odd);
CREATE OPERATOR <= (FUNCTION = odd_le, LEFTARG = odd, RIGHTARG = odd);
CREATE OPERATOR = (FUNCTION = odd_eq, LEFTARG = odd, RIGHTARG = odd);
CREATE OPERATOR >= (FUNCTION = odd_ge, LEFTARG = odd, RIGHTARG = odd);
CREATE OPERATOR > (FUNCTION = odd_gt, LEFTARG = odd, RIGHTARG = odd);
CREATE OPERATOR CLASS odd_ops DEFAULT FOR TYPE odd USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,
    OPERATOR 5 >, FUNCTION 1 odd_cmp(odd, odd);
CREATE TABLE t (id odd PRIMARY KEY, at timestamptz, n int);
INSERT INTO t SELECT row(n)::odd, now() - interval '1 year', n FROM generate_series(1, 40) n;
"""


@pytest.mark.parametrize("distance", ["near", "far"])
@pytest.mark.parametrize("above, period", [("true", 1), ("a.n > b.n OR b.n = 15", 5), ("a.n > b.n OR b.n = 39", 39)])
def test_T2_a_walk_that_comes_back_to_where_it_was_ends(db, pgsweep, policy_file, above, period, distance):
    """Nothing is at most at a cursor, so nothing goes; and after some cursor everything comes again."""
    init(pgsweep)
    db.sql(BROKEN.format(at_most="false", above=above))
    for setting in ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"):
        db.sql(f"ALTER DATABASE {db.name} SET {setting} = off")
    result = pgsweep("test", "--policy-dir", policy_file(policy()), "--chunk", 1 if period == 39 else 3, "--format", "json",
                     env={"PGSWEEP_TEST_DISTANCE": distance}, timeout=60)
    assert result.code == 1 and "does not move on" in result.err, result
    report = json.loads(result.out)
    assert report["deleted"] == 0 == 40 - db.count("t") and report["chunks"] <= 3 * 40
    assert db.sql("SELECT outcome, error LIKE '%%does not move on%%' FROM pgsweep.runs") == [("error", True)]
