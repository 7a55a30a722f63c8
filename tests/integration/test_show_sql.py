"""pgsweep show POLICY --sql and --dry-run --echo: the statements of a run as a person reads them before it.

The files in tests/golden are compared with what is printed; "make golden" writes them anew.
"""
import os
import re

import pytest

import harness
import test_tokens
from sweeping import init, policy, run

GOLDEN = harness.ROOT / "tests" / "golden"
CUTOFF = "2020-01-01 00:00:00+00"
ITEMS = """
    CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text, s3_key text, up bigint);
    CREATE INDEX items_created_at ON items (created_at);
    CREATE INDEX items_up ON items (up);
    CREATE TABLE parts (id bigint PRIMARY KEY, item_id bigint NOT NULL REFERENCES items, s3_key text);
    CREATE INDEX parts_item_id ON parts (item_id);
    CREATE TABLE images (id bigint PRIMARY KEY, s3_key text);
    CREATE TABLE shown (item_id bigint NOT NULL REFERENCES items, image_id bigint NOT NULL REFERENCES images,
                        PRIMARY KEY (item_id, image_id));
    CREATE INDEX shown_image_id ON shown (image_id)"""
FILL = """
    INSERT INTO items SELECT i, timestamptz '2019-01-01' + i * interval '1 hour' FROM generate_series(1, 9) AS i;
    INSERT INTO parts SELECT i, i FROM generate_series(1, 9) AS i"""
PAIRS = """
    CREATE TABLE pairs (tenant int, no int, at date NOT NULL, PRIMARY KEY (tenant, no));
    CREATE INDEX pairs_at ON pairs (at);
    CREATE TABLE lines (id int PRIMARY KEY, tenant int, pair int, FOREIGN KEY (tenant, pair) REFERENCES pairs);
    CREATE INDEX lines_pair ON lines (tenant, pair)"""
TREE = """
    CREATE TABLE posts (id bigint PRIMARY KEY, at timestamptz NOT NULL, parent bigint REFERENCES posts);
    CREATE INDEX posts_at ON posts (at);
    CREATE INDEX posts_parent ON posts (parent);
    CREATE TABLE replies (id bigint PRIMARY KEY, post bigint REFERENCES posts, up bigint REFERENCES replies);
    CREATE INDEX replies_post ON replies (post);
    CREATE INDEX replies_up ON replies (up)"""
# Shared rows refer to each other, and go with the last row that refers to them.
FOLDERS = """
    CREATE TABLE files (id bigint PRIMARY KEY, at timestamptz NOT NULL);
    CREATE INDEX files_at ON files (at);
    CREATE TABLE folders (id bigint PRIMARY KEY, parent bigint REFERENCES folders);
    CREATE INDEX folders_parent ON folders (parent);
    CREATE TABLE shown (file bigint NOT NULL REFERENCES files, folder bigint NOT NULL REFERENCES folders, PRIMARY KEY (file, folder));
    CREATE INDEX shown_folder ON shown (folder)"""
PARTS = {"table": "parts", "action": "delete"}
SHOWN = {"table": "shown", "action": "delete"}
# Name: schema, policy.
SHAPES = {
    "range": (ITEMS + "; DROP TABLE shown, parts", policy("items", "created_at", where="t.note IS NULL")),
    "locked": (ITEMS + "; DROP TABLE shown", policy("items", "created_at", dependents=[PARTS], guards=[
        {"name": "a part with a key", "unless": "EXISTS (SELECT FROM parts p WHERE p.item_id = t.id AND p.s3_key IS NOT NULL)"}])),
    "row": (ITEMS + "; DROP TABLE shown", policy("items", "created_at", transaction="row", dependents=[PARTS])),
    "objects": (ITEMS + "; DROP TABLE shown", policy("items", "created_at", objects=["s3_key"],
                                                    dependents=[{**PARTS, "objects": ["s3_key"]}])),
    "orphans": (ITEMS, policy("items", "created_at", dependents=[PARTS, SHOWN, {
        "table": "images", "action": "delete_orphans", "via": "shown", "objects": ["s3_key"]}])),
    "self_reference": (TREE, policy("posts", "at", dependents=[
        {"table": "posts", "action": "detach"}, {"table": "replies", "constraint": "replies_post_fkey", "action": "delete"},
        {"table": "replies", "constraint": "replies_up_fkey", "action": "delete"}])),
    "shared_self_reference": (FOLDERS, policy("files", "at", dependents=[SHOWN, {
        "table": "folders", "action": "delete_orphans", "via": "shown"}])),
    "rows_below": (TREE + "; DROP TABLE replies", policy("posts", "at", dependents=[{"table": "posts", "action": "delete"}])),
    "composite_key": (PAIRS, policy("pairs", "at", dependents=[{"table": "lines", "action": "delete"}])),
    "freed": (ITEMS + "; DROP TABLE shown", policy("items", "created_at", dependents=[PARTS], guards=[
        {"name": "another item points here", "unless": "EXISTS (SELECT FROM items o WHERE o.up = t.id)"}])),
}
BUILT_IN = ("jobs", "anonymous", "mocs", "tokens")
STATEMENT = re.compile(r"^-- (\w+) \(([^)\n]+)\)\n((?:-- [^\n]*\n)*)(.*?);$", re.M | re.S)


def show(pgsweep, name, *args):
    result = pgsweep("show", name, "--sql", f"--cutoff={CUTOFF}", *args)
    assert (result.code, result.err) == (0, ""), result
    return result.out


