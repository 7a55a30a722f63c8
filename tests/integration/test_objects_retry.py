"""What becomes of objects when the store does not do as it is told. M3: a failure is a warning, blocks
nothing, undoes nothing, and no key is forgotten."""
import signal

import pytest

from harness import wait_until
from objectsworld import BUCKET

ATTEMPTS = 10


def check_kept(mocs, report, keys=("a", "b"), told=""):
    """The rows are gone, the objects are there, the queue knows what to do."""
    assert mocs.left() == []
    assert mocs.keys() == mocs.queue() == sorted(keys)
    for attempts, error, wait in mocs.queue("attempts, last_error, extract(epoch FROM next_attempt - now())::int"):
        assert attempts == 1 and told.lower() in error.lower() and 30 < wait <= 90
    assert report["outcome"] == "partial" and report["error"] is None
    assert report["objects"]["failed"] == report["objects"]["waiting"] == len(keys)
    assert len(report["remarks"]) == 1 and told.lower() in report["remarks"][0].lower()


def check_drained(mocs, deleted=2):
    """Not before its time; then the next run or "objects drain" finishes."""
    assert mocs.run()["objects"]["deleted"] == 0 and len(mocs.queue()) == deleted
    mocs.make_due()
    assert mocs.drain()["deleted"] == deleted
    assert mocs.keys() == mocs.queue() == []


def broken(mocs, s3, kind):
    """Breaks the store; returns what the error should tell."""
    if kind == "secret":
        s3.configure(secretAccessKey="another")
        return "SignatureDoesNotMatch"
    if kind == "token":
        s3.configure(sessionToken="another")
        return "InvalidToken"
    if kind == "skew":
        s3.clock(3600)
        return "RequestTimeTooSkewed"
    if kind == "down":
        s3.down()
        return "connect"
    s3.fault(kind, count=100)
    return {"slowdown": "SlowDown", "internal": "InternalError"}.get(kind, "")


@pytest.mark.parametrize("kind", ["secret", "token", "skew", "down", "slowdown", "internal", "reset", "cut"])
def test_M3_rows_go_and_keys_are_kept_when_the_store_fails(mocs, s3, kind):
    mocs.add(1, ["a", "b"])
    told = broken(mocs, s3, kind)
    report = mocs.run(code=1)
    s3.reset()
    s3.configure(secretAccessKey=s3.secret, sessionToken=s3.session_token)
    # A reply that was cut may have been about objects that are gone.
    if kind == "cut":
        assert mocs.left() == [] and mocs.queue() == ["a", "b"] and report["objects"]["failed"] == 2
    else:
        check_kept(mocs, report, told=told)
    check_drained(mocs)


@pytest.mark.parametrize("before, minutes", [(0, 1), (1, 2), (4, 16), (8, 256)])
def test_M3_each_failure_waits_twice_as_long(mocs, s3, before, minutes):
    mocs.add(1, ["a"])
    mocs.run(env={"PGSWEEP_S3_BUCKET": None, "PGSWEEP_S3_ENDPOINT": None, "PGSWEEP_S3_REGION": None}, code=1)
    mocs.db.sql("UPDATE pgsweep.object_queue SET attempts = %s", before)
    s3.down()
    assert mocs.run(code=1)["objects"]["failed"] == 1
    attempts, wait = mocs.queue("attempts, extract(epoch FROM next_attempt - now())::int")[0]
    assert attempts == before + 1 and minutes * 60 - 20 <= wait <= minutes * 60


def test_M3_credentials_of_a_profile(mocs, s3):
    mocs.add(1, ["a"])
    directory = mocs.runner.home / ".aws"
    directory.mkdir()
    (directory / "credentials").write_text(
        "[default]\naws_access_key_id = x\naws_secret_access_key = y\n[mine]\n"
        f"aws_access_key_id = {s3.access_key}\naws_secret_access_key={s3.secret}\naws_session_token = {s3.session_token}\n")
    unset = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}
    assert mocs.run(env=unset, code=1)["objects"]["failed"] == 1
    mocs.make_due()
    assert mocs.run(env={**unset, "AWS_PROFILE": "mine"})["objects"]["deleted"] == 1 and mocs.keys() == []


def test_M3_a_store_that_hangs_costs_no_more_than_its_timeout(mocs, s3):
    for moc in range(4):
        mocs.add(moc, [f"{moc}/{i}" for i in range(1500)], put=False)
    s3.fault("hang", count=1000)
    report = mocs.run("--chunk=1", env={"PGSWEEP_S3_TIMEOUT": "1 s"}, code=1)
    assert mocs.left() == []
    assert report["objects"]["waiting"] == 6000 and "Timeout" in "".join(report["remarks"])
    assert len(s3.log()) <= 4  # those in flight at once, and no more
    told = [error.split(":")[0] for error in mocs.queue("last_error") if error]
    assert set(told) == {"Timeout"} and len(told) == 4000  # the others were not sent, and are due


