"""What a condition reads: which strategy follows, which type :cutoff has in it, which index serves it."""
import pytest

from sweeping import init, policy, preview_and_run, run, spared


@pytest.fixture
def held(db, pgsweep):
    """Ten old rows; holds names 1 to 3. What looks there is hidden in many notations."""
    init(pgsweep)
    db.sql("""CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int, s text); CREATE INDEX ON t (at);
              INSERT INTO t SELECT n, '2020-01-01', n, 'row ' || n FROM generate_series(1, 10) n;
              CREATE TABLE holds (t_id int); INSERT INTO holds VALUES (1), (2), (3);
              CREATE FUNCTION held(int) RETURNS boolean LANGUAGE plpgsql STABLE
                  AS $$ BEGIN RETURN EXISTS (SELECT FROM public.holds WHERE t_id = $1); END $$;
              CREATE FUNCTION is_held(t) RETURNS boolean LANGUAGE plpgsql STABLE
                  AS $$ BEGIN RETURN public.held($1.id); END $$;
              CREATE FUNCTION held_as(int, text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT public.held($1) $$;
              CREATE OPERATOR #? (LEFTARG = int, RIGHTARG = text, FUNCTION = held_as);
              CREATE FUNCTION is_small(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1 <= 3 $$;
              CREATE FUNCTION is_small(t) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1.n <= 3 $$;
              CREATE TYPE kind AS ENUM ('a', 'b')""")
    return db


CAST = ("CREATE FUNCTION held_money(money) RETURNS boolean LANGUAGE plpgsql STABLE"
        " AS $$ BEGIN RETURN public.held(($1::numeric)::int); END $$;"
        "CREATE CAST (money AS boolean) WITH FUNCTION held_money(money)")
DOMAIN = ("CREATE FUNCTION fits(int) RETURNS boolean LANGUAGE plpgsql STABLE"
          " AS $$ BEGIN RETURN NOT public.held($1) OR true; END $$; CREATE DOMAIN number AS int CHECK (fits(VALUE))")


@pytest.mark.not_hostile
@pytest.mark.parametrize("unless, before", [
    ("t.is_held", None), ("is_held(t)", None), ("(t).is_held", None), ("t.id #? 'x'", None),
    ("t.id OPERATOR(public.#?) 'x'", None), ("t.n::numeric::money::boolean", CAST),
    ("CAST(t.n::numeric::money AS boolean)", CAST), ("t.n::number <= 3", DOMAIN),
    ("query_to_xml('SELECT FROM holds WHERE t_id = ' || t.id, true, true, '')::text ~ '<row'", None),
    ("t.is_held AND t.tableoid IS NOT NULL", None)])
def test_condition_that_may_look_beyond_the_row_takes_the_locked_strategy(held, pgsweep, policy_file, unless, before):
    if before:
        held.sql(before)
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(guards=[{"name": "g", "unless": unless}])))
    assert (live["strategy"], live["deleted"]) == ("locked", 7)
    assert held.column("SELECT id FROM t ORDER BY id") == [1, 2, 3]


@pytest.mark.parametrize("unless", [
    "t.n <= 3", "is_small(t.n)", "t.is_small", "t.n::text::int <= 3", "lower(t.s) IN ('row 1', 'row 2', 'row 3')",
    "t.s COLLATE \"C\" < 'row 4' AND t.id < 4", "'a'::kind = 'a' AND t.n <= 3", "t.n <= 3 AND t.tableoid IS NOT NULL",
    "t.s ~ '^row [123]$' OR t.s = 'select(held(t))'", "t.s = ANY (ARRAY['row 1', 'row 2', 'row 3'])"])
def test_condition_about_the_own_row_keeps_the_range_strategy(held, pgsweep, policy_file, unless):
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(guards=[{"name": "g", "unless": unless}])))
    assert (live["strategy"], live["deleted"]) == ("range", 7)
    assert held.column("SELECT id FROM t ORDER BY id") == [1, 2, 3]


def test_reader_without_any_other_privilege_is_told_the_same(held, pgsweep, policy_file, server_log):
    reader = held.role("reader", "SELECT ON t, holds")
    directory = policy_file(policy(guards=[{"name": "g", "unless": "t.is_held"}]))
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", directory, user=reader)
    assert (dry["strategy"], dry["eligible"]) == ("locked", 7)
    assert not server_log.matching(r"^\s*(CREATE|INSERT|UPDATE|DELETE)")


