"""PostgreSQL's own DETAIL, HINT and CONTEXT reach people; the values of whole rows do not. O2, M5."""
import pytest

from sweepworld import POLICY

TELLING = "RAISE EXCEPTION 'not this one' USING DETAIL = 'an invoice is open', HINT = 'close the invoice', ERRCODE = '{}'"
WHERE = "PL/pgSQL function refuse() line 1 at RAISE"


@pytest.mark.parametrize("strategy", ["range", "locked", "rows"])
def test_O2_M5_the_detail_and_hint_of_a_trigger_are_told(make_world, pgsweep, tmp_path, strategy):
    world = make_world(strategy)
    world.on_delete([3], TELLING.format("P0001"))
    log = tmp_path / "log"
    report = world.check(world.run(f"--log-file={log}"), left=[3], code=1, failed=1)
    detail = f"an invoice is open\ncontext: {WHERE}"
    assert [(f["error"], f["detail"], f["hint"]) for f in report["failures"]] == \
        [("not this one", detail, "close the invoice")]
    assert world.letters("error, detail, hint") == [("not this one", detail, "close the invoice")]
    logged = [line for line in log.read_text().splitlines() if "failed" in line]
    assert len(logged) == 1 and "not this one; detail: an invoice is open" in logged[0]
    assert WHERE in logged[0] and "hint: close the invoice" in logged[0]
    text = world.runner(strategy, "--policy-dir", world.directory)
    assert "\n    detail: an invoice is open" in text.out and "\n    hint: close the invoice" in text.out
    quiet = world.runner(strategy, "--policy-dir", world.directory, "--quiet")
    assert "detail: an invoice is open" in quiet.err and "hint: close the invoice" in quiet.err
    shown = pgsweep("dlq", "show", str(world.letters("id")[0][0]))
    assert "an invoice is open" in shown.out and "close the invoice" in shown.out


def test_O2_what_ends_a_run_is_told_with_its_hint(world):
    world.on_delete([3], TELLING.format("53200"))
    result = world.run()
    report = result.json()
    assert report["error"]["hint"] == "close the invoice"
    assert report["error"]["detail"] == f"an invoice is open\ncontext: {WHERE}"
    assert "pgsweep: hint: close the invoice" in result.err
    error, = world.db.column("SELECT error FROM pgsweep.runs WHERE run_id = %s", report["run_id"])
    assert error == f"not this one\ndetail: {report['error']['detail']}\nhint: close the invoice"


@pytest.mark.parametrize("rule", ["CHECK", "NOT NULL"])
def test_O2_the_values_of_a_row_are_told_nowhere(db, pgsweep, policy_file, tmp_path, rule):
    db.sql("CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL)")
    db.sql("CREATE TABLE people (id bigint PRIMARY KEY, item_id bigint REFERENCES items, kind text, email text)")
    db.sql("INSERT INTO items SELECT i, now() - interval '30 days' FROM generate_series(1, 5) AS i")
    db.sql("INSERT INTO people SELECT i, i, 'new', 'jane.doe@example.com' FROM generate_series(1, 5) AS i")
    if rule == "NOT NULL":
        db.sql("""CREATE FUNCTION strip() RETURNS trigger LANGUAGE plpgsql AS
                  $$BEGIN IF OLD.id = 3 THEN NEW.kind := NULL; END IF; RETURN NEW; END$$""")
        db.sql("CREATE TRIGGER strip BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION strip()")
        db.sql("ALTER TABLE people ALTER kind SET NOT NULL")
    else:
        db.sql("ALTER TABLE people ADD CONSTRAINT rule CHECK (kind <> 'old' OR id <> 3)")
    db.sql("CREATE INDEX ON people (item_id)")
    db.sql("CREATE INDEX ON items (created_at)")
    directory = policy_file(POLICY + "dependents:\n  - { table: people, action: detach, set: { kind: old } }\n", "people")
    assert pgsweep("init").code == 0
    log = tmp_path / "log"
    outputs = [pgsweep("people", "--policy-dir", directory, f"--log-file={log}", *more)
               for more in ([], ["--format=json"], ["--quiet"])]
    assert [o.code for o in outputs] == [1, 1, 1], outputs
    assert db.count("people", "item_id = 3") == 1
    kept = db.column("SELECT l::text FROM pgsweep.dead_letters AS l UNION ALL SELECT r::text FROM pgsweep.runs AS r")
    told = "".join([o.out + o.err for o in outputs] + [log.read_text()] + kept)
    assert "people" in told and "jane.doe" not in told


def test_O2_sql_that_a_function_made_of_values_is_not_told(world):
    world.db.sql("CREATE TABLE archive (name text PRIMARY KEY)")
    world.db.sql("INSERT INTO archive VALUES ('jane.doe')")
    world.on_delete([3], "EXECUTE format('INSERT INTO archive\n VALUES (%L\n)', 'jane.' || 'doe')")
    result = world.run()
    report = world.check(result, left=[3], code=1, failed=1)
    # The key that exists already is the server's word; the statement is not.
    assert report["failures"][0]["detail"].startswith("Key (name)=(jane.doe) already exists.\ncontext: PL/pgSQL function refuse()")
    assert "INSERT INTO archive" not in result.out + result.err + str(world.letters("detail"))
