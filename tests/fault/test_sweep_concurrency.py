"""Others use the tables meanwhile: what they change is respected, and they are not stopped."""
import threading

import psycopg2
import pytest

from harness import Database, Runner, wait_until
from sweepworld import REMAINING


@pytest.fixture(params=["range", "locked"])
def strategy(request):
    return request.param


def hold(db, sql, *values):
    """A session that has run this and has not committed."""
    connection = db.connect(autocommit=False, application_name="holder")
    connection.cursor().execute(sql, values or None)
    return connection


LOCK = "^BEGIN.*READ WRITE"


def test_A6_O1_a_second_run_is_refused_and_names_the_first(world, proxy):
    world.through(proxy)
    rule = proxy.rule(LOCK, "hold", nth=2)
    first = world.start()
    rule.wait()
    gone = world.gone()
    world.env = {}
    second = world.run()
    run_id, host = world.db.sql("SELECT run_id, host FROM pgsweep.runs")[0]
    assert second.code == 75 and world.gone() == gone == 8
    started = world.db.value("SELECT started::timestamptz(0)::text FROM pgsweep.runs")[:19]
    for word in (f"pgsweep/{world.strategy}/{run_id}", host, started):
        assert word in second.err, second
    rule.release()
    world.check(first.wait())
    assert world.db.count("pgsweep.runs") == 1


def test_A6_the_lock_ends_with_the_run_not_with_its_server_process(world, proxy):
    """A run right after another one is no second run at once, however late the server ends the session."""
    world.through(proxy)
    proxy.linger = True
    first = world.run("--max-rows=5")
    assert first.code == 0 and world.db.count("pg_stat_activity", "application_name LIKE 'pgsweep/%'") == 1, first
    second = world.run()
    assert second.code == 0 and world.left() == [] and world.recorded() == 20, second


def test_A6_the_same_policy_in_two_databases_runs_at_once(world, proxy, server, home):
    world.through(proxy)
    rule = proxy.rule(LOCK, "hold", nth=1)
    first = world.start()
    rule.wait()
    other = Database(server, f"{world.db.name}_other")
    try:
        other.sql("CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL);"
                  "CREATE TABLE parts (id bigint PRIMARY KEY, item_id bigint NOT NULL)")
        policy = world.directory / f"{world.strategy}.yaml"
        policy.write_text("table: items\nage: created_at\nretain: 7 days\n")
        runner = Runner(other, home)
        assert runner("init").code == 0
        assert runner(world.strategy, "--policy-dir", world.directory).code == 0
    finally:
        other.drop()
    rule.release()
    world.check(first.wait())


def test_J7_a_row_that_is_locked_goes_in_a_later_pass(world, proxy):
    world.through(proxy)
    holder = hold(world.db, "SELECT FROM items WHERE id = 10 FOR UPDATE")
    rule = proxy.rule(REMAINING, "hold")
    running = world.start()
    rule.wait()
    assert world.left() == [10]
    holder.rollback()
    rule.release()
    report = world.check(running.wait())
    assert report["left_locked"] == 0


def test_J7_a_row_that_stays_locked_is_told(world):
    hold(world.db, "SELECT FROM items WHERE id = 10 FOR UPDATE")
    report = world.check(world.run(), left=[10], code=1)
    assert (report["left_locked"], report["outcome"]) == (1, "partial")


def test_O5_a_row_renewed_before_the_lock_survives(world, proxy):
    world.through(proxy)
    rule = proxy.rule(LOCK, "hold", nth=1)
    running = world.start()
    rule.wait()
    world.db.sql("UPDATE items SET created_at = now() WHERE id = 15")
    rule.release()
    world.check(running.wait(), left=[15])


def test_O5_a_row_renewed_while_the_sweep_waits_for_it_survives(world):
    holder = hold(world.db, "UPDATE items SET created_at = now() WHERE id = 15")
    running = world.start()
    wait_until(lambda: world.left() == [15], what="all the others")
    holder.commit()
    world.check(running.wait(), left=[15])


