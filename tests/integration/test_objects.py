"""Stored objects end to end: pgsweep mocs, PostgreSQL and a real S3 server.

Asserted: the keys in the server, the rows, the queue. M3, M4, O5.
"""
import random
import string

import pytest

from objectsworld import BUCKET, Mocs

SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def test_M3_objects_of_files_thumbnail_and_orphaned_images_go(mocs, s3):
    mocs.add(1, ["a/1.pdf", "a/2.pdf"], "a/thumb.png", [(10, "i/10.png", "i/10t.png")], bricks=3)
    mocs.add(2, ["b/1.pdf"], age="10 days")
    mocs.add(3, ["c/1.pdf"], age=None)
    s3.put(BUCKET, "bystander")
    report = mocs.run()
    assert mocs.left() == [2, 3]
    assert mocs.keys() == ["b/1.pdf", "bystander", "c/1.pdf"]
    assert mocs.queue() == []
    assert mocs.db.count("moc_parts", "status = 'available' AND parts_list_id IS NULL") == 3
    assert report["objects"] == {"queued": 5, "deleted": 5, "in_use": 0, "foreign": 0, "outside": 0, "elsewhere": 0,
                                 "held": 0, "failed": 0, "dead": 0, "waiting": 0}
    assert report["result"].err == "" and report["remarks"] == []


def test_M3_keys_in_every_spelling(mocs, s3):
    spelled = {
        "plain key+&.pdf": "plain key+&.pdf",
        "s3/ü 1.pdf": "s3://media/s3/ü 1.pdf",
        "path/日本.png": f"{s3.endpoint}/media/path/%E6%97%A5%E6%9C%AC.png",
        "query a.png": f"{s3.endpoint}/media/query%20a.png?X-Amz-Signature=0123&x=1#top",
        "virtual/v.png": "https://media.s3.eu-west-1.amazonaws.com/virtual/v.png",
        "plus+sign": f"{s3.endpoint}/media/plus+sign",
        "quote'\"\\back": "quote'\"\\back",
        "brace{,}%41": "brace{,}%41",
    }
    for key in [*spelled, "s3/ü 2.pdf", "plus sign", "braceA"]:
        s3.put(BUCKET, key)
    mocs.add(1, list(spelled.values()), put=False)
    report = mocs.run()
    assert mocs.keys() == ["braceA", "plus sign", "s3/ü 2.pdf"]
    assert report["objects"]["deleted"] == len(spelled) and mocs.queue() == []


def test_M3_nothing_to_delete_for_null_and_empty(mocs, s3):
    mocs.add(1, [None, "", "a"], thumbnail="")
    mocs.add(2, [None])
    report = mocs.run()
    assert (mocs.left(), mocs.keys()) == ([], [])
    assert (report["objects"]["queued"], report["objects"]["deleted"]) == (1, 1)
    assert [entry["keys"] for entry in s3.log()] == [1]


def test_O5_foreign_objects_are_reported_marked_and_never_deleted(mocs, s3):
    values = ["s3://other/two", "https://example.com/media/two", f"{s3.endpoint}/media/%zz", "gs://media/two"]
    s3.put(BUCKET, "two")
    mocs.add(1, [*values, "one"])
    report = mocs.run(code=1)
    assert mocs.left() == [] and mocs.keys() == ["two"]
    assert report["objects"]["foreign"] == 4 and report["objects"]["deleted"] == 1
    assert [v for v in values if not any(v in remark for remark in report["remarks"])] == []
    assert sorted(mocs.queue()) == sorted(values)
    assert {(state, bool(why)) for state, why in mocs.queue("state, last_error")} == {("foreign", True)}
    # No run is green while they are there: configure their bucket, or leave them where they are.
    assert mocs.run(code=1)["objects"]["foreign"] == 4
    assert mocs.runner("objects", "discard", *mocs.queue("id")).code == 0
    assert mocs.run()["objects"]["foreign"] == 0 and mocs.keys() == ["two"]


def test_O5_no_password_or_signature_of_a_foreign_url_is_told(mocs):
    mocs.add(1, ["https://user:hunter2@example.com/a?X-Amz-Signature=deadbeef", "x://a\x1b[31m\nred"])
    result = mocs.runner("mocs", env=mocs.env)
    assert result.code == 1 and "is not deleted" in result.out
    assert "hunter2" not in result.out and "deadbeef" not in result.out
    assert "\x1b" not in result.out and "\nred" not in result.out


def test_M3_many_foreign_objects_cost_no_query_each(mocs, server_log):
    mocs.add(1, [f"s3://other/{i}" for i in range(200)])
    server_log.mark()
    report = mocs.run(code=1)
    assert report["objects"]["foreign"] == 200
    assert len(server_log.matching(r"UPDATE pgsweep\.object_queue")) <= 2


