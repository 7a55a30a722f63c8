"""A policy's SQL: how it reaches the server, what it cannot do, and names that need quotes."""
import pytest

from sweeping import init, policy, preview_and_run, rows, run, spared


@pytest.fixture
def numbered(db, pgsweep):
    """Rows 1 to 20, all old; n is the id again, s a text."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int, s text); INSERT INTO t"
           " SELECT n, '2020-01-01', n, 'row ' || n FROM generate_series(1, 20) n")
    return db


def survivors(db):
    return db.column("SELECT id FROM t ORDER BY id")


CONDITIONS = [
    "t.n <= 5 -- the small ones", "t.n <= 5 /* the; ( small ones */", "t.n <= 5 --", "-- first\nt.n <= 5",
    "t.n <= 5 AND t.s <> ':cutoff' AND t.s <> $$; :cutoff ($$", "t.n::text::int <= 5",
    "t.n <= 5 AND t.at < :cutoff", "t.n <= 5 AND t.at::date < :cutoff::date AND :cutoff IS NOT NULL",
    "t.n <= 5 AND t.s <> E'it\\'s ;' AND t.s <> 'it''s ;)'", "(t.n <= 5)", "t.n <= 5 OR false OR NULL",
    "t.n NOT BETWEEN 6 AND 20", "CASE WHEN t.n > 5 THEN NULL ELSE true END", "t.n = ANY (ARRAY[1, 2, 3, 4, 5])",
    "t.n <= 5 AND (ARRAY[t.n, 7])[2:2] = ARRAY[7]", "t.s = 'row 1' OR t.n IN (2, 3, 4, 5) -- :cutoff \" ' ("]


@pytest.mark.not_hostile
@pytest.mark.parametrize("unless", [None, "t.n > 5", "EXISTS (SELECT WHERE t.n > 5) -- 'x"])
def test_condition_means_what_it_says(numbered, pgsweep, policy_file, unless):
    """As where, alone and with the same again as a guard, that is one more pair of brackets."""
    guards = [{"name": "g", "unless": unless}] if unless else []
    for where in CONDITIONS:
        numbered.sql("INSERT INTO t SELECT n, '2020-01-01', n, 'row ' || n FROM generate_series(1, 5) n"
                     " ON CONFLICT DO NOTHING")
        directory = policy_file(policy(where=where, guards=guards))
        live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", "2")
        assert live["strategy"] == ("locked" if unless and "SELECT" in unless else "range")
        assert (survivors(numbered), live["deleted"]) == (list(range(6, 21)), 5), where


BROKEN = [
    "true) OR (true", "true; DELETE FROM t", "true; --", "t.n = $1", "", "-- nothing", "t.n <= 5)", "(t.n <= 5",
    "t.s = 'open", "t.n <= 5 /* open", 't."n', "$x$ open", "true) -- (", "true)) OR ((true", "[t.n)", "t.n <= 5 AND",
    "t.n", "t.nowhere = 1", "count(*) > 1", "true LIMIT 1", "true UNION SELECT true", "true GROUP BY t.id",
    "true RETURNING *", "true FOR UPDATE", "true, false", "id = 1 ORDER BY 1", "E'\\' OR true --'"]


@pytest.mark.parametrize("place", ["where", "unless", "by"])
def test_condition_that_is_not_one_expression_is_refused(
        numbered, pgsweep, policy_file, server_log, place):
    for text in BROKEN:
        if place == "by" and text in ("t.n", "true, false", BROKEN[-1]):  # a label may be anything
            continue
        guard = {"name": "g", "unless": "t.n = 1", place: text}
        directory = policy_file(policy(where=text) if place == "where" else policy(guards=[guard]))
        result = pgsweep("test", "--policy-dir", directory)
        assert result.code == 2 and "test.yaml:" in result.err, (text, result)
    assert survivors(numbered) == list(range(1, 21))
    assert not server_log.matching(r"\bDELETE FROM")


def test_text_of_a_policy_goes_through_the_extended_protocol(numbered, pgsweep, policy_file, server_log):
    numbered.sql("CREATE TABLE d (id int REFERENCES t, note text); INSERT INTO d VALUES (1)")
    directory = policy_file(policy(
        where="t.s <> 'marker'", guards=[{"name": "g", "unless": "t.s = 'marker'", "by": "t.s || 'marker'"}],
        dependents=[{"table": "d", "action": "detach", "set": {"note": "marker 'value'"}}]))
    preview_and_run(pgsweep, "test", "--policy-dir", directory)
    simple = [m for _, m in server_log.records() if "LOG:  statement:" in m]
    assert server_log.matching("marker") and not [m for m in simple if "marker" in m]
    # A value is a parameter, never part of the text.
    assert not server_log.matching("marker 'value'") and not server_log.matching("marker ''value")
    assert numbered.sql("SELECT * FROM d") == [(None, "marker 'value'")]


def test_identifiers_are_quoted_and_qualified(numbered, pgsweep, server_log, policy_file):
    run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    assert len(server_log.matching('DELETE FROM "public"."t" AS t WHERE t."at" OPERATOR.pg_catalog.<. ')) == 1


NAMES = ['order', 'camelCase', 'with space', "it's", 'a"b', 'ünï日本', 'semi;colon', '$1', 'back\\slash', '%s %d',
         'a.b', '--', 't', 'd', "x" * 63]


@pytest.mark.parametrize("action", ["delete", "detach", "keep"])
def test_names_that_need_quotes(db, pgsweep, policy_file, action):
    """Schema, tables, columns, constraint and values all bear the name."""
    init(pgsweep)
    for name in NAMES:
        check_name(db, pgsweep, policy_file, name, action)


def check_name(db, pgsweep, policy_file, name, action):
    quoted = '"' + name.replace('"', '""').replace("%", "%%") + '"'
    plain = quoted.replace("%%", "%")
    second = plain[:-1][:62] + '2"'
    third = plain[:-1][:62] + '3"'
    table, child = f"{plain}.{plain}", f"{plain}.{second}"
    db.sql(f"CREATE SCHEMA {plain}; CREATE TABLE {table} ({plain} text PRIMARY KEY, {second} timestamptz);"
           f"CREATE TABLE {child} ({plain} text CONSTRAINT {third} REFERENCES {table}, {third} text);"
           f"CREATE INDEX ON {table} ({second})")
    escaped = (table.replace("%", "%%"), child.replace("%", "%%"))
    for number in range(4):
        db.sql(f"INSERT INTO {escaped[0]} VALUES (%s, '2020-01-01')", f"{name} {number}")
    db.sql(f"INSERT INTO {escaped[0]} VALUES (%s, now())", name)
    db.sql(f"INSERT INTO {escaped[1]} SELECT {quoted} FROM {escaped[0]} WHERE {quoted} <> %s", f"{name} 0")
    error = pgsweep("test", "--policy-dir", policy_file(policy(table, age=second[1:-1].replace('""', '"'))))
    assert error.code == 4, error
    change = {"set": {third[1:-1].replace('""', '"'): name}} if action == "detach" else {}
    directory = policy_file(policy(table, age=second[1:-1].replace('""', '"'), dependents=[
        {"table": child, "action": action, **change}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "2", "--verbose")
    left = set(db.column(f"SELECT {plain} FROM {table}"))
    assert left == ({name} | ({f"{name} {n}" for n in (1, 2, 3)} if action == "keep" else set()))
    referring = db.sql(f"SELECT * FROM {child} ORDER BY 1")
    if action == "delete":
        assert referring == [(name, None)]
    elif action == "detach":
        assert referring == [(name, None)] + [(None, name)] * 3
    else:
        assert len(referring) == 4 and sum(spared(live).values()) == 3
    assert live["deleted"] == (1 if action == "keep" else 4) and len(rows(live)) == (1 if action == "keep" else 2)


HIJACK = """
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'completed'$$;
CREATE FUNCTION public.is_less(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT true$$;
CREATE OPERATOR public.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.is_less);
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT timestamptz '9999-01-01'$$;
CREATE FUNCTION public.text_same(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT true$$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.text_same);
CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS $$SELECT 0::bigint$$;
CREATE TABLE public.pg_class (oid oid, relname name); CREATE TYPE public.int8 AS ENUM ('x');
"""


@pytest.mark.not_hostile
@pytest.mark.parametrize("path", ["public, pg_catalog", "hostile, public, pg_catalog", '"$user", public'])
def test_no_object_takes_the_place_of_a_built_in(db, pgsweep, path):
    init(pgsweep)
    db.sql("CREATE TABLE jobs (id int PRIMARY KEY, status text, created_at timestamptz);"
           "INSERT INTO jobs VALUES (1, 'running', '2020-01-01'), (2, 'completed', '2020-01-01'),"
           " (3, 'completed', now()), (4, 'RUNNING', '2020-01-01'), (5, 'DONE', '2020-01-01')")
    db.sql("CREATE SCHEMA hostile;" + HIJACK + HIJACK.replace("public.", "hostile."))
    db.sql(f'ALTER DATABASE "{db.name}" SET search_path = {path}')
    preview_and_run(pgsweep, "jobs")
    assert db.column("SELECT id FROM public.jobs ORDER BY id") == [1, 3, 4]


def test_search_path_of_the_role_says_which_table_is_meant(db, pgsweep, policy_file):
    init(pgsweep)
    for schema in ("public", "app"):
        db.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE {schema}.t (id int PRIMARY KEY, at date);"
               f"INSERT INTO {schema}.t VALUES (1, '2020-01-01')")
    db.sql(f'ALTER DATABASE "{db.name}" SET search_path = app, public')
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy()))
    assert rows(live) == {"app.t": 1} and (db.count("app.t"), db.count("public.t")) == (0, 1)