# ---- :cutoff

@pytest.fixture
def tokyo(db, pgsweep):
    """The cutoff is 2026-05-05 00:00 UTC, that is 09:00 in Tokyo, where clocks without a zone stand."""
    init(pgsweep)
    db.sql("""CREATE TABLE t (id int PRIMARY KEY, at timestamp, seen timestamptz, local timestamp, day date);
              INSERT INTO t VALUES
                  (1, '2026-05-05 08:59:59', '2026-05-04 23:59:59+00', '2026-05-05 08:59:59', '2026-05-04'),
                  (2, '2026-05-05 08:59:59', '2026-05-05 00:00:00+00', '2026-05-05 09:00:00', '2026-05-05')""")
    return db


@pytest.mark.parametrize("unless", [
    "t.seen >= :cutoff", "t.local >= :cutoff", "t.day >= :cutoff", "t.seen >= :cutoff AND t.local >= :cutoff",
    "t.day >= :cutoff AND t.seen >= :cutoff AND t.local >= :cutoff", "coalesce(greatest(t.seen, NULL), 'infinity') >= :cutoff",
    "t.local >= :cutoff::timestamp", "t.seen >= :cutoff::timestamptz", "t.local - interval '1 day' >= :cutoff::timestamp - interval '1 day'",
    "EXISTS (SELECT FROM t AS s WHERE s.id = t.id AND s.seen >= :cutoff)", "t.seen BETWEEN :cutoff AND 'infinity'"])
def test_F4_cutoff_has_the_type_and_zone_of_what_it_is_compared_with(tokyo, pgsweep, policy_file, unless):
    text = policy(time_zone="Asia/Tokyo", guards=[{"name": "active", "unless": unless}])
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(text), "--cutoff", "2026-05-05 00:00:00+00")
    assert (live["deleted"], spared(live)) == (1, {("active", None): 1}) and tokyo.column("SELECT id FROM t") == [2]


AMBIGUOUS = "date_trunc('hour', :cutoff) <= t.seen"


def test_F4_cutoff_whose_type_cannot_be_told_is_refused_where_it_matters(tokyo, pgsweep, policy_file, server_log):
    text = policy(time_zone="Asia/Tokyo", guards=[{"name": "active", "unless": AMBIGUOUS}])
    result = pgsweep("test", "--policy-dir", policy_file(text))
    assert result.code == 2 and ":cutoff::timestamptz" in result.err and "Asia/Tokyo" in result.err
    assert not server_log.matching("^DELETE FROM")
    text = policy(time_zone="Asia/Tokyo", guards=[{"name": "active", "unless": AMBIGUOUS.replace(":cutoff", ":cutoff::timestamptz")}])
    assert run(pgsweep, "test", "--policy-dir", policy_file(text), "--cutoff", "2026-05-05 00:00:00+00")["deleted"] == 1


def test_F4_cutoff_in_arithmetic_is_fine_where_zones_agree(tokyo, pgsweep, policy_file):
    text = policy(guards=[{"name": "active", "unless": "t.seen >= :cutoff - interval '1 s' + interval '1 s'"},
                          {"name": "again", "unless": AMBIGUOUS}])
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(text), "--cutoff", "2026-05-05 00:00:00+00")
    assert live["eligible"] == 0  # 08:59:59 is younger in UTC
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(text), "--cutoff", "2026-05-05 10:00:00+00")
    assert live["deleted"] == 2


# ---- labels, and indexes

@pytest.mark.not_hostile
@pytest.mark.parametrize("by", ["t.tableoid::regclass::text", "t.n::text", "(SELECT 'x' || t.id / 10)", "t.xmin::text IS NOT NULL"])
def test_D3_label_that_passes_its_check_can_be_counted(held, pgsweep, policy_file, by):
    text = policy(guards=[{"name": "g", "unless": "t.n <= 3", "by": by}])
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(text))
    assert sum(spared(live).values()) == 3 and live["deleted"] == 7