@pytest.mark.parametrize("place", [LOCK, "SKIP LOCKED"])
def test_J4_a_job_set_back_to_running_survives_with_its_logs(db, pgsweep, proxy, pgsweep_env, place):
    db.load("jobs")
    db.sql("INSERT INTO jobs (status, created_at) SELECT 'failed', now() - interval '30 days'"
           " FROM generate_series(1, 20); INSERT INTO job_logs (job_id, line) SELECT id, 'x' FROM jobs")
    assert pgsweep("init").code == 0
    rule = proxy.rule(place, "hold")
    running = pgsweep.start("jobs", "--chunk=8", env=pgsweep_env)
    rule.wait()
    db.sql("UPDATE jobs SET status = 'running' WHERE id = 5")
    rule.release()
    assert running.wait().code == 0
    assert db.column("SELECT id FROM jobs") == [5] == db.column("SELECT job_id FROM job_logs")


@pytest.fixture
def accounts(db, pgsweep):
    db.load("auth")
    db.sql("""INSERT INTO "user" (id, name, email, is_anonymous, created_at)
              SELECT 'u' || i, 'n', 'e' || i, true, now() - interval '90 days' FROM generate_series(1, 9) i;
              INSERT INTO session (id, user_id, token, created_at, updated_at, expires_at)
              SELECT 's' || i, 'u' || i, 't' || i, now() - interval '80 days', now() - interval '80 days',
                     now() FROM generate_series(1, 9) i""")
    assert pgsweep("init").code == 0
    return db


NEW_SESSION = "INSERT INTO session (id, user_id, token, expires_at) VALUES ('new', 'u5', 'new', now())"
TOUCH = "UPDATE session SET updated_at = now() WHERE user_id = 'u5'"


def no_orphans(db):
    assert db.count("session s", 'NOT EXISTS (SELECT FROM "user" u WHERE u.id = s.user_id)') == 0


@pytest.mark.parametrize("change", [NEW_SESSION, TOUCH])
@pytest.mark.parametrize("place", [LOCK, "SKIP LOCKED", "FOR UPDATE OF d"])
def test_A1_activity_committed_before_the_second_look_spares_the_account(
        accounts, pgsweep, proxy, pgsweep_env, change, place):
    """Committed before the lock, or (a refreshed session) after it and before the sessions are locked."""
    rule = proxy.rule(place, "hold")
    running = pgsweep.start("anonymous", env=pgsweep_env)
    rule.wait()
    if place == "FOR UPDATE OF d" and change == NEW_SESSION:
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            accounts.sql("SET lock_timeout = '100ms'; " + change)
        rule.release()
        assert running.wait().code == 0 and accounts.count('"user"') == 0
        return
    accounts.sql(change)
    rule.release()
    result = running.wait()
    assert result.code == 0, result
    assert accounts.column('SELECT id FROM "user"') == ["u5"], result
    assert accounts.count("session") == (2 if change == NEW_SESSION else 1)
    no_orphans(accounts)


@pytest.mark.parametrize("place", ['DELETE FROM "public"."session"', 'DELETE FROM "public"."user"', "^COMMIT"])
def test_A1_O5_activity_after_the_second_look_waits_and_finds_no_account(
        accounts, pgsweep, proxy, pgsweep_env, place):
    rule = proxy.rule(place, "hold")
    running = pgsweep.start("anonymous", env=pgsweep_env)
    rule.wait()
    told = {}

    def act(name, sql):
        cursor = accounts.connect(application_name="writer").cursor()
        try:
            cursor.execute(sql)
            told[name] = cursor.rowcount
        except psycopg2.Error as problem:
            told[name] = type(problem).__name__

    writers = [threading.Thread(target=act, args=work) for work in (("new", NEW_SESSION), ("touch", TOUCH))]
    for writer in writers:
        writer.start()
    wait_until(lambda: accounts.count(
        "pg_stat_activity", "application_name = 'writer' AND wait_event_type = 'Lock'") == 2)
    rule.release()
    assert running.wait().code == 0
    for writer in writers:
        writer.join()
    assert told == {"new": "ForeignKeyViolation", "touch": 0}
    assert accounts.count('"user"') == accounts.count("session") == 0


