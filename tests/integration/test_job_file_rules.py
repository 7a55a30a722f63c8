"""What stays in the working directories of deleted jobs: patterns, directories, age, use, case (J3, T2)."""
import sys

import pytest

import harness
from sweeping import init, policy, run
from test_job_directories import add, queue, sweep
from test_job_directories import jobs  # noqa: F401  pylint: disable=unused-import

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box, need_root  # noqa: E402,F401  pylint: disable=unused-import


def rules(policy_file, box, **files):
    """A policy for jobs whose working directories have these rules."""
    return policy_file(policy("jobs", "created_at", dependents=[{"table": "job_logs", "action": "delete"}],
                              files={"directory": "id", "root": str(box.root), **files}), "mine")


def left(box):
    return sorted(str(p.relative_to(box.root)) for p in box.root.rglob("*") if not p.is_dir())


def test_J3_T2_what_the_policy_protects_stays(jobs, pgsweep, box, policy_file):
    for job in (1, 2):
        add(jobs, job)
        for name in ("final.mov", "frame.tmp", "keep/a/b", "pinned/c", "RESULT.mp4"):
            box.file(f"{job}/{name}")
    policies = rules(policy_file, box, protect=["*.mov", "*/keep/**"], protect_dirs=[f"{box.root}/2/pinned"])
    found = run(pgsweep, "mine", "--policy-dir", policies)
    assert left(box) == sorted(["1/final.mov", "1/keep/a/b", "1/RESULT.mp4", "2/final.mov", "2/keep/a/b",
                                "2/RESULT.mp4", "2/pinned/c"])
    directories = found["directories"]
    assert (directories["kept"], directories["removed"], directories["waiting"]) == (2, 0, 0)
    assert directories["files_protected"] == 7 and queue(jobs) == []


def test_J3_T2_patterns_and_directories_of_options_and_environment(jobs, pgsweep, box):
    for name in ("final.mov", "a.png", "pinned/c", "x"):
        box.file(f"1/{name}")
    add(jobs, 1)
    found = run(pgsweep, "jobs", "--protect", "*.mov", "--protect-dir", box.root / "1/pinned",
                env={"TEMP_DIR": box.root, "PGSWEEP_JOBS_PROTECT": "*.png"})
    assert left(box) == ["1/a.png", "1/final.mov", "1/pinned/c"] and found["directories"]["kept"] == 1


def test_J3_T2_fresh_files_stay_with_a_retention(jobs, pgsweep, box, policy_file):
    add(jobs, 1)
    add(jobs, 2)
    box.file("1/final.mov", age=0)
    box.file("1/old", age=3)
    box.file("2/old", age=3)
    box.age_dirs(3)
    found = run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, retain="1 day"))
    assert left(box) == ["1/final.mov"] and not (box.root / "2").exists()
    directories = found["directories"]
    assert (directories["kept"], directories["removed"], directories["files_young"]) == (1, 1, 1)
    assert queue(jobs) == []


def test_J3_T2_by_default_files_stay_as_long_as_rows(jobs, pgsweep, box):
    """The job is old, and somebody has written its output only now."""
    for job in (1, 2):
        jobs.sql("INSERT INTO jobs (id, status, created_at) VALUES (%s, 'finished', now() - interval '90 days')", job)
    for name, age in (("1/final.mov", 0), ("1/x", 6.9), ("1/old", 7.1), ("2/old", 8)):
        box.file(name, age=age)
    (box.root / "2/empty").mkdir()
    found = sweep(pgsweep, box)
    assert left(box) == ["1/final.mov", "1/x"] and not (box.root / "2").exists()
    assert (found["directories"]["kept"], found["directories"]["files_young"]) == (1, 2) and queue(jobs) == []


@pytest.mark.parametrize("retain, stays", [("P1D", True), ("1 day", True), ("none", False)])
def test_J3_T2_the_retention_of_files_can_be_stated(jobs, pgsweep, box, policy_file, retain, stays):
    add(jobs, 1)
    box.file("1/final.mov", age=0.5)
    box.file("1/x", age=2)
    run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, retain=retain))
    assert left(box) == (["1/final.mov"] if stays else [])


def test_J3_T1_the_youngest_of_several_times_counts_there_too(jobs, pgsweep, box, policy_file):
    add(jobs, 1)
    box.file("1/unpacked", age=300)
    run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, retain="1 day", age_by=["mtime", "ctime"]))
    assert left(box) == ["1/unpacked"]
    add(jobs, 1)
    run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, retain="1 day", age_by="mtime"))
    assert left(box) == []