PARTIAL = [("s IS NULL", [{"name": "g", "unless": "t.s IS NOT NULL"}], None, True),
           ("s IS NULL", [], "t.s IS NULL", True),
           ("n > 5", [{"name": "g", "unless": "t.n <= 5"}], None, True),
           ("s IS NULL", [{"name": "g", "unless": "t.n = 0"}], None, False),
           ("n > 5", [{"name": "g", "unless": "t.n <= 4"}], None, False),
           ("at < '2021-01-01'", [], None, False)]


PARTITIONS = ";".join(f"CREATE TABLE t{i} PARTITION OF t FOR VALUES FROM ({7000 * i}) TO ({7000 * (i + 1)})" for i in range(3))


@pytest.mark.parametrize("partitions", ["", PARTITIONS])
@pytest.mark.parametrize("predicate, guards, where, used", PARTIAL)
def test_J7_partial_index_that_holds_every_candidate_is_walked(
        db, pgsweep, policy_file, server_log, predicate, guards, where, used, partitions):
    init(pgsweep)
    db.sql(f"CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int, s text) {'PARTITION BY RANGE (id)' if partitions else ''};"
           f"{partitions};"
           "INSERT INTO t SELECT n, '2020-01-01'::timestamptz + n * interval '1 min', n % 10, CASE WHEN n % 20 > 0 THEN 'x' END"
           " FROM generate_series(1, 20000) n;"
           f"CREATE INDEX partly ON t (at) WHERE {predicate}; ANALYZE t")
    expected = db.value(f"SELECT count(*) FROM t WHERE coalesce({where or 'true'}, false)"
                        + "".join(f" AND NOT ({guard['unless']})" for guard in guards))
    text = policy(guards=guards, **({"where": where} if where else {}))
    args = ("test", "--policy-dir", policy_file(text))
    assert ("index partly" in pgsweep(*args, "--dry-run", "--verbose").out) == used
    server_log.mark()
    live = preview_and_run(pgsweep, *args, "--chunk", "500")
    assert live["deleted"] == expected > 500
    # The statement that deletes is the one that the planner was asked about.
    assert bool(server_log.matching(r"ORDER BY\s+t\.\"at\", t\.\"id\"")) == used


@pytest.mark.parametrize("of_one_age, others, columns, where, walk", [
    (2000, 0, "at", "true", "key"),                    # chunk after chunk would sort more rows than the table has
    (2000, 30000, "at", "true", "age"),                # the key would lead through many rows of other ages
    (2000, 0, "at, id", "EXISTS (SELECT)", "age"),     # the index orders them,
    (2000, 0, "at, id", "true", "key"),                # but a range of (at, id) is read to the end of its age
    (400, 0, "at", "true", "age"),                     # one chunk takes them all
])
def test_J7_rows_of_one_age_are_not_sorted_for_every_chunk(db, pgsweep, policy_file, of_one_age, others, columns, where, walk):
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t SELECT n, '2020-01-01' FROM generate_series(1, {of_one_age}) n;"
           f"INSERT INTO t SELECT -n, now() - n * interval '1 s' FROM generate_series(1, {others}) n;"
           f"CREATE INDEX ON t ({columns}); ANALYZE t")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(where=where)), "--chunk", "700")
    assert (live["walk"], live["deleted"]) == (walk, of_one_age) and db.count("t") == others


def test_J7_before_version_13_old_rows_are_not_sorted_for_every_chunk(db, pgsweep, policy_file):
    """It cannot sort on from what an index has ordered. (Where few rows share an age, ranges are bounded by ages alone.)"""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           "INSERT INTO t SELECT n, '2020-01-01'::timestamptz + n * interval '1 s' FROM generate_series(1, 3000) n;"
           "CREATE INDEX ON t (at); ANALYZE t")
    locked = policy_file(policy(where="EXISTS (SELECT)"))
    old = int(db.value("SHOW server_version_num")) < 130000
    assert run(pgsweep, "test", "--policy-dir", locked, "--dry-run")["walk"] == ("key" if old else "age")
    ranges = policy_file(policy(), name="ranges")
    assert run(pgsweep, "ranges", "--policy-dir", ranges, "--dry-run")["walk"] == "age"
    assert run(pgsweep, "test", "--policy-dir", locked)["deleted"] == 3000
