"""The working directories of deleted jobs: which go, which stay, and what is told (J3, J6, O2)."""
import os
import sys

import pytest

import harness
from sweeping import init, policy, run

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box  # noqa: E402,F401  pylint: disable=unused-import

OLD = "now() - interval '8 days'"


@pytest.fixture
def jobs(db, pgsweep):
    db.load("jobs")
    init(pgsweep)
    return db


@pytest.fixture
def text_jobs(db, pgsweep):
    db.sql("CREATE TABLE jobs (id text PRIMARY KEY, status text, created_at timestamptz NOT NULL)")
    init(pgsweep)
    return db


def add(db, name, status="finished", age=OLD):
    db.sql(f"INSERT INTO jobs (id, status, created_at) VALUES (%s, %s, {age})", name, status)


def directory(box, name, *files):
    for file in files or ("frame.tmp",):
        box.file(f"{name}/{file}", size=5000)


def sweep(pgsweep, box, *args, name="jobs", **kwargs):
    return run(pgsweep, name, *args, env={"TEMP_DIR": box.root}, **kwargs)


def queue(db):
    return db.sql("SELECT kind, value, root, state, attempts FROM pgsweep.object_queue ORDER BY id")


def test_J3_directories_of_deleted_jobs_go_the_others_stay(jobs, pgsweep, box):
    for name, status, age in ((1, "finished", OLD), (2, "running", OLD), (3, "finished", "now()"), (4, "failed", OLD)):
        add(jobs, name, status, age)
        directory(box, name, "a", "deep/b")
    directory(box, "other")
    directory(box, "44")
    box.file("4711")
    found = sweep(pgsweep, box)
    assert found["deleted"] == 2
    assert sorted(os.listdir(box.root)) == ["2", "3", "44", "4711", "other"]
    directories = found["directories"]
    assert (directories["queued"], directories["removed"], directories["waiting"]) == (2, 2, 0)
    assert directories["bytes_freed"] == 4 * 8192 and queue(jobs) == []


def test_J3_summary_for_people(jobs, pgsweep, box):
    add(jobs, 1)
    add(jobs, 2)
    directory(box, 1, "a", "result.mp4")
    result = pgsweep("jobs", env={"TEMP_DIR": box.root})
    assert "\n  working directories: 2 queued, 1 removed, 1 kept for files that are protected or too young; 8.0 KiB freed\n" in result.out
    result = pgsweep("jobs", env={"TEMP_DIR": box.root})
    assert "working directories" not in result.out


def test_J3_output_stays_with_its_directory(jobs, pgsweep, box):
    add(jobs, 1)
    directory(box, 1, "frame.tmp", "out/result.mp4", "out/frame.tmp", "output/x")
    found = sweep(pgsweep, box)
    assert box.names() == ["1", "1/out", "1/out/result.mp4", "1/output", "1/output/x"]
    assert found["directories"]["kept"] == 1 and queue(jobs) == []


def test_J6_a_job_without_a_directory_is_fine(jobs, pgsweep, box):
    add(jobs, 1)
    found = sweep(pgsweep, box)
    assert found["directories"]["removed"] == 1 and found["remarks"] == [] and queue(jobs) == []


BAD = ["../outside", "/etc", "a/b", "", ".", "..", "new\nline", "\x1b[2J", "x" * 256, ".pgsweep-trash.0123456789abcdef", "../root"]


@pytest.mark.parametrize("name", BAD)
def test_J3_a_name_that_leads_elsewhere_is_refused_and_told(text_jobs, pgsweep, box, name):
    box.file("precious", base=box.outside)
    directory(box, "a/b")
    directory(box, ".pgsweep-trash.0123456789abcdef")
    directory(box, "good")
    add(text_jobs, name)
    add(text_jobs, "good")
    before = {key: value for key, value in box.snapshot().items() if "/good" not in key and key != str(box.root)}
    found = sweep(pgsweep, box, code=1)
    assert found["deleted"] == 2 and found["outcome"] == "partial"
    assert found["directories"]["refused"] == 1 and found["directories"]["removed"] == 1
    remark, = [text for text in found["remarks"] if "not removed" in text]
    assert "the name" in remark and "\n" not in remark and "\x1b" not in remark
    after = box.snapshot()
    assert set(key for key in before if "trash" not in key) <= set(after) and not (box.root / "good").exists()
    assert [row[3] for row in queue(text_jobs)] == ["foreign"]
    again = sweep(pgsweep, box)
    assert again["directories"]["refused"] == 0 and again["exit_code"] == 0
    listed = pgsweep("objects", "list").out
    assert "foreign" in listed and "\x1b" not in listed


