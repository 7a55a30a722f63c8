"""Files that other users of the host could write or put in place, and passwords on the command line. O5, T3, M6, O4."""
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

import harness
from sweeping import policy, run

OTHER = 4711  # a user who is neither root nor the one that runs the tests


def need_root():
    if os.getuid() != 0:
        pytest.skip("needs root, to make files of another user")


@pytest.fixture
def place():
    """A directory below /tmp, which everybody may write to, as others see it: /tmp/X is 0755."""
    path = Path(tempfile.mkdtemp(prefix="pgsweep-host-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def rows(db, pgsweep):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, at timestamptz);"
           "INSERT INTO t SELECT i, now() - interval '8 days' FROM generate_series(1, 5) AS i")
    assert pgsweep("init").code == 0
    return lambda: db.count("t")


@pytest.fixture
def policies(place):
    """place/policies/test.yaml, which only its owner may write to."""
    directory = place / "policies"
    directory.mkdir(mode=0o755)
    file = directory / "test.yaml"
    file.write_text(policy())
    file.chmod(0o644)
    return directory


# Policy files


def test_O5_a_policy_of_ones_own_below_tmp_is_fine(pgsweep, rows, policies):
    run(pgsweep, "test", "--policy-dir", policies)
    assert rows() == 0


@pytest.mark.parametrize("mode, what", [(0o664, "file"), (0o666, "file"), (0o646, "file"), (0o775, "directory"),
                                        (0o777, "directory"), (0o1777, "directory"), (0o775, "parent"), (0o777, "parent")])
def test_O5_a_policy_that_others_may_write_is_refused(pgsweep, rows, policies, mode, what):
    path = {"file": policies / "test.yaml", "directory": policies, "parent": policies.parent}[what]
    path.chmod(mode)
    for command in (("test",), ("test", "--dry-run"), ("show", "test"), ("list",)):
        result = pgsweep(*command, "--policy-dir", policies)
        assert result.code == 4, result
        assert "policy file" in result.err and "is writable by other users" in result.err and "hint:" in result.err, result
        assert str(path) in result.err
    assert rows() == 5


def test_O5_a_missing_policy_in_a_directory_of_everybody_is_refused_too(pgsweep, rows, policies):
    """Else the one who may write there could let the built-in policy take its place."""
    policies.chmod(0o777)
    assert pgsweep("jobs", "--policy-dir", policies).code == 4


@pytest.mark.parametrize("what", ["file", "directory", "parent"])
def test_O5_a_policy_of_another_user_is_refused(pgsweep, rows, policies, what):
    need_root()
    os.chown({"file": policies / "test.yaml", "directory": policies, "parent": policies.parent}[what], OTHER, OTHER)
    result = pgsweep("test", "--policy-dir", policies)
    assert result.code == 4 and f"belongs to user {OTHER}" in result.err and rows() == 5, result


def test_O5_links_to_a_policy_are_followed_where_they_are_trusted(pgsweep, rows, policies):
    (policies.parent / "elsewhere").mkdir(mode=0o755)
    target = policies.parent / "elsewhere" / "real.yaml"
    (policies / "test.yaml").rename(target)
    (policies / "test.yaml").symlink_to("../elsewhere/real.yaml")
    link = policies.parent / "link"
    link.symlink_to(policies)
    run(pgsweep, "test", "--policy-dir", link, "--max-rows=1")
    target.chmod(0o666)
    assert pgsweep("test", "--policy-dir", link).code == 4
    target.chmod(0o644)
    target.parent.chmod(0o777)
    assert pgsweep("test", "--policy-dir", link).code == 4
    target.parent.chmod(0o755)
    assert rows() == 4
    if os.getuid() == 0:
        os.lchown(link, OTHER, OTHER)
        result = pgsweep("test", "--policy-dir", link)
        assert result.code == 4 and "the symbolic link" in result.err and rows() == 4, result


def test_O5_a_relative_policy_directory_is_resolved_from_where_one_is(pgsweep, rows, home):
    (home / "mine").mkdir(mode=0o755)
    (home / "mine" / "test.yaml").write_text(policy())
    run(pgsweep, "test", "--policy-dir", "mine/../mine/.", "--max-rows=1")
    home.chmod(0o777)
    assert pgsweep("test", "--policy-dir", "mine").code == 4
    assert rows() == 4


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_O5_a_policy_that_is_no_file_is_refused_and_nobody_waits(pgsweep, rows, policies, kind):
    path = policies / "test.yaml"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")
    result = pgsweep("test", "--policy-dir", policies, timeout=30)
    assert result.code in (2, 4) and "policy file" in result.err and rows() == 5, result


# Log and metrics


def targets(place, kind):
    """A path to write to that somebody else could have made."""
    path = place / "target"
    victim = place / "victim"
    victim.write_text("precious\n")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(place / "new")
    elif kind == "hard link":
        os.link(victim, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
    elif kind == "device":
        need_root()  # one of the test's own: a program that is wrong would replace it
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("needs CAP_MKNOD")
    elif kind == "writable":
        path.write_text("")
        path.chmod(0o666)
    elif kind == "group":
        path.write_text("")
        path.chmod(0o660)
    elif kind == "another user's":
        need_root()
        path.write_text("")
        os.chown(path, OTHER, OTHER)
    elif kind == "everybody's directory":
        (place / "open").mkdir()
        (place / "open").chmod(0o777)
        return place / "open" / "target"
    elif kind == "another user's link":
        need_root()
        (place / "real").mkdir()
        (place / "way").symlink_to("real")
        os.lchown(place / "way", OTHER, OTHER)
        return place / "way" / "target"
    return path


@pytest.mark.parametrize("option", ["--log-file", "--metrics-file"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "fifo", "socket", "device", "writable", "group",
                                  "another user's", "everybody's directory", "another user's link"])
def test_O5_a_target_that_others_could_have_chosen_is_refused_before_anything_goes(pgsweep, rows, policies, place, option, kind):
    path = targets(place, kind)
    before = sorted(p.name for p in place.rglob("*"))
    result = pgsweep("test", "--policy-dir", policies, option, path, timeout=30)
    assert result.code == 4 and "is refused" in result.err and str(path) in result.err, result
    assert rows() == 5
    assert (place / "victim").read_text() == "precious\n"
    assert sorted(p.name for p in place.rglob("*")) == before


@pytest.mark.parametrize("option", ["--log-file", "--metrics-file"])
@pytest.mark.parametrize("path", ["nowhere/x", "victim/x", "."])
def test_O5_a_target_that_cannot_be_is_told_before_anything_goes(pgsweep, rows, policies, place, option, path):
    (place / "victim").write_text("precious\n")
    result = pgsweep("test", "--policy-dir", policies, option, place / path)
    assert result.code == 2 and "pgsweep: error: the " in result.err and "hint:" in result.err and rows() == 5, result


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_O5_log_and_metrics_are_created_0640(pgsweep, rows, policies, place):
    log, metrics = place / "log", place / "metrics"
    umask = os.umask(0)
    try:
        run(pgsweep, "test", "--policy-dir", policies, "--log-file", log, "--metrics-file", metrics, "--max-rows=1")
    finally:
        os.umask(umask)
    assert mode(log) == 0o640 and mode(metrics) == 0o640
    assert len(log.read_text().splitlines()) == 1 and "pgsweep_last_run_exit_code" in metrics.read_text()


def test_O5_metrics_keep_the_mode_and_group_that_were_given_to_them(pgsweep, rows, policies, place):
    metrics = place / "metrics"
    metrics.write_text("")
    metrics.chmod(0o644)
    if os.getuid() == 0:
        os.chown(metrics, 0, OTHER)
    inode = metrics.stat().st_ino
    run(pgsweep, "test", "--policy-dir", policies, "--metrics-file", metrics)
    after = metrics.stat()
    assert mode(metrics) == 0o644 and after.st_ino != inode
    assert os.getuid() != 0 or after.st_gid == OTHER


def test_O5_metrics_may_lie_in_a_directory_of_another_service(pgsweep, rows, policies, place):
    need_root()
    (place / "exporter").mkdir(mode=0o755)
    os.chown(place / "exporter", OTHER, OTHER)
    run(pgsweep, "test", "--policy-dir", policies, "--metrics-file", place / "exporter" / "m.prom", "--max-rows=1")
    run(pgsweep, "test", "--policy-dir", policies, "--metrics-file", place / "exporter" / "m.prom", "--max-rows=1")
    assert os.listdir(place / "exporter") == ["m.prom"]


def test_O5_a_link_that_is_planted_between_two_lines_changes_nothing(db, start_pgsweep, rows, policies, place):
    """The log is open, and so is its directory: what the names lead to by then does not matter."""
    log, metrics, victim = place / "logs" / "log", place / "logs" / "metrics", place / "victim"
    log.parent.mkdir(mode=0o755)
    victim.write_text("precious\n")
    running = start_pgsweep("test", "--policy-dir", policies, "--log-file", log, "--metrics-file", metrics, "--chunk=1",
                            "--pause=1 s")
    harness.wait_until(lambda: log.exists() and log.read_text().count("\n") >= 1, what="the first line")
    kept = place / "kept"
    log.rename(kept)
    log.symlink_to(victim)
    metrics.symlink_to(victim)
    result = running.wait()
    assert rows() == 0 and len(kept.read_text().splitlines()) == 5
    assert victim.read_text() == "precious\n"
    # The metrics of a run that is over cannot undo it, but they are missed.
    assert result.code == 1 and "is a symbolic link" in result.err, result


def test_O5_a_directory_that_is_exchanged_meanwhile_gets_nothing(db, start_pgsweep, rows, policies, place):
    here, other = place / "logs", place / "other"
    here.mkdir(mode=0o755)
    other.mkdir(mode=0o755)
    running = start_pgsweep("test", "--policy-dir", policies, "--metrics-file", here / "m", "--log-file", here / "log",
                            "--chunk=1", "--pause=1 s")
    harness.wait_until(lambda: (here / "log").exists() and (here / "log").read_text(), what="the first line")
    here.rename(place / "moved")
    here.symlink_to(other)
    assert running.wait().code == 0
    assert os.listdir(other) == [] and sorted(os.listdir(place / "moved")) == ["log", "m"]


def test_O5_what_a_kill_left_of_the_metrics_is_removed(pgsweep, rows, policies, place):
    left = place / f".pgsweep-{'0123456789abcdef' * 2}.new"
    not_ours = place / ".pgsweep-0123.new"
    busy = place / f".pgsweep-{'f' * 32}.new"
    for path in (left, not_ours, busy):
        path.write_text("half")
    import fcntl
    with open(busy, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run(pgsweep, "test", "--policy-dir", policies, "--metrics-file", place / "m")
    assert not left.exists() and not_ours.exists() and busy.exists()


SLOW = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fsync(int fd)
{
    (void)fd;
    for (;;)
        pause();
}

int openat(int directory, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, int) : 0;
    va_end(args);
    if ((flags & O_TMPFILE) == O_TMPFILE && getenv("NO_TMPFILE")) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return (int)syscall(SYS_openat, directory, path, flags, mode);
}
"""


@pytest.mark.parametrize("nameless", [True, False])
def test_O5_a_run_that_is_killed_while_it_writes_metrics_leaves_nothing(pgsweep, start_pgsweep, rows, policies, place, nameless):
    """Where the file system has no nameless files, the next run removes what is left."""
    source, library, into = place / "slow.c", place / "slow.so", place / "metrics"
    source.write_text(SLOW)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source], check=True)
    into.mkdir(mode=0o755)
    asan = os.environ.get("ASAN_OPTIONS", "")
    env = {"LD_PRELOAD": library, "NO_TMPFILE": None if nameless else "1", "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0"}
    running = start_pgsweep("test", "--policy-dir", policies, "--metrics-file", into / "m", env=env)
    # It hangs in fsync, with all of the metrics written.
    harness.wait_until(lambda: "pgsweep_last_run_exit_code" in written(running.pid, into), what="the metrics")
    running.kill()
    left = os.listdir(into)
    assert len(left) == (0 if nameless else 1) and "m" not in left
    if left:
        assert re.fullmatch(r"\.pgsweep-[0-9a-f]{32}\.new", left[0]) and mode(into / left[0]) == 0o640
    run(pgsweep, "test", "--policy-dir", policies, "--metrics-file", into / "m")
    assert os.listdir(into) == ["m"]


def written(pid, directory):
    """What the process has written to files in the directory, with or without a name."""
    text = ""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(link).startswith(f"{directory}/"):
                text += link.read_text()
        except OSError:
            pass
    return text


def test_O5_a_log_that_runs_full_is_told_and_the_work_stands(pgsweep, rows, policies, place):
    """ulimit -f 0: every write fails with EFBIG, as on a full disk."""
    command = 'trap "" XFSZ; ulimit -f 0; exec "$@"'
    done = subprocess.run(["bash", "-c", command, "bash", harness.binary(), "test", "--policy-dir", policies,
                           "--log-file", place / "log", "--metrics-file", place / "m"],
                          env=pgsweep.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE, check=False)
    assert done.returncode == 1 and rows() == 0, done
    assert "pgsweep: error: the log could not be written to" in done.stderr
    assert "pgsweep: error: the metrics file" in done.stderr and "File too large" in done.stderr
    assert sorted(p.name for p in place.iterdir()) == ["log", "policies"]


# Credentials


def test_O5_a_credentials_file_that_others_may_write_is_not_used(mocs, place):
    file = place / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {mocs.env['AWS_ACCESS_KEY_ID']}\n"
                    f"aws_secret_access_key = {mocs.env['AWS_SECRET_ACCESS_KEY']}\n"
                    f"aws_session_token = {mocs.env.get('AWS_SESSION_TOKEN', '')}\n")
    env = {**mocs.env, "AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_ACCESS_KEY_ID": None,
           "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}
    mocs.add(1, ["a"])
    file.chmod(0o666)
    result = mocs.runner("mocs", env=env)
    assert result.code == 1 and "credentials file" in result.out and "is writable by other users" in result.out, result
    assert mocs.left() == [] and mocs.keys() == mocs.queue() == ["a"]
    file.chmod(0o600)
    assert mocs.runner("objects", "drain", env=env).code == 0
    assert mocs.keys() == mocs.queue() == []


# Passwords


def command_line(running):
    return Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")[:-1]


@pytest.mark.parametrize("how", ["uri", "words", "long", "equals", "query", "encoded"])
def test_O5_a_password_disappears_from_the_command_line(db, start_pgsweep, rows, policies, how):
    e = db.env
    secret = "hunter2-Xy9"
    role = db.role("sweeper", "SELECT, UPDATE, DELETE ON t", "USAGE ON SCHEMA pgsweep",
                   "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgsweep",
                   "USAGE ON ALL SEQUENCES IN SCHEMA pgsweep", options=f"LOGIN PASSWORD '{secret}'")
    host = e["PGHOST"].replace("/", "%2F")
    words = f"host={e['PGHOST']} port={e['PGPORT']} dbname={db.name} user={role} password='{secret}'"
    uri = f"postgresql://{role}:{secret}@{host}:{e['PGPORT']}/{db.name}"
    query = f"postgresql:///{db.name}?host={host}&port={e['PGPORT']}&user={role}&"
    given = {"uri": ["-d", uri], "words": ["-d", words], "long": ["--dbname", words], "equals": [f"--dbname={uri}"],
             "query": ["-d", f"{query}password={secret}"], "encoded": ["-d", f"{query}p%61ssword={secret}"]}[how]
    clean = {name: None for name in e}
    running = start_pgsweep("test", "--policy-dir", policies, "--chunk=1", "--pause=1 s", "--verbose", *given, env=clean)
    running.wait_for(" deleted ")
    words = command_line(running)
    assert len(words) == len(given) + 7 and secret.encode() not in b" ".join(words), words
    assert len(words[-1]) == len(given[-1]) and words[-1].endswith(b"xxxxxxxx")
    names = db.column("SELECT application_name FROM pg_stat_activity WHERE datname = %s", db.name)
    assert any(name.startswith("pgsweep/test/") for name in names) and secret not in str(names)
    running.signal(15)
    result = running.wait()
    assert secret not in result.out + result.err and rows() < 5, result


def test_O5_a_connection_string_without_a_password_stays_readable(db, start_pgsweep, rows, policies):
    where = f"host={db.env['PGHOST']} dbname={db.name}"
    running = start_pgsweep("test", "--policy-dir", policies, "--chunk=1", "--pause=1 s", "--verbose", "-d", where)
    running.wait_for(" deleted ")
    assert command_line(running)[-1] == where.encode()


@pytest.mark.parametrize("words", [
    ["jobs", "postgresql://u:hunter2@h/db"], ["postgresql://u:hunter2@h/db"], ["jobs", "host=h password=hunter2"],
    ["jobs", "--dbnam=postgresql://u:hunter2@h/db"], ["jobs", "--dbase=password=hunter2"],
    ["jobs", "--host", "--dbname=postgresql://u:hunter2@h/db"], ["jobs", "-d", "postgresql://u:hunter2@/h@x:1/db"],
    ["jobs", "-d", "password=hunter2 nonsense"], ["dlq", "list", "postgresql://u:hunter2@h/db"],
    ["jobs", "--retry-for=0 s", "-d", "postgresql://u:hunter2@127.0.0.1:1/db"]])
def test_O5_no_message_shows_a_password(pgsweep, words):
    result = pgsweep(*words)
    assert result.code in (2, 3) and "hunter2" not in result.out + result.err, result


# What the documents tell people to do


def test_O5_no_document_writes_an_environment_file_that_all_may_read():
    root = harness.ROOT
    texts = [root / "README.md", *root.glob("docs/*.md"), *root.glob("man/*"), root / "packaging" / "crontab", *(root / "systemd").iterdir()]
    for path in texts:
        for line in path.read_text().splitlines():
            assert not re.search(r"(\btee\b|>).*/etc/pgsweep/\S*\.env", line), (path, line)
    assert re.search(r"install -m 0600 .*/etc/pgsweep/jobs\.env", (root / "README.md").read_text())
