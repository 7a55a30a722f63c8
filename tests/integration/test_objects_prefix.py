"""Keys of objects have bounds: what is outside of the stated prefixes is reported and never deleted. M3, O5, T3."""
import pytest

from objectsworld import BUCKET
from sweeping import run as sweep

POLICY = "table: {name}\nage: at\nretain: 7 days\nobjects: [{{ column: key{prefix} }}]\n{more}"


class Own:
    """A policy of one's own, "pics", with a table pics (id, at, key) and its objects."""

    def __init__(self, db, runner, policy_file, s3):
        self.db, self.runner, self.policy_file, self.s3 = db, runner, policy_file, s3
        assert runner("init").code == 0
        db.sql("CREATE TABLE pics (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, key text)")

    def state(self, prefix=None, more=""):
        prefix = "" if prefix is None else f", prefix: {prefix}"
        self.where = self.policy_file(POLICY.format(name="pics", prefix=prefix, more=more), "pics")
        return self

    def add(self, *values, put=()):
        for value in values:
            self.db.sql("INSERT INTO pics (at, key) VALUES (now() - interval '9 days', %s)", value)
        for key in put:
            self.s3.put(BUCKET, key)

    def run(self, *args, code=0, env=None):
        return sweep(self.runner, "pics", "--policy-dir", self.where, *args, code=code, env={**self.s3.environment(), **(env or {})})

    def drain(self, *args, code=0, env=None):
        result = self.runner("objects", "drain", "--format=json", *args, env={**self.s3.environment(), **(env or {})})
        assert result.code == code, result
        return {**result.json(), "err": result.err}

    def keys(self):
        return self.s3.list(BUCKET)

    def queue(self, columns="value"):
        return self.db.column(f"SELECT {columns} FROM pgsweep.object_queue ORDER BY value")

    def due(self):
        self.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now()")


@pytest.fixture
def own(db, pgsweep, policy_file, s3):
    return Own(db, pgsweep, policy_file, s3)


def test_O5_a_key_outside_the_prefix_is_reported_and_stays(own):
    """A tenant's row that said s3://media/backups/base.tar.zst deleted that object."""
    own.state("files/").add("files/a", "s3://media/backups/base.tar.zst", put=["files/a", "backups/base.tar.zst"])
    report = own.run(code=1)
    assert own.keys() == ["backups/base.tar.zst"] and own.db.count("pics") == 0
    assert (report["objects"]["deleted"], report["objects"]["outside"], report["objects"]["foreign"]) == (1, 1, 0)
    assert any("backups/base.tar.zst" in r and '"files/"' in r for r in report["remarks"]), report["remarks"]
    assert own.queue() == ["s3://media/backups/base.tar.zst"] and own.queue("state") == ["foreign"]
    again = own.run(code=1)
    assert again["objects"]["outside"] == 1 and own.keys() == ["backups/base.tar.zst"]
    discarded = own.runner("objects", "discard", own.queue("id")[0])
    assert discarded.code == 0 and own.run()["objects"]["outside"] == 0


OUTSIDE = [
    "backups/x", "file/x", "files", "Files/x", "/files/x", "//files/x", "files%2Fx", "files/../backups/x", "files/./x", "files/..",
    "files/x/../../backups/x", "files/%2e%2e/backups/x", "./files/x", " files/x", "s3://media/backups/x", "s3://media//files/x",
    "s3://media/files/../backups/x", "{endpoint}/media/backups/x", "{endpoint}/media//files/x", "{endpoint}/media/%62ackups/x",
    "{endpoint}/media/files%2f..%2fbackups/x", "{endpoint}/media/file%73", "S3://media/backups/x", "filesx/y",
]
INSIDE = [
    ("files/x", "files/x"), ("files//x", "files//x"), ("files/x..y", "files/x..y"), ("files/...", "files/..."),
    ("s3://media/files/x", "files/x"), ("{endpoint}/media/files/x", "files/x"), ("{endpoint}/media/files%2Fx", "files/x"),
    ("{endpoint}/media/%66iles/x?sig=1#z", "files/x"), ("files/ä €", "files/ä €"),
]


def test_O5_the_key_that_would_be_sent_is_compared(own, s3):
    """Decoded, without bucket and host, byte by byte; a dot segment is inside of nothing."""
    endpoint = s3.environment()["PGSWEEP_S3_ENDPOINT"].rstrip("/")
    own.state("files/").add(*(value.format(endpoint=endpoint) for value in OUTSIDE))
    before = len(s3.log())
    report = own.run(code=1)
    # No request at all: not one of them was sent. URLs with dot segments name nobody's object anyway.
    assert len(s3.log()) == before and report["objects"]["deleted"] == 0
    assert report["objects"]["outside"] + report["objects"]["foreign"] == len(OUTSIDE)
    assert own.queue("state") == ["foreign"] * len(OUTSIDE)
    own.db.sql("DELETE FROM pgsweep.object_queue")
    own.add(*(value.format(endpoint=endpoint) for value, _ in INSIDE), put=["files/x"])
    report = own.run()
    assert own.keys() == own.queue() == [] and report["objects"]["deleted"] == len({key for _, key in INSIDE})


