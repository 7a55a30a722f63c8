"""Dead letters: what could not go, how often it is tried, and what a person may do about it. M5."""
import json
import signal

import pytest

from harness import wait_until
from objectsworld import Mocs
from sweeping import policy, rows, run, spared


@pytest.fixture
def plain(db, pgsweep):
    """MOCs without a store."""
    return Mocs(db, pgsweep)


def park(mocs, times=4):
    """times: how many runs of the four are still to come."""
    for _ in range(times):
        mocs.run(code=6)


def test_M5_parked_after_the_first_try_and_three_retries(plain):
    for moc in range(1, 4):
        plain.add(moc)
    plain.refuse(2)
    for attempt, state in ((1, "waiting"), (2, "waiting"), (3, "waiting"), (4, "parked")):
        report = plain.run(code=6)
        assert plain.left() == [2] and report["failed"] == 1 and report["dead_letters"] == 1
        assert plain.letters() == [(["2"], state, attempt)]
        assert ("parked" in str(report["remarks"])) == (attempt == 4)
    # It takes no part any more.
    report = plain.run()
    assert (report["eligible"], report["failed"], report["outcome"]) == (0, 0, "done")
    assert spared(report) == {("dead letter", None): 1} or list(spared(report).values()) == [1]
    assert plain.letters() == [(["2"], "parked", 4)]


def test_M5_a_letter_tells_what_happened(plain):
    plain.add(7)
    plain.refuse(7, message="tab\t and \"quotes\" ü")
    report = plain.run(code=6)
    row = plain.letters("policy, kind, key, error, sqlstate, run_id, first_at = last_at")[0]
    assert row == ("mocs", "row", ["7"], "tab\t and \"quotes\" ü", "P0042", report["run_id"], True)
    again = plain.run(code=6)
    assert plain.letters("run_id, first_at < last_at") == [(again["run_id"], True)]


@pytest.mark.parametrize("first", [1, 5, 9])
def test_M5_one_that_fails_never_blocks_the_others(plain, first):
    """Wherever it stands in its batch, the others of the batch and the later batches go."""
    for moc in range(1, 10):
        plain.add(moc, age=f"{100 - moc} days", bricks=1)
    plain.refuse(first)
    report = plain.run("--chunk=4", code=6)
    assert plain.left() == [first] and report["deleted"] == 8
    assert plain.db.count("moc_parts", "parts_list_id IS NULL") == 8


def test_M5_all_of_them_fail(plain):
    for moc in range(1, 8):
        plain.add(moc)
    plain.refuse(*range(1, 8))
    report = plain.run("--chunk=3", code=6)
    assert plain.left() == list(range(1, 8)) and report["failed"] == 7
    park(plain, 3)
    plain.allow()
    assert plain.run()["deleted"] == 0 and len(plain.left()) == 7


def test_M5_parked_rows_do_not_block_new_ones(plain):
    plain.add(1)
    plain.refuse(1)
    park(plain)
    plain.add(2)
    assert plain.run()["deleted"] == 1 and plain.left() == [1]


@pytest.mark.parametrize("change", ["DELETE FROM moc_instructions", "UPDATE moc_instructions SET deleted_at = NULL",
                                    "UPDATE moc_instructions SET deleted_at = now()"])
@pytest.mark.parametrize("parked", [False, True])
def test_M5_closed_by_itself_when_settled(plain, change, parked):
    plain.add(1)
    plain.refuse(1)
    plain.run(code=6)
    if parked:
        park(plain, 3)
    plain.allow()
    plain.db.sql(change)
    report = plain.run()
    assert plain.letters("state") == [("closed",)] and report["dead_letters"] == 0
    # Should it come back, it starts again.
    plain.db.sql("DELETE FROM moc_instructions")
    plain.add(1)
    plain.refuse(1)
    plain.run(code=6)
    assert plain.letters() == [(["1"], "waiting", 1)]


def test_M5_closed_when_a_retry_succeeds(plain):
    plain.add(1)
    plain.refuse(1)
    plain.run(code=6)
    plain.allow()
    report = plain.run()
    assert plain.left() == [] and report["dead_letters"] == 0
    assert plain.letters("state") == [("closed",)]