@pytest.mark.parametrize("in_use", ["keep", "delete"])
def test_J3_T2_files_in_use(jobs, pgsweep, box, policy_file, in_use):
    need_root()
    add(jobs, 1)
    path = box.file("1/open", age=30)
    box.holder(f"f = open({str(path)!r})")
    found = run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, in_use=in_use))
    assert path.exists() == (in_use == "keep")
    assert found["directories"]["busy"] == (1 if in_use == "keep" else 0)


def test_J3_T2_case_of_outputs(jobs, pgsweep, box, policy_file):
    add(jobs, 1)
    box.file("1/RESULT.mp4")
    sweep(pgsweep, box)
    assert left(box) == ["1/RESULT.mp4"]
    add(jobs, 1)
    run(pgsweep, "mine", "--policy-dir", rules(policy_file, box, protect_case="match"))
    assert left(box) == []


def test_J3_what_a_killed_run_queued_keeps_the_rules_of_that_run(jobs, pgsweep, box):
    """The rules stand in the queue: a later run, or a drain, knows nothing of an option of this one."""
    add(jobs, 1)
    box.file("1/final.mov")
    box.file("1/b.png")
    box.file("1/x")
    jobs.sql("CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS "
             "'BEGIN new.next_attempt := pg_catalog.now() + ''1 hour''; RETURN new; END'")
    jobs.sql("CREATE TRIGGER later BEFORE INSERT ON pgsweep.object_queue FOR EACH ROW EXECUTE FUNCTION later()")
    sweep(pgsweep, box, "--protect", "*.mov")
    assert len(left(box)) == 3 and len(queue(jobs)) == 1
    jobs.sql("DROP TRIGGER later ON pgsweep.object_queue")
    assert pgsweep("objects", "retry", "jobs").code == 0
    assert pgsweep("objects", "drain", "jobs").code == 0
    assert left(box) == ["1/final.mov"] and queue(jobs) == []


def test_J3_a_dead_letter_that_is_retried_keeps_the_rules(jobs, pgsweep, box):
    add(jobs, 1)
    box.file("1/final.mov")
    box.file("1/x")
    jobs.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root, rules, attempts, next_attempt) "
             "VALUES ('directory', 'jobs', 'r', 's', '1', '/nowhere/at/all/..', "
             "'{\"age_by\":0,\"in_use\":0,\"protect\":[\"*.mov\"],\"protect_dirs\":[],"
             "\"protect_case\":0,\"system_root\":0}', 9, now())")
    jobs.sql("UPDATE pgsweep.object_queue SET root = %s", f"{box.root}/../root")
    assert pgsweep("objects", "drain").code == 1  # refused for its "..": the tenth attempt
    (letter,) = jobs.column("SELECT id FROM pgsweep.dead_letters WHERE kind = 'directory'")
    jobs.sql("UPDATE pgsweep.dead_letters SET root = %s", str(box.root))
    assert pgsweep("dlq", "retry", letter).code == 0
    assert pgsweep("objects", "drain").code == 0
    assert left(box) == ["1/final.mov"]


def test_J3_what_the_policy_protects_by_now_is_protected_too(jobs, pgsweep, box):
    box.file("1/final.mov")
    box.file("1/x")
    jobs.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root) "
             "VALUES ('directory', 'jobs', 'r', 's', '1', %s)", str(box.root))
    sweep(pgsweep, box, "--protect", "*.mov")
    assert left(box) == ["1/final.mov"]


def test_J3_T2_a_system_directory_holds_no_working_directories(jobs, pgsweep):
    add(jobs, 1)
    result = pgsweep("jobs", env={"TEMP_DIR": "/var"})
    assert result.code == 2 and "is a directory of the system" in result.err
    assert jobs.count("jobs") == 1


@pytest.mark.parametrize("files, message", [
    ({"protect": ["./keep"]}, 'has a "." between slashes'),
    ({"protect": ["{root}/1/keep"]}, "begins with the root"),
    ({"protect_dirs": ["keep"]}, "is not an absolute path"),
    ({"retain": "5"}, "has a number without a unit"),
    ({"age_by": "size"}, "age_by must be one of mtime, atime, ctime, btime"),
    ({"special": "delete"}, 'unknown key "special" in files')])
def test_J3_T2_rules_that_make_no_sense_are_refused_before_a_row_goes(jobs, pgsweep, box, policy_file, files, message):
    add(jobs, 1)
    box.file("1/keep")
    files = {k: [x.replace("{root}", str(box.root)) for x in v] if isinstance(v, list) else v for k, v in files.items()}
    result = pgsweep("mine", "--policy-dir", rules(policy_file, box, **files))
    assert result.code == 2 and message in result.err and "mine.yaml" in result.err, result
    assert jobs.count("jobs") == 1 and left(box) == ["1/keep"]
