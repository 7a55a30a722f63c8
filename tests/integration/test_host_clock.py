"""A clock that cannot be right is refused before anything is deleted. T2, D8."""
import os
import subprocess
import sys
import time

import pytest

import harness
from sweeping import policy, run

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box  # noqa: E402,F401  pylint: disable=unused-import

DAY = 86400
YEAR = 365 * DAY
NO_DB = {name: None for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE")}


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "clockshim.so"
    source = harness.ROOT / "tests" / "integration" / "clockshim.c"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


@pytest.fixture
def shifted(shim):
    """shifted(host, boot): the environment of a program whose clocks are so many seconds ahead."""
    def make(host=0, boot=0):
        asan = os.environ.get("ASAN_OPTIONS", "")
        return {"LD_PRELOAD": shim, "CLOCK_SHIFT": int(host), "BOOT_SHIFT": int(boot),
                "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0"}
    return make


@pytest.fixture
def files(home):
    """pgsweep tempfiles without a database."""
    runner = harness.Runner(None, home)

    def call(box, *args, code=0, env=None):
        result = runner("tempfiles", "--root", box.root, *args, env=env)
        assert result.code == code, result
        return result
    yield call
    runner.close()


@pytest.fixture
def old_rows(db, pgsweep, policy_file):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           "INSERT INTO t SELECT i, now() - interval '8 days' FROM generate_series(1, 5) AS i")
    assert pgsweep("init").code == 0
    return "--policy-dir", policy_file(policy())


# Files


def to_2100():
    return int((2100 - 1970) * 365.25 * DAY - time.time())


def test_T2_a_host_clock_in_2100_removes_no_file(files, box, shifted):
    box.file("a", age=1)
    box.file("b", age=400)
    before = box.snapshot()
    result = files(box, code=4, env=shifted(to_2100()))
    assert "the clock of this host cannot be right: it says 2100-" in result.err and "--trust-clock" in result.err, result
    files(box, "--dry-run", code=4, env=shifted(to_2100()))
    assert box.snapshot() == before


def test_T2_a_clock_that_the_kernel_shares_is_held_against_the_files(files, box, shifted):
    """The whole host believes that it is 2100: only the files say otherwise."""
    box.file("a/b/c", age=1)
    before = box.snapshot()
    env = shifted(to_2100(), to_2100())
    result = files(box, code=4, env=env)
    assert "nothing in" in result.err and "has changed for more than a year" in result.err and str(box.root) in result.err
    assert "hint: Nothing was deleted." in result.err
    assert box.snapshot() == before
    files(box, "--trust-clock", env=env)
    assert box.names() == []


def test_T2_one_root_that_looks_wrong_keeps_all_from_being_swept(home, box, policy_file, shifted):
    other = box.path / "other"
    box.file("old", age=10)
    box.file("old", age=10, base=other)
    runner = harness.Runner(None, home)
    policies = policy_file(f"kind: files\nretain: 7 days\nroots: [{box.root}, {other}]\n", "tempfiles")
    env = shifted(2 * YEAR, 2 * YEAR)
    # What is in one root has just changed, by that clock.
    os.utime(box.root, (time.time() + 2 * YEAR,) * 2)
    result = runner("tempfiles", "--policy-dir", policies, env=env)
    assert result.code == 4 and str(other) in result.err, result
    assert box.names() == ["old"] and (other / "old").exists()
    trusting = policy_file(f"kind: files\nretain: 7 days\nclock: trust\nroots: [{box.root}, {other}]\n", "tempfiles")
    assert runner("tempfiles", "--policy-dir", trusting, env=env).code == 0
    assert box.names() == [] and not (other / "old").exists()


@pytest.mark.parametrize("ahead, args, code", [
    (364 * DAY, (), 0),                        # quiet for less than a year
    (366 * DAY, (), 4),
    (2 * YEAR, ("--retain", "3 years"), 0),    # nothing is expired
    (2 * YEAR, ("--cutoff", "2020-01-01"), 0)])  # the clock decides nothing
def test_T2_a_root_is_idle_after_a_year(files, box, shifted, ahead, args, code):
    box.file("a", age=1)
    files(box, "--dry-run", *args, code=code, env=shifted(ahead, ahead))


def test_T2_one_young_file_at_any_depth_vouches_for_the_clock(files, box, shifted):
    box.file("a/b/old", age=10)
    young = box.file("x/y/z/young")
    os.utime(young, (time.time() + 366 * DAY - 3600,) * 2)
    files(box, env=shifted(366 * DAY, 366 * DAY))
    assert box.names() == ["x", "x/y", "x/y/z", "x/y/z/young"]


def test_T2_what_a_link_leads_to_vouches_for_nothing(files, box, shifted):
    box.file("old", age=10)
    box.link("link", box.outside)
    os.utime(box.file("young", base=box.outside), (time.time() + 366 * DAY - 3600,) * 2)
    files(box, code=4, env=shifted(366 * DAY, 366 * DAY))


def test_T2_an_empty_idle_root_is_no_reason(files, box, shifted):
    files(box, env=shifted(to_2100(), to_2100()))


def test_T2_a_clock_before_the_program_was_made_is_refused(files, box, shifted):
    box.file("a", age=10)
    result = files(box, code=4, env=shifted(-40 * YEAR, -40 * YEAR))
    assert "this program was made later" in result.err and box.names() == ["a"]


# Rows


@pytest.mark.parametrize("ahead", [-3600, -330, 330, 3600])
def test_D8_a_host_and_a_database_that_disagree_delete_nothing(db, pgsweep, old_rows, shifted, ahead):
    env = shifted(ahead)
    for more in ((), ("--dry-run",)):
        result = pgsweep("test", *old_rows, *more, env=env)
        assert result.code == 4 and "differ by more than 5 minutes" in result.err, result
        assert "detail: The host's clock says 20" in result.err and "--trust-clock" in result.err
    assert db.count("t") == 5


def test_D8_a_small_difference_or_a_stated_one_is_no_reason(db, pgsweep, policy_file, old_rows, shifted):
    run(pgsweep, "test", *old_rows, "--max-rows=1", env=shifted(240))
    run(pgsweep, "test", *old_rows, "--max-rows=1", env=shifted(-240))
    run(pgsweep, "test", *old_rows, "--max-rows=1", "--trust-clock", env=shifted(3600))
    trusting = policy_file(policy(clock="trust"))
    run(pgsweep, "test", "--policy-dir", trusting, "--max-rows=1", env=shifted(-3600))
    assert db.count("t") == 1


def test_D8_the_zone_of_the_host_does_not_matter(db, pgsweep, old_rows):
    run(pgsweep, "test", *old_rows, env={"TZ": "Pacific/Kiritimati"})
    assert db.count("t") == 0


def test_D8_a_file_sweep_with_a_database_compares_the_clocks(db, pgsweep, box, shifted):
    db.load("jobs")
    box.file("a", age=10)
    result = pgsweep("tempfiles", "--root", box.root, env=shifted(3600))
    assert result.code == 4 and "differ by more than 5 minutes" in result.err and box.names() == ["a"], result
    assert pgsweep("tempfiles", "--root", box.root).code == 0
    assert box.names() == []


def test_D8_show_sql_deletes_nothing_and_is_not_refused(pgsweep, old_rows, shifted):
    result = pgsweep("show", "test", "--sql", *old_rows, env=shifted(3600))
    assert result.code == 0, result
