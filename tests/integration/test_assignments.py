"""Values of "set" and "to" are converted as an UPDATE by hand would: what does not fit fails before a row is touched."""
import pytest

from sweeping import init, policy, preview_and_run, rows

OLD = "now() - interval '1 year'"


@pytest.fixture
def world(db, pgsweep):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t VALUES (1, {OLD}), (2, now());"
           "CREATE DOMAIN short AS varchar(5); CREATE DOMAIN shorter AS short CHECK (VALUE <> 'no');"
           "CREATE DOMAIN positive AS int CHECK (VALUE > 0) NOT NULL; CREATE TYPE mood AS ENUM ('good', 'bad');"
           "CREATE TABLE c (id serial PRIMARY KEY, t int REFERENCES t)")
    return db


def setting(value):
    return policy(dependents=[{"table": "c", "action": "detach", "set": {"v": value}}])


@pytest.mark.not_hostile
@pytest.mark.parametrize("kind, value, said", [
    ("varchar(5)", "available", "too long"), ("char(5)", "available", "too long"), ("short", "available", "too long"),
    ("shorter", "available", "too long"), ("shorter", "no", "check constraint"), ("positive DEFAULT 1", "0", "check constraint"),
    ("varchar(5)[]", "{ok,available}", "too long"), ("numeric(4,2)", "123.4", "overflow"), ("bit(3)", "10", "length"),
    ("bit varying(3)", "10101", "too long"), ("mood", "fair", "invalid input value for enum"), ("int2", "70000", "out of range"),
    ("date", "2026-02-30", "out of range"), ("text NOT NULL DEFAULT ''", None, "may not be null"),
    ("positive DEFAULT 1", None, "does not allow null"), ("\"char\"[]", "x", "malformed")])
def test_M3_a_value_that_does_not_fit_stops_the_plan(world, pgsweep, policy_file, kind, value, said):
    world.sql(f"ALTER TABLE c ADD v {kind}; INSERT INTO c (t) VALUES (1)")
    before = world.sql("SELECT * FROM c")
    for args in (("--dry-run",), ()):
        result = pgsweep("test", *args, "--policy-dir", policy_file(setting(value)))
        assert result.code == 2 and said in result.err and ("column" in result.err), result
    assert world.count("t") == 2 and world.sql("SELECT * FROM c") == before


@pytest.mark.not_hostile
@pytest.mark.parametrize("kind, value, stored", [
    ("varchar(5)", "avail", "avail"), ("varchar(5)", "avail  ", "avail"), ("char(5)", "a", "a"), ("shorter", "avail", "avail"),
    ("numeric(4,2)", "12.345", "12.35"), ("timestamptz(0)", "2026-01-02 03:04:05.6+00", "2026-01-02 03:04:06+00"),
    ("mood", "bad", "bad"), ("bit(3)", "101", "101"), ("text[]", "{a,b}", "{a,b}"), ("varchar(5)", None, None),
    ("positive DEFAULT 1", "7", "7"), ("interval day", "1 day 5 hours", "1 day"), ("\"char\"", "x", "x")])
def test_M3_a_value_that_fits_is_stored_as_an_update_by_hand_would(world, pgsweep, policy_file, kind, value, stored):
    world.sql(f"ALTER TABLE c ADD v {kind}; INSERT INTO c (t) VALUES (1), (2)")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(setting(value)))
    assert rows(live) == {"public.t": 1, "public.c": 1}
    assert world.value("SELECT rtrim(v::text) FROM c WHERE t IS NULL") == stored
    world.sql("UPDATE c SET v = %s", value)
    assert world.column("SELECT DISTINCT rtrim(v::text) FROM c") == [stored]


def test_M3_the_key_that_rows_are_reassigned_to_is_not_cut_off(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (id varchar(9) PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t VALUES ('old', {OLD}), ('avail', now()), ('available', now());"
           "CREATE TABLE c (id serial, t varchar(5) REFERENCES t); INSERT INTO c (t) VALUES ('old')")
    for args in (("--dry-run",), ()):
        result = pgsweep("test", *args, "--policy-dir", policy_file(
            policy(dependents=[{"table": "c", "action": "reassign", "to": "available"}])))
        assert result.code == 2 and "too long" in result.err, result
    assert db.column("SELECT t FROM c") == ["old"]
    preview_and_run(pgsweep, "test", "--policy-dir", policy_file(
        policy(dependents=[{"table": "c", "action": "reassign", "to": "avail"}])))
    assert db.column("SELECT t FROM c") == ["avail"]


def test_M3_a_role_that_may_only_read_can_still_do_a_dry_run(world, pgsweep, policy_file):
    world.sql("ALTER TABLE c ADD v varchar(5); INSERT INTO c (t) VALUES (1)")
    reader = world.role("reader", "SELECT ON t", "SELECT ON c")
    assert pgsweep("test", "--dry-run", "--policy-dir", policy_file(setting("avail")), user=reader).code == 0
    result = pgsweep("test", "--dry-run", "--policy-dir", policy_file(setting("available")), user=reader)
    assert result.code == 2 and "too long" in result.err, result
