"""Which store, bucket and column an object belongs to: keys that are bound when they are queued, columns that are found
again, columns of several keys. M3, O5."""
import re

import pytest

from objectsworld import BUCKET

NO_STORE = {"PGSWEEP_S3_BUCKET": None, "PGSWEEP_S3_ENDPOINT": None, "PGSWEEP_S3_REGION": None}
POLICY = "table: {name}\nage: at\nretain: 7 days\nobjects: {objects}\n"


class Own:
    """Policies of one's own, each with a table (id, at, key...) and its environment."""

    def __init__(self, db, runner, policy_file, s3):
        self.db, self.runner, self.policy_file, self.s3 = db, runner, policy_file, s3
        assert runner("init").code == 0

    def table(self, name, column="key text", objects="[key]"):
        self.db.sql(f"CREATE TABLE {name} (id int PRIMARY KEY, at timestamptz, {column})")
        self.where = self.policy_file(POLICY.format(name=name, objects=objects), name)
        return self

    def add(self, name, row, key, age="9 days", put=()):
        self.db.sql(f"INSERT INTO {name} VALUES (%s, now() - %s::interval, %s)", row, age, key)
        for one in put:
            self.s3.put(BUCKET, one)

    def run(self, name, code=0, **env):
        result = self.runner(name, "--policy-dir", self.where, "--format=json", env={**self.s3.environment(), **env})
        assert result.code == code, result
        return result.json()

    def drain(self, *args, code=0, **env):
        result = self.runner("objects", "drain", "--format=json", *args, env={**self.s3.environment(), **env})
        assert result.code == code, result
        return {**result.json(), "err": result.err}

    def keys(self, bucket=BUCKET):
        return self.s3.list(bucket)

    def queue(self, columns="value"):
        return [row[0] for row in self.db.sql(f"SELECT {columns} FROM pgsweep.object_queue ORDER BY value")]


@pytest.fixture
def own(db, pgsweep, policy_file, s3):
    return Own(db, pgsweep, policy_file, s3)


# Keys and their store

def test_O5_a_key_is_not_drained_into_another_bucket(own, s3):
    """A bare key of policy pics, drained under the environment of docs."""
    own.table("pics")
    own.add("pics", 1, "2024/1.bin", put=["2024/1.bin"])
    s3.down()
    own.run("pics", code=1, PGSWEEP_S3_BUCKET="pics")
    s3.reset()
    own.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now()")
    drained = own.drain(code=1)
    assert own.keys() == ["2024/1.bin"] and own.queue() == ["2024/1.bin"] and s3.log() == []
    assert (drained["elsewhere"], drained["waiting"], drained["deleted"]) == (1, 1, 0)
    assert "bucket pics" in drained["err"] and "rebind" in drained["err"]
    assert own.queue("state || attempts") == ["queued1"]


def test_O5_a_key_is_not_drained_from_another_store(own, s3):
    own.table("pics")
    own.add("pics", 1, "a", put=["a"])
    own.run("pics", code=1, PGSWEEP_S3_ENDPOINT="http://127.0.0.1:1")
    own.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now()")
    assert own.run("pics", code=1)["objects"]["elsewhere"] == 1 and own.keys() == ["a"]
    assert own.queue("endpoint || ' ' || bucket") == ["http://127.0.0.1:1 media"]
    # It was a slip of the pen: a person says so.
    moved = own.runner("objects", "rebind", "pics", env=s3.environment())
    assert moved.code == 0 and moved.out.startswith("1 belong to"), moved
    assert own.run("pics")["objects"]["deleted"] == 1 and own.keys() == own.queue() == []


def test_O5_rebind_needs_a_store(own):
    own.table("pics")
    own.add("pics", 1, "a")
    own.run("pics", code=1, **NO_STORE)
    result = own.runner("objects", "rebind", "pics")
    assert result.code == 2 and "PGSWEEP_S3_BUCKET" in result.err and own.queue("bucket") == [None]


