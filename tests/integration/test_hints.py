"""Hints are pasted as they are printed, until the run passes; then the data is what the constraints would have made it."""
import re

import pytest

from sweeping import init, run

OLD = "now() - interval '1 year'"
HEAD = "table: t\nage: at\nretain: 7 days\n"


@pytest.fixture
def world(db, pgsweep):
    """Rows 1 to 4, of which 1 and 2 are old."""
    init(pgsweep)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           f"INSERT INTO t SELECT n, CASE WHEN n < 3 THEN {OLD} ELSE now() END FROM generate_series(1, 4) n")
    return db


def paste(text, lines):
    if "dependents:" not in text:
        text += "dependents:\n"
    dash = re.search(r"^dependents:\n( *)- ", text, re.M)
    indent = dash.group(1) if dash else "  "
    return text.replace("dependents:\n", "dependents:\n" + "".join(f"{indent}{line}\n" for line in lines), 1)


def decided(pgsweep, policy_file, text, name="test", rounds=5):
    """Pastes what refusals propose into the policy until a dry run passes; the directory of the policy, and the lines."""
    pasted = []
    for _ in range(rounds):
        directory = policy_file(text, name=name)
        result = pgsweep(name, "--dry-run", "--policy-dir", directory)
        if result.code != 4:
            assert result.code == 0, result
            return directory, pasted
        lines = [line.strip() for line in re.findall(r"^ +(- \{ table: .*)$", result.err, re.M)]
        assert lines and not set(lines) & set(pasted), result
        pasted += lines
        text = paste(text, lines)
    raise AssertionError(f"not settled by {pasted}")


def acts(pgsweep, policy_file, text=HEAD, **more):
    directory, lines = decided(pgsweep, policy_file, text)
    run(pgsweep, "test", "--policy-dir", directory, **more)
    return lines


def test_O2_two_keys_to_one_table_give_lines_that_go_together(world, pgsweep, policy_file):
    world.sql("CREATE TABLE c (id serial, a int REFERENCES t ON DELETE CASCADE, b int REFERENCES t ON DELETE SET NULL);"
              "INSERT INTO c (a, b) VALUES (1, 3), (3, 2), (3, 4), (4, NULL)")
    lines = acts(pgsweep, policy_file)
    assert len(lines) == 2 and all("constraint:" in line for line in lines)
    assert world.sql("SELECT a, b FROM c ORDER BY id") == [(3, None), (3, 4), (4, None)]


def test_O2_a_key_that_shows_later_is_not_decided_by_the_line_of_the_first(world, pgsweep, policy_file):
    """c is detached from t, but deleted with d, which nothing says before d is listed."""
    world.sql("CREATE TABLE d (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE);"
              "CREATE TABLE c (id serial, a int REFERENCES t ON DELETE SET NULL, d int REFERENCES d ON DELETE CASCADE);"
              "INSERT INTO d VALUES (1, 1), (3, 3); INSERT INTO c (a, d) VALUES (3, 1), (1, 3), (4, 3)")
    lines = acts(pgsweep, policy_file)
    assert len(lines) == 3
    assert world.sql("SELECT a, d FROM c ORDER BY id") == [(None, 3), (4, 3)]


def test_O2_under_cascade_the_line_for_one_key_leaves_the_others_as_declared(world, pgsweep, policy_file):
    world.sql("CREATE TABLE c (id serial, a int REFERENCES t ON DELETE CASCADE, b int REFERENCES t ON DELETE SET NULL,"
              " n int REFERENCES t); INSERT INTO c (a, b, n) VALUES (1, 3, NULL), (3, 2, 4), (3, 4, 1)")
    lines = acts(pgsweep, policy_file, HEAD + "unlisted: cascade\n")
    assert len(lines) == 1 and "constraint: 'c_n_fkey'" in lines[0] and "action: detach" in lines[0]
    assert world.sql("SELECT a, b, n FROM c ORDER BY id") == [(3, None, 4), (3, 4, None)]