def test_O5_an_alias_leads_to_a_key_too(own):
    env = {"PGSWEEP_S3_ALIASES": "https://cdn.example.com/=media, https://old.example.com/f/=media/files/"}
    own.state("files/").add("https://cdn.example.com/backups/x", "https://cdn.example.com/files/x", "https://old.example.com/f/y",
                            "https://old.example.com/x", put=["backups/x", "files/x", "files/y"])
    report = own.run(code=1, env=env)
    assert own.keys() == ["backups/x"] and (report["objects"]["outside"], report["objects"]["foreign"]) == (1, 1)


@pytest.mark.parametrize("prefix, keys, left", [
    ("files/", ["files/1", "thumbs/1"], ["thumbs/1"]),
    ("'files/, thumbs/'", ["files/1", "thumbs/1", "x"], ["x"]),
    ("[files/, thumbs/]", ["files/1", "thumbs/1", "x"], ["x"]),
    ("thumb", ["thumbs/1", "thumb", "thum"], ["thum"]),
    ("''", ["files/1", "../x"], []),
])
def test_O5_prefixes_of_a_column(own, prefix, keys, left):
    own.state(prefix).add(*keys, put=keys)
    own.run(code=1 if left else 0)
    assert own.keys() == sorted(left)


def test_O5_each_column_has_its_own(own, policy_file):
    own.db.sql("ALTER TABLE pics ADD thumb text; CREATE TABLE parts (pic int REFERENCES pics, key text)")
    own.where = policy_file("""
        {table: pics, age: at, retain: 7 days, object_prefixes: [rest/],
         objects: [{column: key, prefix: files/}, {column: thumb, prefix: thumbs/}],
         dependents: [{table: parts, action: delete, objects: [key]}]}""", "pics")
    own.add("files/1", put=["files/1", "files/2", "thumbs/1", "thumbs/2", "rest/1", "rest/2"])
    own.db.sql("UPDATE pics SET thumb = 'thumbs/1'; INSERT INTO parts VALUES (1, 'rest/1'), (1, 'files/2')")
    own.add("thumbs/2")
    own.db.sql("UPDATE pics SET thumb = 'rest/2' WHERE thumb IS NULL")
    assert own.run(code=1)["objects"]["outside"] == 3
    assert own.keys() == ["files/2", "rest/2", "thumbs/2"]


# The queue

def test_O5_a_row_of_the_queue_that_somebody_wrote_is_bound_too(own, s3):
    own.state("files/").add("files/1", put=["files/1", "files/2", "backups/1"])
    own.run()
    env = s3.environment()
    own.db.sql("INSERT INTO pgsweep.object_queue (policy, run_id, source, value, endpoint, bucket)"
               " SELECT 'pics', 'x', s, 'backups/1', %s, 'media' FROM unnest('{by hand,public.pics.key}'::text[]) s",
               env["PGSWEEP_S3_ENDPOINT"])
    drained = own.drain(code=1)
    assert drained["outside"] == 2 and own.keys() == ["backups/1", "files/2"] and "backups/1" in drained["err"]


@pytest.mark.parametrize("prefixes", ["'{}'", "'{NULL}'", "'{NULL,other/}'", "'{files}'", "ARRAY['\"files/\"']", "'{..}'"])
def test_O5_odd_prefixes_of_a_row_of_the_queue_allow_nothing(own, s3, prefixes):
    own.state("files/").add("files/1", put=["files/1", "backups/1", "files-1"])
    own.run()
    own.db.sql("INSERT INTO pgsweep.object_queue (policy, run_id, source, value, endpoint, bucket, prefixes)"
               f" SELECT 'pics', 'x', 'public.pics.key', v, %s, 'media', {prefixes} FROM unnest('{{backups/1,files-1,../x}}'::text[]) v",
               s3.environment()["PGSWEEP_S3_ENDPOINT"])
    own.db.sql("UPDATE pgsweep.object_sources SET prefixes = NULL")
    if prefixes == "'{files}'":
        assert own.drain(code=1)["outside"] == 2 and own.keys() == ["backups/1"]
    else:
        assert own.drain(code=1)["outside"] == 3 and own.keys() == ["backups/1", "files-1"]


def test_O5_what_was_queued_before_the_prefix_was_stated_is_bound(own, s3):
    """By the drain alone, before any run."""
    own.state().add("files/1", "backups/1", put=["files/1", "backups/1"])
    s3.down()
    own.run(code=1)
    s3.reset()
    own.due()
    own.state("files/")
    drained = own.drain("--policy-dir", own.where, code=1)
    assert drained["outside"] == 1 and own.keys() == ["backups/1"]


def test_O5_what_was_queued_under_a_prefix_stays_bound_by_it(own, s3):
    """The prefix is taken back, by mistake or not: a person has to say that the queued keys may go."""
    own.state("files/").add("backups/1", put=["backups/1"])
    own.run(code=1)
    own.state()
    assert own.run(code=1)["objects"]["outside"] == 1 and own.keys() == ["backups/1"]
    assert own.drain("--policy-dir", own.where, code=1)["outside"] == 1
    assert own.runner("objects", "rebind", "pics", env=s3.environment()).code == 0
    assert own.run()["objects"]["deleted"] == 1 and own.keys() == []


