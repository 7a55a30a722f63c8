"""Metrics, alerts and log lines against what the database holds. M6, M7, M8, O4."""
import os
import re
import threading
import time

import pytest

from objectsworld import Mocs
from sweeping import policy

LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)\n')


def parse(text):
    """{(name, ((label, value)...)): number}; what promtool checks: HELP and TYPE once and before the
    samples of a family, which stand together; no sample twice; the file ends with a newline."""
    found, types, helps, seen, family = {}, {}, set(), set(), None
    assert text.endswith("\n")
    for line in text.splitlines(keepends=True):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helps and len(line.split(" ", 3)[3].strip()) > 0
            helps.add(name)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types and name in helps and kind in ("gauge", "counter")
            types[name] = kind
            continue
        match = LINE.fullmatch(line)
        assert match, repr(line)
        name, labels, value = match.groups()
        assert name in types
        assert name == family or name not in seen, f"{name} is scattered"
        family = name
        seen.add(name)
        pairs = tuple((k, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v))
                      for k, v in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
        assert (name, pairs) not in found
        found[name, pairs] = float(value)
    return found


@pytest.fixture
def plain(db, pgsweep):
    return Mocs(db, pgsweep)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pgsweep_mocs.prom"


def simple(file, name, policy_name="mocs"):
    return parse(file.read_text())[f"pgsweep_{name}", (("policy", policy_name),)]


def test_M7_values_are_what_the_database_says(mocs, file):
    for moc in range(1, 4):
        mocs.add(moc, [f"f{moc}"], bricks=4, images=[(moc, f"i{moc}", None), ])
    mocs.add(4, images=[1], age=None)
    before = time.time()
    report = mocs.run("--metrics-file", file)
    assert mocs.left() == [4]
    bricks = mocs.db.count("moc_parts", "status = 'available' AND parts_list_id IS NULL")
    orphaned = 3 - mocs.db.count("gallery_images")
    metrics = report["metrics"]
    assert {k: v for k, v in metrics.items() if k != "duration_ms"} == {
        "processed": 3, "failed": 0, "objects_deleted": 5, "images_orphaned": orphaned, "bricks_returned": bricks}
    assert (orphaned, bricks) == (2, 12) and mocs.keys() == ["i1"]
    assert metrics["duration_ms"] == report["duration_ms"] > 0
    found = parse(file.read_text())
    label = (("policy", "mocs"),)
    for name, value in {"last_run_processed": 3, "last_run_failed": 0, "last_run_objects_deleted": 5,
                        "objects_waiting": 0, "dead_letters": 0, "last_run_exit_code": 0,
                        "last_run_eligible": 3}.items():
        assert found[f"pgsweep_{name}", label] == value, name
    for name in ("last_run_timestamp_seconds", "last_success_timestamp_seconds"):
        assert before - 1 <= found[f"pgsweep_{name}", label] <= time.time() + 1
    assert found["pgsweep_last_run_duration_seconds", label] == pytest.approx(metrics["duration_ms"] / 1000)
    assert found["pgsweep_last_run_counted", (("policy", "mocs"), ("name", "bricks_returned"))] == 12
    assert found["pgsweep_last_run_counted", (("policy", "mocs"), ("name", "images_orphaned"))] == 2
    assert found["pgsweep_last_run_rows", (("policy", "mocs"), ("table", "public.moc_files"),
                                           ("action", "delete"))] == 3
    assert os.stat(file).st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) and not [n for n in os.listdir(file.parent) if n.endswith(".new")]


