"""What a run costs in WAL and leaves in the files of its tables. O1, O4."""
import re

import pytest

from harness import wait_until
from sweeping import init, policy, run

OLD = "now() - interval '60 days'"
# Rows of about a page each: a large sweep without many rows.
FAT = "repeat(md5(i::text), 220)"


@pytest.fixture
def world(db, pgsweep):
    init(pgsweep)
    return db


def record(db, column):
    return db.value(f"SELECT {column} FROM pgsweep.runs ORDER BY started DESC LIMIT 1")


def fat(db, table="t", rows=10500, old=9500, **columns):
    """Rows of 8 KiB, the first ones old, with statistics."""
    db.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, at timestamptz, note text); CREATE INDEX ON {table} (at);"
           f"ALTER TABLE {table} ALTER note SET STORAGE PLAIN, SET (autovacuum_enabled = off);"
           f"INSERT INTO {table} SELECT i, CASE WHEN i <= {old} THEN {OLD} ELSE now() END, {FAT}"
           f"  FROM generate_series(1, {rows}) i; ANALYZE {table}")


def small(db, rows=300):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           f"INSERT INTO t SELECT i, {OLD} FROM generate_series(1, {rows}) i; ANALYZE t")


def test_O4_wal_and_dead_rows_are_told_and_recorded(world, pgsweep, policy_file):
    """The WAL is no less than what the deletion of so many rows writes, and no more than the server wrote."""
    small(world)
    world.sql("CREATE TABLE c (id int PRIMARY KEY, t_id int REFERENCES t); CREATE INDEX ON c (t_id);"
              "INSERT INTO c SELECT i, i FROM generate_series(1, 100) i")
    before = world.value("SELECT pg_current_wal_insert_lsn()")
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy(dependents=[{"table": "c", "action": "detach"}])))
    written = int(world.value("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before))
    own = world.value("SELECT current_setting('server_version_num')::int >= 180000")
    assert report["wal_of"] == ("run" if own else "server")
    assert 300 * 54 < report["wal_bytes"] <= written
    assert {e["table"]: e["dead_rows"] for e in report["space"]} == {"public.t": 300, "public.c": 100}
    assert report["dead_rows"] == 400 and [e["hint"] for e in report["space"]] == [None, None]
    assert record(world, "wal_bytes") == report["wal_bytes"] and record(world, "wal_of") == report["wal_of"]
    assert record(world, "dead_rows") == {"public.t": 300, "public.c": 100}


def test_O4_a_run_that_found_nothing_asks_nothing_more(world, pgsweep, policy_file, server_log):
    world.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at)")
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    assert report["wal_bytes"] is None and report["space"] == [] and report["dead_rows"] is None
    assert record(world, "wal_bytes") is None and record(world, "dead_rows") is None
    assert not server_log.matching(r"AS h\(who, xmin\)")


def test_O4_the_text_says_whose_wal_it_is(world, pgsweep, policy_file):
    small(world)
    result = pgsweep("test", "--policy-dir", policy_file(policy()))
    wal = "  WAL: " + {"run": "", "server": "at most "}[record(world, "wal_of")]
    assert wal in result.out and "  dead rows until the next VACUUM: 300\n" in result.out, result
    assert "  space:" not in result.out


def test_O4_a_large_sweep_says_what_returns_the_space(world, pgsweep, policy_file):
    fat(world)
    size = world.value("SELECT pg_relation_size('t')")
    result = pgsweep("test", "--policy-dir", policy_file(policy()))
    hint = re.search(r"  space: about (\S+ MiB) inside public.t \((\d+)% of its rows\) became free: (.*)\n", result.out)
    assert hint and hint[2] == "90", result
    assert abs(float(hint[1].split()[0]) * 2 ** 20 / size - 0.905) < 0.01
    assert "autovacuum is off for this table: new rows can use it after VACUUM public.t" in hint[3]
    assert "VACUUM FULL public.t" in hint[3] and "pg_repack" in hint[3] and "partitioned by at" in hint[3]
    # It is true: VACUUM does not make the file smaller, and VACUUM FULL does.
    world.sql("VACUUM t")
    assert world.value("SELECT pg_relation_size('t')") > 0.9 * size
    world.sql("VACUUM FULL t")
    assert world.value("SELECT pg_relation_size('t')") < 0.2 * size


def test_O4_quiet_says_nothing_of_space(world, pgsweep, policy_file):
    fat(world)
    result = pgsweep("test", "-q", "--policy-dir", policy_file(policy()))
    assert result.code == 0 and result.out == "" and result.err == "" and world.count("t") == 1000


def test_O4_an_old_snapshot_that_holds_the_space_is_named(world, pgsweep, policy_file):
    fat(world)
    holder = world.connect(autocommit=False, application_name="nightly export")
    cursor = holder.cursor()
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t; SELECT pg_backend_pid()")
    pid = cursor.fetchone()[0]
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    assert report["snapshot_held_by"] == f"session {pid} (nightly export)"
    assert f"while session {pid} (nightly export) holds a snapshot" in report["space"][0]["hint"]
    # It is true: VACUUM removes none of them.
    world.sql("VACUUM t")
    assert "0 removed" in " ".join(notices_of_vacuum(world))
    holder.rollback()
    assert "9500 removed" in " ".join(notices_of_vacuum(world))


def notices_of_vacuum(db):
    connection = db.connect()
    connection.cursor().execute("VACUUM VERBOSE t")
    text = [re.sub(r"found (\d+) removable, .*", r"\1 removed", n) for n in connection.notices]
    connection.close()
    return text


def test_O4_each_partition_is_told_for_itself(world, pgsweep, policy_file):
    """The one that is empty now can be dropped; what was deleted in each is what is gone from it."""
    world.sql("CREATE TABLE t (id int, at timestamptz NOT NULL, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
              "CREATE TABLE t_old PARTITION OF t FOR VALUES FROM (MINVALUE) TO (now() - interval '30 days');"
              "CREATE TABLE t_new PARTITION OF t FOR VALUES FROM (now() - interval '30 days') TO (MAXVALUE);"
              "ALTER TABLE t_old ALTER note SET STORAGE PLAIN; CREATE INDEX ON t (at);"
              f"INSERT INTO t SELECT i, {OLD}, {FAT} FROM generate_series(1, 9500) i;"
              "INSERT INTO t SELECT i, now() - interval '20 days', 'x' FROM generate_series(1, 50) i;"
              "INSERT INTO t SELECT i, now(), 'x' FROM generate_series(1, 50) i; ANALYZE t")
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    found = {e["table"]: e for e in report["space"]}
    assert {name: e["deleted"] for name, e in found.items()} == {"public.t_old": 9500, "public.t_new": 50}
    assert all(e["partition"] for e in found.values()) and found["public.t_new"]["hint"] is None
    assert "detaching and dropping it" in found["public.t_old"]["hint"]
    assert found["public.t_new"]["share"] == 0.5


def test_O4_what_vacuum_has_removed_meanwhile_is_not_left(world, start_pgsweep, policy_file):
    """What the statistics knew of when VACUUM came is gone from the files."""
    small(world)
    running = start_pgsweep("test", "--format", "json", "--chunk", "10", "--pause", "1100ms",
                            "--policy-dir", policy_file(policy()))
    known = wait_until(lambda: world.value("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 't'"))
    world.sql("VACUUM t")
    running.signal()
    report = running.wait().json()
    assert known > 0 and report["space"][0]["vacuumed"]
    assert report["space"][0]["deleted"] == report["deleted"] == 300 - world.count("t")
    assert report["dead_rows"] <= report["deleted"] - known


def test_O4_an_older_state_schema_learns_the_columns_with_their_grants(world, pgsweep, policy_file):
    small(world)
    world.sql("ALTER TABLE pgsweep.runs DROP COLUMN wal_bytes, DROP COLUMN wal_of, DROP COLUMN dead_rows;"
              "UPDATE pgsweep.state SET version = 1")
    role = world.role("sweeper", "SELECT, UPDATE, DELETE ON t")
    assert pgsweep("init", "--quiet", "--role", role).code == 0
    report = run(pgsweep, "test", "--policy-dir", policy_file(policy()), user=role)
    assert report["deleted"] == 300 and record(world, "wal_bytes") == report["wal_bytes"] > 0