@pytest.mark.parametrize("kept", ["same", "s3://media/same"])
def test_O5_an_object_that_a_row_still_names_stays(mocs, s3, kept):
    mocs.add(1, ["same", "gone"])
    mocs.add(2, [kept], age="1 day", put=False)
    report = mocs.run()
    assert mocs.left() == [2] and mocs.keys() == ["same"]
    assert report["objects"]["in_use"] == 1 and mocs.queue() == []
    # It goes with the last row that names it.
    mocs.db.sql("UPDATE moc_instructions SET deleted_at = deleted_at - interval '1 year'")
    mocs.run()
    assert mocs.keys() == []


def test_O5_an_object_that_another_table_names_stays(mocs):
    mocs.add(1, ["cover.png", "s3://media/image.png"], images=[(10, "image.png", "gone.png")], put=False)
    mocs.add(2, thumbnail="s3://media/cover.png", images=[10], age=None, put=False)
    for key in ("cover.png", "image.png", "gone.png"):
        mocs.s3.put(BUCKET, key)
    mocs.run()
    assert mocs.keys() == ["cover.png", "gone.png", "image.png"]
    mocs.db.sql("DELETE FROM moc_gallery_images; UPDATE moc_instructions SET deleted_at = '2000-01-01'")
    mocs.run()
    assert mocs.keys() == ["gone.png", "image.png"]  # no MOC links the image any more: it stays


@pytest.mark.parametrize("spelling", ["{endpoint}/media/a%20b/%C3%BC.png", "{endpoint}/media/a%20b/ü.png?v=2",
                                      "https://media.s3.amazonaws.com/a%20b/%C3%BC.png",
                                      "https://s3.eu-west-1.amazonaws.com/media/a%20b/%c3%bc.png",
                                      "https://media.s3.amazonaws.com/%61%20b/%C3%BC.png"])
def test_O5_an_object_that_a_row_names_by_url_stays(mocs, s3, spelling):
    mocs.add(1, ["a b/ü.png", "gone"])
    mocs.add(2, [spelling.format(endpoint=s3.endpoint)], age=None, put=False)
    report = mocs.run()
    assert mocs.keys() == ["a b/ü.png"] and report["objects"]["in_use"] == 1


ALPHABETS = ("abcxyzABC019", "ab/", "a.-_~", "ab +&=,;:@!$'()*", "a%?#b", "a%41%2f", "a\\^`|{}[]\"<>", "äß日本é", "a/é b")


def random_key(rng):
    letters = rng.choice(ALPHABETS) if rng.random() < 0.7 else "".join(ALPHABETS)
    key = "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))
    return "plain" + key if any(part in (".", "..") for part in key.split("/")) else key


def spell(rng, key, endpoint, base):
    """A value that names the key in the bucket "media", as one of many programs may write it."""
    if rng.random() < 0.15:
        return rng.choice(["s3", "S3"]) + "://media/" + key
    site = rng.choice(["media.s3.eu-west-1.amazonaws.com/", "MEDIA.s3.amazonaws.com/", "s3.amazonaws.com/media/",
                       "s3.dualstack.eu-west-1.amazonaws.com/media/", endpoint + base + "/media/"])
    escaped = set("%?#") | set(rng.sample(string.punctuation + " ", rng.randint(0, 33)))
    escaped |= set(rng.choice(["", "äß日本é"])) | set(rng.choice(["", "", "", "", "", "aB"]))
    path = "".join("".join(f"%{byte:02{rng.choice('xX')}}" for byte in c.encode()) if c in escaped else c for c in key)
    scheme = rng.choice(["http://", "HTTP://", "http:///", "//"] + ["https://"] * (endpoint not in site))
    return scheme + site + path + rng.choice(["", "", "?v=2", "?X-Amz-Credential=a%2Fb//c", "#top", "?a#b", "#a?b"])


@pytest.mark.parametrize("base", ["", "/store"])
def test_O5_an_object_named_in_any_spelling_stays(mocs, s3, base):
    rng = random.Random(f"spellings{base}")
    keys = sorted({random_key(rng) for _ in range(1000)})
    rows = {key: spell(rng, key, s3.endpoint.removeprefix("http://"), base) for key in keys}
    mocs.add(1, keys, put=False)
    mocs.add(2, rows.values(), age=None, put=False)
    s3.down()  # what is not found to be in use stays queued
    report = mocs.run(env={"PGSWEEP_S3_ENDPOINT": s3.endpoint + base})
    assert [(key, rows[key]) for key in mocs.queue()] == []
    assert report["objects"]["in_use"] == len(keys) and not s3.log()


def test_O5_a_column_that_is_gone_does_not_stop_the_drain(mocs):
    mocs.add(1, ["a"])
    mocs.db.sql("INSERT INTO pgsweep.object_sources (policy, table_ident, column_ident) VALUES ('old', '\"public\".\"moc_files\"', '\"gone\"'),"
                " ('old', '\"public\".\"gone\"', '\"url\"')")
    report = mocs.run()
    assert report["remarks"] == [] and mocs.keys() == [] and mocs.queue() == []