def test_M5_retry_gives_a_parked_row_four_more_tries(plain):
    plain.add(1)
    plain.refuse(1)
    park(plain)
    letter = plain.letters("id")[0][0]
    result = plain.runner("dlq", "retry", letter)
    assert result.code == 0 and "1 will be tried again" in result.out
    for attempt in (1, 2, 3, 4):
        plain.run(code=6)
        assert plain.letters() == [(["1"], "parked" if attempt == 4 else "waiting", attempt)]
    plain.runner("dlq", "retry", letter)
    plain.allow()
    assert plain.run()["deleted"] == 1 and plain.left() == []


def test_M5_a_discarded_row_is_never_tried_again(plain):
    plain.add(1)
    plain.add(2)
    plain.refuse(1)
    plain.run(code=6)
    letter = plain.letters("id")[0][0]
    assert plain.runner("dlq", "discard", letter).code == 0
    plain.allow()
    dry = plain.run("--dry-run")
    report = plain.run()
    assert plain.left() == [1] and report["dead_letters"] == 0
    assert list(spared(report).values()) == list(spared(dry).values()) == [1]
    assert report["eligible"] == dry["eligible"] == 0
    assert plain.letters("state") == [("discarded",)]
    assert plain.runner("dlq", "list").out == "nothing\n"


def test_M5_dry_run_agrees_about_parked_rows(plain):
    for moc in range(1, 4):
        plain.add(moc, files=["a"], bricks=2, images=[(moc, "i", None)])
    plain.refuse(2)
    park(plain)
    plain.allow()
    plain.add(4, bricks=1)
    dry = plain.run("--dry-run")
    live = plain.run("--cutoff", dry["cutoff"], code=1)  # keys of objects wait for a store
    assert plain.left() == [2] and rows(dry) == rows(live) and dry["eligible"] == live["eligible"] == 1
    assert spared(dry) == spared(live)


def test_O2_dry_run_without_access_to_the_state_schema(plain):
    plain.add(1)
    plain.add(2)
    plain.refuse(1)
    park(plain)
    reader = plain.db.role("reader", "USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public")
    report = plain.run("--dry-run", user=reader)
    assert report["eligible"] == 1  # it cannot see the letter
    plain.db.sql(f'GRANT USAGE ON SCHEMA pgsweep TO "{reader}"')
    assert plain.run("--dry-run", user=reader)["eligible"] == 1
    plain.db.sql(f'GRANT SELECT ON pgsweep.dead_letters TO "{reader}"')
    assert plain.run("--dry-run", user=reader)["eligible"] == 0


@pytest.mark.parametrize("strategy", ["range", "locked"])
def test_M5_a_parked_row_in_other_strategies(db, pgsweep, policy_file, strategy):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT i, now() - interval '9 days' + i * interval '1 s' FROM generate_series(1, 30) AS i;"
           "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;"
           "CREATE TRIGGER no BEFORE DELETE ON t FOR EACH ROW WHEN (OLD.id IN (1, 17)) EXECUTE FUNCTION no()")
    more = {"guards": [{"name": "never", "unless": "EXISTS (SELECT FROM t AS u WHERE u.id < 0)"}]}
    where = policy_file(policy(**(more if strategy == "locked" else {})))
    assert pgsweep("init").code == 0
    for attempt in (1, 2, 3, 4):
        report = run(pgsweep, "test", "--policy-dir", where, "--chunk=8", code=1)
        assert db.column("SELECT id FROM t ORDER BY id") == [1, 17] and report["failed"] == 2
        assert report["strategy"] == strategy
    db.sql("INSERT INTO t SELECT i, now() - interval '8 days' FROM generate_series(31, 40) AS i")
    report = run(pgsweep, "test", "--policy-dir", where, "--chunk=8")
    assert db.column("SELECT id FROM t ORDER BY id") == [1, 17]
    assert (report["eligible"], report["deleted"], list(spared(report).values())) == (10, 10, [2])


