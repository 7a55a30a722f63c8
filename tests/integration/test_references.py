"""Tables that refer to what is deleted: refused unless decided, and what each decision does."""
import re

import pytest
import yaml

from sweeping import init, policy, preview_and_run, rows, run, spared

AT = "now() - interval '1 year'"


@pytest.fixture
def parent(db, pgsweep):
    """Ten old rows and two young ones; a dependent row for each, made by child()."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t SELECT n, {AT} FROM generate_series(1, 10) n;"
           "INSERT INTO t VALUES (11, now()), (12, now())")
    return db


def child(db, name="c", rule="CASCADE", null="", default="", columns="", parents="1, 12"):
    db.sql(f"CREATE TABLE {name} (id serial PRIMARY KEY, t_id int {null} {default}"
           f" CONSTRAINT \"{name.strip(chr(34))}_to_t\" REFERENCES t ON DELETE {rule} {columns});"
           f"CREATE INDEX ON {name} (t_id);"
           f"INSERT INTO {name} (t_id) SELECT generate_series({parents})")


def suggested(error):
    """The YAML lines that a refusal prints, as a person would paste them."""
    return "dependents:\n" + "\n".join(re.findall(r"^ +- \{ table.*$", error, re.M)) + "\n"


def pasted(error, policy_file, **more):
    text = policy(**more)
    body = "\n".join(f"{key}: {value}" for key, value in yaml.safe_load(text).items())
    return policy_file(body + "\n" + suggested(error))


OUTCOME = {  # what the first suggestion does, by rule and whether the column may be null
    ("CASCADE", ""): "delete", ("CASCADE", "NOT NULL"): "delete",
    ("SET NULL", ""): "detach", ("SET DEFAULT", ""): "detach",
    ("RESTRICT", ""): "detach", ("NO ACTION", ""): "detach",
    ("SET DEFAULT", "NOT NULL"): "keep", ("RESTRICT", "NOT NULL"): "keep",
    ("NO ACTION", "NOT NULL"): "keep"}


@pytest.mark.parametrize("rule, null", OUTCOME)
def test_unlisted_table_is_refused_and_the_printed_lines_settle_it(
        parent, pgsweep, policy_file, server_log, rule, null):
    child(parent, rule=rule, null=null, default="DEFAULT 11" if rule == "SET DEFAULT" else "")
    directory = policy_file(policy())
    for args in (("--dry-run",), ()):
        result = pgsweep("test", *args, "--policy-dir", directory)
        assert result.code == 4, result
        for word in ("public.c ", "c_to_t", f"ON DELETE {rule})", "Nothing was deleted"):
            assert word in result.err, word
    assert not server_log.matching(r"\bDELETE FROM|^UPDATE")
    assert (parent.count("t"), parent.count("c"), parent.count("pgsweep.runs", "outcome <> 'refused'")) == (12, 12, 0)
    live = preview_and_run(pgsweep, "test", "--policy-dir", pasted(result.err, policy_file))
    outcome = OUTCOME[rule, null]
    left = dict(parent.sql("SELECT coalesce(t_id, 0), count(*) FROM c GROUP BY 1"))
    if outcome == "delete":
        assert left == {11: 1, 12: 1} and rows(live) == {"public.t": 10, "public.c": 10}
    elif outcome == "detach":
        assert left == {0: 10, 11: 1, 12: 1} and rows(live) == {"public.t": 10, "public.c": 10}
    else:
        assert len(left) == 12 and spared(live) == {("has c", None): 10}
    assert parent.count("t") == (12 if outcome == "keep" else 2)


def test_all_unlisted_tables_are_named_at_once(parent, pgsweep, policy_file):
    child(parent, "c1")
    child(parent, "c2", "NO ACTION")
    parent.sql("CREATE TABLE g (id int PRIMARY KEY, c int REFERENCES c1)")
    result = pgsweep("test", "--policy-dir", policy_file(policy()))
    assert result.code == 4 and "public.c1 " in result.err and "public.c2 " in result.err
    # What hangs on c1 shows once c1 is decided to be deleted from.
    result = pgsweep("test", "--policy-dir", pasted(result.err, policy_file))
    assert result.code == 4 and "public.g refers to public.c1" in result.err
    assert parent.count("t") == 12


def test_unlisted_cascade_takes_declared_cascades_only(parent, pgsweep, policy_file):
    child(parent)
    parent.sql("CREATE TABLE g (c_id int REFERENCES c ON DELETE CASCADE);"
               "INSERT INTO g SELECT id FROM c")
    directory = policy_file(policy(unlisted="cascade"))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live) == {"public.t": 10, "public.c": 10, "public.g": 10}
    assert (parent.count("t"), parent.count("c"), parent.count("g")) == (2, 2, 2)
    child(parent, "n", "NO ACTION", parents="11, 12")
    assert pgsweep("test", "--policy-dir", directory).code == 4


def test_keep_spares_and_counts(parent, pgsweep, policy_file):
    child(parent, rule="CASCADE", parents="3, 5")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "keep"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "2")
    assert (live["deleted"], spared(live)) == (7, {("has c", None): 3})
    assert parent.column("SELECT id FROM t ORDER BY id") == [3, 4, 5, 11, 12]
    assert parent.count("c") == 3


def test_detach_sets_other_columns(parent, pgsweep, policy_file):
    child(parent, rule="RESTRICT")
    parent.sql("ALTER TABLE c ADD status text DEFAULT 'used', ADD \"Free At\" date, ADD n int DEFAULT 3;")
    assignments = {"status": "it's \"free\"; \\ été", "Free At": "2026-01-02", "n": None}
    directory = policy_file(policy(dependents=[{"table": "c", "action": "detach", "set": assignments}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "3")
    assert rows(live) == {"public.t": 10, "public.c": 10}
    changed = parent.sql('SELECT DISTINCT status, "Free At"::text, n FROM c WHERE t_id IS NULL')
    assert changed == [(assignments["status"], "2026-01-02", None)]
    assert parent.sql("SELECT t_id, status, n FROM c WHERE t_id IS NOT NULL ORDER BY 1") == \
        [(11, "used", 3), (12, "used", 3)]


def test_detach_with_a_value_that_does_not_fit_touches_nothing(parent, pgsweep, policy_file):
    child(parent, rule="RESTRICT")
    parent.sql("ALTER TABLE c ADD n int")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "detach", "set": {"n": "many"}}]))
    for args in (("--dry-run",), ()):
        result = pgsweep("test", *args, "--policy-dir", directory)
        assert result.code == 2 and "test.yaml:" in result.err and "many" in result.err, result
    assert parent.count("t") == 12 and parent.count("c", "t_id IS NULL") == 0


@pytest.mark.parametrize("change, said", [
    ({"t_id": "5"}, "t_id"), ({"twice": "5"}, "generated"), ({"needed": None}, "may not be null"),
    ({"nowhere": "5"}, "nowhere"), ({"n": "-1"}, "positive")])
def test_detach_that_cannot_work_is_found_before_anything_is_touched(
        parent, pgsweep, policy_file, change, said):
    child(parent, rule="RESTRICT")
    parent.sql("CREATE DOMAIN positive AS int CHECK (VALUE > 0); ALTER TABLE c ADD n positive,"
               " ADD twice int GENERATED ALWAYS AS (id * 2) STORED, ADD needed text NOT NULL DEFAULT ''")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "detach", "set": change}]))
    reader = parent.role("reader", "SELECT ON t, c")
    for args in ({"user": reader}, {}):
        result = pgsweep("test", *(["--dry-run"] if args else []), "--policy-dir", directory, **args)
        assert result.code == 2 and "test.yaml:" in result.err and said in result.err, result
    assert parent.count("t") == 12 and parent.count("c", "t_id IS NULL") == 0


def test_row_that_refers_twice_is_detached_and_counted_once(parent, pgsweep, policy_file):
    parent.sql("CREATE TABLE c (id int PRIMARY KEY, made_by int REFERENCES t, seen_by int REFERENCES t);"
               "INSERT INTO c VALUES (1, 1, 2), (2, 1, 11), (3, 11, 2), (4, 11, 12), (5, 3, 3)")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "detach"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live)["public.c"] == 4
    assert parent.sql("SELECT * FROM c ORDER BY id") == \
        [(1, None, None), (2, None, 11), (3, 11, None), (4, 11, 12), (5, None, None)]


def test_row_that_refers_twice_is_deleted_and_counted_once(parent, pgsweep, policy_file):
    parent.sql("CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES t, b int REFERENCES t);"
               "INSERT INTO c VALUES (1, 1, 2), (2, 1, 11), (3, 11, 2), (4, 11, 12)")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "delete"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live)["public.c"] == 3 and parent.column("SELECT id FROM c") == [4]


def test_ignore_needs_a_reason_and_leaves_it_to_the_constraint(parent, pgsweep, policy_file):
    child(parent, rule="NO ACTION", parents="4, 4")
    result = pgsweep("test", "--policy-dir",
                     policy_file(policy(dependents=[{"table": "c", "action": "ignore"}])))
    assert result.code == 2 and "reason" in result.err
    directory = policy_file(policy(dependents=[
        {"table": "c", "action": "ignore", "reason": "a nightly job empties it"}]))
    assert "a nightly job empties it" in pgsweep("test", "-n", "--policy-dir", directory).out
    live = run(pgsweep, "test", "--policy-dir", directory, code=1)
    assert (live["deleted"], live["failed"]) == (9, 1)
    assert live["failures"][0]["sqlstate"] == "23503" and "(id)=(4)" in live["failures"][0]["key"]
    assert parent.column("SELECT id FROM t ORDER BY id") == [4, 11, 12]


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_ignore_is_refused_where_rows_would_change(parent, pgsweep, policy_file, rule):
    child(parent, rule=rule)
    directory = policy_file(policy(dependents=[{"table": "c", "action": "ignore", "reason": "x"}]))
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code == 2 and f"ON DELETE {rule}" in result.err
    assert (parent.count("t"), parent.count("c", "t_id IS NOT NULL")) == (12, 12)


def test_detach_is_refused_where_no_column_may_be_null(parent, pgsweep, policy_file):
    child(parent, null="NOT NULL")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "detach"}]))
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code == 2 and "DROP NOT NULL" in result.err and parent.count("t") == 12


def test_dependents_of_dependents(parent, pgsweep, policy_file):
    """t <- c <- g <- h, c <- s (detached); one h also refers to t directly."""
    child(parent, rule="RESTRICT")
    parent.sql("CREATE TABLE g (id serial PRIMARY KEY, c_id int NOT NULL REFERENCES c ON DELETE RESTRICT);"
               "INSERT INTO g (c_id) SELECT c.id FROM c, generate_series(1, 2);"
               "CREATE TABLE h (id serial PRIMARY KEY, g_id int REFERENCES g ON DELETE RESTRICT,"
               "                t_id int REFERENCES t ON DELETE RESTRICT);"
               "INSERT INTO h (g_id) SELECT id FROM g; INSERT INTO h (t_id) VALUES (1), (11);"
               "CREATE TABLE s (id serial PRIMARY KEY, c_id int REFERENCES c ON DELETE RESTRICT);"
               "INSERT INTO s (c_id) SELECT id FROM c")
    directory = policy_file(policy(dependents=[
        {"table": "c", "action": "delete"}, {"table": "s", "action": "detach"},
        {"table": "h", "action": "delete"}, {"table": "g", "action": "delete"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "3")
    assert rows(live) == {"public.t": 10, "public.c": 10, "public.g": 20, "public.h": 21, "public.s": 10}
    assert [parent.count(x) for x in "tcghs"] == [2, 2, 4, 5, 12]
    assert parent.count("s", "c_id IS NULL") == 10


def test_keep_at_the_second_level(parent, pgsweep, policy_file):
    child(parent)
    parent.sql("CREATE TABLE invoice (c_id int REFERENCES c);"
               "INSERT INTO invoice SELECT id FROM c WHERE t_id IN (2, 7)")
    directory = policy_file(policy(dependents=[
        {"table": "c", "action": "delete"}, {"table": "invoice", "action": "keep"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert parent.column("SELECT id FROM t ORDER BY id") == [2, 7, 11, 12]
    assert spared(live) == {("has invoice", None): 2} and parent.count("c") == 4


def test_listed_table_without_a_reference_is_an_error(parent, pgsweep, policy_file):
    parent.sql("CREATE TABLE other (id int)")
    directory = policy_file(policy(dependents=[{"table": "other", "action": "delete"}]))
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code == 2 and "public.other" in result.err and parent.count("t") == 12


def refuse_delete(pgsweep, policy_file, db, constraint, *more):
    """A young row may refer to an old one: its own table is never deleted from by reference."""
    entry = {"table": "t", "constraint": constraint, "action": "delete"}
    for args in (("--dry-run",), ()):
        result = pgsweep("test", *args, "--policy-dir",
                         policy_file(policy(dependents=[entry, *more])))
        assert result.code in (2, 4) and constraint in result.err, result
        assert "detach" in result.err, result
    assert db.count("t") == 12
    return result


@pytest.mark.parametrize("action", ["detach", "keep"])
def test_table_that_refers_to_itself_is_refused_and_the_printed_lines_settle_it(
        parent, pgsweep, policy_file, action):
    parent.sql("ALTER TABLE t ADD up int CONSTRAINT t_up REFERENCES t ON DELETE SET NULL;"
               "UPDATE t SET up = 1 WHERE id = 12")
    result = pgsweep("test", "--policy-dir", policy_file(policy()))
    assert result.code == 4 and "t_up" in result.err and parent.count("t") == 12
    assert "itself" in result.err and "action: delete" not in suggested(result.err), result
    directory = pasted(result.err.replace("action: detach", f"action: {action}"), policy_file)
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    if action == "keep":
        assert parent.column("SELECT id FROM t ORDER BY id") == [1, 11, 12]
        assert spared(live) == {("has t", None): 1}
    else:
        assert parent.sql("SELECT id, up FROM t ORDER BY id") == [(11, None), (12, None)]


def test_circle_of_references_is_refused_and_the_printed_lines_settle_it(
        parent, pgsweep, policy_file):
    child(parent)
    parent.sql("ALTER TABLE t ADD main_c int CONSTRAINT t_main_c REFERENCES c;"
               "UPDATE t SET main_c = (SELECT id FROM c WHERE t_id = 1) WHERE id IN (1, 2, 11)")
    listed = {"table": "c", "action": "delete"}
    result = pgsweep("test", "--policy-dir", policy_file(policy(dependents=[listed])))
    assert result.code == 4 and "t_main_c" in result.err and parent.count("t") == 12
    refused = refuse_delete(pgsweep, policy_file, parent, "t_main_c", listed)
    assert "circle" in refused.err and "public.c" in refused.err
    entry = yaml.safe_load(suggested(result.err))["dependents"][0]
    directory = policy_file(policy(dependents=[listed, entry]))
    preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "3")
    assert parent.sql("SELECT id, main_c FROM t ORDER BY id") == [(11, None), (12, None)]
    assert parent.count("c") == 2


def test_composite_foreign_key_in_another_column_order(parent, pgsweep, policy_file):
    parent.sql("CREATE TABLE p (tenant text, no int, at timestamptz, PRIMARY KEY (tenant, no));"
               f"INSERT INTO p SELECT te, n, CASE WHEN n < 6 THEN {AT} ELSE now() END"
               " FROM unnest(ARRAY['a', 'b,{}']) te, generate_series(1, 8) n;"
               "CREATE TABLE d (x int, tn text, FOREIGN KEY (x, tn) REFERENCES p (no, tenant));"
               "INSERT INTO d SELECT no, tenant FROM p; INSERT INTO d VALUES (NULL, 'a'), (1, NULL);"
               "CREATE TABLE u (x int, tn text NOT NULL, FOREIGN KEY (tn, x) REFERENCES p);"
               "INSERT INTO u SELECT no, tenant FROM p")
    directory = policy_file(policy("p", dependents=[
        {"table": "d", "action": "delete"}, {"table": "u", "action": "detach"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory, "--chunk", "3")
    assert rows(live) == {"public.p": 10, "public.d": 10, "public.u": 10}
    assert (parent.count("p"), parent.count("d"), parent.count("u", "x IS NULL")) == (6, 8, 10)


def test_reference_to_a_unique_column_that_is_not_the_key(parent, pgsweep, policy_file):
    parent.sql("ALTER TABLE t ADD code text UNIQUE; UPDATE t SET code = 'code ' || id;"
               "CREATE TABLE c (code text REFERENCES t (code)); INSERT INTO c SELECT code FROM t;"
               "INSERT INTO c VALUES (NULL)")
    directory = policy_file(policy(dependents=[{"table": "c", "action": "delete"}]))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live) == {"public.t": 10, "public.c": 10} and parent.count("c") == 3


def test_dependent_in_another_schema(parent, pgsweep, policy_file):
    parent.sql("CREATE SCHEMA audit; CREATE TABLE audit.t (id int REFERENCES public.t ON DELETE CASCADE);"
               "INSERT INTO audit.t SELECT id FROM t")
    error = pgsweep("test", "--policy-dir", policy_file(policy())).err
    assert "audit.t refers to public.t" in error
    live = preview_and_run(pgsweep, "test", "--policy-dir", pasted(error, policy_file))
    assert rows(live) == {"public.t": 10, "audit.t": 10} and parent.count("audit.t") == 2