def test_M3_not_found_is_success(mocs):
    mocs.add(1, ["never/there", "there"])
    mocs.s3._control("DELETE", mocs.s3._path(BUCKET, "never/there"))
    report = mocs.run()
    assert report["objects"]["deleted"] == 2 and mocs.queue() == []


def test_M3_2500_keys_in_one_run(mocs, s3, server_log):
    keys = [f"k/{i:04}" for i in range(2500)]
    for key in keys[::25]:
        s3.put(BUCKET, key)
    for moc in range(5):
        mocs.add(moc, keys[moc * 500:(moc + 1) * 500], put=False)
    server_log.mark()
    report = mocs.run("--chunk=1")
    assert mocs.left() == [] and mocs.keys() == [] and mocs.queue() == []
    assert report["objects"]["deleted"] == 2500
    assert sorted(entry["keys"] for entry in s3.log()) == [500, 1000, 1000]
    # One look at each of the four columns that name objects: each reads a whole table.
    assert len(server_log.matching(r"^SELECT DISTINCT v\.c")) == 4


def test_M3_the_same_object_twice_is_one_object(mocs):
    mocs.add(1, ["twice", "s3://media/twice"], images=[(1, "img", "img")])
    report = mocs.run()
    assert mocs.keys() == [] and mocs.queue() == []
    assert report["metrics"]["objects_deleted"] == 2


def test_M3_without_a_store_the_keys_stay_and_the_rows_go(db, pgsweep):
    mocs = Mocs(db, pgsweep)
    for moc in range(3):
        mocs.add(moc, [f"k{moc}"])
    report = mocs.run("--chunk=1", code=1)
    assert mocs.left() == [] and mocs.queue() == ["k0", "k1", "k2"]
    assert mocs.queue("attempts, last_error") == [(0, None)] * 3
    assert len(report["remarks"]) == 1 and "PGSWEEP_S3_BUCKET" in report["remarks"][0]
    assert report["objects"]["waiting"] == 3


@pytest.mark.parametrize("change", [
    {"AWS_SECRET_ACCESS_KEY": None}, {"PGSWEEP_S3_ENDPOINT": "ftp://x"}, {"PGSWEEP_S3_BUCKET": "UPPER/CASE"},
    {"PGSWEEP_S3_PATH_STYLE": "perhaps"}])
def test_M3_a_store_that_is_misconfigured_is_a_remark(mocs, change):
    mocs.add(1, ["a"])
    report = mocs.run(env=change, code=1)
    assert mocs.left() == [] and mocs.queue() == ["a"] and mocs.keys() == ["a"]
    assert len(report["remarks"]) == 1 and "stay queued" in report["remarks"][0]
    assert mocs.run()["objects"]["deleted"] == 1 and mocs.keys() == []


@pytest.mark.parametrize("wrong", [False, True])
def test_M3_secrets_are_told_nowhere(mocs, s3, server_log, tmp_path, wrong):
    mocs.add(1, ["a"])
    env = {"AWS_SECRET_ACCESS_KEY": "wr0ng/secret+x="} if wrong else {}
    s3.configure(delayMs=300)
    running = mocs.start("--echo", "--verbose", "--metrics-file", tmp_path / "m.prom", env=env)
    mocs.wait_committed()
    with open(f"/proc/{running.pid}/cmdline", "rb") as file:
        arguments = file.read().decode()
    result = running.wait()
    assert result.code == (1 if wrong else 0), result
    told = [arguments, result.out, result.err, "\n".join(server_log.statements()), (tmp_path / "m.prom").read_text(),
            str(mocs.db.sql("SELECT q::text FROM pgsweep.object_queue q UNION ALL SELECT r::text FROM pgsweep.runs r"))]
    for name in SECRETS:
        secret = {**mocs.env, **env}[name]
        assert not [text for text in told if secret in text]
    assert mocs.keys() == (["a"] if wrong else [])


def test_M3_objects_of_a_policy_of_ones_own(db, pgsweep, policy_file, s3):
    db.sql("CREATE TABLE docs (id int PRIMARY KEY, at timestamptz, \"File Key\" varchar(80));"
           "INSERT INTO docs SELECT i, now() - interval '9 days' * (i % 2), 'f' || i FROM generate_series(1, 4) i")
    for i in range(1, 5):
        s3.put(BUCKET, f"f{i}")
    where = policy_file("table: docs\nage: at\nretain: 7 days\nobjects: [File Key]\n", "docs")
    assert pgsweep("init").code == 0
    result = pgsweep("docs", "--policy-dir", where, "--format=json", env=s3.environment())
    assert result.code == 0, result
    assert db.column("SELECT id FROM docs ORDER BY id") == [2, 4] and s3.list(BUCKET) == ["f2", "f4"]
    assert result.json()["objects"]["deleted"] == 2
