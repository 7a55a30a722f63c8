"""Nothing outside the root is touched, and what is protected stays (T2)."""
import os
import pathlib
import stat
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import box, exchange, need_root  # noqa: E402,F401  pylint: disable=unused-import

KERNELS = pytest.mark.parametrize("kernel", [[], ["--no-openat2"]], ids=["openat2", "plain"])


def test_T2_symbolic_links_are_removed_as_links(box):
    target = box.file("t", base=box.outside)
    box.file("dir/inside", base=box.outside)
    box.link("to-file", target)
    box.link("to-dir", box.outside / "dir")
    box.link("dangling", "/nowhere")
    box.link("loop", "loop")
    box.link("young", target, age=1)
    r = box.sweep("--in-use")
    assert r.links == 4 and r.files == 0 and r.kept == {"fresh": 1}
    assert box.names(box.outside) == ["dir", "dir/inside", "t"]
    assert box.names() == ["young"]


SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
a, b = (os.fsencode(p) for p in sys.argv[1:])
print('ready', flush=True)
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""


@KERNELS
def test_T2_symlink_swap_never_leaves_the_root(box, kernel):
    """A directory and a symbolic link to a directory outside change places all the time."""
    for i in range(20):
        box.file(f"victim/f{i}", base=box.outside)
    box.age(box.outside / "victim", 10)
    box.dir("a")
    box.link("b", box.outside / "victim")
    swapper = box.spawn("/usr/bin/python3", "-c", SWAPPER, box.root / "a", box.root / "b")
    assert swapper.stdout.readline() == "ready\n"
    followed = False
    for _ in range(150):
        # What a sweep removes is made again, so that the race goes on.
        for name in ("a", "b"):
            if not os.path.lexists(box.root / name):
                try:
                    if os.path.islink(box.root / ("b" if name == "a" else "a")):
                        os.mkdir(box.root / name)
                    else:
                        os.symlink(box.outside / "victim", box.root / name)
                except FileExistsError:
                    pass
        for name in ("a", "b"):
            for i in range(3):
                if not os.path.islink(box.root / name):
                    try:
                        box.file(f"{name}/own{i}")
                    except OSError:
                        pass
        r = box.sweep(*kernel)
        followed = followed or "changed" in r.kept
        # The test's own writes may have gone through the link: only the victims count.
        assert len([n for n in os.listdir(box.outside / "victim") if n.startswith("f")]) == 20
    assert (box.outside / "victim").is_dir()


@KERNELS
def test_T2_swapped_for_a_link_between_listing_and_entering(box, kernel):
    box.file("victim/f", base=box.outside)
    box.file("d/f")
    box.age_dirs()
    r = box.sweep("--on-listed", f"mv {box.root}/d {box.path}/d && ln -s {box.outside}/victim "
                  f"{box.root}/d", *kernel)
    assert r.kept == {"changed": 1}
    assert box.names(box.outside) == ["victim", "victim/f"]
    assert (box.path / "d" / "f").exists()


@KERNELS
def test_T2_bind_mounts_and_other_file_systems_are_never_entered(box, kernel):
    box.file("bound/f", base=box.outside)
    for name in ("bind", "tmpfs", "d"):
        box.dir(name)
    box.file("d/f")
    box.mount("--bind", box.outside / "bound", box.root / "bind")
    box.mount("-t", "tmpfs", "none", box.root / "tmpfs")
    box.file("tmpfs/f")
    box.age_dirs()
    for name in ("tmpfs", "bind"):
        box.age(box.root / name, 10)
    for more in ([], ["--dry-run"]):
        r = box.sweep(*kernel, *more)
        assert r.kept == {"other_fs": 2}
    assert (box.outside / "bound/f").exists() and (box.root / "tmpfs/f").exists()


def test_T2_a_file_that_is_mounted_over_stays(box):
    over = box.file("over", base=box.outside)
    box.file("f")
    box.mount("--bind", over, box.root / "f")
    assert box.sweep().kept == {"other_fs": 1}
    assert over.exists()


