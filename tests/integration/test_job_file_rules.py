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
    drain(pgsweep, box, "jobs")
    assert left(box) == ["1/final.mov"] and queue(jobs) == []


def test_J3_a_dead_letter_that_is_retried_keeps_the_rules(jobs, pgsweep, box):
    add(jobs, 1)
    box.file("1/final.mov")
    box.file("1/x")
    jobs.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root, rules, attempts, next_attempt) "
             "VALUES ('directory', 'jobs', 'r', 's', '1', '/nowhere/at/all/..', "
             "'{\"age_by\":0,\"in_use\":0,\"protect\":[\"*.mov\"],\"protect_dirs\":[],"
             "\"protect_case\":0,\"system_root\":0}', 9, now())")
    jobs.sql("UPDATE pgsweep.object_queue SET root = %s", str(box.root))
    box.root.rename(box.path / "away")
    box.root.symlink_to("away")
    drain(pgsweep, box, code=1)  # refused as a link: the tenth attempt
    (letter,) = jobs.column("SELECT id FROM pgsweep.dead_letters WHERE kind = 'directory'")
    box.root.unlink()
    (box.path / "away").rename(box.root)
    assert pgsweep("dlq", "retry", letter).code == 0
    drain(pgsweep, box)
    assert left(box) == ["1/final.mov"]


def test_J3_what_the_policy_protects_by_now_is_protected_too(jobs, pgsweep, box):
    box.file("1/final.mov")
    box.file("1/x")
    jobs.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root) "
             "VALUES ('directory', 'jobs', 'r', 's', '1', %s)", str(box.root))
    sweep(pgsweep, box, "--protect", "*.mov")
    assert left(box) == ["1/final.mov"]


ENQUEUE = ("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root, rules) "
           "VALUES ('directory', %s, 'r', 's', %s, %s, %s)")


def drain(pgsweep, box, *args, code=0, root=None):
    result = pgsweep("objects", "drain", *args, "--format", "json", env={"TEMP_DIR": root or box.root})
    assert result.code == code, result
    return result, result.json()["directories"]


@pytest.mark.parametrize("how", ["run", "drain"])
def test_T2_D8_a_queued_directory_elsewhere_stays(jobs, pgsweep, box, how):
    """Somebody wrote rows of the queue; or the policy has other directories by now."""
    box.file("1/x")
    box.file("f/x", base=box.path / "elsewhere")
    box.file("f/x", base=box.path / "root2")
    box.file("sub/f/x")
    for root in (box.path / "elsewhere", box.path / "root2", box.root / "sub", box.path, f"{box.root}/../elsewhere"):
        jobs.sql(ENQUEUE, "jobs", "f", str(root), None)
    jobs.sql(ENQUEUE, "jobs", "1", f"{box.root}//", None)  # the same root, spelled otherwise
    if how == "run":
        found = run(pgsweep, "jobs", env={"TEMP_DIR": box.root}, code=1)
        counts, told = found["directories"], found["remarks"]
    else:
        result, counts = drain(pgsweep, box, code=1)
        told = result.err.splitlines()
    assert (counts["removed"], counts["elsewhere"], counts["waiting"]) == (1, 5, 5)
    told = [line for line in told if "elsewhere" in line]
    assert len(told) == 2 and all(f"policy jobs has its working directories below {box.root} (environment variable TEMP_DIR)" in line
                                  for line in told), told
    assert sorted(p.name for p in box.path.rglob("f")) == ["f", "f", "f"] and not (box.root / "1").exists()
    # Nothing is lost: they wait, however often that is looked at, for a policy that has this root.
    for _ in range(11):
        drain(pgsweep, box, code=1)
    assert drain(pgsweep, box, code=1, root=box.path / "root2")[1]["removed"] == 1
    assert not (box.path / "root2/f").exists() and (box.path / "elsewhere/f/x").exists()


@pytest.mark.parametrize("name", ["nobody", "anonymous"])
def test_T2_D8_without_a_policy_that_has_directories_they_stay(jobs, pgsweep, box, name):
    box.file("1/x")
    jobs.sql(ENQUEUE, name, "1", str(box.root), None)
    result, counts = drain(pgsweep, box, code=1)
    assert counts["elsewhere"] == 1 and left(box) == ["1/x"]
    assert ("there is no policy nobody" if name == "nobody" else "policy anonymous has no working directories") in result.err, result


def test_T2_D8_a_queued_directory_gets_no_less_protection_than_the_policy_states(jobs, pgsweep, box, policy_file):
    """Whoever can write to the queue can write rules, too: the stricter of both counts."""
    need_root()
    box.file("1/a.mov")
    box.file("1/B.KEEP")
    box.file("1/young", age=1)
    box.file("1/old")
    held = open(box.file("1/open"), "rb")
    policies = rules(policy_file, box, retain="7 days", protect=["*.mov", "*.keep"], protect_case="ignore")
    jobs.sql(ENQUEUE, "mine", "1", str(box.root), '{"retain":"none","age_by":0,"in_use":1,"protect":[],"protect_dirs":[],'
             '"protect_case":2,"system_root":1}')
    drain(pgsweep, box, "--policy-dir", policies)
    held.close()
    assert left(box) == ["1/B.KEEP", "1/a.mov", "1/open", "1/young"]


def test_T2_D8_a_row_of_the_queue_allows_no_directory_of_the_system(jobs, pgsweep):
    jobs.sql(ENQUEUE, "jobs", "pgsweep-none", "/etc", '{"age_by":0,"in_use":0,"protect":[],"protect_dirs":[],'
             '"protect_case":0,"system_root":1}')
    result = pgsweep("objects", "drain", env={"TEMP_DIR": "/etc"})
    assert result.code == 1 and "directory of the system" in result.err, result


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