def test_M5_keys_of_every_kind(db, pgsweep, policy_file):
    keys = [("it's", "a,b"), ('q"uote', "{}"), ("ü日🦀", "back\\slash"), ("NULL", ""), ("plain", "x")]
    db.sql("CREATE TABLE t (a text, b text, at timestamptz, PRIMARY KEY (a, b)); CREATE INDEX ON t (at);"
           "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;"
           "CREATE TRIGGER no BEFORE DELETE ON t FOR EACH ROW WHEN (OLD.a <> 'plain') EXECUTE FUNCTION no()")
    for key in keys:
        db.sql("INSERT INTO t VALUES (%s, %s, '2020-01-01')", *key)
    where = policy_file(policy())
    assert pgsweep("init").code == 0
    for _ in range(4):
        run(pgsweep, "test", "--policy-dir", where, code=1)
    assert sorted(map(tuple, db.column("SELECT key FROM pgsweep.dead_letters"))) == sorted(keys[:-1])
    assert run(pgsweep, "test", "--policy-dir", where)["eligible"] == 0
    listed = pgsweep("dlq", "list", "--format=json").json()
    assert [entry["state"] for entry in listed] == ["parked"] * 4
    assert "ü日🦀, back\\slash" in {entry["key"] for entry in listed}
    db.sql("DROP TRIGGER no ON t; DELETE FROM t WHERE a = 'it''s'")
    run(pgsweep, "test", "--policy-dir", where)
    assert db.column("SELECT key[1] FROM pgsweep.dead_letters WHERE state = 'closed'") == ["it's"]


def test_M5_letters_of_keys_that_changed_their_type(db, pgsweep, policy_file):
    """What was a text is a number now: old letters must not end every run."""
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t VALUES (1, '2020-01-01')")
    assert pgsweep("init").code == 0
    db.sql("INSERT INTO pgsweep.dead_letters (policy, key, error, run_id) VALUES ('test', '{abc}', 'e', 'r'),"
           " ('test', '{1,2}', 'e', 'r')")
    run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    assert db.count("t") == 0
    assert db.column("SELECT DISTINCT state FROM pgsweep.dead_letters") == ["closed"]


def test_M5_letters_of_keys_whose_text_cannot_be_read_back(db, pgsweep, policy_file):
    """The regclass of a table that was dropped is a number, and the name of a table that is gone is no regclass."""
    db.sql("CREATE TABLE gone (); CREATE TABLE t (id regclass PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t VALUES ('gone', '2020-01-01');"
           "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;"
           "CREATE TRIGGER no BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION no()")
    where = policy_file(policy())
    assert pgsweep("init").code == 0
    run(pgsweep, "test", "--policy-dir", where, code=1)
    db.sql("DROP TABLE gone")
    for _ in range(2):
        assert run(pgsweep, "test", "--policy-dir", where, code=1)["failed"] == 1
    db.sql("DROP TRIGGER no ON t")
    assert run(pgsweep, "test", "--policy-dir", where)["deleted"] == 1
    assert db.count("t") == 0 and db.column("SELECT DISTINCT state FROM pgsweep.dead_letters") == ["closed"]


def two_letters(plain):
    for moc in (1, 2):
        plain.add(moc)
    plain.refuse(1, 2, message="line 1\nline 2")
    plain.run(code=6)
    return [row[0] for row in plain.letters("id")]


def test_M5_list_and_show(plain):
    first, second = two_letters(plain)
    table = plain.runner("dlq", "list").out.splitlines()
    assert len(table) == 3 and table[0].split()[:4] == ["id", "policy", "kind", "key"]
    assert "line 1\\nline 2" in table[1]
    assert len(plain.runner("dlq", "list", "mocs").out.splitlines()) == 3
    assert plain.runner("dlq", "list", "jobs").out == "nothing\n"
    listed = plain.runner("dlq", "list", "--format=json").json()
    assert [entry["id"] for entry in listed] == [first, second]
    assert listed[0]["attempts"] == 1 and listed[0]["error"] == "line 1\nline 2"
    shown = plain.runner("dlq", "show", second, "--format=json").json()
    assert [(e["id"], e["key"], e["sqlstate"]) for e in shown] == [(second, "2", "P0042")]
    run_id = plain.db.value("SELECT run_id FROM pgsweep.runs")
    assert shown[0]["run_id"] == listed[0]["run_id"] == run_id
    upright = plain.runner("dlq", "show", first, second).out
    assert len(upright.split("\n\n")) == 2 and f"\nrun_id    {run_id}\n" in upright
    assert "\nerror     line 1\\nline 2\n" in upright
    assert plain.runner("dlq", "list", "jobs", "--format=json").json() == []


