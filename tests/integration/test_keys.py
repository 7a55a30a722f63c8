"""Keys and ages of every type, walked in every way: who is left is compared exactly."""
import re

import pytest

from sweeping import init, policy, preview_and_run, rows, run

NASTY = r"""ARRAY['', ' ', 'a', 'A', 'ä', 'Z', 'é,', '{}', '{"a"}', 'it''s', '"', '\', '\\', 'a\b', 'NULL',
 'null', 'true) or (true', E'new\nline', E'tab\t', ',', '(a,b)', '日本語', '😀', '$1', ':cutoff', '%s', '--',
 'trailing ', ';', 'a"b''c\d']"""

# Name, type, and an expression over n = 1, 2... (30 at most) that gives a different key for each.
KEYS = [
    ("bigint", "bigint", "n * 4000000000 - 60000000000"),
    ("smallint", "smallint", "n - 15"),
    ("text", "text", f"({NASTY})[n]"),
    ("text in C", 'text COLLATE "C"', f"({NASTY})[n]"),
    ("varchar", "varchar(30)", f"({NASTY})[n]"),
    ("char", "char(30)", f"chr(96 + n) || ({NASTY})[n]"),
    ("name", "name", f"({NASTY})[n]"),
    ("uuid", "uuid", "md5(n::text)::uuid"),
    ("numeric", "numeric", "CASE n WHEN 1 THEN 'NaN'::numeric ELSE (n - 9) / 7.0 * 10 ^ (n % 5 * 6) END"),
    ("numeric(9,3)", "numeric(9,3)", "n / 8.0"),
    ("double", "double precision", "CASE n WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' ELSE sqrt(n) / 3 END"),
    ("real", "real", "sqrt(n) / 3"),
    ("timestamptz", "timestamptz", "timestamptz '2026-10-25 00:30+00' + n * interval '7 min 1.000001 s'"),
    ("timestamp", "timestamp", "CASE n WHEN 1 THEN '-infinity' WHEN 2 THEN 'infinity'"
     " ELSE timestamp '0001-01-03 BC' + n * interval '1 day 0.000001 s' END"),
    ("date", "date", "date '0001-01-10 BC' + n"),
    ("interval", "interval", "n * interval '1 month 2 days 00:00:01.5'"),
    ("enum", "mood", "(enum_range(NULL::mood))[n]"),
    ("domain", "code", "'c' || n"),
    ("bytea", "bytea", "decode(lpad(to_hex(n * 255), 4, '0') || '5c270022', 'hex')"),
    ("bit", "bit(6)", "n::bit(6)"),
    ("inet", "inet", "inet '10.0.0.0/8' + n * 77"),
    ("boolean", "boolean", "n = 1"),
    ("int4range", "int4range", "int4range(n, n + 5)"),
    ("jsonb", "jsonb", "jsonb_build_object('k', n, 'q', '\"{,')"),
    ("quoted type", '"My Schema"."a ""type"""', "(enum_range(NULL::\"My Schema\".\"a \"\"type\"\"\"))[n]"),
]
# Domains over types whose operators are for any enum, range or row; types without hash operators.
UNUSUAL_KEYS = [
    ("domain over enum", "feeling", "(enum_range(NULL::mood))[n]"),
    ("domain over domain", "deep", "(enum_range(NULL::mood))[n]"),
    ("domain over range", "stretch", "int4range(n, n + 5)"),
    ("domain over composite", "spot", "ROW(n % 3, 'a(\"{' || n)::pair"),
    ("composite", "pair", "ROW(n % 3, 'a(\"{' || n)::pair"),
    ("money", "money", "n::money / 8"),
    ("timetz", "timetz", "timetz '00:00+02' + n * interval '1 s'"),
    ("\"char\"", "\"char\"", "chr(60 + n)::\"char\""),
    ("regclass of tables", "regclass", "(array(SELECT c.oid FROM pg_class c WHERE relkind = 'r' ORDER BY c.oid))[n]::regclass"),
    ("tsvector", "tsvector", "('a:1 b' || n)::tsvector"),
    ("range of ours", "span", "span(n, n + 1.5)"),
]
COMPOSITES = [
    ("two", [("text", f"({NASTY})[1 + n % 5]"), ("int", "n")]),
    ("three", [("uuid", "md5((n % 2)::text)::uuid"), ("timestamptz", "timestamptz 'epoch' + n % 3 * '1 s'::interval"),
               ("text", f"({NASTY})[n]")]),
    ("enum and numeric", [("mood", "(enum_range(NULL::mood))[1 + n % 3]"), ("numeric", "n / 7.0")]),
]
TYPES = ("CREATE TYPE mood AS ENUM ('{}');"
         "CREATE DOMAIN code AS varchar(8) CHECK (VALUE LIKE 'c%%');"
         "CREATE DOMAIN feeling AS mood; CREATE DOMAIN deep AS feeling CHECK (VALUE IS NOT NULL); CREATE DOMAIN stretch AS int4range;"
         "CREATE TYPE pair AS (a int, b text); CREATE DOMAIN spot AS pair; CREATE TYPE span AS RANGE (subtype = float8);"
         'CREATE SCHEMA "My Schema"; CREATE TYPE "My Schema"."a ""type""" AS ENUM (\'{}\')').replace(
    "'{}'", ", ".join(f"'m{(n * 7) % 31:02} {n}''\"{{,'" for n in range(30)))


