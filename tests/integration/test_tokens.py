"""The built-in policy "tokens": onboarding tokens, and what is theirs alone of relationships and entities."""
import re

import pytest

from sweeping import init, run, spared
from mocsworld import rows

SCHEMA = """
    CREATE TABLE entities (id {type} PRIMARY KEY);
    CREATE TABLE relationships (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        product_id int, entity_id {type});
    CREATE INDEX ON relationships (product_id, entity_id); CREATE INDEX ON relationships (entity_id);
    CREATE TABLE tokens (token text PRIMARY KEY, entity_id {type}, product_id int,
        created_at timestamptz NOT NULL, submitted_at timestamptz);
    CREATE INDEX ON tokens (created_at); CREATE INDEX ON tokens (entity_id);
    CREATE INDEX ON tokens (product_id, entity_id)"""


class Tokens:
    def __init__(self, db, pgsweep, kind="text"):
        self.db, self.pgsweep = db, pgsweep
        db.sql(SCHEMA.format(type=kind))
        init(pgsweep)

    def add(self, token, entity, product, age="10 days", submitted=False):
        if entity not in (None, ""):
            self.db.sql("INSERT INTO entities VALUES (%s) ON CONFLICT DO NOTHING", entity)
        self.db.sql("INSERT INTO tokens VALUES (%s, %s, %s, now() - %s::interval,"
                    " CASE WHEN %s THEN now() END)", token, entity, product, age, submitted)
        return self

    def relate(self, *pairs):
        for product, entity in pairs:
            if entity not in (None, ""):
                self.db.sql("INSERT INTO entities VALUES (%s) ON CONFLICT DO NOTHING", entity)
            self.db.sql("INSERT INTO relationships (product_id, entity_id) VALUES (%s, %s)", product, entity)
        return self

    def left(self):
        db = self.db
        return (db.column("SELECT token FROM tokens ORDER BY 1"),
                db.sql("SELECT product_id, entity_id FROM relationships ORDER BY 1, 2"),
                db.column("SELECT id FROM entities ORDER BY 1"))

    def sweep(self, *args):
        """A dry run and a live run, which tell the same counts, and these are what went."""
        before = [len(x) for x in self.left()]
        dry = run(self.pgsweep, "tokens", "--dry-run", *args)
        live = run(self.pgsweep, "tokens", *args, "--cutoff", dry["cutoff"])
        gone = [n - len(x) for n, x in zip(before, self.left())]
        assert rows(dry) == rows(live), (rows(dry), rows(live))
        assert rows(live) == dict(zip(("public.tokens", "public.relationships", "public.entities"), gone))
        return live


@pytest.fixture
def tokens(db, pgsweep):
    return Tokens(db, pgsweep)


CHUNKS = pytest.mark.parametrize("chunk", [1, 2, 1000])


def test_F1_expired_token_goes_with_its_relationship_and_entity(tokens):
    tokens.add("old", "a", 1).relate((1, "a")).add("new", "b", 1, age="6 days").relate((1, "b"))
    live = tokens.sweep()
    assert tokens.left() == (["new"], [(1, "b")], ["b"])
    assert live["metrics"]["entities_orphaned"] == 1


def test_F1_submitted_form_is_spared_and_counted(tokens):
    tokens.add("old", "a", 1, submitted=True).relate((1, "a"))
    live = tokens.sweep()
    assert tokens.left() == (["old"], [(1, "a")], ["a"])
    assert spared(live) == {("submitted", None): 1}


@CHUNKS
def test_F2_relationship_only_where_product_and_entity_match(tokens, chunk):
    tokens.add("old", "a", 1).relate((1, "a"), (2, "a"), (1, "b"))
    tokens.sweep("--chunk", chunk)
    # Entity a is still used by the relationship of product 2.
    assert tokens.left() == ([], [(1, "b"), (2, "a")], ["a", "b"])


@CHUNKS
@pytest.mark.parametrize("other, stays", [
    ({"age": "1 day"}, True), ({"submitted": True}, True), ({"age": "20 days"}, False), ({}, False)])
def test_F2_shared_relationship_goes_with_its_last_token(tokens, chunk, other, stays):
    tokens.add("one", "a", 1).add("two", "a", 1, **other).relate((1, "a"), (1, "a"))
    tokens.sweep("--chunk", chunk)
    assert tokens.left() == ((["two"], [(1, "a")] * 2, ["a"]) if stays else ([], [], []))


@CHUNKS
@pytest.mark.parametrize("other, stays", [
    ({"age": "1 day"}, True), ({"submitted": True}, True), ({}, False)])
def test_F2_entity_used_by_another_token_survives(tokens, chunk, other, stays):
    tokens.add("one", "a", 1).add("two", "a", 2, **other).relate((1, "a"))
    tokens.sweep("--chunk", chunk)
    assert tokens.left() == (["two"] if stays else [], [], ["a"] if stays else [])


@CHUNKS
def test_F3_null_and_empty_ids_are_no_keys(tokens, chunk):
    tokens.db.sql("INSERT INTO entities VALUES ('')")
    tokens.add("null", None, 1).add("empty", "", 1).add("no product", "a", None).add("neither", None, None)
    tokens.add("bare", "b", 3).add("gone", "c", 4)
    tokens.db.sql("DELETE FROM entities WHERE id = 'c'")
    tokens.relate((1, None), (1, ""), (None, "a"), (None, None), (None, ""))
    live = tokens.sweep("--chunk", chunk)
    assert live["deleted"] == 6
    assert tokens.left() == ([], [(1, ""), (1, None), (None, ""), (None, "a"), (None, None)], ["", "a"])