def statements(text):
    """(name, when, comments, SQL) of each."""
    found = [match.groups() for match in STATEMENT.finditer(text)]
    assert len(found) == len(re.findall(r";$", text, re.M)) and len(found) > 3
    return found


@pytest.fixture(params=[*BUILT_IN, *SHAPES])
def shape(request, db, policy_file):
    """Name, and the options that find the policy; its schema is there."""
    name = request.param
    if name == "tokens":
        db.sql(test_tokens.SCHEMA.format(type="text"))
    elif name in BUILT_IN:
        db.load("auth" if name == "anonymous" else name)
    else:
        schema, text = SHAPES[name]
        db.sql(schema)
        return name, ("--policy-dir", policy_file(text, name))
    return name, ()


def test_O2_golden_files_are_what_is_printed(shape, db, pgsweep):
    name, args = shape
    if db.connect().server_version < 140000 and name in ("anonymous", "locked"):
        pytest.skip("before PostgreSQL 14 EXPLAIN does not show that the guard reads no other rows: one statement more")
    init(pgsweep)
    text = show(pgsweep, name, *args)
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("PGSWEEP_RENEW_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "The SQL has changed: if it should have, run make golden"
    # No machine, no run and no moment is in it.
    assert not re.search(r"\d{8}T\d{6}-|/tmp/|pgsweep-s\.", text) and CUTOFF in text


def test_O2_golden_files_belong_to_a_policy():
    assert {path.stem for path in GOLDEN.iterdir()} == {*BUILT_IN, *SHAPES}


def test_O2_each_statement_that_is_shown_is_one_that_the_server_takes(shape, db, pgsweep, server_log):
    name, args = shape
    init(pgsweep)
    server_log.mark()
    found = statements(show(pgsweep, name, *args))
    changing = re.compile(r"\s*(INSERT|DELETE|UPDATE|LOCK|BEGIN.*WRITE)|WITH (gone|moved)|set_config\('pgsweep|FOR UPDATE")
    assert not [s for s in server_log.statements("pgsweep/" + name) if changing.match(s)]
    cursor = db.connect().cursor()
    for number, (label, _, comments, sql) in enumerate(found):
        assert comments.startswith("-- "), label
        if not re.match("BEGIN|COMMIT|LOCK", sql):
            cursor.execute(f"PREPARE s{number} AS {sql}")
    assert [label for label, *_ in found if label in ("begin", "commit")]


@pytest.mark.parametrize("name", ["range", "locked", "row", "freed"])
def test_O2_what_is_shown_is_what_a_run_sends(db, pgsweep, policy_file, server_log, name):
    """In both directions, for all that touches the tables: first chunk, later chunks, last chunk."""
    schema, text = SHAPES[name]
    db.sql(schema)
    db.sql(FILL if name != "range" else FILL.split(";")[0])
    init(pgsweep)
    args = ("--policy-dir", policy_file(text, name), "--chunk=4")
    found = statements(show(pgsweep, name, *args))
    server_log.mark()
    report = run(pgsweep, name, *args, "--cutoff", CUTOFF, env={"PGSWEEP_TEST_DISTANCE": "near"})
    assert report["deleted"] == 9
    sent = {harness.one_line(s.replace(report["run_id"], "RUN-ID")) for s in server_log.statements(f"pgsweep/{name}/")}
    shown = {harness.one_line(sql) for _, when, _, sql in found if when != "dry run"}
    about = re.compile(r'^(?!WITH spared)(SELECT|DELETE|UPDATE|WITH|INSERT).*"public"\.', re.S)
    changing = {s for s in sent if about.match(s) and re.search("DELETE FROM|FOR UPDATE|UPDATE \"", s)}
    assert changing and not changing - shown
    always = {harness.one_line(sql) for _, when, _, sql in found if when not in ("dry run", "a chunk that has met a locked row")}
    assert not {s for s in always if re.search("DELETE FROM|FOR UPDATE", s)} - sent


def test_O2_echo_of_a_dry_run_ends_with_the_statements(db, pgsweep, policy_file):
    schema, text = SHAPES["freed"]
    db.sql(schema)
    args = ("--policy-dir", policy_file(text, "freed"))
    result = pgsweep("freed", "--dry-run", "--echo", f"--cutoff={CUTOFF}", *args)
    assert result.code == 0 and result.err.endswith(show(pgsweep, "freed", *args)), result
    assert "RUN-ID" in result.err and "-- policy" not in result.out
    assert "is a placeholder for the id" not in pgsweep("freed", "--dry-run", f"--cutoff={CUTOFF}", *args).err


@pytest.mark.parametrize("args, code, words", [
    (["show", "tempfiles", "--sql"], 2, "files"),
    (["show", "jobs", "--dbname=x"], 2, "--sql"),
    (["show", "jobs", "--cutoff=2020-01-01"], 2, "--sql"),
    (["jobs", "--sql"], 2, "show"),
    (["show", "jobs", "--sql"], 2, "jobs"),
])
def test_what_does_not_go_with_it_is_refused(pgsweep, args, code, words):
    result = pgsweep(*args)
    assert result.code == code and words in result.err and result.out == "", result


def test_T2_showing_needs_no_more_than_a_dry_run(db, pgsweep):
    db.load("jobs")
    reader = db.role("reader", "SELECT ON jobs, job_logs")
    result = pgsweep("show", "jobs", "--sql", user=reader)
    assert result.code == 0 and "DELETE FROM" in result.out, result
