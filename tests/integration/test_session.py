"""What a session is like whatever the role, the database, PGOPTIONS or the server say: the settings that change what a
statement means, or that would end the session, are pinned."""
import pytest

from sweeping import init, policy, rows, run

# Each is the opposite of what the session must have. The settings that a role may not change are not among them.
HOSTILE = {
    "idle_in_transaction_session_timeout": "1",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "array_nulls": "off",
    "xmlbinary": "hex",
    "xmloption": "document",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "default_transaction_read_only": "on",
    "row_security": "on",
    "gin_fuzzy_search_limit": "1",
    "jit": "on",
    "plan_cache_mode": "force_generic_plan",
    "exit_on_error": "on",
}
PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "array_nulls": "on",
    "xmlbinary": "base64",
    "xmloption": "content",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "default_transaction_read_only": "off",
    "row_security": "off",
    "gin_fuzzy_search_limit": "0",
    "jit": "off",
    "plan_cache_mode": "auto",
    "exit_on_error": "off",
    "session_replication_role": "origin",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}
FAMILY = """
    CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX ON t (at);
    CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES t);
    CREATE INDEX ON child (t_id);
    INSERT INTO t SELECT i, now() - i * interval '1 day' FROM generate_series(1, 20) AS i;
    INSERT INTO child SELECT i, i FROM generate_series(1, 20) AS i"""
FAMILY_POLICY = policy(dependents=[{"table": "child", "action": "delete"}])
ORPHANS = "NOT EXISTS (SELECT FROM t WHERE t.id = child.t_id)"


def pgoptions(settings):
    return {"PGOPTIONS": " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())}


def spy(db):
    """A trigger that writes down the settings of the session that deletes."""
    db.sql("CREATE TABLE seen (name text, value text)")
    db.sql("CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
           " INSERT INTO seen SELECT name, current_setting(name) FROM pg_settings; RETURN NULL; END $$")
    db.sql("CREATE TRIGGER spy AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION spy()")


@pytest.mark.parametrize("where", ["PGOPTIONS", "role"])
def test_O2_settings_that_change_the_meaning_of_statements_are_pinned(db, pgsweep, policy_file, where):
    db.sql(FAMILY)
    directory = policy_file(FAMILY_POLICY)
    init(pgsweep)
    spy(db)
    env = pgoptions(HOSTILE)
    user = None
    if where == "role":
        env = {}
        user = db.role("hostile", options="LOGIN SUPERUSER")
        for name, value in HOSTILE.items():
            db.sql(f"ALTER ROLE {user} SET {name} = '{value}'" if name != "DateStyle"
                   else f"ALTER ROLE {user} SET {name} = German, DMY")
    report = run(pgsweep, "test", "--policy-dir", directory, env=env, user=user)
    assert rows(report)["public.t"] == 14 and db.count("t") == 6 and db.count("child", ORPHANS) == 0
    seen = dict(db.sql("SELECT DISTINCT name, value FROM seen"))
    assert {name: value for name, value in seen.items() if name in PINNED} == \
        {name: value for name, value in PINNED.items() if name in seen}
    assert seen["search_path"].startswith("pg_catalog, ") and seen["search_path"].endswith(", pg_temp")


def test_J6_a_limit_of_the_session_does_not_end_a_run_in_its_pauses(db, pgsweep, policy_file):
    """idle_session_timeout, from version 14 on, and transaction_timeout, from 17 on, where the server has them."""
    db.sql(FAMILY)
    init(pgsweep)
    limits = {name: "1000" for name in db.column(
        "SELECT name FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')")}
    assert limits or db.value("SHOW server_version_num") < "140000"
    report = run(pgsweep, "test", "--policy-dir", policy_file(FAMILY_POLICY), "--chunk=5", "--pause=2 s",
                 env=pgoptions(limits))
    assert rows(report)["public.t"] == 14 and report["retries"] == 0 and report["remarks"] == []


def test_O2_a_superuser_who_replicates_leaves_no_orphan(db, pgsweep, policy_file):
    """What the policy leaves to the constraint is left to the constraint: a row with children does not go."""
    db.sql(FAMILY)
    db.sql("DELETE FROM child WHERE id > 10")
    init(pgsweep)
    ignored = policy(dependents=[{"table": "child", "action": "ignore", "reason": "its constraint refuses"}])
    report = run(pgsweep, "test", "--policy-dir", policy_file(ignored), code=1,
                 env={"PGOPTIONS": "-c session_replication_role=replica"})
    assert rows(report)["public.t"] == 10 and report["failed"] == 4
    assert db.count("t") == 10 and db.count("child") == 10 and db.count("child", ORPHANS) == 0


@pytest.mark.parametrize("args", [[], ["--dry-run"]], ids=["live", "dry"])
def test_O2_a_role_for_which_no_trigger_acts_is_refused(db, pgsweep, policy_file, args):
    db.sql(FAMILY)
    init(pgsweep)
    role = db.role("replicator", "SELECT, UPDATE, DELETE ON t, child")
    assert pgsweep("init", "--role", role).code == 0
    directory = policy_file(FAMILY_POLICY)
    db.sql(f"ALTER ROLE {role} SET session_replication_role = replica")
    result = pgsweep("test", "--policy-dir", directory, *args, user=role)
    assert result.code == 4 and "session_replication_role" in result.err and "ALTER ROLE" in result.err, result
    assert db.count("t") == 20 and db.count("child") == 20
    # What the hint says helps.
    db.sql(f"ALTER ROLE {role} RESET session_replication_role")
    assert pgsweep("test", "--policy-dir", directory, *args, user=role).code == 0


def test_M3_arrays_of_keys_are_read_as_they_are_written(db, pgsweep, policy_file):
    """A text key NULL is a word, not nothing, and a table's name is not quoted more than needed."""
    db.sql("CREATE TABLE t (id text PRIMARY KEY, at timestamptz NOT NULL);"
           "INSERT INTO t VALUES ('NULL', '2001-01-01'), (E'back\\\\slash', '2001-01-01'), ('{}', '2001-01-01'), ('new', now())")
    init(pgsweep)
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy(transaction="row")), env=pgoptions(
        {"array_nulls": "off", "quote_all_identifiers": "on", "standard_conforming_strings": "off"}))
    assert rows(report) == {"public.t": 3} and db.column("SELECT id FROM t") == ["new"]