def test_F3_ids_that_are_numbers(db, pgsweep):
    tokens = Tokens(db, pgsweep, "bigint")
    tokens.add("one", 1, 1).add("two", None, 1).add("three", 3, 3, age="1 hour").relate((1, 1), (3, 3), (1, None))
    tokens.sweep()
    assert tokens.left() == (["three"], [(1, None), (3, 3)], [3])


def test_F4_cutoff_is_absolute(tokens):
    for days in (7, 8, 30, 400, 4000):
        tokens.add(f"{days}", f"e{days}", 1, age=f"{days} days 1 second").relate((1, f"e{days}"))
    tokens.add("young", "y", 1, age="6 days 23:59")
    assert tokens.sweep()["deleted"] == 5
    assert tokens.left() == (["young"], [], ["y"])


def test_F4_candidates_at_the_cutoff(tokens):
    at = "2026-01-02 03:04:05+00"
    for number, name in enumerate(("before", "at", "after"), -1):
        tokens.add(name, name, 1).relate((1, name))
        tokens.db.sql("UPDATE tokens SET created_at = %s::timestamptz + %s * interval '1 microsecond'"
                      " WHERE token = %s", at, number, name)
    run(tokens.pgsweep, "tokens", "--cutoff", at)
    assert tokens.left() == (["after", "at"], [(1, "after"), (1, "at")], ["after", "at"])


@pytest.mark.parametrize("change, said", [
    ("ALTER TABLE tokens DROP submitted_at", "submitted_at"), ("DROP TABLE relationships", "no table relationships"),
    ("DROP TABLE entities", "no table entities"), ("ALTER TABLE tokens DROP entity_id", 'no column "entity_id"'),
    ("ALTER TABLE relationships DROP product_id", 'no column "product_id"'),
    ("ALTER TABLE tokens DROP created_at", "created_at"), ("ALTER TABLE tokens DROP CONSTRAINT tokens_pkey", "primary key"),
    ("ALTER TABLE tokens ALTER product_id TYPE text", "(text pg_catalog.= integer|integer pg_catalog.= text)")])
def test_F1_a_schema_that_does_not_fit_is_told_and_nothing_is_touched(tokens, change, said):
    tokens.add("old", "a", 1).relate((1, "a"))
    tokens.db.sql(change)
    for args in (("--dry-run",), ()):
        result = tokens.pgsweep("tokens", *args)
        assert result.code == 2 and re.search(said, result.err), result
    assert tokens.db.count("tokens") == 1 and tokens.db.count("pgsweep.runs", "outcome <> 'refused'") == 0


@pytest.mark.parametrize("value", ["7", "168", "7 days ago", "604800000"])
def test_F4_a_number_is_no_retention(tokens, value):
    tokens.add("old", "a", 1)
    result = tokens.pgsweep("tokens", "--retain", value)
    assert result.code == 2 and tokens.left()[0] == ["old"], result


def test_F5_no_query_for_each_row(tokens, server_log):
    tokens.db.sql("INSERT INTO entities SELECT 'e' || n FROM generate_series(1, 400) n;"
                  "INSERT INTO relationships (product_id, entity_id) SELECT n, 'e' || n FROM generate_series(1, 400) n;"
                  "INSERT INTO tokens SELECT 't' || n, 'e' || n, n, now() - interval '10 days'"
                  " FROM generate_series(1, 400) n")
    server_log.mark()
    assert tokens.sweep("--chunk", 100)["chunks"] == 4
    assert tokens.left() == ([], [], [])
    assert len(server_log.statements("pgsweep/tokens/")) < 200 < 400


def test_F2_random_tokens_match_plain_sql(tokens, db):
    db.sql("SELECT setseed(0.42)")
    for attempt in range(6):
        db.sql("TRUNCATE tokens, relationships, entities;"
               "INSERT INTO entities SELECT 'e' || n FROM generate_series(1, 12) n;"
               "INSERT INTO relationships (product_id, entity_id) SELECT nullif((random() * 4)::int, 0),"
               " CASE WHEN random() < 0.9 THEN 'e' || (random() * 12)::int ELSE '' END FROM generate_series(1, 30);"
               "INSERT INTO tokens SELECT 't' || n, CASE WHEN random() < 0.9 THEN 'e' || (random() * 12)::int END,"
               " nullif((random() * 4)::int, 0), now() - random() * interval '14 days',"
               " CASE WHEN random() < 0.2 THEN now() END FROM generate_series(1, 30) n;"
               "DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM tokens"
               " WHERE created_at >= now() - interval '7 days' OR submitted_at IS NOT NULL")
        tables = tokens.left()
        kept = set(db.sql("SELECT product_id, entity_id FROM kept"))
        expired = set(db.sql("SELECT product_id, entity_id FROM tokens")) - kept
        relationships = [r for r in tables[1] if None in r or "" in r or r not in expired]
        named = {e for _, e in relationships} | {e for _, e in kept}
        was_of_token = {e for _, e in expired}
        entities = [e for e in tables[2] if e in named or e not in was_of_token]
        db.sql("ANALYZE")
        tokens.sweep("--chunk", 1 + attempt * 3)
        left = tokens.left()
        assert left[0] == db.column("SELECT token FROM kept ORDER BY 1")
        assert (left[1], left[2]) == (relationships, entities), attempt
