"""What is old enough to go, what a run leaves to the next, and that a dry run says the same (T1, O2)."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from harness import PATIENCE, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import DAY, box, driver, need_root  # noqa: E402,F401  pylint: disable=unused-import

NOW = 1_700_000_000


def test_T1_expired_files_and_emptied_directories_go_the_root_stays(box):
    box.file("a", size=5000)
    box.file("d/e/f", size=100)
    box.file("d/fresh", age=1)
    box.dir("empty")
    box.dir("young", age=1)
    box.age_dirs()
    box.age(box.root / "young", 1)
    box.age(box.root, 10)
    r = box.sweep()
    assert box.names() == ["d", "d/fresh", "young"]
    assert (r.files, r.dirs, r.failed) == (2, 2, 0)
    assert r.kept == {"fresh": 2, "not_empty": 1}
    assert r.bytes == 8192 + 4096


def test_T1_an_empty_root_stays(box):
    box.age(box.root, 100)
    assert box.sweep().scanned == 0
    assert box.root.is_dir()


@pytest.mark.parametrize("offset,stays", [(-1, False), (0, True), (1, True)])
def test_T1_the_cutoff_is_exact_to_the_nanosecond(box, offset, stays):
    path = box.file("f")
    when = NOW * 10**9 + 500 + offset
    os.utime(path, ns=(when, when))
    box.sweep("--cutoff", f"{NOW}.000000500")
    assert path.exists() == stays


def test_T1_times_in_the_future_are_kept_and_counted(box):
    box.file("f", age=-3)
    box.dir("d", age=-3)
    assert box.sweep().kept == {"future": 2}
    assert box.names() == ["d", "f"]


def test_T1_written_during_the_sweep_is_fresh_not_from_the_future(box):
    box.file("f")
    r = box.sweep("--on-listed", "touch $DIR/f")
    assert r.kept == {"fresh": 1}


def test_T1_age_by_each_of_the_times(box):
    path = box.file("f")
    assert box.sweep("--age-by", "ctime").kept == {"fresh": 1}
    assert box.sweep("--age-by", "btime").kept.keys() <= {"fresh": 1, "no_time": 1}.keys()
    os.utime(path, (time.time(), time.time() - 10 * DAY))
    assert box.sweep("--age-by", "atime").kept == {"fresh": 1}
    os.utime(path, (time.time() - 10 * DAY, time.time()))
    assert box.sweep("--age-by", "mtime").kept == {"fresh": 1}
    assert box.sweep("--age-by", "atime").files == 1


def test_T1_a_directory_made_lately_stays_when_birth_counts(box):
    box.dir("d")
    assert box.sweep("--age-by", "btime").kept.keys() <= {"fresh": 1, "no_time": 1}.keys()
    assert (box.root / "d").is_dir()
    assert box.sweep().dirs == 1


def test_T1_the_age_of_a_directory_survives_what_is_removed_in_it(box):
    box.file("d/old")
    box.file("d/fresh", age=1)
    box.age_dirs()
    before = os.stat(box.root / "d").st_mtime_ns
    assert box.sweep().files == 1
    assert os.stat(box.root / "d").st_mtime_ns == before


@pytest.mark.parametrize("most", range(1, 13))
def test_J6_a_run_ended_by_a_limit_is_completed_by_the_next(box, most):
    for i in range(9):
        box.file(f"d{i % 3}/f{i}")
    box.age_dirs()
    r = box.sweep("--max", most)
    assert r.files + r.dirs == most
    assert r.limit == (most < 12)
    r = box.sweep()
    assert r.files + r.dirs == 12 - most and not r.limit
    assert box.names() == []


def test_T1_a_deadline_ends_the_sweep(box):
    for i in range(200):
        box.file(f"f{i}")
    r = box.sweep("--max-ms", 0)
    assert r.limit and r.files < 64
    assert box.sweep().files == 200 - r.files


def test_T1_pauses_are_made(box):
    for i in range(10):
        box.file(f"f{i}")
    assert box.sweep("--pause-every", 5, "--pause-ms", 100).ms >= 200


def test_O1_a_signal_ends_the_sweep_in_order(box):
    for i in range(500):
        box.file(f"d/f{i}")
    box.age_dirs()
    process = subprocess.Popen([driver(), "sweep", str(box.root), "--older", "604800",
                                "--pause-every", "10", "--pause-ms", "3600000"],
                               stdout=subprocess.PIPE, text=True)
    wait_until(lambda: len(box.names()) < 500, what="the first pause")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    assert '"stopped":true' in out and '"limit":false' in out
    left = len(box.names())
    assert 1 < left < 501
    box.sweep()
    assert box.names() == []


def complicated(box):
    """Something of everything that decides differently."""
    for i in range(300):
        box.file(f"many/{i % 7}/f{i}", age=10 if i % 5 else 1, size=i * 10)
    box.file("many/3/result.mp4")
    box.file("gone/deep/er/f", size=9000)
    box.file("job-active/f")
    box.file("keep/f")
    box.dir("empty")
    box.dir("young-empty", age=0)
    os.mkfifo(box.root / "fifo")
    box.age(box.root / "fifo", 10)
    box.link("link", "/etc/passwd")
    box.link("many/young-link", "..", age=0)
    first = box.file("links/one", size=6000)
    os.link(first, box.root / "links/two")
    os.link(first, box.root / "links/three")
    outer = box.file("kept-outside", size=6000, base=box.outside)
    os.link(outer, box.root / "links/four")
    box.age(box.root / "links/four", 10)
    held = box.file("held/f", size=100)
    box.age_dirs()
    box.age(box.root / "young-empty", 0)
    box.holder(f"keep = open({str(held)!r})")
    return ["--active", "job-active", "--protect-dir", box.root / "keep", "--in-use"]


@pytest.mark.parametrize("more", [[], ["--max", "40"], ["--age-by", "atime"]])
def test_O2_a_dry_run_says_what_the_live_run_does(box, more):
    args = complicated(box) + more
    before = box.snapshot()
    dry = box.sweep("--dry-run", *args)
    assert box.snapshot() == before
    live = box.sweep(*args)
    assert dry.counts() == live.counts()
    assert live.files > 20
    if not more:
        assert live.kept["open"] == 1 and live.kept["protected"] == 2
        assert live.kept["active_job"] == 1 and live.kept["special"] == 1
        assert live.bytes >= 6000 and not (box.root / "links").exists()


def test_O2_a_dry_run_leaves_access_times_alone(box):
    """Where access times would change: mtime younger than atime makes relatime write it."""
    path = box.file("d/f", size=10)
    for p in (path, box.root / "d", box.root):
        os.utime(p, (time.time() - 20 * DAY, time.time() - 10 * DAY))
    before = box.snapshot()
    for more in ([], ["--in-use"], ["--no-openat2", "--in-use"]):
        box.sweep("--dry-run", *more)
        assert box.snapshot() == before


def test_O2_a_dry_run_predicts_what_is_not_permitted(box):
    need_root()
    box.file("fixed/f")
    box.file("immutable")
    box.file("plain")
    box.age_dirs()
    for name in ("fixed", "immutable"):
        if subprocess.run(["chattr", "+i", box.root / name], check=False).returncode != 0:
            pytest.skip("no chattr here")
    dry = box.sweep("--dry-run")
    live = box.sweep()
    assert dry.counts() == live.counts()
    assert live.errors == {"EPERM": 2} and live.files == 1


def test_T1_memory_stays_small_and_flat(box):
    flat = box.root / "flat"
    flat.mkdir()
    for i in range(30_000):
        os.close(os.open(flat / f"{i:06d}{'n' * 200}", os.O_CREAT | os.O_WRONLY))
    r = box.sweep("--dry-run", "--cutoff", f"{int(time.time()) + 100}")
    assert r.files == 30_000
    if not (os.environ.get("FILES_DRIVER_SANITIZED") or os.environ.get("SANITIZE")):
        assert r.max_rss_kib < 16 * 1024