def test_M3_what_a_signal_stopped_is_no_failed_attempt(mocs, s3):
    mocs.add(1, ["a"])
    s3.fault("hang", count=1000)
    running = mocs.start()
    wait_until(s3.log, what="the request")
    running.signal(signal.SIGINT)
    result = running.wait()
    assert result.code == 130 and result.json()["objects"]["waiting"] == 1, result
    assert mocs.queue("value, attempts, last_error, next_attempt <= now()") == [("a", 0, None, True)]
    running = mocs.runner.start("mocs", env=mocs.env)
    wait_until(lambda: len(s3.log()) == 2, what="the second request")
    running.signal(signal.SIGINT)
    assert "stopped by signal 2 after the rows were deleted" in running.wait().out
    s3.reset()
    assert mocs.run()["objects"]["deleted"] == 1 and mocs.keys() == []


def test_M3_a_failure_names_the_object_and_where_it_is(mocs, s3):
    mocs.add(1, ["a", "b/c d", "e"])
    s3.fault("partial", match="b/c d", code="AccessDenied", message="not yours")
    remark, = mocs.run(code=1)["remarks"]
    assert "s3://media/b/c d" in remark and "AccessDenied: not yours" in remark and s3.endpoint in remark
    assert "1 object could" in remark


def test_M3_credentials_that_are_missing_are_explained(mocs):
    mocs.add(1, ["a"])
    remark, = mocs.run(env={"AWS_SECRET_ACCESS_KEY": None}, code=1)["remarks"]
    assert "secret access key is missing" in remark and "stay queued" in remark
    remark, = mocs.run(env={"AWS_SECRET_ACCESS_KEY": None, "AWS_ACCESS_KEY_ID": None}, code=1)["remarks"]
    assert ".aws/credentials" in remark and "AWS_SHARED_CREDENTIALS_FILE" in remark


def test_M3_one_slow_down_is_repeated_at_once(mocs, s3):
    mocs.add(1, ["a"])
    s3.fault("slowdown", count=1)
    report = mocs.run()
    assert mocs.keys() == mocs.queue() == [] and report["remarks"] == []


def test_M3_partial_errors_in_a_200(mocs, s3):
    mocs.add(1, ["a", "b", "c"])
    s3.fault("partial", count=10, match="b", code="AccessDenied", message="not yours")
    report = mocs.run(code=1)
    assert mocs.keys() == mocs.queue() == ["b"] and report["objects"]["deleted"] == 2
    assert "AccessDenied" in mocs.queue("last_error")[0]
    s3.reset()
    check_drained(mocs, 1)


def test_M3_server_down_in_the_middle(mocs, s3):
    keys = [f"k{i:04}" for i in range(7000)]
    for key in keys[::200]:
        s3.put(BUCKET, key)
    mocs.add(1, keys, put=False)
    s3.fault("down", after=5)
    report = mocs.run(code=1)
    s3.up()
    waiting = mocs.queue()
    assert mocs.left() == [] and 1000 <= len(waiting) <= 5000
    assert set(mocs.keys()) <= set(waiting)
    assert report["objects"]["deleted"] == 7000 - len(waiting) and report["objects"]["waiting"] == len(waiting)
    s3.reset()
    mocs.make_due()
    mocs.run()
    assert mocs.keys() == mocs.queue() == []


def test_M3_a_store_that_is_down_is_not_asked_again_for_each_chunk(mocs, s3):
    for moc in range(9):
        mocs.add(moc, [f"{moc}/{i}" for i in range(1000)], put=False)
    s3.fault("slowdown", count=1000)
    report = mocs.run("--chunk=1", code=1)
    assert report["objects"]["waiting"] == 9000 and mocs.left() == []
    assert len(s3.log()) <= 24 and len(report["remarks"]) <= 3


def test_M3_another_policys_trouble_does_not_keep_the_rest(mocs, s3):
    mocs.add(1, ["a"])
    mocs.db.sql("INSERT INTO pgsweep.object_queue (policy, run_id, source, value) VALUES ('other', 'r', 's', 'other')")
    s3.put(BUCKET, "other")
    mocs.run()
    assert mocs.keys() == mocs.queue() == ["other"]
    assert mocs.drain("other")["deleted"] == 1
    assert mocs.keys() == mocs.queue() == []


def exhausted(mocs, s3, key="a"):
    """The object has failed one time too often."""
    mocs.add(1, [key])
    s3.fault("partial", count=1000, match="a", code="AccessDenied", message="never")
    mocs.run(code=1)
    mocs.db.sql("UPDATE pgsweep.object_queue SET attempts = %s", ATTEMPTS - 2)
    mocs.make_due()
    assert mocs.run(code=1)["objects"]["failed"] == 1 and mocs.letters() == []
    mocs.make_due()
    return mocs.run(code=1)