def test_M7_the_last_success_is_carried_over_failures(plain, file):
    plain.add(1)
    plain.run("--metrics-file", file)
    success = simple(file, "last_success_timestamp_seconds")
    plain.add(2)
    plain.refuse(2)
    time.sleep(1.1)
    plain.run("--metrics-file", file, code=6)
    assert simple(file, "last_success_timestamp_seconds") == success
    assert simple(file, "last_run_timestamp_seconds") > success
    assert (simple(file, "last_run_exit_code"), simple(file, "last_run_failed"), simple(file, "dead_letters")) == (6, 1, 1)
    # An error that ends the run before it began: what is not known is not told as 0.
    result = plain.runner("mocs", "--metrics-file", file, "--retry-for=0 s", env={"PGPORT": "1"})
    assert result.code == 3
    found = parse(file.read_text())
    assert simple(file, "last_success_timestamp_seconds") == success and simple(file, "last_run_exit_code") == 3
    for name in ("dead_letters", "objects_waiting"):
        assert (f"pgsweep_{name}", (("policy", "mocs"),)) not in found
    plain.allow()
    plain.run("--metrics-file", file)
    assert simple(file, "last_success_timestamp_seconds") > success


def test_M7_a_first_failure_has_no_success(plain, file):
    plain.add(1)
    plain.refuse(1)
    plain.run("--metrics-file", file, code=6)
    assert simple(file, "last_success_timestamp_seconds") == 0


def test_M7_a_dry_run_writes_no_metrics(plain, file):
    plain.add(1)
    plain.run("--dry-run", "--metrics-file", file)
    assert not file.exists()


def test_M7_waiting_objects_are_told(plain, file):
    plain.add(1, ["a", "b"])
    plain.run("--metrics-file", file, code=1)
    assert simple(file, "objects_waiting") == 2


def test_O4_a_reader_never_sees_a_partial_file(plain, file):
    plain.run("--metrics-file", file)
    stop, bad, reads = threading.Event(), [], [0]

    def read():
        while not stop.is_set():
            try:
                found = parse(file.read_text())
                reads[0] += 1
                assert ("pgsweep_dead_letters", (("policy", "mocs"),)) in found
            except Exception as problem:  # a thread's assertion would be lost
                bad.append(problem)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(12):
        plain.run("--metrics-file", file)
    stop.set()
    thread.join()
    assert not bad and reads[0] > 50
    assert os.listdir(file.parent).count(file.name) == 1


@pytest.mark.parametrize("kind", ["no directory", "a directory", "below a file"])
def test_O4_an_unwritable_file_is_an_error_before_anything_is_touched(plain, tmp_path, kind):
    """test_host_files.py has one that cannot be written at the end: the work stands."""
    path = {"no directory": tmp_path / "none" / "m.prom", "a directory": tmp_path / "d", "below a file": "/dev/full/m"}[kind]
    if kind == "a directory":
        path.mkdir()
    plain.add(1)
    result = plain.runner("mocs", "--metrics-file", path)
    assert result.code == 2 and plain.left() == [1], result
    assert "pgsweep: error: the metrics file" in result.err and str(path) in result.err and "hint" in result.err


def test_O4_labels_are_escaped(db, pgsweep, policy_file, file):
    db.sql('CREATE TABLE "we ""ird\\t" (id int PRIMARY KEY, at timestamptz);'
           'INSERT INTO "we ""ird\\t" VALUES (1, \'2020-01-01\')')
    assert pgsweep("init").code == 0
    where = policy_file(policy(table='"we ""ird\\t"'))
    result = pgsweep("test", "--policy-dir", where, "--metrics-file", file)
    assert result.code == 0, result
    found = [(labels, v) for (name, labels), v in parse(file.read_text()).items() if name == "pgsweep_last_run_rows"]
    assert len(found) == 1 and 'we "' in dict(found[0][0])["table"] and found[0][1] == 1


# Alerts


def some_fail(mocs, failing, total):
    for moc in range(1, total + 1):
        mocs.add(moc)
    mocs.refuse(*range(1, failing + 1))


@pytest.mark.parametrize("failing,total,code", [(1, 10, 1), (2, 10, 6), (1, 9, 6), (2, 20, 1), (3, 20, 6)])
def test_M8_more_than_ten_percent_failed(plain, failing, total, code):
    some_fail(plain, failing, total)
    report = plain.run(code=code)
    err = report["result"].err
    assert report["deleted"] == total - failing and len(plain.left()) == failing
    assert (f"{failing} of {total} items failed, more than 10%" in str(report["alerts"])) == (code == 6)
    assert re.search(rf"^pgsweep: alert: policy mocs, run {report['run_id']}: ", err, re.M) if code == 6 else err == ""


