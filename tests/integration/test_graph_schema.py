"""What the graph makes of schemas, partitions, inheritance, constraints one by one, and of mistakes."""
import re

import pytest

from mocsworld import rows as by_table
from sweeping import init, policy, run, spared

OLD = "now() - interval '1 year'"


@pytest.fixture
def parent(db, pgsweep):
    """t: rows 1 to 6 are old, 7 and 8 young."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz, home int);"
           f"INSERT INTO t SELECT n, CASE WHEN n < 7 THEN {OLD} ELSE now() END FROM generate_series(1, 8) n")
    return db


@pytest.fixture
def sweep(pgsweep, policy_file):
    """A dry run and a live run of such a policy, which must tell the same; by table."""
    def both(*dependents, args=(), table="t", code=0, **more):
        directory = policy_file(policy(table, dependents=list(dependents), **more))
        dry = run(pgsweep, "test", "--dry-run", "--policy-dir", directory, *args)
        live = run(pgsweep, "test", "--policy-dir", directory, "--cutoff", dry["cutoff"], *args, code=code)
        if code == 0:
            assert by_table(dry) == by_table(live) and spared(dry) == spared(live)
        return live
    return both


@pytest.fixture
def refused(pgsweep, policy_file, parent):
    """Dry run and live run of such a policy are refused, say so, and touch nothing."""
    def check(*said, code=2, **more):
        directory = policy_file(policy(**more))
        for args in (("--dry-run",), ()):
            result = pgsweep("test", *args, "--policy-dir", directory)
            assert result.code == code, result
            for word in said:
                assert word in result.err, (word, result)
        assert parent.count("t") == 8 and parent.count("pgsweep.runs", "outcome <> 'refused'") == 0
        return result
    return check


def child(db, name="c", extra="", parents="1, 8"):
    db.sql(f"CREATE TABLE {name} (id serial PRIMARY KEY, t_id int REFERENCES t {extra});"
           f"CREATE INDEX ON {name} (t_id); INSERT INTO {name} (t_id) SELECT generate_series({parents})")


def test_D2_same_names_in_several_schemas(parent, sweep):
    parent.sql('CREATE SCHEMA "Other one"; CREATE TABLE "Other one".c (id int PRIMARY KEY, t_id int'
               ' REFERENCES public.t); INSERT INTO "Other one".c SELECT n, n FROM generate_series(1, 8) n;'
               'CREATE TABLE "Other one".g (c_id int REFERENCES "Other one".c);'
               'INSERT INTO "Other one".g SELECT id FROM "Other one".c')
    child(parent)
    live = sweep({"table": "c", "action": "detach"}, {"table": '"Other one".c', "action": "delete"},
                 {"table": '"Other one".g', "action": "delete"}, args=("--chunk", 4))
    assert by_table(live) == {"public.t": 6, "public.c": 6, '"Other one".c': 6, '"Other one".g': 6}
    assert parent.column('SELECT c_id FROM "Other one".g ORDER BY 1') == [7, 8]
    assert parent.count("c") == 8 and parent.count("c", "t_id IS NULL") == 6


def partitioned(db, name="p", dependents=True):
    db.sql(f"CREATE TABLE {name} (id int, at timestamptz, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
           f"CREATE TABLE {name}_1 PARTITION OF {name} FOR VALUES FROM (0) TO (4);"
           f"CREATE TABLE {name}_2 PARTITION OF {name} FOR VALUES FROM (4) TO (100);"
           f"CREATE INDEX ON {name} (at);"
           f"INSERT INTO {name} SELECT n, CASE WHEN n < 7 THEN {OLD} ELSE now() END FROM generate_series(1, 8) n")


@pytest.mark.parametrize("chunk", [2, 100])
@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_partitioned_root_and_partitioned_dependents(db, pgsweep, sweep, chunk, transaction):
    init(pgsweep)
    partitioned(db)
    db.sql("CREATE TABLE d (id int, p_id int REFERENCES p, PRIMARY KEY (id)) PARTITION BY HASH (id);"
           "CREATE TABLE d_0 PARTITION OF d FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
           "CREATE TABLE d_1 PARTITION OF d FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
           "INSERT INTO d SELECT n, 1 + n % 8 FROM generate_series(0, 15) n;"
           "CREATE TABLE u (id serial, p_id int REFERENCES p); INSERT INTO u (p_id) SELECT id FROM p")
    live = sweep({"table": "d", "action": "delete"}, {"table": "u", "action": "detach"}, table="p",
                 transaction=transaction, args=("--chunk", chunk))
    assert by_table(live) == {"public.p": 6, "public.d": 12, "public.u": 6}
    assert db.column("SELECT id FROM p ORDER BY 1") == [7, 8] == db.column("SELECT DISTINCT p_id FROM d ORDER BY 1")
    assert db.count("u", "p_id IS NULL") == 6


def test_D2_partitioned_root_without_dependents(db, pgsweep, sweep):
    init(pgsweep)
    partitioned(db)
    live = sweep(table="p", args=("--chunk", 2))
    assert by_table(live) == {"public.p": 6} and db.column("SELECT id FROM p ORDER BY 1") == [7, 8]


def test_D2_foreign_key_to_a_partition(db, pgsweep, sweep, policy_file):
    init(pgsweep)
    partitioned(db)
    db.sql("CREATE TABLE only_one (p_id int CONSTRAINT to_part REFERENCES p_1);"
           "INSERT INTO only_one SELECT id FROM p_1")
    result = pgsweep("test", "--policy-dir", policy_file(policy("p")))
    assert result.code == 4 and "to_part" in result.err and db.count("p") == 8
    live = sweep({"table": "only_one", "action": "delete"}, table="p", args=("--chunk", 2))
    assert by_table(live) == {"public.p": 6, "public.only_one": 3} and db.count("only_one") == 0


def test_D2_one_partition_as_the_root(db, pgsweep, sweep, policy_file):
    """A foreign key to the whole table refers to each of its partitions."""
    init(pgsweep)
    partitioned(db)
    db.sql("CREATE TABLE d (p_id int CONSTRAINT to_whole REFERENCES p ON DELETE CASCADE);"
           "INSERT INTO d SELECT id FROM p")
    result = pgsweep("test", "--policy-dir", policy_file(policy("p_1")))
    assert result.code == 4 and "to_whole" in result.err, result
    assert db.count("p") == 8 == db.count("d")
    live = sweep({"table": "d", "action": "delete"}, table="p_1")
    assert by_table(live) == {"public.p_1": 3, "public.d": 3}
    assert db.column("SELECT p_id FROM d ORDER BY 1") == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("heir", ["t", "c"])
def test_D2_inherited_tables_are_refused(parent, refused, heir):
    """A key or constraint of a table does not cover the rows of its children."""
    child(parent)
    parent.sql(f"CREATE TABLE heir () INHERITS ({heir})")
    refused(f"public.{heir} has inheritance children", dependents=[{"table": "c", "action": "delete"}])


def test_D2_a_table_that_inherits_is_a_table_like_others(parent, sweep):
    parent.sql("CREATE TABLE base (id int, t_id int);"
               "CREATE TABLE c (PRIMARY KEY (id), FOREIGN KEY (t_id) REFERENCES t) INHERITS (base);"
               "INSERT INTO base SELECT n, n FROM generate_series(1, 8) n; INSERT INTO c SELECT * FROM ONLY base")
    live = sweep({"table": "c", "action": "delete"})
    assert by_table(live) == {"public.t": 6, "public.c": 6}
    assert parent.column("SELECT t_id FROM ONLY base ORDER BY 1") == list(range(1, 9))


@pytest.mark.parametrize("transaction", ["row", "chunk"])
@pytest.mark.parametrize("action", ["delete", "detach"])
def test_D2_deferred_constraints(parent, sweep, action, transaction):
    child(parent, extra="DEFERRABLE INITIALLY DEFERRED")
    live = sweep({"table": "c", "action": action}, transaction=transaction)
    assert by_table(live) == {"public.t": 6, "public.c": 6} and parent.count("t") == 2


@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_a_trigger_that_adds_a_row_behind_a_deferred_constraint_costs_only_its_row(
        parent, sweep, transaction):
    child(parent, extra="DEFERRABLE INITIALLY DEFERRED")
    parent.sql("CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS"
               " $$BEGIN INSERT INTO c (t_id) VALUES (OLD.id); RETURN NULL; END$$;"
               "CREATE TRIGGER again AFTER DELETE ON t FOR EACH ROW WHEN (OLD.id = 3) EXECUTE FUNCTION again()")
    live = sweep({"table": "c", "action": "delete"}, transaction=transaction, code=1)
    assert live["failures"][0]["key"] == "(id)=(3)" and live["failures"][0]["sqlstate"] == "23503"
    assert parent.column("SELECT id FROM t ORDER BY 1") == [3, 7, 8] == parent.column("SELECT t_id FROM c ORDER BY 1")
    assert by_table(live) == {"public.t": 5, "public.c": 5}


def two_ways(db):
    db.sql("CREATE TABLE c (id int PRIMARY KEY, owner int CONSTRAINT c_owner REFERENCES t,"
           " editor int CONSTRAINT c_editor REFERENCES t ON DELETE CASCADE);"
           "INSERT INTO c VALUES (1, 1, 7), (2, 7, 2), (3, 3, 3), (4, 7, 8), (5, NULL, NULL)")


@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_a_rule_for_each_constraint(parent, sweep, transaction):
    two_ways(parent)
    live = sweep({"table": "c", "constraint": "c_owner", "action": "delete"},
                 {"table": "c", "constraint": "c_editor", "action": "detach"}, transaction=transaction)
    assert parent.sql("SELECT * FROM c ORDER BY 1") == [(2, 7, None), (4, 7, 8), (5, None, None)]
    assert live["deleted"] == 6 and by_table(live)["public.c (c_owner)"] == 2


def test_D2_a_rule_for_one_constraint_and_one_for_the_rest(parent, sweep):
    two_ways(parent)
    live = sweep({"table": "c", "constraint": "c_owner", "action": "reassign", "to": 8},
                 {"table": "c", "action": "keep"})
    assert parent.sql("SELECT * FROM c ORDER BY 1") == [
        (1, 8, 7), (2, 7, 2), (3, 3, 3), (4, 7, 8), (5, None, None)]
    assert parent.column("SELECT id FROM t ORDER BY 1") == [2, 3, 7, 8]
    assert spared(live) == {("has c", None): 2} and by_table(live)["public.c (c_owner)"] == 1


def test_D2_a_constraint_alone_leaves_the_others_to_be_decided(parent, refused):
    two_ways(parent)
    result = refused("c_editor", code=4, dependents=[{"table": "c", "constraint": "c_owner", "action": "detach"}])
    assert "constraint c_owner" not in result.err


def test_D2_an_unknown_constraint_is_told(parent, refused):
    two_ways(parent)
    refused("no_such", "test.yaml:", dependents=[
        {"table": "c", "action": "delete"}, {"table": "c", "constraint": "no_such", "action": "keep"}])


def test_D2_reassign_gives_the_rows_to_another_owner(parent, sweep):
    child(parent, extra="ON DELETE CASCADE")
    parent.sql("ALTER TABLE c ADD note text")
    live = sweep({"table": "c", "action": "reassign", "to": 8, "set": {"note": "was another's"}})
    assert by_table(live) == {"public.t": 6, "public.c": 6}
    assert parent.sql("SELECT t_id, count(*), count(note) FROM c GROUP BY 1 ORDER BY 1") == [(7, 1, 0), (8, 7, 6)]


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_D2_reassign_to_a_key_that_is_not_there_is_told_at_once(parent, refused, deferred):
    child(parent, extra=deferred)
    refused("test.yaml:", "no row of public.t has", "99", "public.c",
            dependents=[{"table": "c", "action": "reassign", "to": 99}])
    assert parent.count("c") == 8


def test_D2_reassign_to_a_candidate_loses_nothing(parent, pgsweep, policy_file):
    child(parent, extra="ON DELETE CASCADE")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "reassign", "to": 3}]))
    result = pgsweep("test", "--policy-dir", directory, "--chunk", 2)
    assert result.code == 0 and parent.count("c") == 8, "rows were lost through the declared cascade"
    assert parent.sql("SELECT t_id, count(*) FROM c GROUP BY 1 ORDER BY 1") == [(3, 6), (7, 1), (8, 1)]
    assert parent.column("SELECT id FROM t ORDER BY 1") == [3, 7, 8]


def test_D2_reassign_to_a_dependent_of_a_candidate_loses_nothing(parent, pgsweep, policy_file):
    child(parent, extra="ON DELETE CASCADE")
    parent.sql("CREATE TABLE g (c_id int REFERENCES c ON DELETE CASCADE); INSERT INTO g SELECT id FROM c")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "delete"},
                                               {"table": "g", "action": "reassign", "to": 3}]))
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", directory)
    live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", 2)
    assert by_table(dry) == by_table(live) and spared(live) == {("takes over g", None): 1}
    assert parent.sql("SELECT c_id, count(*) FROM g GROUP BY 1 ORDER BY 1") == [(3, 6), (7, 1), (8, 1)]
    assert parent.column("SELECT id FROM t ORDER BY 1") == [3, 7, 8]


@pytest.mark.parametrize("value", ["x", "1.5", "99999999999", None])
def test_D2_reassign_to_what_is_no_key_is_told_at_once(parent, refused, value):
    child(parent, extra="")
    parent.sql("ALTER TABLE c ALTER t_id SET NOT NULL")
    refused("test.yaml:", dependents=[{"table": "c", "action": "reassign", "to": value}])


@pytest.mark.parametrize("stated, said", [
    ({"table": "c", "refers_to": "t", "columns": {"nowhere": "id"}}, "nowhere"),
    ({"table": "c", "refers_to": "t", "columns": {"x": "nowhere"}}, "nowhere"),
    ({"table": "no_table", "refers_to": "t", "columns": {"x": "id"}}, "no_table"),
    ({"table": "c", "refers_to": "no_table", "columns": {"x": "id"}}, "no_table"),
    ({"table": "c", "refers_to": "t", "columns": {}}, "columns"),
    ({"table": "c", "refers_to": "t"}, "columns"),
    ({"table": "c", "columns": {"x": "id"}}, "refers_to"),
    ({"table": "c", "refers_to": "t", "columns": {"word": "id"}}, "test.yaml:")])
def test_D2_mistakes_in_a_stated_reference_are_told(parent, refused, stated, said):
    parent.sql("CREATE TABLE c (id int PRIMARY KEY, x int, word text)")
    refused(said, "test.yaml:", references=[stated], dependents=[{"table": "c", "action": "delete"}])


@pytest.mark.parametrize("action", ["delete", "detach", "keep"])
def test_D2_a_stated_reference_is_as_good_as_a_declared_one(parent, sweep, action):
    parent.sql("CREATE TABLE c (id int PRIMARY KEY, x int); INSERT INTO c SELECT n, n FROM generate_series(2, 8) n;"
               "INSERT INTO c VALUES (100, NULL)")
    live = sweep({"table": "c", "action": action}, args=("--chunk", 2),
                 references=[{"table": "c", "refers_to": "t", "columns": {"x": "id"}}])
    left = parent.sql("SELECT count(*), count(x) FROM c")[0]
    assert left == {"delete": (3, 2), "detach": (8, 2), "keep": (8, 7)}[action]
    assert parent.column("SELECT id FROM t ORDER BY 1") == ([2, 3, 4, 5, 6, 7, 8] if action == "keep" else [7, 8])
    assert live["deleted"] == (1 if action == "keep" else 6)


def linked(db, key="PRIMARY KEY"):
    db.sql(f"CREATE TABLE s (id int {key}, up int); CREATE TABLE other (id int PRIMARY KEY);"
           "INSERT INTO s SELECT generate_series(1, 4);"
           "CREATE TABLE l (t_id int REFERENCES t, s_id int); INSERT INTO l VALUES (1, 1), (1, 2), (7, 2), (2, 3)")


@pytest.mark.parametrize("via, said", [
    (None, "via"), ("no_table", "no_table"), ("other", "other"), ("t", "no reference"), ("s", "s")])
def test_D2_mistakes_in_via_are_told(parent, refused, via, said):
    linked(parent)
    parent.sql("ALTER TABLE l ADD FOREIGN KEY (s_id) REFERENCES s")
    entry = {"table": "s", "action": "delete_orphans", **({"via": via} if via else {})}
    refused(said, "test.yaml:", dependents=[{"table": "l", "action": "delete"}, entry])


def test_D2_via_without_a_reference_is_told_and_one_can_be_stated(parent, refused, sweep):
    linked(parent)
    dependents = [{"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"}]
    result = refused("no reference", "references", dependents=dependents)
    assert "public.l" in result.err
    live = sweep(*dependents, args=("--chunk", 1),
                 references=[{"table": "l", "refers_to": "s", "columns": {"s_id": "id"}}])
    assert parent.column("SELECT id FROM s ORDER BY 1") == [2, 4]
    assert by_table(live) == {"public.t": 6, "public.l": 3, "public.s": 2}


def test_D2_shared_table_without_a_key_is_told(parent, refused):
    linked(parent, "UNIQUE")
    parent.sql("ALTER TABLE l ADD FOREIGN KEY (s_id) REFERENCES s (id)")
    refused("primary key", "test.yaml:", dependents=[
        {"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"}])


def test_D2_shared_rows_referred_to_by_the_root_and_by_themselves(parent, sweep):
    """2 is the parent of 1, and stays because 1 is there when it is looked at; 3 of 4, which stays; 5 is used by a root row that stays."""
    parent.sql("CREATE TABLE s (id int PRIMARY KEY, up int REFERENCES s ON DELETE SET NULL);"
               "INSERT INTO s VALUES (2, NULL), (1, 2), (3, NULL), (4, 3), (5, NULL);"
               "ALTER TABLE t ADD FOREIGN KEY (home) REFERENCES s;"
               "UPDATE t SET home = CASE id WHEN 1 THEN 1 WHEN 2 THEN 2 WHEN 3 THEN 3 WHEN 7 THEN 5 WHEN 4 THEN 5 END")
    live = sweep({"table": "s", "action": "delete_orphans", "via": "t"})
    assert parent.sql("SELECT * FROM s ORDER BY 1")[-3:] == [(3, None), (4, 3), (5, None)]
    assert parent.count("s", "id = 1") == 0 and by_table(live)["public.s"] == 5 - parent.count("s")


def test_D2_composite_key_of_a_shared_table(parent, sweep):
    parent.sql("CREATE TABLE s (a text, b int, PRIMARY KEY (a, b));"
               "INSERT INTO s SELECT x, n FROM unnest(ARRAY['q''', '{,}']) x, generate_series(1, 4) n;"
               "CREATE TABLE l (t_id int REFERENCES t, b int, a text, FOREIGN KEY (b, a) REFERENCES s (b, a));"
               .replace("PRIMARY KEY (a, b)", "PRIMARY KEY (a, b), UNIQUE (b, a)"))
    parent.sql("INSERT INTO l SELECT b, b, a FROM s; INSERT INTO l VALUES (7, 1, '{,}'), (1, NULL, '{,}')")
    live = sweep({"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"},
                 args=("--chunk", 3))
    assert parent.sql("SELECT * FROM s") == [("{,}", 1)] and by_table(live)["public.s"] == 7
    assert re.fullmatch(r"\d{4}-.*", live["cutoff"])


@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_keep_below_a_shared_table_spares_the_candidate(parent, sweep, transaction):
    linked(parent)
    parent.sql("ALTER TABLE l ADD FOREIGN KEY (s_id) REFERENCES s;"
               "CREATE TABLE h (id int PRIMARY KEY, s_id int REFERENCES s ON DELETE CASCADE);"
               "CREATE TABLE k (h_id int REFERENCES h ON DELETE CASCADE);"
               "INSERT INTO h SELECT n, n FROM generate_series(1, 4) n; INSERT INTO k VALUES (3), (4)")
    live = sweep({"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"},
                 {"table": "h", "action": "delete"}, {"table": "k", "action": "keep"}, transaction=transaction)
    assert spared(live) == {("has k", None): 1}
    assert parent.column("SELECT id FROM t ORDER BY 1") == [2, 7, 8]
    assert parent.column("SELECT id FROM s ORDER BY 1") == [2, 3, 4] == parent.column("SELECT id FROM h ORDER BY 1")
    assert parent.column("SELECT h_id FROM k ORDER BY 1") == [3, 4]


@pytest.mark.parametrize("transaction", ["row", "chunk"])
@pytest.mark.parametrize("rule", ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"])
def test_D2_a_dependent_that_refers_to_itself_goes_with_its_answers(parent, sweep, rule, transaction):
    """Answers to answers, one of a younger root row, one in a circle, one to itself."""
    parent.sql("CREATE TABLE c (id int PRIMARY KEY, t_id int REFERENCES t, up int);"
               "INSERT INTO c VALUES (1, 1, NULL), (2, NULL, 1), (3, NULL, 2), (4, 7, 3), (5, 2, 6), (6, NULL, 5),"
               " (7, 3, 7), (8, 8, NULL), (9, NULL, 8), (10, NULL, NULL);"
               "CREATE TABLE g (c_id int REFERENCES c); INSERT INTO g VALUES (4), (6), (9);"
               f"ALTER TABLE c ADD CONSTRAINT c_up FOREIGN KEY (up) REFERENCES c ON DELETE {rule}")
    live = sweep({"table": "c", "action": "delete"}, {"table": "g", "action": "delete"}, transaction=transaction,
                 args=("--chunk", 1))
    assert parent.column("SELECT id FROM c ORDER BY 1") == [8, 9, 10]
    assert by_table(live) == {"public.t": 6, "public.c": 7, "public.g": 2} and parent.column("SELECT c_id FROM g") == [9]


def test_D2_unlisted_cascades_are_followed_along_a_self_reference(parent, sweep):
    parent.sql("CREATE TABLE c (a int, b text, t_id int REFERENCES t ON DELETE CASCADE, up_a int, up_b text,"
               " PRIMARY KEY (b, a), FOREIGN KEY (up_b, up_a) REFERENCES c ON DELETE CASCADE);"
               "INSERT INTO c VALUES (1, 'x', 1, NULL, NULL), (2, 'x', NULL, 1, 'x'), (3, 'y', NULL, 2, 'x'), (1, 'y', 8, NULL, NULL)")
    live = sweep(unlisted="cascade")
    assert parent.sql("SELECT a, b FROM c") == [(1, "y")] and by_table(live)["public.c"] == 3


@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_O2_a_row_that_two_candidates_lose_is_counted_once(parent, sweep, transaction):
    """Detached along two references, whose rows go in different transactions; a row that goes itself is not detached."""
    parent.sql("CREATE TABLE m (id int PRIMARY KEY, a int REFERENCES t, b int REFERENCES t);"
               "INSERT INTO m VALUES (1, 1, 4), (2, 5, 2), (3, 3, 7), (4, 8, 8), (5, 2, 2);"
               "ALTER TABLE t ADD up int CONSTRAINT t_up REFERENCES t; UPDATE t SET up = CASE id WHEN 4 THEN 1 WHEN 1 THEN 5"
               " WHEN 7 THEN 2 END")
    live = sweep({"table": "m", "action": "detach"}, {"table": "t", "constraint": "t_up", "action": "detach"},
                 transaction=transaction, args=("--chunk", 1))
    assert by_table(live) == {"public.t": 6, "public.m": 4, "public.t (t_up)": 1}
    assert parent.sql("SELECT * FROM m ORDER BY 1") == [(1, None, None), (2, None, None), (3, None, 7), (4, 8, 8), (5, None, None)]
    assert parent.sql("SELECT id, up FROM t ORDER BY 1") == [(7, None), (8, None)]


def shared_by_itself(db):
    """Of s, 1 to 6 are linked by old rows, one each; 2 refers to 1, 3 to 4, 5 to 6; 9, which stays, to 4."""
    db.sql("CREATE TABLE s (id int PRIMARY KEY, up int REFERENCES s);"
           "INSERT INTO s VALUES (1, NULL), (2, 1), (4, NULL), (3, 4), (6, NULL), (5, 6), (9, 4), (7, 7);"
           "CREATE TABLE l (t_id int REFERENCES t, s_id int REFERENCES s);"
           "INSERT INTO l VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 7)")


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_D2_shared_rows_go_with_the_last_reference_of_their_own_table(parent, sweep, chunk):
    """1 loses its link before 2, which keeps it until it goes itself; nothing but 5 ever referred to 6."""
    shared_by_itself(parent)
    live = sweep({"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"},
                 args=("--chunk", chunk))
    assert parent.sql("SELECT * FROM s ORDER BY 1") == [(4, None), (9, 4)] and by_table(live)["public.s"] == 6


@pytest.mark.parametrize("chunk", [1, 100])
def test_D2_a_reference_within_a_shared_table_can_be_detached(parent, sweep, chunk):
    shared_by_itself(parent)
    live = sweep({"table": "l", "action": "delete"}, {"table": "s", "action": "delete_orphans", "via": "l"},
                 {"table": "s", "constraint": "s_up_fkey", "action": "detach"}, args=("--chunk", chunk))
    assert parent.sql("SELECT * FROM s ORDER BY 1") == [(6, None), (9, None)]
    assert by_table(live)["public.s"] == 6 and by_table(live)["public.s (s_up_fkey)"] == 1


def two_shared(db, more=""):
    """Albums are linked by l, pictures by the albums that show them."""
    db.sql("CREATE TABLE pictures (id int PRIMARY KEY); INSERT INTO pictures SELECT generate_series(1, 5);"
           "CREATE TABLE albums (id int PRIMARY KEY, cover int REFERENCES pictures);"
           "INSERT INTO albums VALUES (1, 1), (2, 2), (3, 2), (4, 3), (5, NULL);"
           "CREATE TABLE l (t_id int REFERENCES t, album int REFERENCES albums);"
           f"INSERT INTO l VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (7, 4), (6, 5); {more}")


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("turned", [False, True])
def test_D2_shared_rows_behind_shared_rows(parent, sweep, chunk, turned):
    """In whatever order the policy lists them, a picture goes with the last album that shows it."""
    two_shared(parent)
    entries = [{"table": "albums", "action": "delete_orphans", "via": "l"},
               {"table": "pictures", "action": "delete_orphans", "via": "albums"}]
    live = sweep({"table": "l", "action": "delete"}, *(entries[::-1] if turned else entries), args=("--chunk", chunk))
    assert parent.column("SELECT id FROM albums") == [4]
    assert parent.column("SELECT id FROM pictures ORDER BY 1") == [3, 4, 5]
    assert by_table(live) == {"public.t": 6, "public.l": 6, "public.albums": 4, "public.pictures": 2}


def test_D2_shared_tables_in_a_circle_are_refused_with_the_path(parent, refused):
    two_shared(parent, "ALTER TABLE pictures ADD of int CONSTRAINT pictures_of REFERENCES albums")
    refused("circle", "public.albums", "public.pictures", "pictures_of", "detach", code=4, dependents=[
        {"table": "l", "action": "delete"}, {"table": "albums", "action": "delete_orphans", "via": "l"},
        {"table": "pictures", "action": "delete_orphans", "via": "albums"}])


def test_D2_keep_below_a_shared_table_that_the_root_refers_to(parent, sweep):
    """The guard looks at the candidate's own shared row, not at another's."""
    parent.sql("CREATE TABLE s (id int PRIMARY KEY); INSERT INTO s SELECT generate_series(1, 3);"
               "CREATE TABLE h (id int PRIMARY KEY, s_id int REFERENCES s); INSERT INTO h VALUES (1, 1), (2, 2);"
               "CREATE TABLE k (h_id int REFERENCES h); INSERT INTO k VALUES (2);"
               "ALTER TABLE t ADD FOREIGN KEY (home) REFERENCES s; UPDATE t SET home = id WHERE id < 4")
    live = sweep({"table": "s", "action": "delete_orphans", "via": "t"}, {"table": "h", "action": "delete"},
                 {"table": "k", "action": "keep"})
    assert spared(live) == {("has k", None): 1} and parent.column("SELECT id FROM t ORDER BY 1") == [2, 7, 8]
    assert parent.column("SELECT id FROM s") == [2] == parent.column("SELECT id FROM h")


def test_D2_many_tables_at_many_depths(parent, sweep):
    """Enough statements in one transaction for any two of their names to meet."""
    parents = ["t", *(f"c{n}" for n in range(1, 25))]
    for n in range(1, 25):
        parent.sql(f"CREATE TABLE c{n} (id int PRIMARY KEY REFERENCES {parents[n // 2]});"
                   f"INSERT INTO c{n} SELECT generate_series(1, 8)")
    live = sweep(*({"table": f"c{n}", "action": "delete"} for n in range(1, 25)), args=("--chunk", 2))
    assert set(by_table(live).values()) == {6}


@pytest.mark.parametrize("transaction", ["row", "chunk"])
def test_D2_a_circle_of_deferred_constraints_can_be_left_to_them(parent, sweep, refused, transaction):
    """Neither column may be null: what a version belongs to goes in the same transaction, before the constraint looks."""
    parent.sql("CREATE TABLE v (id int PRIMARY KEY, t_id int NOT NULL REFERENCES t); INSERT INTO v SELECT id, id FROM t;"
               "ALTER TABLE t ADD current int; UPDATE t SET current = id; ALTER TABLE t ALTER current SET NOT NULL,"
               " ADD CONSTRAINT t_current FOREIGN KEY (current) REFERENCES v DEFERRABLE INITIALLY DEFERRED")
    refused("circle", "t_current", "ignore", code=4, dependents=[
        {"table": "v", "action": "delete"}, {"table": "t", "constraint": "t_current", "action": "delete"}])
    live = sweep({"table": "v", "action": "delete"},
                 {"table": "t", "constraint": "t_current", "action": "ignore", "reason": "goes with its version"},
                 transaction=transaction, args=("--chunk", 2))
    assert parent.column("SELECT id FROM v ORDER BY 1") == [7, 8] == parent.column("SELECT id FROM t ORDER BY 1")
    assert by_table(live)["public.v"] == 6