@pytest.mark.parametrize("verb", ["show", "retry", "discard"])
def test_M5_an_id_that_does_not_exist_changes_nothing(plain, verb):
    first, _ = two_letters(plain)
    result = plain.runner("dlq", verb, first, 999999)
    assert result.code == 2 and "999999" in result.err
    assert plain.letters("state, attempts") == [("waiting", 1)] * 2
    for wrong in ("abc", "-1", "0", "1.5", ""):
        result = plain.runner("dlq", verb, "--", wrong)
        assert result.code == 2 and "id" in result.err, result
    assert plain.runner("dlq", verb).code == 2
    assert plain.letters("state, attempts") == [("waiting", 1)] * 2


def test_M5_retry_of_all_letters_of_a_policy(plain):
    for moc in range(1, 5):
        plain.add(moc)
    plain.refuse(*range(1, 5))
    park(plain)
    plain.db.sql("UPDATE pgsweep.dead_letters SET state = 'discarded' WHERE key = '{2}'; UPDATE pgsweep.dead_letters"
                 " SET policy = 'other' WHERE key = '{3}'")
    result = plain.runner("dlq", "retry", "mocs")
    assert result.code == 0 and result.out == "2 will be tried again\n"
    assert plain.letters() == [(["1"], "waiting", 0), (["2"], "discarded", 4), (["3"], "parked", 4), (["4"], "waiting", 0)]
    result = plain.runner("dlq", "retry", "jobs")
    assert result.code == 2 and '"jobs" is neither the id of a dead letter nor the name of a policy that has one' in result.err
    assert plain.runner("dlq", "discard", "mocs").code == 2
    assert [row[1] for row in plain.letters()] == ["waiting", "discarded", "parked", "waiting"]


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_M5_a_closed_letter_stays_closed(plain, verb):
    """Discarded, it would spare a row of the same key that may come later."""
    first, second = two_letters(plain)
    plain.db.sql("UPDATE moc_instructions SET deleted_at = NULL WHERE id = 1")
    plain.run(code=6)
    assert plain.letters("state") == [("closed",), ("waiting",)]
    result = plain.runner("dlq", verb, second, first)
    assert result.code == 2 and f"dead letter {first} is closed" in result.err and "hint" in result.err
    assert plain.letters("state") == [("closed",), ("waiting",)]
    assert "state     closed" in plain.runner("dlq", "show", first).out


@pytest.mark.parametrize("verb", ["show", "retry", "discard"])
def test_M5_the_same_id_twice_is_one(plain, verb):
    first, _ = two_letters(plain)
    result = plain.runner("dlq", verb, first, first)
    assert result.code == 0, result


def test_M5_retry_and_discard_in_json(plain):
    first, second = two_letters(plain)
    assert json.loads(plain.runner("dlq", "retry", first, "--format=json").out) == {"ids": [first]}
    assert json.loads(plain.runner("dlq", "discard", second, "--format=json").out) == {"ids": [second]}
    assert plain.letters("state") == [("waiting",), ("discarded",)]


def test_M5_wrong_verbs_are_explained(plain):
    result = plain.runner("dlq", "lst")
    assert result.code == 2 and '"list"' in result.err
    assert plain.runner("dlq").code == 2
    assert plain.runner("dlq", "list", "a", "b").code == 2