def test_O5_a_key_queued_without_a_store_is_bound_by_its_own_policy_only(own):
    own.table("pics")
    own.add("pics", 1, "a", put=["a"])
    own.run("pics", code=1, **NO_STORE)
    drained = own.drain(code=1)
    assert own.keys() == own.queue() == ["a"] and drained["elsewhere"] == 1 and "drain pics" in drained["err"]
    bound = own.drain("pics")
    assert bound["deleted"] == 1 and "from now on they belong to bucket media" in bound["err"]
    assert own.keys() == own.queue() == []


@pytest.mark.parametrize("known", [True, False])
def test_O5_a_key_of_the_same_name_in_another_bucket_is_another_object(own, known):
    """A live row of docs names docs/1.png: media/1.png goes all the same, and its entry is not dropped as "in use". Where
    nobody has said yet in which bucket the keys of docs are, it waits."""
    own.table("pics").table("docs")
    own.add("docs", 1, "1.png", age="1 day")
    own.add("pics", 1, "1.png", put=["1.png"])
    own.run("docs", **({"PGSWEEP_S3_BUCKET": "docs"} if known else NO_STORE))
    report = own.run("pics", code=0 if known else 1)
    assert (report["objects"]["deleted"], report["objects"]["held"], report["objects"]["in_use"]) == (known, not known, 0)
    assert own.keys() == own.queue() == ([] if known else ["1.png"])


def test_O5_a_letter_keeps_the_store_of_its_object(own, s3):
    own.table("pics")
    own.add("pics", 1, "a")
    own.run("pics", code=1, PGSWEEP_S3_ENDPOINT="http://127.0.0.1:1")
    entry, = own.queue("id")
    assert own.runner("objects", "discard", entry).code == 0
    letter = own.db.value("SELECT id FROM pgsweep.dead_letters")
    assert own.runner("dlq", "retry", letter).code == 0
    assert own.queue("value || ' ' || endpoint || ' ' || bucket") == ["a http://127.0.0.1:1 media"]


def test_O5_a_state_schema_of_version_1_is_upgraded_with_its_entries(own, s3):
    own.table("pics")
    own.db.sql("""
        DROP SCHEMA pgsweep CASCADE; CREATE SCHEMA pgsweep;
        CREATE TABLE pgsweep.state (one boolean PRIMARY KEY DEFAULT true, version integer NOT NULL,
                                    changed_at timestamptz NOT NULL DEFAULT now());
        INSERT INTO pgsweep.state VALUES (true, 1);
        CREATE TABLE pgsweep.object_queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL DEFAULT 'object',
            policy text NOT NULL, run_id text NOT NULL, source text NOT NULL, value text NOT NULL, root text,
            state text NOT NULL DEFAULT 'queued', attempts integer NOT NULL DEFAULT 0, created timestamptz NOT NULL DEFAULT now(),
            next_attempt timestamptz NOT NULL DEFAULT now(), last_error text);
        INSERT INTO pgsweep.object_queue (policy, run_id, source, value) VALUES ('pics', 'r', 's', 'a');
        CREATE TABLE pgsweep.object_sources (policy text NOT NULL, kind text NOT NULL DEFAULT 'object', table_ident text NOT NULL,
            column_ident text NOT NULL, PRIMARY KEY (policy, kind, table_ident, column_ident));
        INSERT INTO pgsweep.object_sources (policy, table_ident, column_ident) VALUES ('pics', '"public"."pics"', '"key"');
        CREATE TABLE pgsweep.dead_letters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, policy text NOT NULL,
            kind text NOT NULL DEFAULT 'row', key text[] NOT NULL, root text, state text NOT NULL DEFAULT 'waiting',
            attempts integer NOT NULL DEFAULT 1, error text NOT NULL, sqlstate text, run_id text NOT NULL,
            first_at timestamptz NOT NULL DEFAULT now(), last_at timestamptz NOT NULL DEFAULT now(), UNIQUE (policy, kind, key))""")
    for _ in range(2):
        assert own.runner("init").code == 0
    assert own.db.sql("SELECT attnum, table_oid::regclass::text FROM pgsweep.object_sources") == [(3, "pics")]
    s3.put(BUCKET, "a")
    own.db.sql("ALTER TABLE pics RENAME key TO k2; INSERT INTO pics VALUES (1, now(), 'a')")
    assert own.drain(code=1)["elsewhere"] == 1 and own.drain("pics")["in_use"] == 1 and own.keys() == ["a"]