@pytest.mark.parametrize("chunk", [1, 100])
def test_O2_under_cascade_constraints_are_followed_as_declared(world, pgsweep, policy_file, chunk):
    world.sql("CREATE TABLE c (id serial PRIMARY KEY, a int DEFAULT 4 REFERENCES t ON DELETE SET DEFAULT,"
              " b int REFERENCES t ON DELETE SET NULL, c int REFERENCES t ON DELETE CASCADE);"
              "CREATE TABLE e (id serial, c int REFERENCES c ON DELETE SET NULL);"
              "INSERT INTO c (a, b, c) VALUES (1, 2, 3), (3, 1, 4), (2, 2, 2), (3, 4, 4);"
              "INSERT INTO e (c) VALUES (1), (3), (4)")
    by_hand = world.sql("BEGIN; DELETE FROM t WHERE id < 3; SELECT a, b, c FROM c ORDER BY id")
    assert by_hand == [(4, None, 3), (3, None, 4), (3, 4, 4)]
    world.sql("ROLLBACK")
    directory = policy_file(HEAD + "unlisted: cascade\n")
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", directory)
    live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", str(chunk))
    assert world.sql("SELECT a, b, c FROM c ORDER BY id") == by_hand
    assert world.column("SELECT c FROM e ORDER BY id") == [1, None, 4]
    told = {(entry["table"], entry["action"]): entry["rows"] for entry in live["tables"]}
    assert told == {(entry["table"], entry["action"]): entry["rows"] for entry in dry["tables"]}
    assert told[("public.c", "delete")] == 1 and told[("public.e", "detach")] == 1


@pytest.mark.parametrize("rule, action", [
    ("CASCADE", "delete"), ("NO ACTION", "keep"), ("RESTRICT", "keep"), ("SET NULL", "keep")])
def test_O2_a_column_that_may_not_be_null_is_not_detached(world, pgsweep, policy_file, rule, action):
    world.sql(f"CREATE TABLE c (id serial, a int NOT NULL REFERENCES t ON DELETE {rule}); INSERT INTO c (a) VALUES (1), (3)")
    lines = acts(pgsweep, policy_file)
    assert [f"action: {action} " in line and "detach" not in line for line in lines] == [True]
    assert world.count("c") == (1 if action == "delete" else 2)
    told = pgsweep("test", "--policy-dir", policy_file(HEAD + "dependents:\n  - { table: c, action: detach }\n"))
    assert told.code == 2 and re.search("Choose .*(delete|keep).*DROP NOT NULL", told.err), told


def test_O2_names_with_quotes_and_capitals_can_be_pasted(world, pgsweep, policy_file):
    world.sql("""CREATE TABLE "It's: {C}" (id serial, a int CONSTRAINT "a'b" REFERENCES t ON DELETE CASCADE,
                 b int CONSTRAINT "%s # x" REFERENCES t); INSERT INTO "It's: {C}" (a, b) VALUES (1, 3), (3, 1), (3, 3)""")
    assert len(acts(pgsweep, policy_file)) == 2
    assert world.sql("""SELECT a, b FROM "It's: {C}" ORDER BY id""") == [(3, None), (3, 3)]


def test_O2_a_thread_that_cascades_is_proposed_to_be_deleted(world, pgsweep, policy_file):
    world.sql("ALTER TABLE t ADD up int REFERENCES t ON DELETE CASCADE; CREATE INDEX ON t (up);"
              f"INSERT INTO t VALUES (5, {OLD}, 1), (6, {OLD}, 5), (7, {OLD}, 2), (8, now(), 7)")
    lines = acts(pgsweep, policy_file)
    assert ["action: delete " in line for line in lines] == [True]
    assert world.column("SELECT id FROM t ORDER BY 1") == [2, 3, 4, 7, 8]


def shared(db):
    db.sql("CREATE TABLE image (id int PRIMARY KEY);"
           "CREATE TABLE shown (t int REFERENCES t ON DELETE CASCADE, image int REFERENCES image ON DELETE CASCADE);"
           "INSERT INTO image SELECT generate_series(1, 6);"
           "INSERT INTO shown VALUES (1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (3, 5), (2, 6)")
    return (HEAD + "dependents:\n  - { table: shown, action: delete }\n"
            "  - { table: image, via: shown, action: delete_orphans }\n")


def test_M4_what_else_refers_to_a_shared_table_has_to_be_decided(world, pgsweep, policy_file):
    text = shared(world)
    world.sql("CREATE TABLE flag (id serial, image int REFERENCES image ON DELETE CASCADE);"
              "CREATE TABLE cover (id serial, image int REFERENCES image ON DELETE SET NULL);"
              "CREATE TABLE banner (id serial, image int REFERENCES image);"
              "INSERT INTO flag (image) VALUES (1), (5); INSERT INTO cover (image) VALUES (2), (5);"
              "INSERT INTO banner (image) VALUES (3), (5)")
    refused = pgsweep("test", "--policy-dir", policy_file(text))
    assert refused.code == 4 and world.count("t") == 4, refused
    lines = acts(pgsweep, policy_file, text)
    assert sorted(re.findall(r"'public\.(\w+)'.* action: (\w+)", "\n".join(lines))) == [
        ("banner", "keep"), ("cover", "detach"), ("flag", "delete")]
    assert world.column("SELECT id FROM image ORDER BY 1") == [3, 5]
    assert world.column("SELECT image FROM flag") == [5] and world.column("SELECT image FROM cover ORDER BY id") == [None, 5]
    assert world.column("SELECT image FROM banner ORDER BY id") == [3, 5]