@pytest.mark.parametrize("letters,code", [(50, 0), (51, 6)])
def test_M8_dead_letter_depth_above_fifty(plain, letters, code):
    for moc in range(1, letters + 1):
        plain.add(moc)
    plain.db.sql("INSERT INTO pgsweep.dead_letters (policy, key, state, error, run_id)"
                 " SELECT 'mocs', ARRAY[i::text], 'parked', 'e', 'r' FROM generate_series(1, %s) AS i", letters)
    plain.add(1000)
    report = plain.run(code=code)
    assert report["dead_letters"] == letters and report["deleted"] == 1
    assert report["alerts"] == ([f"{letters} dead letters, more than 50"] if code else [])


def copied(plain, policy_file, alerts):
    text = plain.runner("show", "mocs").out
    if alerts is not None:
        text = re.sub(r"^alerts:(\n  .*)*.*\n(  .*\n)*", alerts, text, flags=re.M)
    return policy_file(text, "mocs")


@pytest.mark.parametrize("alerts,code", [("alerts: { failed_share: 50%, dead_letters: 50 }\n", 1),
                                         ("alerts: { failed_share: 5%, dead_letters: 50 }\n", 6),
                                         ("alerts: { dead_letters: 1 }\n", 6), ("alerts: { dead_letters: 2 }\n", 1),
                                         ("", 1)])
def test_M8_a_policy_says_when_to_alert(plain, policy_file, alerts, code):
    some_fail(plain, 2, 5)
    where = copied(plain, policy_file, alerts)
    assert alerts in (where / "mocs.yaml").read_text() and "10%" not in (where / "mocs.yaml").read_text()
    report = plain.run("--policy-dir", where, code=code)
    assert len(report["alerts"]) == (code == 6) and report["failed"] == 2


def test_M8_a_signal_is_told_before_an_alert(plain):
    some_fail(plain, 3, 4)
    plain.db.sql("""CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_sleep(1); RETURN OLD; END$$;
        CREATE TRIGGER a_slow BEFORE DELETE ON moc_instructions FOR EACH ROW EXECUTE FUNCTION slow()""")
    running = plain.start("--chunk=2")
    plain.db.wait_for_sleeper()
    running.signal(15)
    result = running.wait()
    assert result.code == 143 and result.json()["exit_code"] == 143, result
    assert "pgsweep: alert:" in result.err


def test_M8_an_error_is_told_before_an_alert(plain):
    some_fail(plain, 1, 1)
    plain.db.sql("ALTER TABLE moc_files RENAME TO files")
    result = plain.runner("mocs")
    assert result.code == 2 and "alert" not in result.err


# Log lines and the run id


def test_M6_a_log_line_for_each_moc_with_its_counts(mocs, s3):
    mocs.add(1, ["a", "b"], bricks=3, images=[(1, "i", None)])
    mocs.add(2, ["c"])
    s3.down()
    result = mocs.runner("mocs", "--verbose", env=mocs.env)
    assert result.code == 1, result
    run_id = mocs.db.value("SELECT run_id FROM pgsweep.runs")
    lines = [line for line in result.err.splitlines() if " deleted " in line]
    assert len(lines) == 2
    for moc, line in zip((1, 2), sorted(lines, key=lambda text: "(id)=(2)" in text)):
        assert re.match(rf"\d{{4}}-\S+ {run_id} mocs: deleted public\.moc_instructions \(id\)=\({moc}\)", line), line
    one = min(lines, key=lambda text: "(id)=(2)" in text)
    for part in ("moc_files 2", "moc_parts 3", "moc_parts_lists 1", "gallery_images 1", "moc_gallery_images 1"):
        assert re.search(rf"\.{part}\b", one), one
    assert {row[0] for row in mocs.db.sql("SELECT run_id FROM pgsweep.object_queue")} == {run_id}


