"""The second threads of the file sweep leave no trace in what it says and does (T2, T3)."""
import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import NOBODY, box, need_root  # noqa: E402,F401  pylint: disable=unused-import

DIRECTORIES = 120


def errors(result):
    return [line for line in result.stderr.splitlines() if line.startswith("error ")]


def alone(box, *args, **kw):
    """A dry run that tells each name goes through them one by one."""
    return box.sweep("--dry-run", "--verbose", *args, **kw)


def fill(box):
    """A tree with a bit of everything, and files that have names in several directories."""
    dice = random.Random(7)
    linked = []
    for i in range(DIRECTORIES):
        for j in range(dice.randint(0, 8)):
            place = dice.choice([f"d{i}", f"d{i}/sub", f"d{i}/sub/deep"])
            age = dice.choice([10, 10, 10, 1])
            path = box.file(f"{place}/{dice.choice(['f', 'g', 'result'])}{j}", age=age,
                            size=dice.randint(1, 20000))
            if linked and dice.random() < 0.3:
                os.link(dice.choice(linked), f"{path}.link")
            elif dice.random() < 0.4:
                linked.append(path)
        if i % 9 == 0:
            box.link(f"d{i}/link", "/etc")
            os.mkfifo(box.root / f"d{i}/fifo")
    box.age_dirs()


@pytest.mark.parametrize("more", [[], ["--in-use"]], ids=["plain", "in-use"])
def test_T3_a_dry_run_with_two_threads_says_what_one_says_and_what_is_done(box, more):
    fill(box)
    before = box.snapshot()
    expected = alone(box, *more).counts()
    assert expected["bytes"] > 0 and expected["dirs"] > 0 and expected["kept"]["protected"] > 0
    for _ in range(10):
        assert box.sweep("--dry-run", *more).counts() == expected
    assert box.snapshot() == before
    done = box.sweep(*more).counts()
    assert done == expected


@pytest.mark.parametrize("more", [[], ["--in-use"]], ids=["plain", "in-use"])
def test_T3_a_long_directory_is_shared_by_two_threads_and_counted_once(box, more):
    for i in range(6000):
        path = box.file(f"f{i:04}", age=1 if i % 10 == 0 else 10, size=i % 3 * 5000)
        if i % 7 == 0:
            os.link(path, box.root / f"f{i:04}.link")
        if i % 500 == 0:
            box.dir(f"d{i}")
    expected = alone(box, *more).counts()
    assert expected["dirs"] == 12 and expected["kept"]["fresh"] > 600
    for _ in range(3):
        assert box.sweep("--dry-run", *more).counts() == expected
    assert box.sweep(*more).counts() == expected


def test_T3_errors_in_a_long_directory_are_told_in_their_order(box):
    need_root()
    box.root.chmod(0o1777)
    for i in range(6000):
        path = box.file(f"f{i:04}")
        if i % 3 == 0:
            os.chown(path, NOBODY, NOBODY)
    expected = alone(box, user=NOBODY)
    assert expected.errors == {"EPERM": 4000} and expected.files == 2000
    for _ in range(10):
        r = box.sweep("--dry-run", user=NOBODY)
        assert r.counts() == expected.counts() and errors(r) == errors(expected)


def test_T3_two_threads_tell_errors_in_the_order_of_the_names(box):
    need_root()
    for i in range(DIRECTORIES):
        place = box.dir(f"d{i}")
        box.file(f"d{i}/f")
        # EACCES for what cannot be read, another EACCES for what cannot be written to, EPERM for
        # what is someone else's in a directory for all.
        place.chmod([0o700, 0o755, 0o1777][(i // 10) % 3])
    box.age_dirs()
    expected = alone(box, user=NOBODY)
    assert expected.errors["EACCES"] > 0 and expected.errors["EPERM"] > 0
    assert len(errors(expected)) == 2
    for _ in range(20):
        r = box.sweep("--dry-run", user=NOBODY)
        assert r.counts() == expected.counts()
        assert list(r.errors) == list(expected.errors)
        assert errors(r) == errors(expected)


def test_T3_a_limit_of_a_dry_run_is_exact(box):
    fill(box)
    r = box.sweep("--dry-run", "--max", 50)
    assert r.files + r.links + r.dirs == 50 and r.limit


def test_T3_a_deadline_ends_both_threads(box):
    fill(box)
    r = box.sweep("--dry-run", "--max-ms", -1)
    assert r.limit
    assert r.scanned < alone(box).scanned


def test_T2_a_file_with_two_names_is_not_in_use_by_the_sweep_itself(box):
    """What was removed is closed later, by another thread; the other name must go in the same run."""
    for i in range(1500):
        path = box.file(f"many/f{i}")
        if i % 3 == 0:
            os.link(path, box.root / f"many/f{i}.link")
            os.link(path, box.dir("other") / f"f{i}")
    box.age_dirs()
    expected = box.sweep("--in-use", "--dry-run").counts()
    r = box.sweep("--in-use")
    assert r.counts() == expected
    assert r.kept == {} and r.files == 2500 and box.names() == []


def test_T2_two_threads_do_not_take_each_other_for_users_of_a_file(box):
    """Names in directories that come right after one another, so that both get there at once."""
    for i in range(40):
        for j in range(50):
            path = box.file(f"d{i:03}/f{j}", size=100)
            if i % 2:
                path.unlink()
                os.link(box.root / f"d{i - 1:03}/f{j}", path)
    box.age_dirs()
    for _ in range(10):
        r = box.sweep("--in-use", "--dry-run")
        assert r.kept == {} and r.files == 2000


@pytest.mark.parametrize("nofile", [24, 64, 1024])
def test_T3_closing_later_needs_no_more_descriptors_than_there_are(box, nofile):
    for i in range(2000):
        box.file(f"d{i % 3}/f{i}", size=10)
    box.age_dirs()
    r = box.sweep("--in-use", nofile=nofile)
    assert r.failed == 0 and r.files == 2000 and r.dirs == 3 and box.names() == []


def test_T2_on_one_processor_there_is_no_second_thread(box):
    fill(box)
    expected = box.sweep("--in-use", "--dry-run").counts()
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        assert box.sweep("--in-use", "--dry-run").counts() == expected
        assert box.sweep("--in-use").counts() == expected
    finally:
        os.sched_setaffinity(0, processors)
