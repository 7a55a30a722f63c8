"""The working directory of a deleted job, and the trash it goes through (J3, J6)."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from harness import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import NOBODY, box, driver, need_root  # noqa: E402,F401  pylint: disable=unused-import

TRASH = ".pgsweep-trash.*"  # a pattern: the name is another one in each run


def test_J3_a_working_directory_goes_whatever_its_age(box):
    box.file("4711/frame", age=0, size=5000)
    box.file("4711/sub/f", age=0)
    box.link("4711/link", "/etc/passwd", age=0)
    os.mkfifo(box.root / "4711/fifo")
    box.file("4712/f", age=100)
    before = box.snapshot()
    dry = box.tree("4711", "--dry-run")
    assert dry.outcome == "removed" and box.snapshot() == before
    r = box.tree("4711", "--in-use")
    assert r.outcome == "removed" and dry.counts() == r.counts()
    assert (r.files, r.links, r.special, r.dirs, r.bytes) == (2, 1, 1, 2, 8192)
    assert box.names() == ["4712", "4712/f"]


def test_J6_a_missing_working_directory_is_success(box):
    assert box.tree("4711").outcome == "missing"
    assert box.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "../outside", "/etc", "a/b", "a\nb", "x" * 256,
                                  ".pgsweep-trash", ".pgsweep-trash.0123456789abcdef", "\x1b[2J"])
def test_J3_dangerous_names_are_refused(box, name):
    box.file("f", base=box.outside)
    box.file("a/b/f")
    r = box.tree(name)
    assert r.outcome == "refused" and r.reason and r.scanned == 0
    assert box.names(box.outside) == ["f"] and (box.root / "a/b/f").exists()


def test_J3_only_directories_are_working_directories(box):
    box.file("inside/f", base=box.outside)
    box.link("link", box.outside / "inside")
    box.file("file")
    for name in ("link", "file"):
        assert box.tree(name).outcome == "refused"
    assert box.names() == ["file", "link", "link/f"] or box.names() == ["file", "link"]
    assert (box.outside / "inside/f").exists()


def test_J3_protected_output_stays_in_place_with_its_directory(box):
    box.file("4711/result.mp4", size=10)
    box.file("4711/frames/f1")
    box.file("4711/deep/output/x")
    dry = box.tree("4711", "--dry-run")
    r = box.tree("4711")
    assert r.outcome == "kept" and r.kept == {"protected": 2, "not_empty": 2}
    assert dry.counts() == r.counts() and dry.outcome == "kept"
    assert box.names() == ["4711", "4711/deep", "4711/deep/output", "4711/deep/output/x",
                           "4711/result.mp4"]


def test_J3_patterns_with_a_slash_count_from_the_root(box):
    box.file("4711/final/f")
    box.file("4711/other/f")
    assert box.tree("4711", "--protect", "*/final").outcome == "kept"
    assert box.names() == ["4711", "4711/final", "4711/final/f"]


def test_J3_a_file_in_use_stays_in_place(box):
    path = box.file("4711/f", age=0)
    box.file("4711/g", age=0)
    box.holder(f"f = open({str(path)!r})")
    r = box.tree("4711", "--in-use")
    assert r.outcome == "kept" and r.kept == {"open": 1, "not_empty": 1}
    assert box.names() == ["4711", "4711/f"]


def test_J3_a_mount_inside_stays(box):
    box.file("f", base=box.outside)
    box.file("4711/g")
    box.dir("4711/mnt")
    box.mount("--bind", box.outside, box.root / "4711/mnt")
    assert box.tree("4711").kept["other_fs"] == 1
    assert (box.outside / "f").exists()


def test_J4_an_active_or_protected_working_directory_stays(box):
    box.file("4711/f")
    box.file("output-1/f")
    assert box.tree("4711", "--active", "4711").kept == {"active_job": 1}
    assert box.tree("4711", "--protect-dir", box.root / "4711").kept == {"protected": 1}
    assert box.tree("output-1").outcome == "kept"
    assert box.names() == ["4711", "4711/f", "output-1", "output-1/f"]


def test_J3_the_directory_leaves_its_place_before_it_is_emptied(box):
    """A worker that still writes meets a missing directory, not one that is half there."""
    for i in range(10):
        box.file(f"4711/f{i}")
    r = box.tree("4711", "--at", 1, "--on-deleted", f"ls -a {box.root} >&2; stat -c %a "
                 f"{box.root}/{TRASH} >&2")
    listed = r.stderr.split()
    assert [n for n in listed if n.startswith(".pgsweep-trash.")] and "4711" not in listed and "700" in listed
    assert box.names() == []


def test_J3_a_protected_file_that_arrives_late_comes_back(box):
    for i in range(10):
        box.file(f"4711/f{i}")
    r = box.tree("4711", "--on-listed",
                 f"test -d {box.root}/{TRASH}/4711 && touch $DIR/result; true")
    # Listed before it arrived: the directory is not empty, and stays in the trash for the next run.
    assert r.outcome == "kept"
    assert box.finish().kept["protected"] == 1
    assert box.names() == ["4711", "4711/result"]


def test_J6_a_killed_run_is_finished_by_the_next(box):
    for i in range(200):
        box.file(f"4711/d{i % 5}/f{i}", age=0)
    process = subprocess.Popen([driver(), "tree", str(box.root), "4711", "--pause-every", "20",
                                "--pause-ms", "3600000"], stdout=subprocess.DEVNULL)
    wait_until(lambda: sum(len(files) for _, _, files in os.walk(box.root)) <= 182, what="the first pause")
    assert box.finish().scanned == 0  # it is still at it
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = len(box.names())
    assert (box.trash() / "4711").is_dir() and left > 10
    before = box.snapshot()
    dry = box.finish("--dry-run")
    assert box.snapshot() == before
    live = box.finish()
    assert dry.counts() == live.counts() and live.files > 0
    assert box.names() == []


@pytest.mark.parametrize("at", ["checked", "moved"])
def test_J6_a_run_killed_around_a_removal_is_finished_by_the_next(box, at):
    box.file("4711/f", age=0)
    box.file("4711/g", age=0)
    box.killed_tree("4711", at)
    assert box.finish().files == 2 and box.names() == []


def test_J6_a_leftover_of_the_same_name_is_no_obstacle(box):
    box.killed_tree("4711")
    box.file("4711/new")
    assert box.tree("4711").outcome == "removed"
    assert box.finish().files == 1
    assert box.names() == []


def test_T2_what_a_killed_run_left_is_swept_by_the_same_rules(box):
    """Fresh files, protected ones, and ones in use stay; a job that became active again keeps its directory."""
    for name in ("4711/old-open", "4711/old", "4711/sub/old", "4711/sub/old2"):
        box.file(name, age=100)
    for name in ("4711/fresh", "4711/sub/fresh"):
        box.file(name, age=1)
    trash = box.killed_tree("4711")
    assert box.sweep("--in-use", "--active", "4711").kept == {"active_job": 1}  # and the slot is given back
    box.holder(f"f = open({str(trash / '4711/old-open')!r})")
    dry = box.sweep("--in-use", "--dry-run")
    r = box.sweep("--in-use")
    assert r.counts() == dry.counts()
    assert r.files == 3 and r.kept == {"open": 1, "fresh": 2, "not_empty": 2}
    left = box.names(trash)
    assert left == [".pgsweep-record", "4711", "4711/fresh", "4711/old-open", "4711/sub", "4711/sub/fresh"]


def test_T2_what_is_protected_in_the_trash_of_a_killed_run_comes_back(box):
    trash = box.killed_tree("4711")
    (trash / "4711/result.mp4").write_text("late")
    (trash / "4711/sub").mkdir()
    box.sweep()
    assert box.names() == ["4711", "4711/result.mp4", "4711/sub"]


def disguise(box, how):
    """A private directory of root, with what root would hate to lose, where a trash would be."""
    place = box.root / ".pgsweep-trash.0123456789abcdef"
    if how == "old name":
        place = box.root / ".pgsweep-trash"
    if how in ("copied record", "moved from another root"):
        real = box.killed_tree("1")
        if how == "copied record":
            record = (real / ".pgsweep-record").read_bytes()
            box.finish()
            place.mkdir(mode=0o700)
            (place / ".pgsweep-record").write_bytes(record)
            (place / ".pgsweep-record").chmod(0o600)
        else:
            (box.root / "inner").mkdir()
            place = box.root / "inner" / real.name
            real.rename(place)
    else:
        place.mkdir(mode=0o700)
    (place / "4711").mkdir(exist_ok=True)
    (place / "4711" / "precious").write_text("fresh")
    return place


@pytest.mark.parametrize("how", ["name", "old name", "copied record", "moved from another root"])
def test_T2_a_private_directory_that_looks_like_a_trash_is_none(box, how):
    """Another user can move a directory of root into the place of a trash, if he can foresee where that is."""
    place = disguise(box, how)
    root = place.parent
    assert box.finish(root=root).scanned == 0
    assert box.sweep("--in-use", root=root).kept["fresh"] >= 1
    assert (place / "4711/precious").read_text() == "fresh"
    r = box.sweep("--cutoff", int(time.time()) + 100, "--protect-dir", place / "4711", root=root)
    assert r.kept["protected"] == 1 and (place / "4711/precious").exists()


def test_T2_nothing_in_the_trash_is_touched_while_another_sweep_holds_the_root(box):
    trash = box.killed_tree("4711")
    (trash / "4711/old").write_text("x")
    box.age(trash / "4711/old", 100)
    box.hold_lock()
    assert box.sweep().kept == {"locked": 1} and (trash / "4711/old").exists()


@pytest.mark.parametrize("trap", ["link", "file", "open", "foreign"])
@pytest.mark.parametrize("name", [".pgsweep-trash", ".pgsweep-trash.0123456789abcdef"])
def test_T2_nobody_can_stop_a_sweep_with_a_trash_of_his_own(box, trap, name):
    box.file("4711/f")
    box.file("old")
    box.file("f", base=box.outside)
    trash = box.root / name
    if trap == "link":
        trash.symlink_to(box.outside)
    elif trap == "file":
        trash.write_text("x")
    else:
        trash.mkdir(mode=0o700)
        if trap == "open":
            trash.chmod(0o770)
        else:
            need_root()
            os.chown(trash, NOBODY, NOBODY)
    assert box.tree("4711").outcome == "removed"
    assert box.finish().code == 0
    assert box.sweep().kept == {"fresh": 1}
    assert box.names(box.outside) == ["f"] and os.listdir(box.root) == [name]


def test_T2_the_trash_of_another_user_is_stepped_around(box):
    need_root()
    box.root.chmod(0o777)
    os.chown(box.file("f"), NOBODY, NOBODY)
    box.dir(".pgsweep-trash.0123456789abcdef").chmod(0o700)
    r = box.sweep(user=NOBODY)
    assert r.files == 1 and r.errors == {} and r.kept == {}


def test_J3_where_no_trash_can_be_made_it_is_emptied_in_place(box):
    need_root()
    box.file("4711/f")
    for path in (box.root / "4711", box.root / "4711/f"):
        os.chown(path, NOBODY, NOBODY)
    r = box.tree("4711", user=NOBODY)
    assert r.outcome == "kept" and r.files == 1 and r.errors == {"EACCES": 1}
    assert box.names() == ["4711"]