def test_M4_under_cascade_what_cascades_goes_with_the_shared_row(world, pgsweep, policy_file):
    text = shared(world)
    world.sql("CREATE TABLE flag (id serial, image int REFERENCES image ON DELETE CASCADE);"
              "CREATE TABLE cover (id serial, image int REFERENCES image ON DELETE SET NULL);"
              "INSERT INTO flag (image) VALUES (1), (5); INSERT INTO cover (image) VALUES (2), (5)")
    assert acts(pgsweep, policy_file, text + "unlisted: cascade\n") == []
    assert world.column("SELECT id FROM image ORDER BY 1") == [5]
    assert world.column("SELECT image FROM flag") == [5] and world.column("SELECT image FROM cover ORDER BY id") == [None, 5]


def test_O2_the_hint_does_not_overwrite_the_policy_that_it_is_about(world, pgsweep, policy_file):
    world.sql("CREATE TABLE c (a int REFERENCES t)")
    directory = policy_file(HEAD)
    result = pgsweep("test", "--policy-dir", directory)
    assert result.code == 4 and "pgsweep show" not in result.err and f"{directory}/test.yaml" in result.err, result


def test_O2_the_hint_for_a_built_in_policy_makes_a_file_of_it(db, pgsweep, policy_file):
    db.load("jobs")
    init(pgsweep)
    db.sql("CREATE TABLE job_notes AS SELECT id AS job_id FROM jobs; ALTER TABLE jobs ADD UNIQUE (id);"
           "ALTER TABLE job_notes ADD FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE")
    result = pgsweep("jobs", "--dry-run")
    assert result.code == 4 and "pgsweep show jobs > DIR/jobs.yaml" in result.err, result
    decided(pgsweep, policy_file, pgsweep("show", "jobs").out, name="jobs")


def test_O2_a_condition_that_does_not_fit_is_edited_in_the_policy_that_it_is_in(world, pgsweep, policy_file):
    directory = policy_file(HEAD + "where: t.nonsense = 1\n")
    result = pgsweep("test", "--dry-run", "--policy-dir", directory)
    assert result.code == 2 and "pgsweep show" not in result.err and f"Say in {directory}/test.yaml" in result.err, result


def test_O4_the_index_that_a_refusal_asks_for_can_be_created_as_printed(world, pgsweep, policy_file):
    world.sql("CREATE TABLE \"It's\" (t int REFERENCES t ON DELETE CASCADE, filler text);"
              "INSERT INTO \"It's\" SELECT 3, repeat('x', 900) FROM generate_series(1, 9000)")
    directory, _ = decided(pgsweep, policy_file, HEAD)
    refused = pgsweep("test", "--policy-dir", directory)
    assert refused.code == 4, refused
    for statement in re.findall(r"hint: (CREATE INDEX .*?;)", refused.err):
        world.sql(statement.replace("CONCURRENTLY ", ""))
    run(pgsweep, "test", "--policy-dir", directory)
    assert world.count("t") == 2


@pytest.mark.parametrize("how", ["cascade", "detach"])
@pytest.mark.parametrize("key, left", [
    ("FOREIGN KEY (tenant, t) REFERENCES t (tenant, id) ON DELETE SET NULL (t)", [(1, None), (1, 3)]),
    ("FOREIGN KEY (tenant, t) REFERENCES t (tenant, id) ON DELETE SET NULL", [(None, None), (1, 3)]),
    ("FOREIGN KEY (tenant, t) REFERENCES t (tenant, id) MATCH FULL ON DELETE SET NULL", [(None, None), (1, 3)])])
