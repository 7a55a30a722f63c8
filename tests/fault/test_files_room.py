"""min_free: the oldest expired files go until enough is free, and no more."""
import os
import random
import sys

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box, need_root  # noqa: E402,F401  pylint: disable=unused-import

MIB = 1 << 20


def small(box, mib=32):
    """The root is a file system of its own, with little room."""
    need_root()
    box.mount("-t", "tmpfs", "-o", f"size={mib}m", "none", box.root)


def free(box):
    fs = os.statvfs(box.root)
    return fs.f_bavail * fs.f_frsize


def model(box, files, wanted):
    """files: (age, name, bytes) of those that may go. What is left of them."""
    missing = wanted - free(box)
    files = sorted(files, reverse=True)
    while missing > 0 and files:
        missing -= files.pop(0)[2]
    return sorted(name for _, name, _ in files)


def files_of(box):
    return [name for name in box.names() if (box.root / name).is_file()]


@pytest.mark.parametrize("remember", [1, 3, 500000])
@pytest.mark.parametrize("dry", [False, True])
def test_T1_the_oldest_go_until_enough_is_free(box, remember, dry):
    small(box)
    rng = random.Random(remember)
    files = []
    for i, age in enumerate(rng.sample(range(80, 400), 40)):
        size = rng.randint(1, 128) * 4096
        box.file(f"d{i % 5}/f{i}", age=age / 10, size=size)
        files.append((age, f"d{i % 5}/f{i}", size))
    box.file("fresh", age=1, size=MIB)
    box.file("result.mov", age=99, size=MIB)
    box.age_dirs(90)
    wanted = free(box) + 3 * MIB
    left = model(box, files, wanted)
    before = box.snapshot()
    r = box.sweep("--room", wanted, "--remember", remember, *(["--dry-run"] if dry else []))
    assert r.files == len(files) - len(left)
    assert r.kept["enough_free"] >= len(left) and r.kept["fresh"] == 1 and r.kept["protected"] == 1
    if dry:
        assert box.snapshot() == before
    else:
        assert files_of(box) == sorted([*left, "fresh", "result.mov"])
        assert free(box) >= wanted


def test_T1_when_enough_is_free_nothing_goes(box):
    small(box)
    box.file("old", size=MIB)
    assert box.sweep("--room", free(box)).files == 0
    assert box.names() == ["old"]


def test_T1_when_it_is_never_enough_all_that_is_expired_goes(box):
    small(box)
    for i in range(20):
        box.file(f"d/f{i}", age=8 + i, size=8192)
    box.file("fresh", age=1)
    box.age_dirs(9)
    r = box.sweep("--room", 33 * MIB, "--remember", 4)
    assert box.names() == ["fresh"] and r.files == 20 and r.dirs == 1 and r.kept == {"fresh": 1}


def test_T1_T2_what_is_in_use_or_cannot_go_is_made_up_for_by_the_next(box):
    small(box)
    for i in range(6):
        box.file(f"f{i}", age=20 - i, size=MIB)
    box.holder(f"f = open({str(box.root / 'f0')!r})")
    r = box.sweep("--in-use", "--room", free(box) + 2 * MIB)
    assert box.names() == ["f0", "f3", "f4", "f5"]
    assert r.kept["open"] == 1 and r.kept["enough_free"] == 3 and r.files == 2


def test_T1_of_several_times_the_youngest_decides_which_is_the_oldest(box):
    small(box)
    for name, mtime, atime in (("a", 30, 8), ("b", 20, 20), ("c", 10, 29)):
        path = box.file(name, size=MIB)
        now = path.stat().st_ctime
        os.utime(path, (now - atime * 86400, now - mtime * 86400))
    box.sweep("--age-by", "mtime,atime", "--room", free(box) + MIB // 2)
    assert box.names() == ["a", "c"]
