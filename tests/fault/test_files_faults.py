"""Files in use, files that vanish or change, what is not permitted, two sweeps at once (T2, T3)."""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "files"))
from sweeplib import NOBODY, box, driver, need_root  # noqa: E402,F401  pylint: disable=unused-import


# In use

HOLDS = {
    "read": "f = open({path!r})",
    "write": "f = open({path!r}, 'r+')",
    "append": "f = open({path!r}, 'a')",
    "flock": "import fcntl; f = open({path!r}); fcntl.flock(f, fcntl.LOCK_SH)",
    "flock-ex": "import fcntl; f = open({path!r}); fcntl.flock(f, fcntl.LOCK_EX)",
    "lockf": "import fcntl; f = open({path!r}, 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)",
    "mmap": "import mmap, os; fd = os.open({path!r}, os.O_RDWR); m = mmap.mmap(fd, 0); os.close(fd)",
    "mmap-read": "import mmap, os; fd = os.open({path!r}, os.O_RDONLY); "
                 "m = mmap.mmap(fd, 0, prot=mmap.PROT_READ); os.close(fd)",
    "other-link": "f = open({other!r})",
}


@pytest.mark.parametrize("how", HOLDS)
def test_T2_a_file_in_use_is_kept(box, how):
    path = box.file("d/f", size=4096)
    other = str(box.outside / "other")
    os.link(path, other)
    box.age_dirs()
    process = box.holder(HOLDS[how].format(path=str(path), other=other))
    box.age(path, 10)
    for more in (["--dry-run"], []):
        r = box.sweep("--in-use", *more)
        assert r.kept == {"open": 1, "not_empty": 1}
        assert path.exists()
    process.kill()
    process.wait()
    assert box.sweep("--in-use").files == 1


def test_T2_a_program_that_runs_is_kept(box):
    path = box.file("sleep")
    path.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
    path.chmod(0o755)
    box.age(path, 10)
    box.spawn(str(path), "600")
    assert box.sweep("--in-use").kept == {"open": 1}


def test_T2_without_the_test_a_file_in_use_goes(box):
    path = box.file("f")
    with open(path, encoding="ascii"):
        assert box.sweep().files == 1


def sees_every_process():
    """Can everything be known that any process of the host has open? In a container, or beside a process that even root
    may not look at, it cannot, and what is not known to be free stays."""
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":
        return False
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                for name in os.listdir(f"/proc/{process}/fd"):
                    os.stat(f"/proc/{process}/fd/{name}")
            except (FileNotFoundError, ProcessLookupError):
                pass
            except OSError:
                return False
    return True


@pytest.mark.parametrize("how", [how for how in HOLDS if how != "other-link"])
def test_T2_without_leases_what_proc_shows_is_kept(box, how):
    """Root without CAP_LEASE, as in a container; the files are someone else's."""
    need_root()
    path = box.file("f", size=4096)
    free = box.file("free")
    for each in (path, free):
        os.chown(each, NOBODY, NOBODY)
    process = box.holder(HOLDS[how].format(path=str(path)))
    box.age(path, 10)
    for more in (["--dry-run"], []):
        r = box.sweep("--in-use", *more, without=["lease"])
        if sees_every_process():
            assert r.kept == {"open": 1} and r.files == 1 and path.exists()
        else:
            assert sum(r.kept.values()) == 2 and path.exists() and r.files == 0
    process.kill()
    process.wait()
    if sees_every_process():
        assert box.sweep("--in-use", without=["lease"]).files == 1 and box.names() == []