def test_O2_a_key_of_several_columns_is_detached_as_declared(world, pgsweep, policy_file, how, key, left):
    if "(t)" in key and world.value("SELECT current_setting('server_version_num')::int") < 150000:
        pytest.skip("SET NULL of some columns came with PostgreSQL 15")
    world.sql("ALTER TABLE t ADD tenant int DEFAULT 1; ALTER TABLE t ADD UNIQUE (tenant, id);"
              f"CREATE TABLE c (id serial, tenant int, t int, {key}); INSERT INTO c (tenant, t) VALUES (1, 1), (1, 3)")
    text = HEAD + ("unlisted: cascade\n" if how == "cascade" else "dependents:\n  - { table: c, action: detach }\n")
    run(pgsweep, "test", "--policy-dir", policy_file(text))
    assert world.sql("SELECT tenant, t FROM c ORDER BY id") == left and world.count("t") == 2


@pytest.mark.parametrize("rule, left", [("SET NULL", [(3, None), (4, 4)]), ("SET DEFAULT", [(3, 4), (4, 4)])])
def test_O2_under_cascade_the_own_table_is_detached_as_declared(world, pgsweep, policy_file, rule, left):
    world.sql(f"ALTER TABLE t ADD up int DEFAULT 4 REFERENCES t ON DELETE {rule};"
              "UPDATE t SET up = CASE id WHEN 3 THEN 1 WHEN 2 THEN 1 ELSE 4 END")
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", policy_file(HEAD + "unlisted: cascade\n"))
    live = run(pgsweep, "test", "--policy-dir", policy_file(HEAD + "unlisted: cascade\n"))
    assert world.sql("SELECT id, up FROM t ORDER BY id") == left
    assert [e["rows"] for e in live["tables"]] == [e["rows"] for e in dry["tables"]] == [2, 1]


def test_O2_match_full_is_not_half_detached(world, pgsweep, policy_file):
    world.sql("ALTER TABLE t ADD tenant int DEFAULT 1; ALTER TABLE t ADD UNIQUE (tenant, id);"
              "CREATE TABLE c (id serial, tenant int NOT NULL, t int, FOREIGN KEY (tenant, t) REFERENCES t (tenant, id)"
              " MATCH FULL); INSERT INTO c (tenant, t) VALUES (1, 1), (1, 3)")
    refused = pgsweep("test", "--policy-dir", policy_file(HEAD))
    assert refused.code == 4 and "action: keep" in refused.err and "detach" not in refused.err, refused
    told = pgsweep("test", "--policy-dir", policy_file(HEAD + "dependents:\n  - { table: c, action: detach }\n"))
    assert told.code == 2 and "cannot be detached" in told.err, told


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("rule", ["CASCADE", "NO ACTION"])
def test_O2_a_thread_goes_whole_with_its_object_keys(world, pgsweep, policy_file, rule, chunk):
    world.sql(f"ALTER TABLE t ADD up int REFERENCES t ON DELETE {rule}, ADD key text; CREATE INDEX ON t (up);"
              f"INSERT INTO t VALUES (5, {OLD}, 1), (6, {OLD}, 5), (7, {OLD}, 2), (8, now(), 7); UPDATE t SET key = 'k' || id")
    directory = policy_file(HEAD + "objects: [key]\ndependents:\n  - { table: t, action: delete }\n")
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", directory)
    live = pgsweep("test", "--policy-dir", directory, "--chunk", str(chunk), "--format", "json").json()
    assert world.column("SELECT id FROM t ORDER BY 1") == [2, 3, 4, 7, 8]
    assert live["tables"][0]["rows"] == dry["tables"][0]["rows"] == 3
    assert world.column("SELECT value FROM pgsweep.object_queue ORDER BY 1") == ["k1", "k5", "k6"]


@pytest.mark.parametrize("column", ["status", "Sta tus", '"Quoted"'])
def test_D2_the_column_that_is_missing_is_added_as_the_hint_says(world, pgsweep, policy_file, column):
    world.sql("CREATE TABLE c (id serial, t_id int REFERENCES t); INSERT INTO c (t_id) VALUES (1), (3)")
    text = HEAD + f"dependents:\n  - {{ table: c, action: detach, set: {{ '{column}': gone }} }}\n"
    args = ("test", "--policy-dir", policy_file(text))
    refused = pgsweep(*args)
    assert refused.code == 2, refused
    world.sql(re.search(r"ALTER TABLE .*? ADD COLUMN .*?;", refused.err).group(0))
    assert run(pgsweep, *args)["deleted"] == 2
    name = column if column[0] == '"' else f'"{column}"'
    assert world.sql(f"SELECT t_id, {name} FROM c ORDER BY id") == [(None, "gone"), (3, None)]