# Columns

def test_O5_an_array_is_queued_element_by_element(own):
    own.table("pics", "key text[]")
    own.add("pics", 1, ["a.png", "b.png", None, ""], put=["a.png", "b.png", "c.png"])
    own.add("pics", 2, ["c.png", "b.png"], age="1 day")
    report = own.run("pics")
    assert (report["objects"]["queued"], report["objects"]["deleted"], report["objects"]["in_use"]) == (2, 1, 1)
    assert own.keys() == ["b.png", "c.png"]


@pytest.mark.parametrize("type", ["json", "jsonb"])
def test_O5_json_is_queued_along_a_path(own, type):
    own.table("pics", f"key {type}", "[{ column: key, path: '$.\"f''s\"[*].key' }]")
    own.add("pics", 1, """{"f's": [{"key": "a"}, {"key": "b"}, {"key": null}, {"n": 1}], "key": "c"}""", put=["a", "b", "c"])
    own.add("pics", 2, """{"f's": [{"key": "s3://media/b"}, {"key": 7}]}""", age="1 day")
    assert own.run("pics")["objects"]["deleted"] == 1
    assert own.keys() == ["b", "c"] and own.queue() == []


def test_O5_what_a_path_finds_and_is_no_text_keeps_its_row(own):
    own.table("pics", "key jsonb", "[{ column: key, path: $.files }]")
    own.add("pics", 1, '{"files": "a"}')
    own.add("pics", 2, '{"files": {"key": "b"}}')
    own.run("pics", code=1)
    assert own.db.column("SELECT id FROM pics") == [2] and own.db.column("SELECT key FROM pgsweep.dead_letters") == [["2"]]


@pytest.mark.parametrize("column, objects, said", [
    ("key jsonb", "[key]", "path"), ("key int", "[key]", "integer"), ("key bytea", "[key]", "bytea"),
    ("key int[]", "[key]", r"integer\[\]"), ("key text", "[{ column: key, path: $.a }]", "only json"),
    ("key jsonb", "[{ column: key, path: '$..a' }]", "no SQL/JSON path"), ("key point", "[key]", "point")])
def test_O5_a_column_that_cannot_name_objects_is_refused(own, column, objects, said):
    import re
    own.table("pics", column, objects)
    own.db.sql("INSERT INTO pics VALUES (1, now() - interval '9 days')")
    for dry in ([], ["--dry-run"]):
        result = own.runner("pics", "--policy-dir", own.where, *dry, env=own.s3.environment())
        assert result.code == 2 and re.search(said, result.err) and "pics.yaml:4" in result.err, result
    assert own.db.count("pics") == 1


def test_O5_a_policy_with_a_path_is_printed_as_it_was_read(own):
    own.table("pics", "key jsonb", "[other, { column: key, path: '$.a[*]' }]")
    text = own.runner("show", "pics", "--policy-dir", own.where).out
    again = own.runner("show", "pics", "--policy-dir", own.policy_file(text, "pics")).out
    assert again.split("\n", 1)[1] == text.split("\n", 1)[1] and "$.a[*]" in text and "- other" in text


@pytest.mark.parametrize("change", ["ALTER TABLE pics RENAME key TO name", "ALTER TABLE pics RENAME TO pics2",
                                    "CREATE SCHEMA s; ALTER TABLE pics SET SCHEMA s",
                                    "ALTER TABLE pics RENAME TO old; CREATE TABLE pics (id int, key text)",
                                    "CREATE TABLE n AS TABLE pics; DROP TABLE pics; ALTER TABLE n RENAME TO pics"])
def test_O5_a_renamed_column_still_protects_its_objects(own, s3, change):
    own.table("pics")
    own.add("pics", 1, "a", put=["a", "b"])
    own.add("pics", 3, "b")
    s3.down()
    own.run("pics", code=1)
    s3.reset()
    own.add("pics", 2, "a", age="1 day")
    own.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now();" + change)
    drained = own.drain()
    assert (drained["in_use"], drained["deleted"]) == (1, 1) and own.keys() == ["a"] and own.queue() == []


