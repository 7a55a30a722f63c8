"""Files of which no lease is to be had: they wait in the trash for a look into /proc, many for one look (T2).

The driver takes what it can see for every process of the host: in a container it is not."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import NOBODY, box, need_root  # noqa: E402,F401  pylint: disable=unused-import

NO_LEASE = {"without": ["lease"]}
ALL = ("--in-use", "--sees-all")


@pytest.fixture
def theirs(box):
    """Makes files of another user, whom root without CAP_LEASE cannot ask for a lease."""
    need_root()

    def make(*names, **kw):
        paths = [box.file(name, **kw) for name in names]
        for path in paths:
            os.chown(path, NOBODY, NOBODY)
        box.age_dirs()
        return paths
    return make


class Holder:
    """hold: a command for a step of the driver, after which a process has $DIR/$NAME open."""

    def __init__(self, pid_file):
        self.pid_file = pid_file
        pid_file.touch()
        pid_file.chmod(0o666)
        self.hold = f"exec 3<$DIR/$NAME; sleep 600 >/dev/null 2>&1 & echo $! >{pid_file}"


@pytest.fixture
def holder(box):
    holder = Holder(box.path / "pid")
    yield holder
    os.kill(int(holder.pid_file.read_text()), 9)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_T2_where_proc_shows_everything_a_free_file_goes_and_one_in_use_stays(box, theirs, more):
    free, used = theirs("d/free", "d/used", size=5000)
    box.holder(f"f = open({str(used)!r})")
    r = box.sweep(*ALL, *more, **NO_LEASE)
    assert r.kept == {"open": 1, "not_empty": 1} and r.files == 1 and r.bytes == 8192
    assert used.exists() and free.exists() == bool(more)


def test_T2_a_file_that_is_opened_after_the_first_look_stays(box, theirs, holder):
    """However short the time: only what is opened by its name before it is moved can be open when /proc is read."""
    names = [f"f{i}" for i in range(5)]
    paths = theirs(*names)
    for path in paths:
        path.write_text(path.name)
        box.age(path, 10)
    r = box.sweep(*ALL, "--only", "f2", "--on-held", holder.hold, **NO_LEASE)
    assert r.kept == {"open": 1} and r.files == 4
    assert box.names() == ["f2"] and paths[2].read_text() == "f2"


def test_T2_one_look_serves_many_files(box, theirs):
    """More than wait at a time; the one in use is among the last."""
    theirs(*(f"f{i:04d}" for i in range(2100)))
    used, = theirs("used")
    box.holder(f"f = open({str(used)!r})")
    r = box.sweep(*ALL, **NO_LEASE)
    assert r.kept == {"open": 1} and r.files == 2100 and box.names() == ["used"]


def test_T2_a_fresh_file_that_takes_the_name_before_it_is_moved_is_given_back(box, theirs):
    path, _ = theirs("f", "g")
    new = box.file("new", base=box.outside, age=0)
    new.write_text("new")
    r = box.sweep(*ALL, "--only", "f", "--on-held", f"mv {new} $DIR/f", **NO_LEASE)
    assert r.kept == {"changed": 1} and r.files == 1 and path.read_text() == "new"


def test_T3_a_name_that_is_taken_while_its_file_waits_costs_neither(box, theirs, holder):
    path, = theirs("f")
    path.write_text("old")
    box.age(path, 10)
    new = box.file("new", base=box.outside, age=0)
    new.write_text("new")
    r = box.sweep(*ALL, "--on-held", holder.hold, "--on-moved", f"mv {new} $DIR/f", **NO_LEASE)
    assert r.kept == {"open": 1} and r.aside == 1 and path.read_text() == "new"
    other, = [p for p in box.root.iterdir() if p.name != "f"]
    assert other.name.startswith("f.pgsweep-kept-") and other.read_text() == "old"


@pytest.mark.parametrize("place", ["", "d/e/"])
def test_T3_a_run_killed_while_files_wait_loses_nothing(box, theirs, place):
    """The next run puts them back where they were, before it looks at anything."""
    paths = theirs(*(f"{place}f{i}" for i in range(5)))
    box.sweep(*ALL, "--only", "f3", "--on-moved", "kill -9 $PPID", killed=True, **NO_LEASE)
    waiting = list((box.trash() / ".pgsweep-held").iterdir())
    assert 1 <= len(waiting) == 5 - sum(p.exists() for p in paths)
    dry = box.sweep("--dry-run", "--cutoff", 1)
    r = box.sweep("--cutoff", 1)
    assert all(p.exists() for p in paths) and box.trash() is None
    assert dry.files == r.files == dry.dirs == r.dirs == 0
    box.age_dirs()
    assert box.sweep(*ALL, **NO_LEASE).files == 5 and box.names() == []


def test_T3_what_waited_and_has_no_place_any_more_is_swept_by_the_same_rules(box, theirs):
    path, = theirs("d/f")
    box.sweep(*ALL, "--on-moved", "kill -9 $PPID", killed=True, **NO_LEASE)
    path.parent.rmdir()
    held = box.trash() / ".pgsweep-held" / "f"
    assert box.sweep("--cutoff", 1).kept == {"fresh": 1} and held.exists()
    assert box.sweep(*ALL, **NO_LEASE).files == 1 and box.names() == []


@pytest.mark.parametrize("most", [1, 3, 5])
def test_T1_a_limit_is_exact_among_files_that_wait(box, theirs, most):
    paths = theirs(*(f"f{i}" for i in range(5)))
    box.holder(f"f = open({str(paths[0])!r})")
    r = box.sweep(*ALL, "--max", most, **NO_LEASE)
    assert r.files == min(most, 4) and r.limit == (most < 4) and paths[0].exists()
    assert len(box.names()) == 5 - min(most, 4)


def test_T2_what_stays_is_given_back_before_anything_is_removed(box, theirs, holder):
    """A pause may follow each removal: what somebody works with is not out of its place for as long."""
    *_, last = theirs(*(f"f{i}" for i in range(5)))
    r = box.sweep(*ALL, "--only", "f4", "--on-held", holder.hold, "--at", 1, "--on-deleted",
                  f"test -e {last} && echo there >&2", **NO_LEASE)
    assert r.files == 4 and "there" in r.stderr


def test_T2_names_of_one_file_that_wait_together_all_go(box, theirs):
    first, = theirs("a", size=5000)
    for name in "bcd":
        os.link(first, box.root / name)
    r = box.sweep(*ALL, **NO_LEASE)
    assert r.files == 4 and r.bytes == 8192 and box.names() == []


def test_T2_without_a_private_place_proc_is_read_for_each_file(box, holder):
    need_root()
    place = box.dir("own")
    place.chmod(0o777)
    box.root.chmod(0o755)
    for name in ("free", "used"):
        os.chown(box.file(f"own/{name}"), 1, 1)
    for path in place.iterdir():
        path.chmod(0o666)
    r = box.sweep(*ALL, "--only", "used", "--on-held", holder.hold, user=NOBODY)
    assert r.kept["open"] == 1 and r.files == r.unguarded == 1 and (place / "used").exists()
