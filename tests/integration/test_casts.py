"""Casts of other roles: the owner of a type can say what becomes of its values when they are cast to text (T2)."""
import pytest

AGE = "created_at timestamptz NOT NULL"
CAST = """
    CREATE FUNCTION {to}(v {type}) RETURNS {target} LANGUAGE plpgsql IMMUTABLE
        AS $$BEGIN RAISE EXCEPTION 'a cast of another role runs as %', current_user; END$$;
    CREATE CAST ({type} AS {target}) WITH FUNCTION {to}({type})"""
POLICY = "table: items\nage: created_at\nretain: 7 days\n"


@pytest.fixture
def schema(db):
    """Types of a role without any privilege, and tables that use them as keys."""
    owner = db.role("owner_of_types")
    db.sql(f"""
        CREATE SCHEMA theirs AUTHORIZATION {owner};
        GRANT USAGE ON SCHEMA theirs TO public;
        SET ROLE {owner};
        SET search_path = theirs;
        CREATE TYPE color AS ENUM ('red', 'green', 'blue');
        CREATE TYPE pair AS (a int, b text);
        CREATE TYPE span AS RANGE (subtype = int4);
        RESET ROLE;
        SET search_path = public;
        CREATE DOMAIN shade AS theirs.color""")

    def casts(*types, target="text"):
        for i, name in enumerate(types):
            db.sql(f"SET ROLE {owner}; SET search_path = theirs, public;"
                   + CAST.format(type=name, target=target, to=f"convert_{target}_{i}") + "; RESET ROLE; RESET search_path")
    return casts


TYPES = {"enum": ("theirs.color", "'red'"), "range": ("theirs.span", "'[1,5)'"), "composite": ("theirs.pair", "'(1,\"a b\")'")}
CASTS = ["theirs.color", "theirs.pair", "theirs.span", "theirs.color[]"]
HELD = "guards: [{name: held, unless: EXISTS (SELECT FROM held AS h WHERE h.id = t.id)}]\n"


def items(db, kind, extra=""):
    name, value = TYPES[kind]
    db.sql(f"""
        CREATE TABLE items (kind {name}, id int, {AGE}, PRIMARY KEY (kind, id){extra});
        CREATE INDEX ON items (created_at);
        INSERT INTO items SELECT {value}, i, now() - interval '10 days' - i * interval '1 second' FROM generate_series(1, 30) AS i;
        INSERT INTO items SELECT {value}, 100, now()""")


@pytest.mark.parametrize("kind, more", [("enum", ""), ("composite", ""), ("range", ""), ("enum", HELD), ("enum", "transaction: row\n")])
def test_T2_no_cast_of_another_role_makes_the_text_of_a_key(db, pgsweep, policy_file, schema, kind, more):
    schema(*CASTS)
    items(db, kind)
    db.sql("CREATE TABLE held (id int)")
    assert pgsweep("init").code == 0
    args = ("test", "--policy-dir", policy_file(POLICY + more), "--chunk=7", "--format=json")
    assert pgsweep(*args, "--dry-run").json()["eligible"] == 30
    result = pgsweep(*args)
    assert result.code == 0 and result.json()["deleted"] == 30, result
    assert db.column("SELECT id FROM items") == [100]


def test_T2_no_cast_of_another_role_makes_the_label_of_spared_rows(db, pgsweep, policy_file, schema):
    schema(*CASTS)
    items(db, "enum", ", shade theirs.color DEFAULT 'blue', done bool DEFAULT true")
    db.sql("UPDATE items SET shade = NULL WHERE id <= 3")
    text = POLICY + "guards: [{name: blue, unless: id <= 10, by: shade}]\n"
    report = pgsweep("test", "--policy-dir", policy_file(text), "--dry-run", "--format=json").json()
    assert sorted((s["label"], s["rows"]) for s in report["spared"]) == [("(null)", 3), ("blue", 7)], report["spared"]


def test_T2_a_conversion_by_another_role_is_listed_and_refused(db, pgsweep, policy_file, schema):
    """What PostgreSQL converts by itself, and what a text is converted by, runs as whoever deletes."""
    schema("theirs.color", target="int")
    items(db, "enum")
    db.sql("UPDATE pg_cast SET castcontext = 'i' WHERE castsource = 'theirs.color'::regtype AND casttarget = 'int'::regtype")
    assert pgsweep("init").code == 0
    args = ("test", "--policy-dir", policy_file(POLICY))
    dry = pgsweep(*args, "--dry-run", "--format=json").json()
    assert [(c["kind"], c["name"], c["trusted"]) for c in dry["triggers"]] == [("cast", "kind", False)], dry["triggers"]
    result = pgsweep(*args)
    assert result.code == 4 and "theirs.convert_int_0(theirs.color)" in result.err and db.count("items") == 31, result