def test_J3_J7_many_refused_names_cost_one_statement(text_jobs, pgsweep, box, server_log):
    text_jobs.sql(f"INSERT INTO jobs SELECT 'a/' || i, 'done', {OLD} FROM generate_series(1, 300) AS i")
    found = sweep(pgsweep, box, code=1)
    assert found["directories"]["refused"] == 300
    assert len([text for text in found["remarks"] if "not removed" in text]) == 5
    assert {(row[3], row[4]) for row in queue(text_jobs)} == {("foreign", 0)}
    assert len(server_log.matching(r"UPDATE pgsweep\.object_queue AS q SET state = \$3")) == 1


@pytest.mark.parametrize("target", ["outside", "root/other"])
def test_J3_a_symbolic_link_is_never_followed(jobs, pgsweep, box, target):
    box.file("precious", base=box.outside)
    directory(box, "other")
    add(jobs, 1)
    box.link("1", box.path / target)
    found = sweep(pgsweep, box, code=1)
    assert (box.root / "1").is_symlink() and (box.root / "other/frame.tmp").exists()
    assert box.names(box.outside) == ["precious"]
    assert found["directories"]["refused"] == 1
    assert 'working directory "1" is not removed: it is a symbolic link, not a directory' in found["remarks"]


def test_J3_without_its_root_on_this_host_nothing_is_queued(jobs, pgsweep, box):
    add(jobs, 1)
    found = run(pgsweep, "jobs", env={"TEMP_DIR": f"{box.root}/nowhere"})
    assert found["deleted"] == 1 and found["directories"]["queued"] == 0 and queue(jobs) == []
    assert found["directory_root"] is None
    assert found["remarks"] == [f"{box.root}/nowhere (environment variable TEMP_DIR) does not exist on this host:"
                                " no working directories are removed"]
    if not os.path.exists("/tmp/nexrender"):  # nobody asked for it
        assert run(pgsweep, "jobs", "--dry-run", env={"TEMP_DIR": None})["remarks"] == []


@pytest.mark.parametrize("root, message", [("relative", "not an absolute path"), ("/", "/"), ("{box}/link", "link")])
def test_J3_unsafe_root_is_refused_before_a_row_goes(jobs, pgsweep, box, root, message):
    box.link("link", box.outside)
    add(jobs, 1)
    for args in ((), ("--dry-run",)):
        result = pgsweep("jobs", *args, env={"TEMP_DIR": root.format(box=box.root)})
        assert result.code == 2 and message in result.err and "TEMP_DIR" in result.err, result
    assert jobs.count("jobs") == 1


def test_J3_root_and_column_of_a_policy(db, pgsweep, box, policy_file):
    db.sql("CREATE TABLE renders (id int PRIMARY KEY, uid text, at timestamptz)")
    init(pgsweep)
    for number, uid in ((1, "x"), (2, None), (3, "y y")):
        db.sql(f"INSERT INTO renders VALUES (%s, %s, {OLD})", number, uid)
    for name in ("x", "1", "2", "y y"):
        directory(box, name)
    policies = policy_file(policy("renders", files={"directory": "uid", "root": str(box.root)}))
    found = run(pgsweep, "test", "--policy-dir", policies, env={"TEMP_DIR": "/nowhere"})
    assert sorted(os.listdir(box.root)) == ["1", "2"]
    assert found["directories"]["queued"] == 2 and found["directory_root"] == str(box.root)
    policies = policy_file(policy("renders", files={"directory": "uuid"}))
    result = pgsweep("test", "--policy-dir", policies)
    assert result.code == 2 and 'has no column "uuid"' in result.err, result


