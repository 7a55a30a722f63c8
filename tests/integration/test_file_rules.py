"""Which files stay: patterns, case, times, roots of the system, special files, owners; no database."""
import os
import sys

import pytest

import harness
from test_tempfiles import preview_and_run, report, tempfiles  # noqa: F401  pylint: disable=unused-import

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box, need_root  # noqa: E402,F401  pylint: disable=unused-import


@pytest.mark.parametrize("where", ["option", "environment", "policy"])
def test_T2_double_star_protects_at_any_depth(tempfiles, box, policy_file, where):
    for name in ("final/a.mov", "final/x/y/b.mov", "c.mov", "final/x/d.tmp", "deep/er/keep/e", "keep/f"):
        box.file(name)
    box.age_dirs()
    if where == "option":
        live = preview_and_run(tempfiles, box, "--protect", "final/**/*.mov", "--protect", "**/keep")
    elif where == "environment":
        live = report(tempfiles, box, env={"PGSWEEP_TEMPFILES_PROTECT": "final/**/*.mov, **/keep"})
    else:
        policies = policy_file("kind: files\nretain: 7 days\nprotect: ['final/**/*.mov', '**/keep']\n", "mine")
        live = report(tempfiles, box, "--policy-dir", policies, policy="mine")
    assert [n for n in box.names() if (box.root / n).is_file()] == \
        ["deep/er/keep/e", "final/a.mov", "final/x/y/b.mov", "keep/f"]
    assert live["kept"]["protected"] == 4


def test_T2_outputs_are_protected_in_any_case_unless_told_otherwise(tempfiles, box):
    for name in ("RESULT.mp4", "Output_1.mov", "x/rEsUlT", "FINAL.mov", "old"):
        box.file(name)
    live = preview_and_run(tempfiles, box, "--protect", "*.MOV")
    assert box.names() == ["Output_1.mov", "RESULT.mp4", "x", "x/rEsUlT"] and live["kept"]["protected"] == 3
    box.file("FINAL.mov")
    report(tempfiles, box, "--protect", "final*", env={"PGSWEEP_TEMPFILES_PROTECT_CASE": "ignore"})
    assert (box.root / "FINAL.mov").exists()
    report(tempfiles, box, "--protect", "final*", "--protect-case", "match")
    assert not [n for n in box.names() if (box.root / n).is_file()]


def test_T2_a_pattern_for_the_top_of_the_root_is_taken_although_the_host_has_that_name(tempfiles, box):
    box.file("etc/a")
    box.file("tmp/b")
    assert report(tempfiles, box, "--protect", "/etc", "--protect", "tmp/*")["kept"]["protected"] == 2
    found = report(tempfiles, box, "--protect", "/usr", "--dry-run")
    assert found["remarks"] == ['the pattern "/usr" is relative to the root, where nothing has that name now']


@pytest.mark.parametrize("how", ["option", "environment", "list", "text"])
def test_T1_of_several_times_the_youngest_counts(tempfiles, box, policy_file, how):
    """What was unpacked today keeps the old time of its archive; when it came is its ctime."""
    box.file("unpacked", age=300)
    os.utime(box.file("read"), (0, 0))
    args, env, policy = (), {}, "tempfiles"
    if how == "option":
        args = ("--age-by", "mtime,ctime")
    elif how == "environment":
        env = {"PGSWEEP_TEMPFILES_AGE_BY": "mtime, ctime"}
    else:
        value = "[mtime, ctime]" if how == "list" else "mtime,ctime"
        args = ("--policy-dir", policy_file(f"kind: files\nretain: 7 days\nage_by: {value}\n", "mine"))
        policy = "mine"
    found = report(tempfiles, box, *args, env=env, policy=policy)
    assert found["kept"]["fresh"] == 2 and found["deleted"] == 0 and found["age_by"] == "mtime,ctime"
    assert report(tempfiles, box, "--age-by", "mtime,atime")["files_deleted"] == 2
    shown = tempfiles("tempfiles", "--age-by", "ctime,mtime", policy="show").out
    assert "age_by:\n- mtime\n- ctime\n" in shown
    text = tempfiles("--root", box.root, "--age-by", "mtime,ctime").out
    assert "the youngest of mtime,ctime <" in text