def make(db, columns, strategy, index, n=30):
    """Table t with the key columns k0, k1...; two thirds of the rows are old, in groups of one age."""
    db.sql(TYPES.replace("%%", "%"))
    definitions = ", ".join(f"k{i} {kind} NOT NULL" for i, (kind, _) in enumerate(columns))
    keys = ", ".join(f"k{i}" for i in range(len(columns)))
    values = ", ".join(f"{value} AS k{i}" for i, (_, value) in enumerate(columns))
    db.sql(f"CREATE TABLE t ({definitions}, at timestamptz, n int, PRIMARY KEY ({keys}));"
           f"INSERT INTO t SELECT {values}, CASE WHEN n % 3 = 0 THEN now()"
           "  ELSE timestamptz '2020-01-01' + n % 4 * interval '1 day' END, n"
           f" FROM generate_series(1, {n}) n")
    if index:
        db.sql("CREATE INDEX ON t (at)")
    dependents, more = [], {}
    # PostgreSQL has no foreign keys between domains over enums.
    stated = {kind for kind, _ in columns} & {"feeling", "deep"}
    if strategy == "locked":
        db.sql(f"CREATE TABLE d (id serial PRIMARY KEY, {definitions.replace(' NOT NULL', '')},"
               f" n int {'' if stated else f', FOREIGN KEY ({keys}) REFERENCES t'});"
               f"INSERT INTO d ({keys}, n) SELECT {keys}, n FROM t, generate_series(1, 2)")
        dependents = [{"table": "d", "action": "delete"}]
        more = {"references": [{"table": "d", "refers_to": "t", "columns": {"k0": "k0"}}]} if stated else {}
    return policy(dependents=dependents, **more)


def check(db, pgsweep, directory, strategy, index, *args):
    old = db.count("t", "n % 3 <> 0")
    expected = db.column("SELECT n FROM t WHERE n % 3 = 0 ORDER BY n")
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, *args)
    assert (live["strategy"], live["walk"]) == (strategy, "age" if index else "key")
    assert rows(live) == {"public.t": old, **({"public.d": 2 * old} if strategy == "locked" else {})}
    assert db.column("SELECT n FROM t ORDER BY n") == expected
    assert strategy == "range" or db.count("d") == 2 * len(expected)
    return live


STRATEGIES = [("range", True), ("range", False), ("locked", True), ("locked", False)]


@pytest.mark.parametrize("strategy, index", STRATEGIES, ids=lambda value: str(value))
def test_key_of_each_type(db, pgsweep, policy_file, strategy, index):
    """One database for all types: the tables come and go."""
    init(pgsweep)
    for name, kind, value in KEYS + (UNUSUAL_KEYS if index == (strategy == "locked") else []):
        directory = policy_file(make(db, [(kind, value)], strategy, index, 2 if kind == "boolean" else 30))
        try:
            live = check(db, pgsweep, directory, strategy, index, "--chunk", "4")
            assert live["chunks"] >= (5 if kind != "boolean" else 1)
        except AssertionError as problem:
            raise AssertionError(f"key of type {name}: {problem}") from problem
        db.sql('DROP TABLE IF EXISTS d; DROP TABLE t; DROP TYPE mood, code, pair, span, stretch CASCADE;'
               'DROP SCHEMA "My Schema" CASCADE')


@pytest.mark.parametrize("strategy, index", STRATEGIES, ids=lambda value: str(value))
@pytest.mark.parametrize("name, columns", COMPOSITES, ids=lambda value: value if isinstance(value, str) else "")
def test_composite_key(db, pgsweep, policy_file, name, columns, strategy, index):
    init(pgsweep)
    directory = policy_file(make(db, columns, strategy, index))
    check(db, pgsweep, directory, strategy, index, "--chunk", "3", "--verbose")