def test_O5_rebind_does_not_lead_out_of_what_is_stated(own, s3):
    own.state("files/").add("backups/1", put=["backups/1"])
    own.run(code=1)
    assert own.runner("objects", "rebind", "pics", env=s3.environment()).code == 0
    assert own.drain(code=1)["outside"] == 1 and own.keys() == ["backups/1"]


def test_O5_a_letter_that_goes_back_is_bound(own, s3):
    own.state("files/").add("files/1", put=["files/1", "backups/1"])
    own.run()
    own.db.sql("INSERT INTO pgsweep.dead_letters (policy, kind, key, state, error, run_id)"
               " VALUES ('pics', 'object', ARRAY['backups/1', 'media', %s], 'parked', 'e', 'x')",
               s3.environment()["PGSWEEP_S3_ENDPOINT"])
    letter = own.db.value("SELECT id FROM pgsweep.dead_letters")
    assert own.runner("dlq", "retry", letter).code == 0
    assert own.drain(code=1)["outside"] == 1 and own.keys() == ["backups/1"]


def test_O5_a_policy_that_cannot_be_read_stops_the_drain(own, s3):
    own.state("files/").add("files/1", put=["files/1"])
    s3.down()
    own.run(code=1)
    s3.reset()
    own.due()
    (own.where / "pics.yaml").write_text("table: pics\n", encoding="utf-8")
    result = own.runner("objects", "drain", "--policy-dir", own.where, env=s3.environment())
    assert result.code == 2 and own.keys() == ["files/1"], result


# The built-in policy, warnings, settings

def test_M3_mocs_takes_its_prefixes_from_the_environment(mocs):
    mocs.add(1, files=["files/a", "x/b"], thumbnail="thumbs/1")
    report = mocs.run(code=1, env={"PGSWEEP_MOCS_OBJECT_PREFIXES": "files/, thumbs/"})
    assert mocs.keys() == ["x/b"] and report["objects"]["outside"] == 1
    mocs.make_due()
    drained = mocs.drain(code=1, env={"PGSWEEP_MOCS_OBJECT_PREFIXES": "files/"})
    assert drained["outside"] == 1 and mocs.keys() == ["x/b"]


WARNING = "no prefix is set"


@pytest.mark.parametrize("prefix, more, warned", [(None, "", True), ("files/", "", False), ("''", "", False),
                                                  (None, "object_prefixes: files/\n", False)])
def test_O5_a_policy_without_prefix_is_told_in_dry_run_and_show(own, prefix, more, warned):
    own.state(prefix, more)
    assert any(WARNING in r and "pics.key" in r for r in own.run("--dry-run")["remarks"]) == warned
    shown = own.runner("show", "pics", "--policy-dir", own.where)
    assert shown.code == 0 and (WARNING in shown.err) == warned, shown
    assert not any(WARNING in r for r in own.run()["remarks"])
    # What is printed is read back as the same.
    (own.where / "pics.yaml").write_text(shown.out, encoding="utf-8")
    assert own.runner("show", "pics", "--policy-dir", own.where).out.split("\n")[1:] == shown.out.split("\n")[1:]


def test_M3_a_dry_run_of_mocs_names_the_variable(mocs):
    assert any("PGSWEEP_MOCS_OBJECT_PREFIXES" in r for r in mocs.run("--dry-run")["remarks"])
    assert mocs.run("--dry-run", env={"PGSWEEP_MOCS_OBJECT_PREFIXES": "files/"})["remarks"] == []


@pytest.mark.parametrize("prefix, says", [
    ("s3://media/files/", "without the bucket"), ("https://cdn.example.com/", "URL"), ("../files/", '".."'), ("./files/", '"."'),
    ("files/../", '".."'), ("files/*", "not a pattern"), ("'files/,'", "is empty"), ("[files/, '']", "is empty")])
def test_O5_a_prefix_that_cannot_be_right_is_refused(own, prefix, says):
    own.state(prefix).add("files/1", put=["files/1"])
    result = own.runner("pics", "--policy-dir", own.where, env=own.s3.environment())
    assert result.code == 2 and says in result.err and "pics.yaml:4" in result.err, result
    assert own.keys() == ["files/1"] and own.db.count("pics") == 1


@pytest.mark.parametrize("name, value, says", [
    ("MOCS", "", "must not be empty"), ("MOCS", "s3://media/x/", "URL"), ("MOCS", "files/,", "is empty"),
    ("JOBS", "files/", "names objects")])
def test_O5_a_variable_that_cannot_be_right_is_refused(pgsweep, name, value, says):
    result = pgsweep("show", name.lower(), env={f"PGSWEEP_{name}_OBJECT_PREFIXES": value})
    assert result.code == 2 and says in result.err and "OBJECT_PREFIXES" in result.err, result