def test_T2_output_files_are_protected_by_default(box):
    for name in ("result.mp4", "job/result.mov", "job/deep/output_1.png", "job/output/x", "result"):
        box.file(name)
    box.file("job/my-result")
    box.file("job/Output")
    box.age_dirs()
    r = box.sweep()
    assert r.kept == {"protected": 6, "not_empty": 2}
    assert (box.root / "job/output/x").exists() and (box.root / "job/Output").exists() and r.files == 1
    assert box.sweep("--no-default-protect").files == 6
    assert box.names() == []


def test_T2_patterns_of_the_operator(box):
    for name in ("a.keep", "d/b.keep", "d/exact", "other/exact", "d/gone"):
        box.file(name)
    box.age_dirs()
    r = box.sweep("--protect", "*.keep", "--protect", "/d/exact")
    assert r.kept["protected"] == 3
    assert box.names() == ["a.keep", "d", "d/b.keep", "d/exact"]


@KERNELS
def test_T2_protected_directories_under_any_name(box, kernel):
    box.file("real/f")
    box.file("d/f")
    box.age_dirs()
    (box.path / "alias").symlink_to(box.root)
    (box.path / "bound").mkdir()
    r = box.sweep("--protect-dir", box.path / "alias" / "real", "--dry-run", *kernel)
    assert r.kept == {"protected": 1}
    box.mount("--bind", box.root / "real", box.path / "bound")
    r = box.sweep("--protect-dir", box.path / "bound", *kernel)
    assert r.kept == {"protected": 1}
    assert box.names() == ["real", "real/f"]


@KERNELS
def test_T2_a_protected_directory_that_moves_in_is_recognised(box, kernel):
    box.file("keep/f", base=box.path)
    box.dir("d")
    r = box.sweep("--protect-dir", box.path / "keep", *kernel,
                  "--on-listed", f"test -d {box.path}/keep && rmdir {box.root}/d && "
                  f"mv {box.path}/keep {box.root}/d; true")
    assert r.kept == {"protected": 1}
    assert box.names() == ["d", "d/f"]


def test_T2_directories_of_active_jobs_stay_whole(box):
    box.file("4711/f")
    box.file("4712/f")
    box.file("4712/4711/f")
    box.age_dirs()
    r = box.sweep("--active", "4711")
    assert r.kept == {"active_job": 1}
    assert box.names() == ["4711", "4711/f"]


@pytest.mark.parametrize("kernel", [[], ["--no-openat2"]], ids=["openat2", "plain"])
def test_T2_unsafe_roots_are_refused(box, kernel):
    box.file("f")
    (box.path / "link").symlink_to(box.root)
    (box.path / "up").symlink_to(box.path)
    for root in ("/", "//", "relative", f"{box.root}/../root", box.path / "link",
                 f"{box.path}/link/", box.path / "up" / "root", box.root / "f"):
        r = box.sweep(root=root, *kernel)
        assert r.code == 2 and "pgsweep: hint:" in r.stderr, root
    for protected in (box.root, box.path, box.path / "link", "/"):
        assert box.sweep("--protect-dir", protected, *kernel).code == 2
    assert box.names() == ["f"]
    assert box.sweep(root=f"{box.root}///", *kernel).files == 1


def test_T2_the_whole_file_system_under_another_name_is_refused(box):
    (box.path / "all").mkdir()
    box.mount("--bind", "/", box.path / "all")
    r = box.run("check", root=box.path / "all")
    assert r.code == 2 and "whole file system" in r.stderr


@pytest.mark.parametrize("kernel", [[], ["--no-openat2"]], ids=["openat2", "plain"])
@pytest.mark.parametrize("moved", ["job", "job/sub", "job/sub/deep"])
def test_T2_a_directory_moved_away_is_not_swept_at_the_new_place(box, kernel, moved):
    for i in range(500):
        box.file(f"job/sub/deep/f{i}")
    box.age_dirs()
    r = box.sweep(*kernel, "--at", 100, "--on-deleted", f"mv {box.root}/{moved} {box.outside}/new")
    left = [p for p in (box.outside / "new").rglob("*") if p.is_file()]
    assert 400 >= len(left) >= 400 - 64 and "moved" in r.kept
    assert r.files == 500 - len(left)


def test_T2_a_root_moved_away_ends_the_sweep(box):
    for i in range(500):
        box.file(f"f{i}")
    r = box.sweep("--at", 100, "--on-deleted", f"mv {box.root} {box.outside}/new")
    assert r.kept == {"moved": 1}
    assert len(list((box.outside / "new").iterdir())) >= 400 - 64
    box.root.mkdir()