WORDS = "chr(CASE WHEN n / 4 % 2 = 0 THEN 64 ELSE 96 END + (n * 7) % 26 + 1) || n"
EXTENSION_KEYS = {
    "citext": [('{}.citext COLLATE "C"', WORDS)], "domain": [("{}.folded", WORDS)], "ltree": [("{}.ltree", f"({WORDS})::{{}}.ltree")],
    "behind int": [("int", "n % 3"), ("{}.citext", WORDS)], "before int": [("{}.folded", f"left({WORDS}, 1)"), ("int", "n")],
}


def make_extension_key(db, schema, key, strategy, index, n=30):
    """The types lie in a schema that the search path leads to ("public") or not; so do their operators."""
    if db.value("SELECT count(*) FROM pg_available_extensions WHERE name IN ('citext', 'ltree')") < 2:
        pytest.skip("citext or ltree is not installed")
    db.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE EXTENSION citext SCHEMA {schema}; CREATE EXTENSION ltree SCHEMA {schema};"
           f"CREATE DOMAIN {schema}.base AS {schema}.citext; CREATE DOMAIN {schema}.folded AS {schema}.base")
    return make(db, [(kind.format(schema), value.format(schema)) for kind, value in EXTENSION_KEYS[key]], strategy, index, n)


@pytest.mark.parametrize("schema", ["public", "ext"])
@pytest.mark.parametrize("strategy, index", STRATEGIES, ids=lambda value: str(value))
@pytest.mark.parametrize("key", EXTENSION_KEYS)
def test_T3_O2_key_with_a_type_of_an_extension(db, pgsweep, policy_file, schema, key, strategy, index):
    init(pgsweep)
    directory = policy_file(make_extension_key(db, schema, key, strategy, index))
    check(db, pgsweep, directory, strategy, index, "--chunk", "3")


def plans(db, pgsweep, directory):
    """How PostgreSQL takes the statements of a run, by name, without looking at values; as text."""
    shown = pgsweep("show", "test", "--sql", "--policy-dir", directory)
    assert shown.code == 0, shown
    found = {}
    for block in re.findall(r"^-- (\w+) \([^)]*chunk\)\n(?:--.*\n)*((?:.+\n)+?)(?=\n|\Z)", shown.out, re.M):
        name, text = block
        parameters = max([int(n) for n in re.findall(r"\$(\d+)", text)], default=0)
        if "pgsweep." in text or not re.match("SELECT|DELETE", text) or not parameters:
            continue
        db.sql(f"PREPARE {name} AS {text.rstrip().rstrip(';')}")
        values = ", ".join(["NULL"] * parameters)
        found[name] = "\n".join(db.column(f"EXPLAIN (COSTS OFF) EXECUTE {name} ({values})"))
        db.sql(f"DEALLOCATE {name}")
    return found