def test_T2_without_leases_a_program_that_runs_is_kept(box):
    need_root()
    path = box.file("sleep")
    path.write_bytes(pathlib.Path("/bin/sleep").read_bytes())
    path.chmod(0o755)
    os.chown(path, NOBODY, NOBODY)
    box.age(path, 10)
    box.spawn(str(path), "600")
    assert sum(box.sweep("--in-use", without=["lease"]).kept.values()) == 1 and path.exists()


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_T2_what_cannot_be_tested_is_kept_and_counted(box, more):
    """Neither leases nor all of /proc: the holder is a process of another user."""
    need_root()
    path = box.file("held")
    for each in (path, box.file("free")):
        os.chown(each, NOBODY, NOBODY)
    box.spawn("setpriv", f"--reuid={NOBODY}", "--clear-groups", "sleep", "600")
    box.holder(f"import os; os.setuid({NOBODY}); f = open({str(path)!r})")
    r = box.sweep("--in-use", *more, without=["lease", "sys_ptrace"])
    assert r.kept == {"untested": 2} and path.exists() and r.files == 0
    assert box.sweep("--in-use", *more).kept == {"open": 1}  # with both: the same files


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_T2_a_user_s_own_files_are_tested_without_any_privilege(box, more):
    need_root()
    os.chown(box.root, NOBODY, NOBODY)
    for name in ("open", "free"):
        os.chown(box.file(name), NOBODY, NOBODY)
    box.holder(f"f = open({str(box.root / 'open')!r})")  # root's, which that user cannot look at
    r = box.sweep("--in-use", *more, user=NOBODY)
    if more:
        assert r.files + r.kept.get("open", 0) == 2 and r.files == r.untested  # no lease is taken to find out, and the report says so
    else:
        assert r.kept == {"open": 1} and r.files == 1 and r.untested == 0


def test_T2_a_foreign_file_is_tested_by_its_locks_and_stays(box):
    """No lease on what belongs to someone else, and no look at other users' processes."""
    need_root()
    box.root.chmod(0o777)
    locked = box.file("locked")
    box.file("free")
    box.holder(f"import fcntl; f = open({str(locked)!r}); fcntl.flock(f, fcntl.LOCK_SH)")
    r = box.sweep("--in-use", user=NOBODY)
    assert r.kept == {"locked": 1, "untested": 1} and r.files == 0


@pytest.mark.parametrize("how", ["import os; os.chdir({path!r})", "import os; f = os.open({path!r}, os.O_RDONLY)",
                                 "import os; f = os.open({path!r}, os.O_PATH)"], ids=["cwd", "open", "path"])
def test_T2_an_empty_directory_that_a_process_is_in_stays(box, how):
    need_root()
    box.dir("used")
    box.dir("free")
    process = box.holder(how.format(path=str(box.root / "used")))
    for more in (["--dry-run"], []):
        r = box.sweep("--in-use", *more)
        assert r.kept == {"open": 1} and r.dirs == 1 and r.untested == (0 if sees_every_process() else 1)
    assert box.names() == ["used"]
    process.kill()
    process.wait()
    assert box.sweep("--in-use").dirs == 1


def test_T2_a_thread_with_a_directory_of_its_own_counts(box):
    need_root()
    path = box.dir("used")
    box.holder(f"""
import ctypes, os, threading
started = threading.Event()
def stay():
    ctypes.CDLL(None).unshare(0x200)
    os.chdir({str(path)!r})
    started.set()
    threading.Event().wait()
threading.Thread(target=stay, daemon=True).start()
started.wait()""")
    assert box.sweep("--in-use").kept == {"open": 1}


def test_T2_directories_go_where_not_all_of_proc_can_be_read_and_are_counted(box):
    need_root()
    os.chown(box.root, NOBODY, NOBODY)
    os.chown(box.dir("d"), NOBODY, NOBODY)
    r = box.sweep("--in-use", user=NOBODY)
    assert r.dirs == 1 and r.untested == 1


def test_T2_a_dry_run_takes_no_lease(box):
    """Somebody who opens a file meanwhile would wait for it: what is traced is what reaches the kernel."""
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    for i in range(20):
        box.file(f"f{i}")
    trace = box.path / "trace"
    # Nobody can look for leaks in a process that is traced.
    env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    for more, leases in ((["--dry-run"], False), ([], True)):
        subprocess.run(["strace", "-f", "-e", "trace=fcntl", "-o", trace, driver(), "sweep", box.root, "--older", "604800",
                        "--in-use", *more], check=True, stdout=subprocess.DEVNULL, env=env)
        assert ("F_SETLEASE" in trace.read_text()) == leases


