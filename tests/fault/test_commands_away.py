"""The other commands, while the database is away or somebody is in the way: they try again, and change a thing once. G3, J6."""
import re

import pytest

TRYING = "trying again"
READS = {
    "init": ("init",),
    "letters": ("dlq", "list"),
    "queue": ("objects", "list"),
    "drain": ("objects", "drain"),
    "grants": ("grants", "locked"),
    "statements": ("show", "locked", "--sql", "--cutoff=2020-01-01"),
}
# What is sent late in each command.
LATE = {"init": "^COMMIT", "letters": "FROM pgsweep.dead_letters", "queue": "FROM pgsweep.object_queue",
        "drain": "FROM pgsweep.object_queue", "grants": "FROM pg_catalog.pg_constraint",
        "statements": "FROM pg_catalog.pg_constraint"}
FAULTS = {
    "before": {"action": "drop_before"},
    "after": {"action": "drop_after"},
    "deadlock": {"action": "error", "sqlstate": "40P01"},
    "lock": {"action": "error", "sqlstate": "55P03"},
}


@pytest.fixture
def world(make_world, proxy):
    return make_world("locked").through(proxy)


@pytest.fixture
def command(world):
    """command("dlq", "list"): the result, through the proxy; start=True: in the background."""
    def call(*args, start=False, **env):
        if args[0] in ("grants", "show"):
            args += ("--policy-dir", world.directory)
        return (world.runner.start if start else world.runner)(*args, env={**world.env, **env})

    return call


def test_G3_every_command_waits_for_a_server_that_is_away(command, proxy):
    expected = {name: command(*args) for name, args in READS.items()}
    proxy.refuse = True
    running = {name: command(*args, start=True) for name, args in READS.items()}
    for one in running.values():
        one.wait_for(TRYING)
        assert one.out() == ""
    proxy.refuse = False
    for name, one in running.items():
        result = one.wait()
        assert (result.code, result.out) == (0, expected[name].out), result


@pytest.mark.parametrize("fault", FAULTS)
def test_G3_every_command_begins_anew(command, proxy, fault):
    for name, args in READS.items():
        expected = command(*args)
        rule = proxy.rule(LATE[name], **FAULTS[fault])
        result = command(*args)
        assert rule.fired == 1, proxy.executed("")
        assert (result.code, result.out) == (0, expected.out), result
        proxy.clear()


def test_G3_retry_for_ends_the_tries(command, proxy):
    proxy.refuse = True
    for args in READS.values():
        result = command(*args, "--retry-for=0 s")
        assert result.code == 3 and TRYING not in result.err and "cannot connect" in result.err, result
        assert command(*args, "--retry-for=3").code == 2


CHANGES = ("dlq retry", "dlq discard", "objects retry", "objects forget", "objects discard")


def fill(db, what):
    """One thing of the kind that the change is about; returns its id."""
    if what == "dlq retry":  # of an object: the letter goes, and an entry of the queue comes
        return db.value("INSERT INTO pgsweep.dead_letters (policy, kind, key, run_id, state, error)"
                        " VALUES ('p', 'object', ARRAY['k', 'b', 'e'], 'r', 'waiting', 'x') RETURNING id")
    if what == "dlq discard":
        return db.value("INSERT INTO pgsweep.dead_letters (policy, kind, key, run_id, state, error)"
                        " VALUES ('p', 'row', ARRAY['1'], 'r', 'waiting', 'x') RETURNING id")
    if what == "objects forget":
        return db.value("INSERT INTO pgsweep.object_sources (policy, kind, table_ident, column_ident)"
                        " VALUES ('p', 'object', 'public.items', 'note') RETURNING id")
    return db.value("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, bucket, endpoint, next_attempt)"
                    " VALUES ('object', 'p', 'r', 's', 'k', 'b', 'e', now() + interval '1 day') RETURNING id")


def state(db):
    """What the changes change, without times and ids."""
    return (db.sql("SELECT kind, key, state FROM pgsweep.dead_letters ORDER BY id"),
            db.sql("SELECT kind, value, next_attempt > now() FROM pgsweep.object_queue ORDER BY id"),
            db.count("pgsweep.object_sources"))


@pytest.mark.parametrize("fault", FAULTS)
def test_G3_J6_a_change_is_made_once_whatever_becomes_of_its_commit(world, command, proxy, fault):
    db = world.db
    for what in CHANGES:
        first = fill(db, what)
        before = state(db)
        expected = command(*what.split(), first)
        after = state(db)
        assert expected.code == 0 and re.match("1 ", expected.out) and before != after
        db.sql("TRUNCATE pgsweep.dead_letters, pgsweep.object_queue, pgsweep.object_sources")
        changed = fill(db, what)
        rule = proxy.rule("^COMMIT", **FAULTS[fault])
        result = command(*what.split(), changed)
        assert rule.fired == 1 and (result.code, result.out) == (0, expected.out), result
        assert state(db) == after
        db.sql("TRUNCATE pgsweep.dead_letters, pgsweep.object_queue, pgsweep.object_sources")
        proxy.clear()


def test_G3_nobody_is_told_of_a_change_that_may_have_been_made(world, command, proxy):
    """The commit took effect, and nobody answers any more: neither success nor failure is claimed."""
    letter = fill(world.db, "dlq discard")
    rule = proxy.rule("^COMMIT", "hold")
    running = command("dlq", "discard", letter, "--retry-for=1 s", start=True)
    rule.wait()
    proxy.refuse = True
    proxy.drop_all()
    result = running.wait()
    assert result.code == 3 and "not known" in result.err and result.out == "", result


def test_G3_an_upgrade_gives_way_and_tries_again(world, command):
    """init does not queue for a lock in front of a run."""
    with world.db.connect(autocommit=False) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE pgsweep.runs IN ACCESS EXCLUSIVE MODE")
        running = command("init", start=True)
        running.wait_for(TRYING)
        other.rollback()
    assert running.wait().code == 0