@pytest.mark.parametrize("kind", ["text", "int", "bigint", "uuid", "varchar(40)", "numeric"])
def test_J3_a_directory_that_a_surviving_row_names_too_stays(db, pgsweep, box, policy_file, kind):
    one, two = (1, 2) if kind in ("int", "numeric") else (2**63 - 1, -2**63) if kind == "bigint" else ("8a1c9a3e-0000-4000-8000-00000000000" + n for n in "12")
    db.sql(f"CREATE TABLE renders (id int PRIMARY KEY, \"The \"\"id\" {kind}, at timestamptz)")
    init(pgsweep)
    db.sql(f"INSERT INTO renders VALUES (1, %s, {OLD}), (2, %s, now()), (3, %s, {OLD})", one, one, two)
    directory(box, one)
    directory(box, two)
    policies = policy_file(policy("renders", files={"directory": 'The "id'}))
    # Names that are no value of the column's type must not make the look fail.
    for odd in ("99999999999999999999", "9223372036854775808", "-", "x"):
        db.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root)"
               " VALUES ('directory', 'test', 'r', 'x', %s, %s)", odd, str(box.root))
    found = sweep(pgsweep, box, "--policy-dir", policies, name="test")
    assert os.listdir(box.root) == [str(one)]
    assert found["directories"]["in_use"] == 1 and queue(db) == []


def test_J3_T2_names_that_a_collation_takes_for_the_same_are_two_directories(db, pgsweep, box, policy_file):
    """Rows that stay have "a", "A" and "á": whichever of them the database would show for all, none of these directories goes."""
    db.sql("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false);"
           "CREATE TABLE renders (id int PRIMARY KEY, uid text COLLATE blind, at timestamptz)")
    init(pgsweep)
    for i, name in enumerate(("a", "A", "á", "b")):
        db.sql(f"INSERT INTO renders VALUES (%s, %s, {OLD})", i, name)
        directory(box, name)
        if name != "b":
            db.sql("INSERT INTO renders VALUES (%s, %s, now())", 10 + i, name)
    policies = policy_file(policy("renders", files={"directory": "uid"}))
    found = sweep(pgsweep, box, "--policy-dir", policies, name="test")
    assert sorted(os.listdir(box.root)) == ["A", "a", "á"]
    assert (found["directories"]["in_use"], found["directories"]["removed"]) == (3, 1)


@pytest.mark.not_hostile  # a cast of its own
@pytest.mark.parametrize("kind", ["mood", "chosen", "padded"])
def test_T2_D8_the_look_for_survivors_runs_no_cast_of_a_user(db, pgsweep, box, policy_file, kind):
    """The owner of a type may make a cast to text: its function runs as nobody, and its answer deletes nothing."""
    role = db.role("other")
    db.sql("CREATE SCHEMA apart; CREATE TYPE apart.mood AS ENUM ('a', 'b', 'c');"
           "CREATE DOMAIN apart.chosen AS apart.mood; CREATE DOMAIN apart.padded AS char(5); CREATE TABLE seen (x int);"
           "CREATE FUNCTION apart.evil(apart.mood) RETURNS text LANGUAGE plpgsql AS"
           " $$BEGIN INSERT INTO seen VALUES (1); RETURN 'x'; END$$;"
           "CREATE CAST (apart.mood AS text) WITH FUNCTION apart.evil(apart.mood);"
           f"ALTER FUNCTION apart.evil(apart.mood) OWNER TO {role}; ALTER TYPE apart.mood OWNER TO {role};"
           f"CREATE TABLE renders (id int PRIMARY KEY, uid apart.{kind}, at timestamptz);"
           f"INSERT INTO renders VALUES (1, 'a', {OLD}), (2, 'b', {OLD}), (3, 'b', now()), (4, 'c', now())")
    init(pgsweep)
    for name in "abc":
        directory(box, name)
    found = sweep(pgsweep, box, "--policy-dir", policy_file(policy("renders", files={"directory": "uid"})), name="test")
    assert db.count("seen") == 0 and sorted(os.listdir(box.root)) == ["b", "c"]
    assert (found["directories"]["in_use"], found["directories"]["removed"]) == (1, 1)