def test_O5_a_column_that_is_gone_stops_its_objects_until_a_person_says_so(own, s3):
    own.table("pics").table("docs")
    own.add("pics", 1, "a", put=["a", "d"])
    own.add("docs", 1, "d")
    s3.down()
    own.run("pics", code=1)
    own.run("docs", code=1)
    s3.reset()
    own.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now();"
               "ALTER TABLE pics ADD url text; UPDATE pics SET url = key; ALTER TABLE pics DROP key")
    drained = own.drain(code=1)
    assert (drained["deleted"], drained["held"]) == (1, 1) and own.keys() == own.queue() == ["a"]
    assert '"key" is gone' in drained["err"] and "objects forget" in own.queue("last_error")[0]
    assert own.queue("attempts") == [1]
    source = own.db.value("SELECT id FROM pgsweep.object_sources WHERE policy = 'pics'")
    assert str(source) in own.runner("objects", "sources", "pics").out
    assert own.runner("objects", "forget", source + 999).code == 2
    assert own.runner("objects", "forget", source).out == "1 forgotten\n"
    assert own.drain()["deleted"] == 1 and own.keys() == own.queue() == []


def test_O5_a_table_that_is_gone_names_nothing(own, s3):
    own.table("pics")
    own.add("pics", 1, "a", put=["a"])
    s3.down()
    own.run("pics", code=1)
    s3.reset()
    own.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now(); DROP TABLE pics")
    assert own.drain()["deleted"] == 1 and own.keys() == own.queue() == []


def test_O5_a_column_that_may_not_be_read_stops_the_deletion(own, s3):
    own.table("pics").table("docs")
    own.add("docs", 1, "a", age="1 day")
    own.run("docs")
    own.add("pics", 1, "a", put=["a"])
    role = own.db.role("reader", "SELECT, UPDATE, DELETE ON pics")
    assert own.runner("init", "--role", role).code == 0
    result = own.runner("pics", "--policy-dir", own.where, "--format=json", env=s3.environment(), user=role)
    assert result.code == 1 and result.json()["objects"]["held"] == 1, result
    assert own.keys() == own.queue() == ["a"]
    own.db.sql(re.search(r"GRANT SELECT ON .*?;", result.json()["remarks"][0]).group(0))
    result = own.runner("pics", "--policy-dir", own.where, "--format=json", env=s3.environment(), user=role)
    assert result.code == 0 and result.json()["objects"]["in_use"] == 1 and own.keys() == ["a"], result


# Other names of a bucket

@pytest.mark.parametrize("value", ["https://cdn.example.com/x/y.png", "//cdn.example.com/x/y.png?v=1", "http://cdn.example.com/x%2Fy.png",
                                   "https://cdn.example.com/any/prefix/x/y.png", " https://cdn.example.com/x/y.png",
                                   "https://u:p@cdn.example.com/x/y.png", "https://cdn.example.com/%78/y.png"])
def test_O5_a_url_of_an_unknown_host_may_name_the_object(own, value):
    own.table("pics")
    own.add("pics", 1, "x/y.png", put=["x/y.png", "z"])
    own.add("pics", 3, "z")
    own.add("pics", 2, value, age="1 day")
    report = own.run("pics", code=1)
    assert (report["objects"]["held"], report["objects"]["deleted"], report["objects"]["waiting"]) == (1, 1, 1)
    assert own.keys() == own.queue() == ["x/y.png"] and own.queue("attempts") == [0]
    remark, = report["remarks"]
    assert "cdn.example.com" in remark and "PGSWEEP_S3_ALIASES" in remark and "u:p" not in remark
    # The row goes: so does the object.
    own.db.sql("DELETE FROM pics")
    assert own.run("pics")["objects"]["deleted"] == 1 and own.keys() == []