def sleeping(pid):
    """What says that the main thread of the process sleeps, as long as it is the same sleep; None: it does something else."""
    try:
        call = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()
        switches = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if "voluntary" in line]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return switches if call[0] in SLEEPS else None


# nanosleep and clock_nanosleep of x86-64 and of arm64.
SLEEPS = {"x86_64": ("35", "230"), "aarch64": ("101", "115")}.get(os.uname().machine, ())


@pytest.mark.skipif(not SLEEPS, reason="the numbers of its system calls are not known here")
def test_T2_no_lease_is_held_while_the_sweep_waits(box):
    """A file that was opened just before its removal: its reader gets it, and does not wait for the end of the pause."""
    for i in range(700):
        box.file(f"f{i}")
    # Leases are looked at while the sweep sleeps, that is in a system call before and after: all through its pauses.
    command = [driver(), "sweep", str(box.root), "--older", "604800", "--in-use", "--pause-every", "300", "--pause-ms", "700"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        looks = []
        while process.poll() is None:
            before = sleeping(process.pid)
            leases = [line for line in pathlib.Path("/proc/locks").read_text().splitlines()
                      if "LEASE" in line and line.split()[4] == str(process.pid)]
            if before and sleeping(process.pid) == before:
                looks.append(len(leases))
        assert '"files":700' in process.stdout.read()
    assert looks and not any(looks), looks


def test_T2_the_test_leaves_no_lease_and_no_lock_behind(box):
    path = box.file("f", age=10)
    box.sweep("--in-use", "--dry-run")
    with open(path, "r+", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)


# Made fresh between check and removal

def test_T2_written_between_check_and_removal_is_kept(box):
    path = box.file("f")
    r = box.sweep("--in-use", "--on-checked", "echo new >> $DIR/f")
    assert r.kept == {"fresh": 1} and path.read_text() == "new\n"


def test_T2_replaced_between_check_and_removal_is_kept(box):
    path = box.file("f")
    new = box.file("new", age=10, base=box.outside)
    new.write_text("new")
    r = box.sweep("--in-use", "--on-checked", f"mv {new} $DIR/f")
    assert r.kept == {"changed": 1} and path.read_text() == "new"


def test_T2_replaced_during_the_in_use_test_is_kept(box):
    """The lease is on the old file by now; the name leads to the new one."""
    path = box.file("f")
    new = box.file("new", age=10, base=box.outside)
    new.write_text("new")
    box.age(new, 10)
    r = box.sweep("--in-use", "--on-held", f"mv {new} $DIR/f")
    assert r.kept == {"changed": 1} and path.read_text() == "new"


def test_T2_written_just_before_the_lease_is_kept(box):
    """A writer that came and went between the check and the lease left its mark on the time."""
    path = box.file("f")
    r = box.sweep("--in-use", "--on-held", "touch -c $DIR/f")
    assert r.kept == {"fresh": 1} and path.exists()


KINDS = ["file", "link", "directory", "fifo"]


def newcomer(box, kind):
    path = box.outside / "new"
    if kind == "file":
        path.write_text("new")
        box.age(path, 10)  # its age alone would not save it
    elif kind == "link":
        path.symlink_to("/new")
        box.age(path, 10)
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    return path, os.lstat(path).st_ino


@pytest.mark.parametrize("more", [[], ["--in-use"]], ids=["plain", "in-use"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("old", ["file", "link"])
def test_T2_what_takes_the_name_between_look_and_removal_is_kept(box, kind, old, more):
    """At every kind of thing that can be looked at, and every kind that can take its name."""
    if old == "link":
        box.link("f", "/etc/passwd")
    else:
        box.file("f")
    box.file("zzz")
    new, ino = newcomer(box, kind)
    step = "held" if more and old == "file" else "checked"
    r = box.sweep("--only", "f", f"--on-{step}", f"rm $DIR/f; mv -T {new} $DIR/f", *more)
    assert r.kept == {"changed": 1} and r.failed == 0 and r.aside == 0
    assert os.lstat(box.root / "f").st_ino == ino and r.files + r.links == 1
    assert os.listdir(box.root) == ["f"]


def test_T2_every_fresh_file_survives_a_name_that_is_taken_again_and_again(box):
    """The effect over a fixed number of renames: after each look another file is renamed over the name."""
    count = 200
    for i in range(count):
        box.file(f"f{i}")
        box.file(f"new{i}", base=box.outside, age=0).write_text(f"new {i}")
    r = box.sweep("--on-checked", f"mv -T {box.outside}/new${{NAME#f}} $DIR/$NAME")
    assert r.files == 0 and r.failed == 0
    found = sorted(p.read_text() for p in box.root.iterdir())
    assert found == sorted(f"new {i}" for i in range(count)), r.report


def test_T3_a_name_that_is_taken_while_its_file_is_looked_at_costs_neither(box):
    """Nobody may lose: the file that was moved gets another name, which is told."""
    path = box.file("f")
    one = box.file("one", base=box.outside, age=0)
    two = box.file("two", base=box.outside, age=0)
    one.write_text("one")
    two.write_text("two")
    r = box.sweep("--on-checked", f"mv {one} $DIR/f", "--on-moved", f"mv {two} $DIR/f")
    assert r.kept == {"changed": 1} and r.aside == 1 and path.read_text() == "two"
    other, = [p for p in box.root.iterdir() if p.name != "f"]
    assert other.name.startswith("f.pgsweep-kept-") and other.read_text() == "one"
    assert f"aside {other}\n" in r.stderr


def test_T3_a_file_whose_directory_is_gone_stays_in_the_trash_and_is_told(box):
    one = box.file("one", base=box.outside, age=0)
    one.write_text("one")
    box.file("d/f")
    box.age_dirs()
    r = box.sweep("--on-checked", f"mv {one} $DIR/f", "--on-moved", f"rmdir {box.root}/d")
    assert r.errors == {"ENOENT": 1} and "error bring back" in r.stderr
    left = [p for p in box.trash().iterdir() if p.name.startswith("kept-")]
    assert left[0].read_text() == "one" and len(left) == 1
    assert box.sweep().kept == {"fresh": 1} and left[0].exists()  # by the same rules
    box.age(left[0], 10)
    assert box.sweep().files == 1 and box.names() == []


@pytest.mark.parametrize("fresh", [True, False])
def test_T3_a_run_killed_between_move_and_look_loses_nothing(box, fresh):
    """A fresh file had taken the name: the next run brings it back there before it looks at anything."""
    path = box.file("d/e/f")
    box.age_dirs()
    new = box.file("new", base=box.outside, age=0)
    new.write_text("new")
    take = f"mv {new} $DIR/f" if fresh else "true"
    box.sweep("--on-checked", take, "--on-moved", "kill -9 $PPID", killed=True)
    assert not path.exists() and (box.trash() / ".pgsweep-slot").exists()
    r = box.sweep()
    if fresh:
        assert r.kept["fresh"] >= 1 and path.read_text() == "new"
    box.age_dirs()
    r = box.sweep()
    assert path.exists() == fresh and box.trash() is None


def test_T3_a_run_killed_after_the_look_leaves_only_what_was_to_go(box):
    for i in range(3):
        box.file(f"f{i}")
    box.sweep("--at", 2, "--on-deleted", "kill -9 $PPID", killed=True)
    assert (box.trash() / ".pgsweep-slot").exists() and len(list(box.root.glob("f*"))) == 1
    dry = box.sweep("--dry-run")
    r = box.sweep()
    assert dry.counts() == r.counts() and r.files == 2 and box.names() == []


def test_T2_names_of_one_file_all_go(box):
    """A rename from one link of a file to another one does nothing and succeeds."""
    path = box.file("a")
    for name in "bcd":
        os.link(path, box.root / name)
    assert box.sweep("--in-use").files == 4 and box.names() == []


def test_T2_where_nothing_can_be_moved_it_is_removed_by_name_and_counted(box):
    need_root()
    place = box.dir("own")
    os.chown(box.file("own/f"), NOBODY, NOBODY)
    os.chown(place, NOBODY, NOBODY)
    r = box.sweep(user=NOBODY)
    assert r.files == 1 and r.unguarded == 1
    os.chown(box.file("own/f"), NOBODY, NOBODY)
    box.age_dirs()
    assert box.sweep().unguarded == 0 and box.names() == []


def test_T2_a_process_that_opens_the_file_during_the_test_keeps_it(box):
    """It waits for the lease, which is let go before the file is removed for good: the file is given back."""
    path = box.file("f")
    r = box.sweep("--in-use", "--on-held", f"exec 3<{path} & sleep 0.3")
    assert r.kept == {"open": 1} and path.exists()


def test_T2_touched_between_listing_and_check_is_kept(box):
    for i in range(5):
        box.file(f"f{i}")
    r = box.sweep("--on-listed", "touch $DIR/f3")
    assert r.kept == {"fresh": 1} and box.names() == ["f3"]


def test_T2_a_directory_that_fills_again_is_kept(box):
    box.file("d/f")
    box.age_dirs()
    began = time.time()
    r = box.sweep("--at", 1, "--on-deleted", f"echo new > {box.root}/d/new")
    assert r.kept == {"not_empty": 1} and box.names() == ["d", "d/new"]
    assert os.stat(box.root / "d").st_mtime > began - 1


def test_T2_an_empty_directory_used_during_the_sweep_is_kept(box):
    box.dir("d")
    r = box.sweep("--on-listed", f"test $DIR != {box.root}/d || (touch $DIR/x && rm $DIR/x)")
    assert r.kept == {"fresh": 1} and box.names() == ["d"]


def test_T2_a_directory_swapped_for_a_fresh_one_is_kept(box):
    """rmdir would take the empty newcomer: it is not the directory that was swept."""
    box.file("d/f")
    box.age_dirs()
    r = box.sweep("--at", 1, "--on-deleted",
                  f"mv {box.root}/d {box.outside}/old && mkdir {box.root}/d")
    assert r.kept == {"moved": 1} and box.names() == ["d"]


# Vanishing

def test_T3_files_that_vanish_are_counted(box):
    for i in range(5):
        box.file(f"f{i}")
    r = box.sweep("--on-listed", "rm $DIR/f2 $DIR/f4")
    assert (r.files, r.vanished, r.failed) == (3, 2, 0) and r.code == 0


@pytest.mark.parametrize("more", [[], ["--in-use"]])
def test_T3_a_file_that_vanishes_after_the_check_is_counted(box, more):
    for i in range(5):
        box.file(f"f{i}")
    r = box.sweep("--only", "f2", "--on-checked", "rm $DIR/f2", *more)
    assert (r.files, r.vanished, r.failed) == (4, 1, 0)


def test_T3_directories_that_vanish_are_counted(box):
    for i in range(5):
        box.file(f"d{i}/f")
    box.age_dirs()
    r = box.sweep("--on-listed", f"rm -rf {box.root}/d2 {box.root}/d3")
    assert (r.files, r.dirs, r.failed) in ((3, 3, 0), (4, 3, 0), (4, 4, 0)) and r.vanished > 0
    assert box.names() == []


def test_T3_a_whole_tree_that_vanishes_under_the_sweep(box):
    for i in range(50):
        for j in range(20):
            box.file(f"d{i}/e/f{j}")
    box.age_dirs()
    remover = subprocess.Popen(["rm", "-rf", *map(str, box.root.iterdir())])
    r = box.sweep()
    remover.wait()
    assert r.failed == 0
    box.sweep()
    assert box.names() == []


def test_T3_a_missing_root_is_nothing_to_do(box):
    r = box.sweep(root=box.path / "not" / "there")
    assert r.code == 0 and r.scanned == 0
    assert box.finish(root=box.path / "not").code == 0
    assert box.tree("x", root=box.path / "not").outcome == "missing"


# Not permitted

def test_T3_permission_errors_are_counted_by_kind_and_told_once(box):
    need_root()
    for i in range(4):
        box.file(f"foreign/f{i}")
    box.file("closed/f")
    box.file("own/f")
    box.age_dirs()
    (box.root / "closed").chmod(0o700)
    for place in (box.root, box.root / "own"):
        os.chown(place, NOBODY, NOBODY)
    os.chown(box.root / "own/f", NOBODY, NOBODY)
    dry = box.sweep("--dry-run", user=NOBODY)
    live = box.sweep(user=NOBODY)
    assert live.counts() == dry.counts()
    assert live.errors == {"EACCES": 5} and live.files == 1 and live.dirs == 1
    assert live.stderr.count("error ") == 1 and live.code == 0


def test_T3_a_sticky_directory_keeps_the_files_of_others(box):
    need_root()
    box.root.chmod(0o1777)
    box.file("foreign")
    os.chown(box.file("own"), NOBODY, NOBODY)
    dry = box.sweep("--dry-run", user=NOBODY)
    live = box.sweep(user=NOBODY)
    assert live.counts() == dry.counts()
    assert live.errors == {"EPERM": 1} and live.files == 1


def test_T3_a_file_that_cannot_be_tested_stays(box):
    """Unreadable and unwritable for its owner: no way to know, so it stays."""
    need_root()
    os.chown(box.root, NOBODY, NOBODY)
    for name, mode in (("none", 0), ("write-only", 0o200), ("read-only", 0o400)):
        path = box.file(name)
        os.chown(path, NOBODY, NOBODY)
        path.chmod(mode)
    r = box.sweep("--in-use", user=NOBODY)
    assert r.errors == {"EACCES": 1} and r.files == 2 and box.names() == ["none"]
    assert box.sweep(user=NOBODY).files == 1


def test_T3_a_root_that_cannot_be_opened_is_a_usage_error(box):
    need_root()
    box.root.chmod(0o700)
    r = box.sweep(user=NOBODY)
    assert r.code == 2 and "hint" in r.stderr


def test_T3_immutable_and_append_only(box):
    need_root()
    box.file("immutable")
    box.file("append")
    box.file("plain")
    for flag, name in (("+i", "immutable"), ("+a", "append")):
        if subprocess.run(["chattr", flag, box.root / name], check=False).returncode != 0:
            pytest.skip("no chattr here")
    for more in ([], ["--in-use"]):
        r = box.sweep(*more)
        assert r.errors == {"EPERM": 2}
    assert box.names() == ["append", "immutable"]


def test_T3_a_read_only_mount(box):
    box.mount("-t", "tmpfs", "none", box.root)
    for i in range(3):
        box.file(f"d/f{i}")
    box.age_dirs()
    box.mount("-o", "remount,ro", box.root)
    dry = box.sweep("--dry-run")
    live = box.sweep()
    assert live.errors == {"EROFS": 3} and live.stderr.count("error ") == 1
    assert dry.counts() == live.counts()
    assert len(box.names()) == 4


def test_T1_depth_200_with_24_descriptors(box):
    """Directories are opened one inside the other; few descriptors are enough for any depth."""
    box.file("/".join(f"d{i}" for i in range(200)) + "/f")
    box.age_dirs()
    r = box.sweep("--in-use", nofile=24)
    assert r.dirs == 200 and r.failed == 0 and box.names() == []


def test_T3_too_few_descriptors_are_errors_not_a_crash(box):
    box.file("/".join(f"d{i}" for i in range(30)) + "/f")
    box.age_dirs()
    r = box.sweep(nofile=10)
    assert r.errors == {"EMFILE": 1} and (box.root / "d0").is_dir()
    assert box.sweep().dirs == 30


# Locked directories, two sweeps at once

@pytest.mark.parametrize("kind", ["LOCK_SH", "LOCK_EX"])
def test_T2_a_locked_directory_is_left_alone_whole(box, kind):
    box.file("locked/sub/f")
    box.file("free/f")
    box.age_dirs()
    box.holder(f"import fcntl, os; fd = os.open({str(box.root / 'locked')!r}, os.O_RDONLY); "
               f"fcntl.flock(fd, fcntl.{kind})")
    for more in (["--dry-run"], []):
        r = box.sweep(*more)
        assert r.kept == {"locked": 1} and r.files == 1
    assert box.names() == ["locked", "locked/sub", "locked/sub/f"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_T2_a_root_that_another_sweep_holds_is_left_alone(box, more):
    box.file("f")
    box.hold_lock()
    assert box.sweep(*more).kept == {"locked": 1}
    assert box.names() == ["f"]


@pytest.mark.parametrize("kind", ["LOCK_SH", "LOCK_EX"])
def test_T2_nobody_else_can_keep_a_sweep_from_its_root(box, kind):
    """Whoever can read the root can lock it."""
    need_root()
    box.file("f")
    box.holder(f"import fcntl, os; os.setuid({NOBODY}); fd = os.open({str(box.root)!r}, os.O_RDONLY); "
               f"fcntl.flock(fd, fcntl.{kind})")
    assert box.sweep("--dry-run").files == 1
    assert box.sweep().files == 1 and box.names() == []


def test_T2_users_without_a_place_for_locks_have_them_in_the_root(box):
    need_root()
    os.chown(box.root, NOBODY, NOBODY)
    os.chown(box.file("f"), NOBODY, NOBODY)
    lock = f".pgsweep-lock.{NOBODY}"
    r = box.sweep("--at", 1, "--on-deleted", f"ls -la {box.root} >&2; "
                  f"{driver()} sweep {box.root} --older 1 | grep -o kept.*vanished >&2", user=NOBODY)
    assert lock in r.stderr and 'kept":{"locked":1}' in r.stderr and "-rw-------" in r.stderr
    assert r.files == 1 and box.names() == []
    (box.root / lock).write_text("")  # of someone else
    box.age(box.root / lock, 100)
    os.chown(box.file("f"), NOBODY, NOBODY)
    r = box.sweep(user=NOBODY)
    assert r.files == 2 and r.unlocked == 1 and box.names() == []


def test_T3_two_sweeps_at_once(box):
    """They may leave work to each other, but neither fails, and nothing is counted twice."""
    for i in range(60):
        for j in range(30):
            box.file(f"d{i}/f{j}")
    box.age_dirs()
    command = [driver(), "sweep", str(box.root), "--older", "604800"]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    import json
    reports = [json.loads(p.communicate(timeout=harness.PATIENCE)[0]) for p in pair]
    assert all(r["failed"] == 0 for r in reports)
    total = sum(r["files"] for r in reports)
    assert total + box.sweep().files == 1800
    assert box.names() == []


def test_T3_sweeps_against_makers(box):
    """Files come and go while the sweep runs; whatever is fresh is there afterwards."""
    maker = box.spawn("/usr/bin/python3", "-c", f"""
import os, itertools
os.chdir({str(box.root)!r})
print('ready', flush=True)
for i in itertools.count():
    name = f"d{{i % 10}}"
    try:
        os.makedirs(name, exist_ok=True)
        open(f"{{name}}/old{{i}}", "w").close()
        os.utime(f"{{name}}/old{{i}}", (1, 1))
        open(f"{{name}}/tmp{{i}}", "w").close()
        os.rename(f"{{name}}/tmp{{i}}", f"{{name}}/keep{{i % 50}}")
    except FileNotFoundError:
        pass
""")
    assert maker.stdout.readline() == "ready\n"
    for i in range(40):
        r = box.sweep(*(["--in-use"] if i % 2 else []))
        assert r.failed == 0
    maker.kill()
    maker.wait()
    box.sweep()
    # The one that the maker was about to set back when it was killed is fresh.
    assert len([n for n in box.names() if "/old" in n or "/tmp" in n]) <= 1
    assert [n for n in box.names() if "/keep" in n]
