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

TRASH = ".pgsweep-trash"


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
                                  TRASH, "\x1b[2J"])
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
    assert TRASH in listed and "4711" not in listed and "700" in listed
    assert box.names() == []


def test_J3_a_protected_file_that_arrives_late_comes_back(box):
    for i in range(10):
        box.file(f"4711/f{i}")
    r = box.tree("4711", "--on-listed",
                 f"test -d {box.root}/{TRASH}/4711 && touch {box.root}/{TRASH}/4711/result; true")
    # Listed before it arrived: the directory is not empty, and stays in the trash for the next run.
    assert r.outcome == "kept"
    assert box.finish().kept["protected"] == 1
    assert box.names() == ["4711", "4711/result"]


def test_J6_a_killed_run_is_finished_by_the_next(box):
    for i in range(200):
        box.file(f"4711/d{i % 5}/f{i}", age=0)
    process = subprocess.Popen([driver(), "tree", str(box.root), "4711", "--pause-every", "20",
                                "--pause-ms", "3600000"], stdout=subprocess.DEVNULL)
    wait_until(lambda: len(box.names()) < 200, what="the first pause")
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = len(box.names())
    assert (box.root / TRASH / "4711").is_dir() and left > 10
    assert box.sweep("--cutoff", int(time.time()) + 100).scanned == 0
    assert len(box.names()) == left
    before = box.snapshot()
    dry = box.finish("--dry-run")
    assert box.snapshot() == before
    live = box.finish()
    assert dry.counts() == live.counts() and live.files > 0
    assert box.names() == []


def test_J6_a_leftover_of_the_same_name_is_no_obstacle(box):
    box.file(f"{TRASH}/4711/old")
    (box.root / TRASH).chmod(0o700)
    box.file("4711/new")
    assert box.tree("4711").outcome == "removed"
    assert box.names() == []


def test_J6_only_directories_in_the_trash_are_wiped(box):
    box.file(f"{TRASH}/4711/f")
    box.file(f"{TRASH}/note")
    (box.root / TRASH).chmod(0o700)
    box.finish()
    assert box.names() == [TRASH, f"{TRASH}/note"]


def test_J6_the_trash_is_never_swept_as_a_directory(box):
    box.file(f"{TRASH}/4711/f", age=100)
    box.file(f"d/{TRASH}/f", age=100)
    box.age_dirs(100)
    r = box.sweep()
    assert r.kept == {} and r.scanned == r.files + r.dirs == 3
    assert box.names() == [TRASH, f"{TRASH}/4711", f"{TRASH}/4711/f"]


@pytest.mark.parametrize("trap", ["link", "file", "open", "foreign"])
def test_J3_a_trash_that_is_not_ours_alone_is_refused(box, trap):
    box.file("4711/f")
    trash = box.root / TRASH
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
    for r in (box.tree("4711"), box.finish()):
        assert r.code == 4 and "hint" in r.stderr
    assert (box.root / "4711/f").exists() and box.names(box.outside) == []


def test_J3_where_no_trash_can_be_made_it_is_emptied_in_place(box):
    need_root()
    box.file("4711/f")
    for path in (box.root / "4711", box.root / "4711/f"):
        os.chown(path, NOBODY, NOBODY)
    r = box.tree("4711", user=NOBODY)
    assert r.outcome == "kept" and r.files == 1 and r.errors == {"EACCES": 1}
    assert box.names() == ["4711"]