@pytest.mark.parametrize("value", ["https://cdn.example.com/xx/y.png", "https://cdn.example.com/y.png", "https://cdn.example.com/x/y.png/z",
                                   "https://other.s3.amazonaws.com/x/y.png", "s3://other/x/y.png", "ftp://h/x/y.png"])
def test_O5_a_url_that_names_something_else_keeps_nothing(own, value):
    own.table("pics")
    own.add("pics", 1, "x/y.png", put=["x/y.png"])
    own.add("pics", 2, value, age="1 day")
    assert own.run("pics")["objects"]["deleted"] == 1 and own.keys() == []


ALIASES = "https://cdn.example.com/=media, https://img.example.com:8443/t/=media/thumbs/,http://old.example.com/=pics"


def test_O5_an_alias_of_a_bucket_protects_and_names_objects(own):
    own.table("pics")
    env = {"PGSWEEP_S3_ALIASES": ALIASES, "PGSWEEP_S3_BUCKET": "media,pics"}
    live = {"a b": "https://CDN.example.com/a%20b", "thumbs/b": "https://img.example.com:8443/t/b?x", "c": "https://old.example.com/c"}
    gone = {"d": "https://cdn.example.com/d", "thumbs/e": "//img.example.com:8443/t/e"}
    for i, (key, url) in enumerate(live.items()):
        own.add("pics", i, url, age="1 day", put=[key])
        own.add("pics", 10 + i, key)
    for i, (key, url) in enumerate(gone.items()):
        own.add("pics", 20 + i, url, put=[key])
    report = own.run("pics", **env)
    assert own.keys() == ["a b", "thumbs/b"] and report["objects"]["in_use"] == 2 and own.queue() == []


@pytest.mark.parametrize("aliases, said", [
    ("https://cdn.example.com/", "URL=BUCKET"), ("https://cdn.example.com/=other", "not in PGSWEEP_S3_BUCKET"),
    ("cdn.example.com=media", "URL=BUCKET"), ("ftp://cdn.example.com/=media", "http"), ("https://cdn.example.com/x=media", "end in"),
    ("https://cdn.example.com/=media/thumbs", "prefix"), ("https://cdn.example.com/?a=media", "query"), (",", "no alias")])
def test_O5_an_alias_that_cannot_be_right_stops_the_program(own, aliases, said):
    own.table("pics")
    own.add("pics", 1, "a", put=["a"])
    result = own.runner("pics", "--policy-dir", own.where, env={**own.s3.environment(), "PGSWEEP_S3_ALIASES": aliases})
    assert result.code == 2 and "PGSWEEP_S3_ALIASES" in result.err and said in result.err, result
    assert own.db.count("pics") == 1 and own.keys() == ["a"]


# What is new while the store is asked

@pytest.mark.parametrize("partitioned", [False, True])
def test_O5_a_row_that_comes_while_objects_are_deleted_keeps_its_object(own, s3, partitioned):
    """10,000 keys: between the look at the tables and the last request others go on. Rows that are new are seen."""
    from harness import wait_until
    own.table("pics")
    if partitioned:
        own.db.sql("DROP TABLE pics; CREATE TABLE pics (id int PRIMARY KEY, at timestamptz, key text) PARTITION BY RANGE (id);"
                   "CREATE TABLE low PARTITION OF pics FOR VALUES FROM (0) TO (15000);"
                   "CREATE TABLE high PARTITION OF pics FOR VALUES FROM (15000) TO (30000)")
    own.db.sql("INSERT INTO pics SELECT i, now() - interval '9 days', 'k/' || lpad(i::text, 5, '0') FROM generate_series(1, 10000) i")
    s3.put(BUCKET, "k/09999")
    s3.configure(delayMs=1500)
    running = own.runner.start("pics", "--policy-dir", own.where, "--format=json", env=s3.environment())
    wait_until(s3.log, what="the first request")
    own.db.sql("INSERT INTO pics VALUES (20000, now(), 'https://media.s3.amazonaws.com/k/09999')")
    result = running.wait()
    assert result.code == 0 and own.keys() == ["k/09999"], result
    assert result.json()["objects"]["in_use"] == 1 and result.json()["objects"]["deleted"] == 9999 and own.queue() == []