def test_M3_retry_makes_all_due_and_the_next_drain_finishes(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.down()
    mocs.run(code=1)
    s3.reset()
    assert mocs.drain()["deleted"] == 0 and mocs.queue("attempts") == [1, 1]
    done = mocs.runner("objects", "retry")
    assert done.code == 0 and done.out.startswith("2 due now"), done
    assert mocs.queue("attempts") == [0, 0]
    assert mocs.drain()["deleted"] == 2 and mocs.keys() == mocs.queue() == []


def test_M3_retry_of_one(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.down()
    mocs.run(code=1)
    s3.reset()
    one = mocs.db.value("SELECT id FROM pgsweep.object_queue WHERE value = 'a'")
    assert mocs.runner("objects", "retry", one, "--format=json").json() == {"ids": [one]}
    assert mocs.drain()["deleted"] == 1 and mocs.keys() == mocs.queue() == ["b"]


def test_M3_retry_of_a_policy(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.down()
    mocs.run(code=1)
    s3.reset()
    nobody = mocs.runner("objects", "retry", "jobs")
    assert nobody.code == 2 and "nor the name of a policy" in nobody.err and mocs.queue("attempts") == [1, 1]
    assert mocs.runner("objects", "retry", "mocs").out.startswith("2 due now")
    assert mocs.drain()["deleted"] == 2 and mocs.keys() == mocs.queue() == []


def test_O5_a_bucket_that_is_configured_later(mocs, s3):
    mocs.add(1, ["s3://media/a"], put=False)
    s3.put(BUCKET, "a")
    assert mocs.run(env={"PGSWEEP_S3_BUCKET": "elsewhere"}, code=1)["objects"]["foreign"] == 1
    assert mocs.queue("state") == ["foreign"]
    again = mocs.drain(code=1, env={"PGSWEEP_S3_BUCKET": "elsewhere"})
    assert (again["deleted"], again["foreign"]) == (0, 1)
    assert mocs.run()["objects"]["deleted"] == 1 and mocs.keys() == mocs.queue() == []


def test_O5_a_discarded_object_stays_and_is_known(mocs, s3):
    long = "s3://other/" + "x" * 6000
    mocs.add(1, ["a", "s3://other/b", long], put=False)
    s3.put(BUCKET, "a")
    s3.down()
    mocs.run(code=1)
    ids = mocs.db.column("SELECT id FROM pgsweep.object_queue")
    wrong = mocs.runner("objects", "discard", *ids, 999)
    assert wrong.code == 2 and "no entry of the queue with the id 999" in wrong.err and len(mocs.queue()) == 3
    assert mocs.runner("objects", "discard").code == 2
    assert mocs.runner("objects", "discard", *ids).out == "3 discarded\n"
    s3.reset()
    mocs.run()
    assert mocs.queue() == [] and mocs.keys() == ["a"]
    assert sorted(mocs.letters("key[1], state")) == [("a", "discarded"), ("s3://other/b", "discarded"),
                                                     (long, "discarded")]


def test_M5_attempts_exhausted_then_a_letter_then_retry_then_drained(mocs, s3):
    report = exhausted(mocs, s3)
    assert (report["objects"]["dead"], report["objects"]["failed"], mocs.queue()) == (1, 0, [])
    assert report["dead_letters"] == 1
    assert mocs.letters("policy, kind, key, state, attempts, run_id") == [
        ("mocs", "object", ["a", BUCKET, s3.endpoint], "parked", ATTEMPTS, mocs.db.value(
            "SELECT run_id FROM pgsweep.runs ORDER BY started LIMIT 1"))]
    assert "AccessDenied" in mocs.letters("error")[0][0]
    assert mocs.run()["objects"]["deleted"] == 0 and mocs.keys() == ["a"]
    letter = mocs.letters("id")[0][0]
    assert mocs.runner("dlq", "retry", letter).code == 0
    assert mocs.queue("value, attempts") == [("a", 0)] and mocs.letters() == []
    s3.reset()
    assert mocs.run()["objects"]["deleted"] == 1
    assert mocs.keys() == mocs.queue() == mocs.letters() == []


def test_M5_an_object_that_was_discarded_stays(mocs, s3):
    exhausted(mocs, s3)
    assert mocs.runner("dlq", "discard", mocs.letters("id")[0][0]).code == 0
    s3.reset()
    mocs.run()
    assert mocs.keys() == ["a"] and mocs.letters("state") == [("discarded",)]


def test_M5_a_very_long_key_can_become_a_letter(mocs, s3):
    """Longer than what fits into an index entry, and nothing to compress."""
    import hashlib
    text = "".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(90))
    exhausted(mocs, s3, f"{s3.endpoint}/media/a?{text}")
    assert mocs.queue() == [] and mocs.letters("state") == [("parked",)]
    assert mocs.letters("key[1]") == [(f"{s3.endpoint}/media/a?{text}",)]
    assert mocs.runner("dlq", "retry", mocs.letters("id")[0][0]).code == 0
    s3.reset()
    assert mocs.run()["objects"]["deleted"] == 1 and mocs.keys() == []


def test_O5_a_long_value_that_was_discarded_is_requeued_whole(mocs, s3):
    """Two of them that begin alike are two letters."""
    values = [f"s3://elsewhere/{'k' * 3000}{i}" for i in range(2)]
    mocs.add(1, values, put=False)
    mocs.run(env={"PGSWEEP_S3_BUCKET": None, "PGSWEEP_S3_ENDPOINT": None}, code=None)
    ids = mocs.db.column("SELECT id FROM pgsweep.object_queue")
    assert mocs.runner("objects", "discard", *ids).code == 0
    assert [row[0] for row in mocs.letters("key[1]")] == values and mocs.queue() == []
    assert mocs.runner("dlq", "retry", *[row[0] for row in mocs.letters("id")]).code == 0
    assert mocs.queue() == values and mocs.letters() == []


def test_M3_drain_tells_what_it_did(mocs, s3):
    mocs.add(1, ["a", "b"])
    s3.fault("partial", count=100, match="b", code="AccessDenied", message="no")
    mocs.run(code=1)
    mocs.make_due()
    again = mocs.drain(code=1)
    assert (again["failed"], again["waiting"]) == (1, 1) and "AccessDenied" in again["result"].err
    s3.reset()
    mocs.make_due()
    text = mocs.runner("objects", "drain", env=mocs.env)
    assert text.code == 0 and text.out.startswith("objects: 1 deleted") and text.err == ""
    assert mocs.runner("objects", "list").out == "nothing\n"


def test_M3_drain_without_a_store_fails_softly(mocs):
    mocs.add(1, ["a"])
    assert mocs.run(env={"PGSWEEP_S3_BUCKET": None, "PGSWEEP_S3_ENDPOINT": None}, code=1)["objects"]["waiting"] == 1
    result = mocs.runner("objects", "drain")
    assert result.code == 1 and "PGSWEEP_S3_BUCKET" in result.err and mocs.queue() == ["a"]


def test_O5_objects_list_shows_the_queue(mocs, s3):
    mocs.add(1, ["a 'b\"\n", "s3://other/x"], put=False)
    s3.down()
    mocs.run(code=1)
    listed = {row["value"]: row for row in mocs.runner("objects", "list", "mocs", "--format=json").json()}
    assert listed["a 'b\"\n"]["state"] == "queued" and listed["s3://other/x"]["state"] == "foreign"
    assert listed["a 'b\"\n"]["source"] == "public.moc_files.s3_key"
    table = mocs.runner("objects", "list").out
    assert len(table.splitlines()) == 3 and "a 'b\"\\n" in table
    assert mocs.runner("objects", "list", "nobody", "--format=json").json() == []


def refuse(mocs, event, state):
    mocs.db.sql(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the queue is refused' USING ERRCODE = '{state}'; END $$;
        CREATE TRIGGER refuse BEFORE {event} EXECUTE FUNCTION refuse()""")


@pytest.mark.parametrize("event", ["DELETE ON pgsweep.object_queue", "UPDATE ON pgsweep.object_queue"])
@pytest.mark.parametrize("state", ["42501", "53100"])
def test_M3_a_drain_that_the_database_refuses_is_told(mocs, event, state):
    """The objects are gone, and that cannot be written: no word of it would be a green exit with work undone."""
    mocs.add(1, ["a", "b"])
    refuse(mocs, event, state)
    report = mocs.run(code=1)
    assert mocs.left() == [] and mocs.queue() == ["a", "b"]
    assert "the queue is refused" in "".join(report["remarks"])
    mocs.db.sql("DROP TRIGGER refuse ON pgsweep.object_queue")
    mocs.make_due()
    mocs.drain()
    assert mocs.keys() == mocs.queue() == []


@pytest.mark.parametrize("state", ["42501", "53100"])
def test_M5_a_last_attempt_that_cannot_become_a_letter_is_told(mocs, s3, state):
    mocs.add(1, ["a", "b"])
    s3.down()
    mocs.run(code=1)
    mocs.db.sql(f"UPDATE pgsweep.object_queue SET attempts = {ATTEMPTS - 1}, next_attempt = now()")
    refuse(mocs, "INSERT ON pgsweep.dead_letters", state)
    report = mocs.run(code=1)
    assert mocs.queue() == ["a", "b"] and mocs.letters() == []
    assert "the queue is refused" in "".join(report["remarks"])