@pytest.mark.parametrize("schema, key", [("pg_catalog", "varchar"), *(("ext", key) for key in EXTENSION_KEYS)])
@pytest.mark.parametrize("strategy", ["range", "locked"])
def test_O2_the_walk_and_the_keys_are_looked_up_by_their_indexes(db, pgsweep, policy_file, schema, key, strategy):
    if schema == "ext":
        directory = policy_file(make_extension_key(db, schema, key, strategy, True, n=3000))
    else:
        directory = policy_file(make(db, [("varchar(40)", "'k' || n")], strategy, True, n=3000))
    keys = ", ".join(f"k{i}" for i in range(len(EXTENSION_KEYS.get(key, "1"))))
    db.sql(f"CREATE INDEX by_key ON t (at, {keys})" + (f"; CREATE INDEX ON d ({keys})" if strategy == "locked" else ""))
    db.sql("ANALYZE; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    found = plans(db, pgsweep, directory)
    assert len(found) >= 3, found
    for name, plan in found.items():
        assert "Seq Scan" not in plan and "Index Cond: " in plan, (name, plan)
    walks = [plan for name, plan in found.items() if name.endswith("_next")]
    assert walks and all(re.search(r"Index Cond: .*at >= \$2", plan) for plan in walks), found
    # Rows are compared as such where all columns have operators of one name.
    assert all(("ROW(at" in plan) == (schema == "pg_catalog") for plan in walks), found


@pytest.mark.parametrize("kind, spelling", [
    ("bigint", "GENERATED ALWAYS AS IDENTITY"), ("bigint", "GENERATED BY DEFAULT AS IDENTITY")])
def test_identity_key_and_generated_columns(db, pgsweep, policy_file, kind, spelling):
    init(pgsweep)
    db.sql(f"CREATE TABLE t (id {kind} {spelling} PRIMARY KEY, made timestamp,"
           " at timestamp GENERATED ALWAYS AS (made + interval '1 h') STORED);"
           "INSERT INTO t (made) SELECT now() - n * interval '1 day' FROM generate_series(1, 20) n")
    left = db.column("SELECT id FROM t WHERE at >= now() AT TIME ZONE 'UTC' - interval '7 days' ORDER BY 1")
    preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--chunk", "3")
    assert db.column("SELECT id FROM t ORDER BY 1") == left


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date", "timestamp(0)", "timestamptz(3)", "moment"])
@pytest.mark.parametrize("index", [True, False])
def test_age_of_each_type(db, pgsweep, policy_file, kind, index):
    """NULL and +infinity are never old; -infinity always is; BC too."""
    init(pgsweep)
    db.sql(f"CREATE DOMAIN moment AS timestamptz; CREATE TABLE t (id int PRIMARY KEY, at {kind})")
    ages = [None, "infinity", "-infinity", "0044-03-15 BC", "2026-05-04", "2026-05-05", "2026-05-06", "9999-01-01"]
    for number, age in enumerate(ages):
        db.sql("INSERT INTO t VALUES (%s, %s), (%s, %s)", number, age, number + 100, age)
    if index:
        db.sql("CREATE INDEX ON t (at)")
    preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy()), "--chunk", "1",
                    "--cutoff", "2026-05-05 00:00:00")
    left = db.column("SELECT DISTINCT at::text FROM t WHERE at IS NOT NULL ORDER BY 1")
    assert [text[:10] for text in left] == ["2026-05-05", "2026-05-06", "9999-01-01", "infinity"]
    assert db.count("t", "at IS NULL") == 2 and db.count("t") == 10


def test_date_goes_when_the_whole_day_is_past(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at date);"
           "INSERT INTO t VALUES (3, '2026-05-03'), (4, '2026-05-04'), (5, '2026-05-05')")
    for zone, cutoff, left in (("UTC", "2026-05-04 23:59:59.999+00", [4, 5]),
                               ("Asia/Kolkata", "2026-05-04 18:29:59+00", [4, 5]),
                               ("Asia/Kolkata", "2026-05-04 18:30:00+00", [5])):
        directory = policy_file(policy(time_zone=zone))
        run(pgsweep, "test", "--policy-dir", directory, "--cutoff", cutoff)
        assert db.column("SELECT id FROM t ORDER BY 1") == left


def test_time_zone_of_a_policy_is_what_its_column_holds(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamp);"
           "INSERT INTO t VALUES (1, '2026-05-05 05:29:59'), (2, '2026-05-05 05:30:00')")
    run(pgsweep, "test", "--policy-dir", policy_file(policy(time_zone="Asia/Kolkata")),
        "--cutoff", "2026-05-05 00:00:00+00")
    assert db.column("SELECT id FROM t") == [2]


@pytest.mark.parametrize("strategy, index", STRATEGIES, ids=lambda value: str(value))
def test_ten_thousand_rows_of_one_age(db, pgsweep, policy_file, strategy, index):
    """Chunks of 7 (locked: 70) through equal ages: none is skipped, none is taken twice."""
    init(pgsweep)
    count = 10000 if strategy == "range" else 3000
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, keep boolean);"
           f"INSERT INTO t SELECT n * 7919 %% {count + 7} + 1, '2020-01-01', n %% 10 = 0"
           f" FROM generate_series(1, {count}) n;".replace("%%", "%") +
           "CREATE TABLE log (id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
           " $$BEGIN INSERT INTO log VALUES (OLD.id); RETURN OLD; END$$;"
           "CREATE TRIGGER note BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()")
    if index:
        db.sql("CREATE INDEX ON t (at)")
    old = db.column("SELECT id FROM t WHERE NOT keep ORDER BY id")
    left = db.column("SELECT id FROM t WHERE keep ORDER BY id")
    where = "NOT t.keep" if strategy == "range" else "NOT t.keep AND EXISTS (SELECT)"
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(where=where)),
                           "--chunk", "7" if strategy == "range" else "70")
    assert (live["strategy"], live["deleted"]) == (strategy, len(old))
    assert db.column("SELECT id FROM t ORDER BY id") == left
    assert db.column("SELECT id FROM log ORDER BY id") == old