@pytest.mark.parametrize("kind", ["regclass", "name_of_table"])
def test_J3_T2_names_that_depend_on_the_search_path_are_refused(db, pgsweep, box, policy_file, kind):
    """A regclass has a schema in its text, or not, as the path of the session has it."""
    db.sql("CREATE DOMAIN name_of_table AS regclass; CREATE SCHEMA app; CREATE TABLE app.one ();"
           f"CREATE TABLE renders (id int PRIMARY KEY, uid {kind}, at timestamptz); INSERT INTO renders VALUES (1, 'app.one', {OLD})")
    init(pgsweep)
    directory(box, "app.one")
    result = pgsweep("test", "--policy-dir", policy_file(policy("renders", files={"directory": "uid"})), env={"TEMP_DIR": box.root})
    assert result.code == 2 and f"uid\" is of type {kind}, whose text depends on the search path" in result.err, result
    assert db.count("renders") == 1 and os.listdir(box.root) == ["app.one"]


def test_J7_the_look_for_survivors_uses_the_index(jobs, pgsweep, box, server_log):
    add(jobs, 1)
    directory(box, 1)
    sweep(pgsweep, box)
    looks = server_log.matching(r'SELECT DISTINCT "id"::pg_catalog.text COLLATE pg_catalog."C" FROM "public"."jobs"')
    assert len(looks) == 1 and 'WHERE "id" OPERATOR(pg_catalog.=) ANY' in looks[0]


def test_O2_dry_run_says_where_and_changes_nothing(jobs, pgsweep, box):
    add(jobs, 1)
    directory(box, 1)
    before = box.snapshot()
    result = pgsweep("jobs", "--dry-run", env={"TEMP_DIR": box.root})
    assert f"\n  working directories: {box.root}/<id>\n" in result.out
    found = sweep(pgsweep, box, "--dry-run")
    assert found["directory_root"] == str(box.root) and found["directories"]["queued"] == 0
    assert box.snapshot() == before and queue(jobs) == []


def test_J3_one_transaction_per_job_removes_directories_too(jobs, pgsweep, box, policy_file):
    for name in range(5):
        add(jobs, name)
        directory(box, name)
    policies = policy_file(policy("jobs", "created_at", transaction="row", files={"directory": "id"},
                                  dependents=[{"table": "job_logs", "action": "delete"}]))
    found = sweep(pgsweep, box, "--policy-dir", policies, name="test")
    assert found["directories"]["removed"] == 5 and box.names() == []


def test_J3_many_directories_in_batches(jobs, pgsweep, box):
    jobs.sql(f"INSERT INTO jobs (id, status, created_at) SELECT i, 'finished', {OLD} FROM generate_series(1, 2500) AS i")
    for name in range(1, 2501):
        (box.root / str(name)).mkdir()
    found = sweep(pgsweep, box)
    assert found["directories"]["removed"] == 2500 and box.names() == [] and queue(jobs) == []


def test_O4_metrics_of_directories(jobs, pgsweep, box, tmp_path):
    add(jobs, 1)
    directory(box, 1)
    path = tmp_path / "jobs.prom"
    sweep(pgsweep, box, "--metrics-file", path)
    text = path.read_text(encoding="utf-8")
    assert 'pgsweep_last_run_directories_removed{policy="jobs"} 1\n' in text
    assert 'pgsweep_directories_waiting{policy="jobs"} 0\n' in text
    assert 'pgsweep_last_run_directories_failed{policy="jobs"} 0\n' in text
    add(jobs, 2)
    box.file("2")
    sweep(pgsweep, box, "--metrics-file", path, code=1)
    text = path.read_text(encoding="utf-8")
    assert 'pgsweep_last_run_directories_failed{policy="jobs"} 1\n' in text
    assert 'pgsweep_last_run_exit_code{policy="jobs"} 1\n' in text