def test_T2_moved_away_and_linked_back_is_still_moved(box):
    for i in range(500):
        box.file(f"job/f{i}")
    box.age_dirs()
    r = box.sweep("--at", 100, "--on-deleted",
                  f"mv {box.root}/job {box.outside}/new && ln -s {box.outside}/new {box.root}/job")
    assert r.kept["moved"] == 1
    assert len(list((box.outside / "new").iterdir())) >= 400 - 64


@KERNELS
def test_T2_moved_away_at_a_depth_where_parents_are_closed(box, kernel):
    """The way back up leads through "..", which after the move is somewhere else: there, names like
    those that are still to be swept must not be touched; here, they are swept all the same."""
    def level(n):
        return "/".join(["d"] * n)
    box.file(f"{level(40)}/f")
    for i in range(12):
        box.file(f"{level(19)}/z{i}/old")
        box.file(f"z{i}/old", base=box.outside)
        box.age(box.outside / f"z{i}", 10)
    box.age_dirs()
    middle = box.root / level(20)
    r = box.sweep(*kernel, "--on-checked", f"mv {middle} {box.outside}/new", "--only", "f")
    assert "moved" in r.kept and (box.outside / "new").is_dir()
    assert len(list(box.outside.glob("z*/old"))) == 12
    assert not [n for n in box.names() if "z" in n]
    box.sweep(*kernel)
    assert box.names() == []


def test_T2_hard_links_lose_a_name_not_the_file(box):
    outer = box.file("outer", size=5000, base=box.outside)
    os.link(outer, box.root / "inner")
    r = box.sweep("--in-use")
    assert r.files == 1 and r.bytes == 0
    assert outer.read_bytes() == b"x" * 5000


def test_T1_names_of_every_kind(box):
    names = [b"new\nline", b"\x1b[2J\x1b]0;x\x07", b"n" * 255, b"\xff\xfe", b"-rf", b" ", b"*",
             b"tab\t", "ü".encode() * 127, b"...", b"\\n"]
    for name in names:
        box.file(os.fsdecode(name))
        box.file(os.fsdecode(name + b"d")[:254] + "/" + os.fsdecode(name))
    box.age_dirs()
    r = box.sweep("--in-use", "--verbose")
    assert box.names() == [] and r.files == 2 * len(names)
    for line in r.stderr.splitlines():
        assert line.startswith("deleted ") and "\x1b" not in line and "\x07" not in line
    assert "new\\nline" in r.stderr


@pytest.mark.parametrize("kernel", [[], ["--no-openat2"]], ids=["openat2", "plain"])
def test_T1_depth_5000_with_64_descriptors(box, kernel):
    fd = os.open(box.root, os.O_RDONLY)
    when = time.time() - 10 * 86400
    for _ in range(5000):
        os.mkdir("deep", dir_fd=fd)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.utime("f", (when, when), dir_fd=fd)
        deeper = os.open("deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(fd)
    # Ages of directories cannot be set before they are filled; the cutoff in the future does it.
    cutoff = int(time.time()) + 100
    dry = box.sweep("--cutoff", cutoff, "--dry-run", *kernel, nofile=64)
    live = box.sweep("--cutoff", cutoff, *kernel, nofile=64)
    assert dry.counts() == live.counts()
    assert live.dirs == 5000 and live.files == 5000 and live.failed == 0
    assert box.names() == []


def test_T2_special_files_stay_and_do_not_hang(box):
    import socket
    os.mkfifo(box.root / "fifo")
    box.age(box.root / "fifo", 10)
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(box.root)
    listener.bind("socket")
    os.chdir(here)
    box.age(box.root / "socket", 10)
    expected = 2
    if os.geteuid() == 0:
        os.mknod(box.root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        box.age(box.root / "null", 10)
        expected = 3
    for more in ([], ["--in-use"]):
        assert box.sweep(*more).kept == {"special": expected}
    listener.close()


def test_T2_a_file_that_turns_into_a_fifo_does_not_hang(box):
    box.file("f")
    r = box.sweep("--in-use", "--on-checked", "rm $DIR/f && mkfifo $DIR/f")
    assert r.kept == {"changed": 1} and (box.root / "f").is_fifo()