def test_T1_times_that_do_not_exist_are_refused_everywhere(tempfiles, box):
    box.file("old")
    for args, env in ((("--age-by", "mtime,size"), {}), ((), {"PGSWEEP_TEMPFILES_AGE_BY": "mtime,size"}),
                      (("--age-by", ""), {}), (("--age-by", "mtime,"), {})):
        result = tempfiles("--root", box.root, *args, env=env, code=2)
        assert "is not one of mtime, atime, ctime, btime" in result.err
    assert box.names() == ["old"]


SYSTEM = ("/etc", "/usr", "/home", "/var", "/boot", "/bin", "/lib", "/sbin", "/dev", "/proc", "/sys", "/run",
          "/etc/", "//usr/.")


@pytest.mark.parametrize("root", SYSTEM)
def test_T2_a_directory_of_the_system_is_refused_as_a_root(tempfiles, root):
    if not os.path.isdir(root):
        pytest.skip("not here")
    result = tempfiles("--root", os.path.realpath(root), "--dry-run", "--retain", "300 years", code=2)
    assert "option --root: the root" in result.err and "is a directory of the system" in result.err
    assert "--allow-system-root" in result.err


def test_T2_a_bind_mount_of_a_system_directory_is_recognised(tempfiles, box):
    place = box.dir("etc")
    box.mount("--bind", "/etc", place)
    result = tempfiles("--root", place, "--dry-run", code=2)
    assert "is a directory of the system (/etc)" in result.err
    assert tempfiles("--root", place, "--dry-run", "--retain", "300 years", "--allow-system-root").code == 0


def test_T2_the_home_directory_of_root_is_called_so(tempfiles):
    result = tempfiles("--root", "/root", "--dry-run", "--retain", "300 years", env={"HOME": "/nowhere"}, code=2)
    assert 'the root "/root" is the home directory of root\n' in result.err


@pytest.mark.parametrize("where", ["passwd", "HOME"])
def test_T2_a_home_directory_is_refused_as_a_root(tempfiles, box, where):
    env = {}
    if where == "HOME":
        root, env = box.root, {"HOME": str(box.root)}
    else:
        root = os.path.expanduser("~root")
    box.file("old")
    result = tempfiles("--root", root, env=env, code=2)
    assert "is the home directory of" in result.err
    assert box.names() == ["old"]
    if where == "HOME":
        tempfiles("--root", root, "--allow-system-root", env=env)
        assert box.names() == []


def test_T2_a_mount_point_is_refused_as_a_root_outside_tmp(tempfiles, box, policy_file):
    need_root()
    place = "/srv/pgsweep-test-mount"
    os.makedirs(place, exist_ok=True)
    try:
        box.mount("-t", "tmpfs", "none", place)
        os.makedirs(f"{place}/sub")
        with open(f"{place}/old", "w", encoding="ascii"):
            os.utime(f"{place}/old", (0, 0))
        assert "is a mount point" in tempfiles("--root", place, code=2).err
        assert os.path.exists(f"{place}/old")
        tempfiles("--root", f"{place}/sub")
        policies = policy_file(f"kind: files\nretain: 7 days\nroots: ['{place}']\nsystem_root: allow\n", "mine")
        tempfiles("--policy-dir", policies, policy="mine")
        assert not os.path.exists(f"{place}/old")
    finally:
        os.system(f"umount -l {place} 2>/dev/null; rmdir {place}")


def test_T2_a_mount_below_tmp_may_be_a_root(tempfiles, box):
    place = box.dir("volume")
    box.mount("-t", "tmpfs", "none", place)
    box.file("volume/old")
    tempfiles("--root", place)
    assert box.names() == ["volume"]


def special(box):
    """An old socket, fifo and device (or nothing where that is not permitted), and links that lead nowhere."""
    import socket
    os.mkfifo(box.root / "fifo")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(box.root / "sock"))
    sock.close()
    box.link("broken", "/nowhere")
    for name in ("fifo", "sock"):
        box.age(box.root / name, 10)
    if os.geteuid() == 0:
        os.mknod(box.root / "null", 0o666 | 0o020000, os.makedev(1, 3))
        box.age(box.root / "null", 10)