def test_A1_a_session_not_yet_committed_keeps_its_account(accounts, pgsweep):
    holder = hold(accounts, NEW_SESSION)
    running = pgsweep.start("anonymous", "--format=json")
    wait_until(lambda: accounts.count('"user"') == 1, what="all the others")
    holder.commit()
    assert running.wait().code == 0
    assert accounts.column('SELECT id FROM "user"') == ["u5"]
    assert accounts.count("session") == 2


def test_J7_a_writer_in_the_opposite_order_is_never_in_a_deadlock(make_world, proxy, db):
    world = make_world("locked").through(proxy)
    writer = hold(db, "UPDATE parts SET id = id WHERE item_id = 10")
    rule = proxy.rule(REMAINING, "hold")
    running = world.start(chunk=64)
    rule.wait()
    writer.cursor().execute("UPDATE items SET note = 'mine' WHERE id = 10")
    writer.rollback()
    rule.release()
    report = world.check(running.wait())
    assert report["retries"] == 0


def test_J7_an_old_snapshot_does_not_matter(world):
    holder = world.db.connect(autocommit=False)
    holder.set_session(isolation_level="REPEATABLE READ")
    cursor = holder.cursor()
    cursor.execute("SELECT count(*) FROM items")
    world.check(world.run())
    cursor.execute("SELECT count(*) FROM items")
    assert cursor.fetchone() == (25,)


def test_O1_a_table_that_is_locked_away_is_no_endless_wait(world):
    hold(world.db, "LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
    result = world.run("--retries=1", "--retry-for=1 s")
    assert result.code == 1, result
    assert "lock" in result.err and "hint" in result.err, result
    # The server may notice a moment later that the session is over.
    wait_until(lambda: not world.db.count("pg_locks", "locktype = 'advisory'"), what="the end of its lock")


def test_G2_a_table_that_is_locked_while_the_run_is_planned_is_waited_for(world):
    holder = hold(world.db, "LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
    running = world.start()
    running.wait_for("trying again")
    holder.rollback()
    result = running.wait()
    assert result.code == 0 and world.db.count("items", "id <= 20") == 0, result


def test_O5_random_writers_during_a_sweep(world):
    """Items that are touched are fresh, and must stay; parts come and go with their items."""
    db = world.db
    world.fill(range(21, 401), "30 days")
    world.old, stop, kept, problems = 400, threading.Event(), set(), []

    def write(number):
        cursor = db.connect(application_name="writer").cursor()
        i = number
        while not stop.is_set():
            i = (i * 75 + 74) % 401
            try:
                cursor.execute("UPDATE items SET created_at = now() WHERE id = %s", (i,))
                if cursor.rowcount:
                    kept.add(i)
                cursor.execute("UPDATE items SET note = 'seen' WHERE id = %s", ((i + 200) % 400,))
                cursor.execute("INSERT INTO items VALUES (%s, now())"
                               " ON CONFLICT DO NOTHING", (5000 + i,))
                cursor.execute("DELETE FROM items WHERE id = %s", (5000 + i,))
            except psycopg2.Error as problem:
                if problem.pgcode not in ("40P01",):
                    problems.append(problem)

    writers = [threading.Thread(target=write, args=(n,)) for n in (3, 7)]
    for writer in writers:
        writer.start()
    result = world.run("--pause=1 ms", chunk=7)
    stop.set()
    for writer in writers:
        writer.join()
    assert problems == []
    report = result.json()
    assert result.code == 0, result
    assert set(world.left()) == kept
    assert report["deleted"] == 400 - len(kept) == world.recorded()
    db.sql("DELETE FROM items WHERE id >= 5000")
    world.check_data()