@pytest.fixture
def blobs(db, pgsweep):
    """Rows whose keys are longer than an entry of an index can be, but for what compression makes of them."""
    assert pgsweep("init", "--quiet").code == 0
    db.sql("CREATE TABLE blobs (id bytea PRIMARY KEY, at timestamptz); CREATE INDEX ON blobs (at);"
           "INSERT INTO blobs SELECT decode(repeat(md5(n::text), 300), 'hex'), '2020-01-01' FROM generate_series(1, 4) n;"
           "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
           " $$ BEGIN IF OLD.id = (SELECT id FROM public.blobs ORDER BY id LIMIT 1) THEN RAISE EXCEPTION 'no'; END IF; RETURN OLD; END $$;"
           "CREATE TRIGGER refuse BEFORE DELETE ON blobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    return db


def test_M5_key_of_thousands_of_bytes_is_a_letter_is_retried_discarded_and_obeyed(blobs, pgsweep, policy_file):
    args = ("test", "--policy-dir", policy_file(policy("blobs")))
    assert run(pgsweep, *args, code=1)["deleted"] == 3
    letter, key = blobs.sql("SELECT id, key[1] FROM pgsweep.dead_letters")[0]
    assert len(key) == 2 * 4800 + 2 and key == blobs.value("SELECT id::text FROM blobs")
    for state, attempts in (("waiting", 2), ("waiting", 3), ("parked", 4)):
        assert run(pgsweep, *args, code=1)["failed"] == 1
        assert blobs.sql("SELECT state, attempts FROM pgsweep.dead_letters") == [(state, attempts)]
    assert run(pgsweep, *args)["eligible"] == 0
    assert pgsweep("dlq", "retry", str(letter)).code == 0
    assert run(pgsweep, *args, code=1)["failed"] == 1
    assert pgsweep("dlq", "discard", str(letter)).code == 0
    blobs.sql("DROP TRIGGER refuse ON blobs")
    report = run(pgsweep, *args)
    assert spared(report) == {("dead letter", None): 1} and blobs.count("blobs") == 1
    assert pgsweep("dlq", "retry", str(letter)).code == 0
    assert run(pgsweep, *args)["deleted"] == 1 and blobs.sql("SELECT state FROM pgsweep.dead_letters") == [("closed",)]


@pytest.mark.parametrize("guard", ["t.n < 0", "EXISTS (SELECT FROM holds WHERE n = t.n)"])
@pytest.mark.parametrize("transaction", ["chunk", "row"])
def test_M5_discard_while_the_run_is_on_is_obeyed_by_every_chunk_after_it(
        db, pgsweep, start_pgsweep, policy_file, guard, transaction):
    """No row has a letter when the run starts; a person discards two while it waits between two chunks."""
    assert pgsweep("init", "--quiet").code == 0
    db.sql("CREATE TABLE t (n int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at); CREATE TABLE holds (n int);"
           "INSERT INTO t SELECT n, '2020-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 30) n;"
           "INSERT INTO pgsweep.dead_letters (policy, key, error, run_id)"
           " SELECT 'test', ARRAY[n::text], 'x', 'old' FROM unnest('{20,30}'::int[]) n")
    letters = db.column("SELECT id FROM pgsweep.dead_letters")
    directory = policy_file(policy(guards=[{"name": "g", "unless": guard}], transaction=transaction))
    running = start_pgsweep("test", "--policy-dir", directory, "--chunk", "5", "--pause", "1 s", "--format=json")
    wait_until(lambda: db.count("t") <= 25, what="the first chunk")
    running.signal(signal.SIGSTOP)
    assert pgsweep("dlq", "discard", *[str(letter) for letter in letters]).code == 0
    running.signal(signal.SIGCONT)
    report = running.wait().json()
    assert db.column("SELECT n FROM t ORDER BY n") == [20, 30] and report["deleted"] == 28


def test_M5_discard_of_a_row_that_failed_in_this_run_leaves_the_number_left_right(db, pgsweep, start_pgsweep, policy_file):
    """1 fails, and its letter is discarded; 9 is locked for a while, and 10 until the end."""
    assert pgsweep("init", "--quiet").code == 0
    db.sql("CREATE TABLE t (n int PRIMARY KEY, at timestamptz); CREATE INDEX ON t (at);"
           "INSERT INTO t SELECT n, '2020-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 10) n;"
           "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;"
           "CREATE TRIGGER refuse BEFORE DELETE ON t FOR EACH ROW WHEN (old.n = 1) EXECUTE FUNCTION refuse()")
    nine, ten = db.connect(autocommit=False), db.connect(autocommit=False)
    nine.cursor().execute("SELECT FROM t WHERE n = 9 FOR UPDATE")
    ten.cursor().execute("SELECT FROM t WHERE n = 10 FOR UPDATE")
    running = start_pgsweep("test", "--policy-dir", policy_file(policy()), "--chunk", "2", "--pause", "300 ms", "--format=json")
    letter = wait_until(lambda: db.value("SELECT id FROM pgsweep.dead_letters"), what="the letter")
    running.signal(signal.SIGSTOP)
    assert pgsweep("dlq", "discard", str(letter)).code == 0
    nine.rollback()
    running.signal(signal.SIGCONT)
    report = running.wait().json()
    assert db.column("SELECT n FROM t ORDER BY n") == [1, 10] and report["failed"] == 1
    assert report["left_locked"] == 1, report