def test_M6_one_run_id_everywhere(plain):
    plain.add(1)
    plain.add(2, ["a"])
    plain.refuse(1, message="no\nway \x1b[31m")
    report = plain.run("--verbose", code=6)
    run_id = report["run_id"]
    assert plain.db.column("SELECT run_id FROM pgsweep.runs UNION ALL SELECT run_id FROM pgsweep.object_queue"
                           " UNION ALL SELECT run_id FROM pgsweep.dead_letters") == [run_id] * 3
    lines = report["result"].err.splitlines()
    assert all(run_id in line for line in lines if line), lines
    assert [line for line in lines if "failed public.moc_instructions (id)=(1)" in line]
    assert "\x1b" not in report["result"].err


def test_M6_a_log_file_has_each_moc_of_each_run_and_mails_stay_empty(plain, tmp_path):
    log = tmp_path / "mocs.log"
    ids = []
    for first in (1, 4):
        for moc in range(first, first + 3):
            plain.add(moc, ["a", "b"], bricks=3)
        if first == 4:
            plain.refuse(5)
        result = plain.runner("mocs", "--quiet", "--log-file", log)
        assert result.out == "" and "deleted" not in result.err.replace("could not be deleted", "")
        assert result.code == (6 if first == 4 else 1)  # keys of objects wait for a store
        ids.append(plain.db.value("SELECT run_id FROM pgsweep.runs ORDER BY started DESC LIMIT 1"))
    lines = log.read_text().splitlines()
    found = [re.fullmatch(r"(\d{4}-\S+Z) (\S+) mocs: (deleted|failed) public\.moc_instructions \(id\)=\((\d)\)(.*)", line)
             for line in lines]
    assert all(found), lines
    assert sorted((m[2], m[3], m[4]) for m in found) == sorted(
        [(ids[0], "deleted", i) for i in "123"] + [(ids[1], "deleted", i) for i in "46"] + [(ids[1], "failed", "5")])
    assert all("moc_files 2" in m[5] and "moc_parts 3" in m[5] for m in found if m[3] == "deleted")


@pytest.mark.parametrize("path, code", [("/nowhere/x.log", 2), ("/", 2), ("/dev/full", 4)])
def test_M6_O1_a_log_that_cannot_be_written_is_an_error(plain, path, code):
    """One that cannot be opened, or is no file: before anything is touched. For a full disk see test_host_files.py."""
    plain.add(1)
    result = plain.runner("mocs", "--log-file", path)
    assert result.code == code and "pgsweep: error: the log" in result.err and path in result.err, result
    assert plain.left() == [1]


def test_A3_M5_a_quiet_run_tells_what_could_not_be_deleted(plain):
    for moc in range(1, 21):
        plain.add(moc)
    plain.refuse(3, message="no\nway \x1b[31m")
    result = plain.runner("mocs", "--quiet")
    assert result.code == 1 and result.out == ""
    run_id = plain.db.value("SELECT run_id FROM pgsweep.runs")
    assert f"pgsweep: warning: policy mocs, run {run_id}: rows that could not be deleted: 1 (pgsweep dlq list mocs); the first," \
           " (id)=(3): no\\nway" in result.err and "\x1b" not in result.err


def test_O4_quiet_says_nothing_when_all_is_well(mocs):
    mocs.add(1, ["a"])
    result = mocs.runner("mocs", "--quiet", env=mocs.env)
    assert (result.code, result.out, result.err) == (0, "", "") and mocs.keys() == []


def test_M3_a_store_failure_is_a_warning_even_when_quiet(mocs, s3):
    mocs.add(1, ["a"])
    s3.down()
    result = mocs.runner("mocs", "--quiet", env=mocs.env)
    assert result.code == 1 and result.out == "" and "pgsweep: warning:" in result.err, result


def test_O4_two_tables_under_one_name_are_one_number(plain, policy_file, file):
    text = plain.runner("show", "mocs").out.replace("count_as: images_orphaned", "count_as: bricks_returned")
    plain.add(1, bricks=3, images=[(1, "i", None)])
    report = plain.run("--policy-dir", policy_file(text, "mocs"), "--metrics-file", file, code=1)
    assert report["metrics"]["bricks_returned"] == 4
    assert parse(file.read_text())["pgsweep_last_run_counted", (("policy", "mocs"), ("name", "bricks_returned"))] == 4