@pytest.mark.parametrize("strategy", ["range", "locked"])
@pytest.mark.parametrize("index", [True, False])
def test_partitioned_table(db, pgsweep, policy_file, strategy, index):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int, at timestamptz, n int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
           "CREATE TABLE t_2020 PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');"
           "CREATE TABLE t_2021 PARTITION OF t FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')"
           " PARTITION BY HASH (id);"
           "CREATE TABLE t_2021_0 PARTITION OF t_2021 FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
           "CREATE TABLE t_2021_1 PARTITION OF t_2021 FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
           "CREATE TABLE t_rest PARTITION OF t DEFAULT;"
           "INSERT INTO t SELECT n, timestamptz '2020-06-01' + n % 40 * interval '30 days', n"
           " FROM generate_series(1, 200) n")
    if index:
        db.sql("CREATE INDEX ON t (at)")
    left = db.sql("SELECT id, at FROM t WHERE at >= '2022-02-01' OR n % 5 = 0 ORDER BY 1")
    where = "t.n % 5 <> 0" if strategy == "range" else "t.n % 5 <> 0 AND EXISTS (SELECT)"
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(where=where)),
                           "--chunk", "7", "--cutoff", "2022-02-01")
    assert live["strategy"] == strategy and live["deleted"] == 200 - len(left)
    assert db.sql("SELECT id, at FROM t ORDER BY 1") == left


def test_table_without_a_primary_key_is_refused(db, pgsweep, policy_file):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int UNIQUE, at timestamptz); INSERT INTO t VALUES (1, '2020-01-01')")
    result = pgsweep("test", "--policy-dir", policy_file(policy()))
    assert result.code == 2 and "primary key" in result.err and db.count("t") == 1


@pytest.mark.parametrize("dependents", [[], [{"table": "c", "action": "delete"}]])
@pytest.mark.parametrize("kind", ["int[]", "track", "pair[]"])
def test_array_as_a_key_is_refused(db, pgsweep, policy_file, kind, dependents):
    """A chunk's keys are sent as arrays, and there are no arrays of arrays."""
    init(pgsweep)
    db.sql("CREATE DOMAIN track AS int[]; CREATE TYPE pair AS (a int, b text);"
           f"CREATE TABLE t (id {kind} PRIMARY KEY, at timestamptz); INSERT INTO t VALUES ('{{}}', '2020-01-01');"
           f"CREATE TABLE c (t_id {kind} REFERENCES t)")
    result = pgsweep("test", "--policy-dir", policy_file(policy(dependents=dependents, unlisted="cascade")))
    assert result.code == 2 and "public.t is an array" in result.err and db.count("t") == 1


@pytest.mark.parametrize("kind, value", [("bit(6)", "n::bit(6)"), ("varbit", "n::bit(6)::varbit"), ("money", "n::money")])
@pytest.mark.parametrize("where", ["root", "dependent", "shared"])
def test_a_key_that_cannot_be_hashed_is_refused_where_its_table_refers_to_itself(db, pgsweep, policy_file, where, kind, value):
    init(pgsweep)
    up = f", up {kind} REFERENCES t" if where == "root" else ""
    db.sql(f"""CREATE TABLE t (id {kind} PRIMARY KEY, at timestamptz, n int{up});
        INSERT INTO t SELECT {value}, now() - interval '1 year', n FROM generate_series(1, 9) n""")
    dependents = [{"table": "t", "action": "delete"}]
    if where != "root":
        to = "" if where == "shared" else f", t {kind} REFERENCES t"
        db.sql(f"CREATE TABLE d (id {kind} PRIMARY KEY, up {kind} REFERENCES d{to})")
        dependents = [{"table": "d", "action": "delete"}]
    if where == "shared":
        db.sql(f"CREATE TABLE l (t {kind} REFERENCES t, d {kind} REFERENCES d, PRIMARY KEY (t, d))")
        dependents = [{"table": "l", "action": "delete"}, {"table": "d", "via": "l", "action": "delete_orphans"}]
    for mode in (["--dry-run"], []):
        result = pgsweep("test", "--policy-dir", policy_file(policy(dependents=dependents)), *mode)
        table = "public.t" if where == "root" else "public.d"
        assert result.code == 2 and f"{table} refers to itself" in result.err and "(id of type " in result.err, result
        assert db.count("t") == 9