@pytest.mark.parametrize("how", ["default", "option", "environment", "policy"])
def test_T1_old_sockets_and_fifos_go_if_asked(tempfiles, box, policy_file, how):
    special(box)
    device = ["null"] if os.geteuid() == 0 else []
    if how == "option":
        live = preview_and_run(tempfiles, box, "--special", "delete")
    elif how == "environment":
        live = report(tempfiles, box, env={"PGSWEEP_TEMPFILES_SPECIAL": "delete"})
    elif how == "policy":
        policies = policy_file("kind: files\nretain: 7 days\nspecial: delete\n", "mine")
        live = report(tempfiles, box, "--policy-dir", policies, policy="mine")
    else:
        live = report(tempfiles, box)
    asked = how != "default"
    assert box.names() == sorted(device + ([] if asked else ["fifo", "sock"]))
    assert live["special_deleted"] == (2 if asked else 0) and live["links_deleted"] == 1
    assert "is not one of keep, delete" in tempfiles("--special", "maybe", code=2).err


@pytest.mark.parametrize("kind", ["listening", "bound", "datagram", "seqpacket"])
def test_T1_T2_a_socket_that_a_process_has_stays(tempfiles, box, kind):
    import socket
    types = {"datagram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}
    deep = box.root / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    before = os.getcwd()
    os.chdir(deep)  # the path is longer than an address can be
    try:
        sock = socket.socket(socket.AF_UNIX, types.get(kind, socket.SOCK_STREAM))
        sock.bind("sock")
    finally:
        os.chdir(before)
    if kind == "listening":
        sock.listen(1)
        sock.setblocking(False)
    box.age(deep / "sock", 10)
    # To be asked sets the access time of a datagram socket.
    run = report if kind == "datagram" else preview_and_run
    live = run(tempfiles, box, "--special", "delete")
    assert live["kept"]["open"] == 1 and (deep / "sock").exists()
    if kind == "listening":
        with pytest.raises(BlockingIOError):
            sock.accept()  # nobody connected
    sock.close()
    report(tempfiles, box, "--special", "delete")
    assert not (deep / "sock").exists()


@pytest.mark.parametrize("flags", ["O_RDONLY | os.O_NONBLOCK", "O_RDWR", "O_RDONLY", "O_WRONLY"])
def test_T1_T2_a_fifo_stays_while_either_end_is_open_or_waited_for(tempfiles, box, flags):
    path = box.root / "fifo"
    os.mkfifo(path)
    box.age(path, 10)
    if flags in ("O_RDONLY", "O_WRONLY"):  # blocks in open
        process = box.spawn("/usr/bin/python3", "-c",
                            f"import os, time\nprint('ready', flush=True)\nf = os.open({str(path)!r}, os.{flags})\n"
                            "time.sleep(600)")
        assert process.stdout.readline() == "ready\n"
        deadline = harness.PATIENCE * 100
        while deadline and "S" not in open(f"/proc/{process.pid}/stat", encoding="ascii").read().split()[2]:
            deadline -= 1
    else:
        process = box.holder(f"import os\nf = os.open({str(path)!r}, os.{flags})")
    assert report(tempfiles, box, "--special", "delete")["kept"]["open"] == 1
    assert path.is_fifo()
    process.kill()
    process.wait()
    box.age(path, 10)
    assert report(tempfiles, box, "--special", "delete")["special_deleted"] == 1


def test_T1_T2_a_fifo_with_a_writer_and_no_reader_stays(tempfiles, box):
    path = box.root / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.close(reader)
    box.age(path, 10)
    live = preview_and_run(tempfiles, box, "--special", "delete")
    assert live["kept"]["open"] == 1
    os.close(writer)


@pytest.mark.parametrize("how", ["option", "environment", "policy", "number"])
def test_T1_only_what_belongs_to_the_owners_goes(tempfiles, box, policy_file, how):
    need_root()
    for name, owner in (("a", 65534), ("b", 0), ("d/c", 65534), ("e/f", 65534), ("g/h", 2)):
        os.chown(box.file(name), owner, -1)
    os.chown(box.root / "e", 65534, -1)
    box.age_dirs()
    if how == "option":
        live = preview_and_run(tempfiles, box, "--owner", "nobody")
    elif how == "environment":
        live = report(tempfiles, box, env={"PGSWEEP_TEMPFILES_OWNER": "nobody"})
    elif how == "number":
        live = report(tempfiles, box, "--owner", "65534,4000000000")
    else:
        policies = policy_file("kind: files\nretain: 7 days\nowner: [nobody]\n", "mine")
        live = report(tempfiles, box, "--policy-dir", policies, policy="mine")
    assert box.names() == ["b", "d", "g", "g/h"]
    assert live["kept"]["owner"] == 3 and live["files_deleted"] == 3  # b, h and the directory d


@pytest.mark.parametrize("owner", ["nosuchuser", "", "nobody,", "-1", "4294967295", "12x"])
def test_T1_an_owner_that_does_not_exist_is_refused(tempfiles, box, owner):
    box.file("old")
    result = tempfiles("--root", box.root, f"--owner={owner}", code=2)
    assert "option --owner: " in result.err
    assert box.names() == ["old"]


def test_O2_show_prints_the_rules_and_reads_them_back(tempfiles, policy_file):
    args = ("--owner", "nobody, 5", "--special", "delete", "--protect", "*.mov", "--protect-case", "ignore",
            "--allow-system-root", "--age-by", "mtime,btime")
    shown = tempfiles("tempfiles", *args, policy="show").out
    for line in ("owner:\n- nobody\n- 5\n", "special: delete\n", "protect:\n- '*.mov'\n", "protect_case: ignore\n",
                 "system_root: allow\n", "age_by:\n- mtime\n- btime\n"):
        assert line in shown
    again = tempfiles("tempfiles", "--policy-dir", policy_file(shown, "tempfiles"), policy="show").out
    assert again.split("\n", 1)[1] == shown.split("\n", 1)[1]


def fill(box):
    """A small file system with ten expired files of 1 MiB, the oldest first in the alphabet."""
    need_root()
    box.mount("-t", "tmpfs", "-o", "size=20m", "none", box.root)
    for i in range(10):
        box.file(f"f{i}", age=30 - i, size=1 << 20)


@pytest.mark.parametrize("how", ["option", "environment", "policy", "bytes"])
def test_T1_min_free_takes_the_oldest_first(tempfiles, box, policy_file, how):
    fill(box)  # half of it is free
    if how == "option":
        live = preview_and_run(tempfiles, box, "--min-free", "65%")
    elif how == "environment":
        live = report(tempfiles, box, env={"PGSWEEP_TEMPFILES_MIN_FREE": "65 %"})
    elif how == "bytes":
        live = report(tempfiles, box, "--min-free", "13MiB")
    else:
        policies = policy_file("kind: files\nretain: 7 days\nmin_free: 65%\n", "mine")
        live = report(tempfiles, box, "--policy-dir", policies, policy="mine")
    assert box.names() == [f"f{i}" for i in range(3, 10)]
    (room,) = live["min_free"]
    assert room["root"] == str(box.root) and room["wanted"] == 13 << 20 and room["reached"]
    assert room["after"] == room["before"] + (3 << 20) and live["kept"]["enough_free"] == 7
    text = tempfiles("--root", box.root, "--min-free", "65%").out
    assert "  free           13.0 MiB  before, 13.0 MiB after; 13.0 MiB wanted (65%): reached\n" in text


@pytest.mark.parametrize("dry", [True, False])
def test_T1_O3_min_free_that_is_not_reached_is_an_alert(tempfiles, box, dry):
    fill(box)
    box.file("fresh", age=1, size=1 << 20)
    args = ("--dry-run",) if dry else ()
    found = report(tempfiles, box, "--min-free", "100%", *args, code=6)
    assert found["files_deleted"] == 10 and not found["min_free"][0]["reached"]
    assert found["alerts"] == [f"min_free: 19.0 MiB free below {box.root}, 20.0 MiB wanted, and nothing expired is left"]
    assert len(box.names()) == (11 if dry else 1)


@pytest.mark.parametrize("value", ["20", "0%", "101%", "-5%", "5 GX", "", "%", "1e3 MB", "5..5%"])
def test_T1_min_free_that_is_not_understood_is_refused(tempfiles, box, value):
    box.file("old")
    result = tempfiles("--root", box.root, f"--min-free={value}", code=2)
    assert f'option --min-free: min_free "{value}" is not understood' in result.err
    assert box.names() == ["old"]
