"""pgsweep tempfiles as its user sees it: roots, options, report, exit codes; no database."""
import os
import re
import shutil
import signal
import sys
import time

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box, need_root  # noqa: E402,F401  pylint: disable=unused-import

NO_DB = {name: None for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE")}


@pytest.fixture
def tempfiles(home):
    """pgsweep without any database: no PG* variables."""
    runner = harness.Runner(None, home)
    def run(*args, code=0, policy="tempfiles", **kwargs):
        result = runner(policy, *args, **kwargs)
        assert result.code == code, result
        return result
    run.start = runner.start
    yield run
    runner.close()


def report(tempfiles, box, *args, root=True, **kwargs):
    where = ("--root", box.root) if root else ()
    return tempfiles(*where, "--format=json", *args, **kwargs).json()


COUNTS = ("scanned", "files_deleted", "links_deleted", "directories_deleted", "special_deleted",
          "bytes_freed", "kept", "vanished", "errors", "failed", "exit_code", "cutoff")


def preview_and_run(tempfiles, box, *args, code=0):
    """A dry run changes nothing and tells what the live run with its cutoff then does."""
    before = box.snapshot()
    dry = report(tempfiles, box, "--dry-run", *args, code=code)
    assert box.snapshot() == before
    live = report(tempfiles, box, *args, "--cutoff", dry["cutoff"], code=code)
    assert {k: dry[k] for k in COUNTS} == {k: live[k] for k in COUNTS}
    return live


def test_T1_T2_old_files_and_empty_directories_go_the_rest_stays(tempfiles, box):
    box.file("old", size=5000)
    box.file("job/frame.tmp")
    box.file("job/deep/er/frame.tmp")
    box.file("young", age=6.9)
    box.file("job2/result.mp4")
    box.file("output_final.mov")
    box.link("link", box.outside)
    box.file("precious", base=box.outside)
    os.mkfifo(box.root / "fifo")
    box.age_dirs()
    live = preview_and_run(tempfiles, box)
    assert box.names() == ["fifo", "job2", "job2/result.mp4", "output_final.mov", "young"]
    assert box.names(box.outside) == ["precious"]
    assert live["files_deleted"] == 3 and live["links_deleted"] == 1 and live["directories_deleted"] == 3
    assert live["deleted"] == 7 and live["bytes_freed"] >= 5000
    kept = {k: n for k, n in live["kept"].items() if n}
    assert kept == {"fresh": 1, "protected": 2, "special": 1, "not_empty": 1}
    assert live["scanned"] == live["deleted"] + sum(kept.values())
    again = report(tempfiles, box)
    assert again["deleted"] == 0 and again["outcome"] == "done"


def test_T1_text_of_the_report(tempfiles, box):
    box.file("a", size=100)
    box.file("b", size=100)
    box.file("young", age=1)
    dry = tempfiles("--root", box.root, "--dry-run").out
    assert re.fullmatch(rf"tempfiles: {box.root}, mtime < \S+ \S+ \(7 days\)\n"
                        r"  scanned +3\n  delete +2  2 files; 8\.0 KiB\n  kept +1  1 fresh\n"
                        r"  dry run: nothing was changed\n", dry), dry
    live = tempfiles("--root", box.root).out
    assert re.search(r"\n  deleted +2  2 files; 8\.0 KiB\n  kept +1  1 fresh\n  in \S+ ms\n$", live), live
    assert tempfiles("--root", box.root, "--quiet").out == ""


def test_T1_root_from_option_policy_variable_and_default(tempfiles, box, policy_file):
    a, b, c = (box.root / name for name in "abc")
    for place in (a, b, c):
        box.file("old", base=place)
    policies = policy_file(f"kind: files\nretain: 7 days\nroots: [{a}, {b}]\n", "tempfiles")
    env = {"TEMP_DIR": str(c)}
    assert report(tempfiles, box, root=False, env=env)["roots"] == [str(c)]
    assert box.names() == ["a", "a/old", "b", "b/old", "c"]
    both = report(tempfiles, box, "--policy-dir", policies, root=False, env=env)
    assert both["roots"] == [str(a), str(b)] and both["files_deleted"] == 2
    box.file("old", base=b)
    one = report(tempfiles, box, "--policy-dir", policies, "--root", a, root=False)
    assert one["roots"] == [str(a)] and (b / "old").exists()
    default = report(tempfiles, box, "--dry-run", root=False)
    assert default["roots"] == ["/tmp/nexrender"]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_T1_missing_root_is_nothing_to_do(tempfiles, box, dry):
    found = report(tempfiles, box, "--root", box.root / "nowhere", *dry, root=False)
    assert found["scanned"] == 0
    assert found["remarks"] == [f"{box.root}/nowhere does not exist: skipped"]


@pytest.mark.parametrize("root, message", [
    ("/", "/"), ("tmp", "not an absolute path"), ("", ""), ("{root}/../x", r"\.\."),
    ("{root}/file", "not a directory"), ("{root}/link", "link"), ("{root}/link/", "link"), ("//", "/")])
def test_T2_unsafe_root_is_refused(tempfiles, box, root, message):
    box.file("file")
    box.link("link", box.outside)
    before = box.snapshot()
    result = tempfiles("--root", root.format(root=box.root), code=2)
    assert re.search(rf"pgsweep: error: option --root: .*{message}", result.err), result
    assert "hint:" in result.err
    assert box.snapshot() == before


def test_T2_every_root_is_looked_at_before_the_first_file_goes(tempfiles, box, policy_file):
    box.file("a/old")
    policies = policy_file(f"kind: files\nretain: 1 day\nroots:\n  - {box.root}/a\n  - relative\n", "mine")
    result = tempfiles("--policy-dir", policies, policy="mine", code=2)
    assert "mine.yaml:5: " in result.err and "not an absolute path" in result.err
    assert (box.root / "a/old").exists()


@pytest.mark.parametrize("second", ["{root}/a", "{root}/a/b", "{root}", "{root}/a/"])
def test_T2_roots_that_overlap_are_refused(tempfiles, box, policy_file, second):
    box.file("a/old")
    policies = policy_file(f"kind: files\nretain: 1 day\nroots:\n  - {box.root}/a\n"
                           f"  - {second.format(root=box.root)}\n", "mine")
    result = tempfiles("--policy-dir", policies, policy="mine", code=2)
    assert re.search(r'mine\.yaml:[45]: the root ".*" is inside the root', result.err), result
    assert (box.root / "a/old").exists()
    policies = policy_file('kind: files\nretain: 1 day\nroots: ["/x\\e[2J", "/x\\e[2J/y"]\n', "mine")
    result = tempfiles("--policy-dir", policies, policy="mine", code=2)
    assert r"/x\x1b[2J/y" in result.err and "\x1b" not in result.err


def test_T1_retention_from_option_environment_and_policy(tempfiles, box):
    box.file("day2", age=2)
    box.file("day4", age=4)
    assert report(tempfiles, box, "--dry-run")["files_deleted"] == 0
    assert report(tempfiles, box, "--dry-run", "--retain", "3 days")["files_deleted"] == 1
    env = {"PGSWEEP_TEMPFILES_RETAIN": "36 hours"}
    assert report(tempfiles, box, "--dry-run", env=env)["files_deleted"] == 2
    assert report(tempfiles, box, "--retain", "72h", env=env)["files_deleted"] == 1
    assert box.names() == ["day2"]
    result = tempfiles("--root", box.root, "--retain", "3", code=2)
    assert 'option --retain: retain "3" has a number without a unit' in result.err


def test_T1_fractions_of_a_second_and_days_count(tempfiles, box):
    """Seven days and twelve hours are more than seven days; a microsecond too."""
    box.file("half", age=7.5)
    at = 1767323045_678901000
    for name, step in (("older", -1000), ("same", 0), ("younger", 1000)):
        os.utime(box.file(name), ns=(at + step, at + step))
    assert report(tempfiles, box, "--dry-run", "--retain", "7d")["files_deleted"] == 4
    live = report(tempfiles, box, "--cutoff", "2026-01-02 03:04:05.678901")
    assert live["cutoff"] == "2026-01-02 03:04:05.678901+00" and live["files_deleted"] == 1
    assert box.names() == ["half", "same", "younger"]


@pytest.mark.parametrize("text, seconds", [
    ("2026-01-02 03:04:05", 1767323045), ("2026-01-02T03:04:05Z", 1767323045), ("2026-01-02 03:04", 1767323040),
    ("2026-01-02", 1767312000), ("2026-01-02 03:04:05+00", 1767323045), ("2026-01-02 05:04:05+02", 1767323045),
    ("2026-01-02T05:34:05.25+02:30", 1767323045), ("2026-01-01 20:04:05-0700", 1767323045)])
def test_T1_cutoff_in_its_forms(tempfiles, box, text, seconds):
    found = report(tempfiles, box, "--dry-run", "--cutoff", text)
    fraction = ".250000" if "." in text else ".000000"
    assert found["cutoff"] == time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + fraction + "+00"


@pytest.mark.parametrize("text, message", [
    ("yesterday", "not a point in time"), ("2026-02-30", "not a point in time"), ("", "not a point in time"),
    ("2026-01-02 03:04:05+99", "not a point in time"), ("2026-01-02x", "not a point in time"),
    ("2026-01-02 03:04:05.", "not a point in time"), ("9999-01-01", "is in the future"),
    ("{hour ago}", "later than the retention (7 days) allows")])
def test_T1_cutoff_that_makes_no_sense_is_refused(tempfiles, box, text, message):
    box.file("old")
    text = text.replace("{hour ago}", time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 3600)))
    result = tempfiles("--root", box.root, "--cutoff", text, code=2)
    assert "option --cutoff: " in result.err and message in result.err
    assert box.names() == ["old"]


def test_T1_age_by_another_time(tempfiles, box):
    path = box.file("read lately")
    os.utime(path, (time.time(), time.time() - 10 * 86400))
    assert report(tempfiles, box, "--dry-run", "--age-by", "ctime")["kept"]["fresh"] == 1
    assert report(tempfiles, box, "--dry-run", "--age-by=btime")["files_deleted"] == 0
    assert report(tempfiles, box, "--age-by", "atime")["kept"]["fresh"] == 1
    assert report(tempfiles, box, "--age-by", "mtime")["files_deleted"] == 1
    result = tempfiles("--age-by", "size", code=2)
    assert 'option --age-by: "size" is not one of mtime, atime, ctime, btime' in result.err


def test_T2_protected_by_patterns_and_directories(tempfiles, box):
    for name in ("a.mp4", "b.png", "x/keep/c", "d.tmp", "safe/e", "safe/f/g", "z/result.mov"):
        box.file(name)
    box.age_dirs()
    live = preview_and_run(tempfiles, box, "--protect", "*.mp4", "--protect", "x/keep",
                           "--protect-dir", box.root / "safe", "--protect-dir", box.root / "nowhere")
    assert box.names() == ["a.mp4", "safe", "safe/e", "safe/f", "safe/f/g", "x", "x/keep", "x/keep/c",
                           "z", "z/result.mov"]
    assert live["kept"]["protected"] == 4
    assert f"the protected directory {box.root}/nowhere does not exist" in live["remarks"]
    result = tempfiles("--root", box.root / "safe", "--protect-dir", box.root, code=2)
    assert "protected" in result.err


@pytest.mark.parametrize("option, value, message", [
    ("--protect-dir", "pinned", 'the protected directory "pinned" is not an absolute path'),
    ("--protect-dir", "", 'the protected directory "" is not an absolute path'),
    ("--protect", "", 'the pattern "" matches nothing'), ("--protect", "/", 'the pattern "/" matches nothing'),
    ("--protect", "{root}/pinned", 'begins with the root, so it would match nothing'),
    ("--protect", "{root}", 'begins with the root, so it would match nothing'),
    ("--protect", "/{root}//pinned", 'begins with the root, so it would match nothing'),
    ("--protect", "{root}/./pinned", 'begins with the root, so it would match nothing'),
    ("--protect", "/tmp/elsewhere/pinned", 'looks like a full path outside the root'),
    ("--protect", "./pinned", 'has a "." between slashes'), ("--protect", ".", "matches nothing"),
    ("--protect", "a//pinned", "has two slashes in a row"), ("--protect", "../pinned", 'has a ".." between slashes'),
    ("--protect", "pinned\\", "ends with a backslash"), ("--protect", "[pinned", 'has a "[" without its "]"'),
    ("--protect", "{a,b}", "has braces, which are not expanded"), ("--protect", "!pinned", 'begins with "!"'),
    ("--protect", "~/pinned", 'begins with "~"'), ("--protect-dir", "~/pinned", "is not an absolute path"),
    ("--protect-dir", "/tmp/*/pinned", "looks like a pattern")])
def test_T2_a_protection_that_would_protect_nothing_is_refused(tempfiles, box, policy_file, option, value, message):
    """Else the files that it was meant for would go, and nobody would have been told."""
    box.file("pinned/f")
    value = value.replace("{root}", str(box.root))
    result = tempfiles("--root", box.root, option, value, code=2)
    assert f"pgsweep: error: option {option}: " in result.err and message in result.err, result
    key = "protect_dirs" if option == "--protect-dir" else "protect"
    policies = policy_file(f"kind: files\nretain: 1 day\n{key}:\n  - '{value}'\n", "mine")
    result = tempfiles("--root", box.root, "--policy-dir", policies, policy="mine", code=2)
    assert "mine.yaml:4: " in result.err and message in result.err, result
    variable = f"PGSWEEP_TEMPFILES_{key.upper()}"
    result = tempfiles("--root", box.root, env={variable: value.replace(",", r"\,")}, code=2)
    assert f"environment variable {variable}: " in result.err, result
    assert (message if value else "must not be empty") in result.err, result
    assert box.names() == ["pinned", "pinned/f"]


def test_T2_a_pattern_that_begins_with_the_root_is_told_what_to_write(tempfiles, box):
    box.file("pinned/f")
    result = tempfiles("--root", box.root, "--protect", f"{box.root}/pinned", code=2)
    assert 'write "/pinned"' in result.err
    assert report(tempfiles, box, "--protect", "/pinned")["kept"]["protected"] == 1


def test_O2_what_a_killed_run_left_in_the_trash_counts_the_same_in_both_runs(tempfiles, box):
    box.file("7/a")
    box.file("7/b/c", age=1)
    box.killed_tree("7")
    box.file("old")
    live = preview_and_run(tempfiles, box)
    assert (live["files_deleted"], live["directories_deleted"], live["kept"]["fresh"]) == (2, 0, 1)
    assert [name for name in box.names() if name.endswith("/c")] and not (box.root / "old").exists()


def test_O2_the_numbers_of_the_text_add_up(tempfiles, box):
    box.file("d/result.mp4")
    box.file("d/young", age=1)
    box.file("old")
    os.mkfifo(box.root / "fifo")
    out = tempfiles("--root", box.root).out
    number = {word: int(n) for word, n in re.findall(r"^  (scanned|deleted|kept) +(\d+)", out, re.M)}
    assert number == {"scanned": 5, "deleted": 1, "kept": 4}
    assert "  1 fresh, 1 protected, 1 special (FIFO, socket, device), 1 not empty\n" in out


def test_T1_max_rows_is_exact_and_the_next_run_goes_on(tempfiles, box):
    for i in range(10):
        box.file(f"d{i % 3}/f{i}")
    box.age_dirs()
    live = preview_and_run(tempfiles, box, "--max-rows", "4")
    assert live["deleted"] == 4 and live["limit"] == "max-rows" and live["outcome"] == "limit"
    assert "stopped at max-rows; the next run goes on" in tempfiles("--root", box.root, "--max-rows=1").out
    assert report(tempfiles, box)["deleted"] == 8 and box.names() == []
    for i in range(3):
        box.file(f"f{i}")
    env = {"PGSWEEP_TEMPFILES_MAX_ROWS": "1", "PGSWEEP_TEMPFILES_MAX_RUNTIME": "1 h"}
    assert report(tempfiles, box, env=env)["deleted"] == 1
    assert report(tempfiles, box, "--max-rows", "5", env=env)["deleted"] == 2
    assert 'max_rows must be' in tempfiles("--max-rows", "-1", code=2).err


def test_T1_max_runtime_and_pause(tempfiles, box):
    for i in range(40):
        box.file(f"f{i:02}")
    found = report(tempfiles, box, "--max-runtime", "500 ms", "--pause", "100 ms", "--chunk", "2")
    assert found["limit"] == "max-runtime" and found["exit_code"] == 0 and found["duration_ms"] < 1500
    assert 2 <= found["deleted"] < 40 and 400 <= found["duration_ms"] < 5000
    before = len(box.names())
    found = report(tempfiles, box, "--pause", "10 ms", "--chunk", "5")
    assert found["deleted"] == before and found["duration_ms"] >= before // 5 * 10


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_T3_O1_a_root_that_another_sweep_holds_is_told_with_its_holder(tempfiles, box, dry):
    box.file("old")
    holder = box.hold_lock()
    message = f"another sweep holds the lock of {box.root} (python3, process {holder.pid})"
    result = tempfiles("--root", box.root, *dry, code=75)
    assert result.err == (f"pgsweep: error: {message}\n"
                          "pgsweep: hint: Wait for it to finish; the next run deletes what is left.\n")
    assert result.out == "" and box.names() == ["old"]
    found = report(tempfiles, box, *dry, code=75)
    assert found["outcome"] == "error" and found["error"]["message"] == message and found["deleted"] == 0
    holder.kill()
    holder.wait()
    assert report(tempfiles, box)["deleted"] == 1


def test_T3_O1_one_root_of_several_is_held_the_others_are_swept(tempfiles, box, policy_file):
    for name in "ab":
        box.file(f"{name}/old")
    policies = policy_file(f"kind: files\nretain: 1 day\nroots: [{box.root}/a, {box.root}/b, {box.root}/nowhere]\n", "mine")
    holder = box.hold_lock(box.root / "a")
    found = report(tempfiles, box, "--policy-dir", policies, policy="mine", root=False, code=1)
    assert found["left_locked"] == 1 and found["outcome"] == "partial" and box.names() == ["a", "a/old", "b"]
    told = f"another sweep holds the lock of {box.root}/a (python3, process {holder.pid}): root skipped"
    assert told in found["remarks"]
    quiet = tempfiles("--quiet", "--policy-dir", policies, policy="mine", code=1)
    assert quiet.err.startswith("pgsweep: warning: policy mine, run ") and quiet.err.endswith(f": {told}\n")
    assert "rows" not in quiet.err
    shutil.rmtree(box.root / "b")  # a root that does not exist is not one that was swept
    assert told[:-len(": root skipped")] in tempfiles("--policy-dir", policies, policy="mine", code=75).err


def test_T3_O1_a_root_that_is_refused_late_does_not_hide_what_was_done_in_the_others(tempfiles, box, policy_file):
    for name in "abc":
        for i in range(3):
            box.file(f"{name}/old{i}")
    policies = policy_file(f"kind: files\nretain: 1 day\nroots: [{box.root}/a, {box.root}/b, {box.root}/c]\n", "mine")
    run = tempfiles.start("mine", "--policy-dir", str(policies), "--pause", "300 ms", "--chunk", "1")
    harness.wait_until(lambda: len(os.listdir(box.root / "a")) < 3, what="first removal")
    (box.root / "b").rename(box.outside / "b")
    (box.root / "b").symlink_to(box.outside / "b")
    result = run.wait(20)
    assert result.code == 2 and f"the root \"{box.root}/b\" is" in result.err, result
    assert re.search(r"^  deleted +6 ", result.out, re.M) and "note: not swept: the root" in result.out
    assert "othing was deleted" not in result.out + result.err
    assert len(os.listdir(box.outside / "b")) == 3 and not os.listdir(box.root / "c")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 2])
def test_T3_signal_ends_it_in_order(tempfiles, box, number, times):
    for i in range(50):
        box.file(f"f{i:02}")
    run = tempfiles.start("tempfiles", "--root", str(box.root), "--pause", "100 ms", "--chunk", "1", "--format=json")
    harness.wait_until(lambda: len(box.names()) < 49, what="first removals")
    for _ in range(times):
        run.signal(number)
    result = run.wait(10)
    assert result.code == 128 + number, result
    found = result.json()
    assert found["outcome"] == "stopped" and found["signal"] == number
    assert found["deleted"] == 50 - len(box.names())
    assert report(tempfiles, box)["exit_code"] == 0 and box.names() == []


def test_T2_names_are_escaped_in_what_is_printed(tempfiles, box):
    box.file("new\nline\x1b[2J")
    (box.root / os.fsdecode(b"\xff")).touch()
    os.utime(box.root / os.fsdecode(b"\xff"), (0, 0))
    dry = tempfiles("--root", box.root, "--dry-run", "--verbose")
    assert "would delete" in dry.err and len(box.names()) == 2
    live = tempfiles("--root", box.root, "--verbose")
    assert rf"deleted {box.root}/new\nline\x1b[2J" in live.err
    assert rf"deleted {box.root}/\xff" in live.err
    assert "\x1b" not in live.err + live.out and len(live.err.splitlines()) == 2
    odd = tempfiles("--root", f"{box.root}/a\x1bb", "--dry-run")
    assert "\x1b" not in odd.out + odd.err


def test_T2_open_and_locked_files_are_kept_and_in_use_can_be_ignored(tempfiles, box, policy_file):
    need_root()
    open_file, locked = box.file("open"), box.file("locked")
    box.file("free")
    box.holder(f"f = open({str(open_file)!r})")
    box.holder(f"import fcntl\nf = open({str(locked)!r})\nfcntl.flock(f, fcntl.LOCK_EX)")
    live = preview_and_run(tempfiles, box)
    assert live["files_deleted"] == 1 and live["kept"]["open"] + live["kept"]["locked"] == 2
    policies = policy_file("kind: files\nretain: 7 days\nin_use: delete\n", "anyway")
    assert report(tempfiles, box, "--policy-dir", policies, policy="anyway")["files_deleted"] == 2


def test_O4_metrics_of_files(tempfiles, box, tmp_path):
    box.file("a", size=4096)
    box.file("b", age=1)
    path = tmp_path / "tempfiles.prom"
    tempfiles("--root", box.root, "--metrics-file", path, "--dry-run")
    assert not path.exists()
    began = time.time()
    tempfiles("--root", box.root, "--metrics-file", path)
    text = path.read_text(encoding="utf-8")
    for line in ('files_scanned{policy="tempfiles"} 2', 'files_deleted{policy="tempfiles"} 1',
                 'bytes_freed{policy="tempfiles"} 4096', 'files_kept{policy="tempfiles",reason="fresh"} 1',
                 'exit_code{policy="tempfiles"} 0'):
        assert f"pgsweep_last_run_{line}\n" in text
    assert "eligible" not in text  # files are not counted beforehand: 0 would be untrue
    success = re.search(r'^pgsweep_last_success_timestamp_seconds\{policy="tempfiles"\} (\d+)$', text, re.M)
    assert began - 1 <= int(success.group(1)) <= time.time()


def test_O2_list_show_and_help_know_it(tempfiles, policy_file):
    assert re.search(r"^tempfiles +7 days", tempfiles(policy="list").out, re.M)
    shown = tempfiles("tempfiles", policy="show").out
    assert "kind: files\n" in shown and "retain: 7 days\n" in shown and "active: jobs\n" in shown
    again = tempfiles("tempfiles", "--policy-dir", policy_file(shown, "tempfiles"), policy="show").out
    assert again.split("\n", 1)[1] == shown.split("\n", 1)[1]
    text = tempfiles("--help").out
    for option in ("--root DIR", "--age-by mtime|atime|ctime|btime", "--protect PATTERN", "--protect-dir DIR", "--dry-run"):
        assert option in text


@pytest.mark.parametrize("text, message", [
    ("kind: files\nretain: 7 days\ntable: t\n", r"mine\.yaml:3: unknown key \"table\" in the policy"),
    ("kind: files\nretain: 7 days\nroot: /x\n", r"mine\.yaml:3: unknown key \"root\""),
    ("kind: filez\nretain: 7 days\n", r"mine\.yaml:1: kind must be one of rows, files"),
    ("kind: files\nroots: [/x]\n", r"mine\.yaml:1: \"retain\" is missing"),
    ("kind: files\nretain: P7D\n", r"mine\.yaml:2: retain \"P7D\" is not understood")])
def test_T1_policies_that_make_no_sense_are_refused(tempfiles, policy_file, text, message):
    result = tempfiles("--policy-dir", policy_file(text, "mine"), policy="mine", code=2)
    assert re.search(message, result.err), result


def test_T1_options_go_with_their_kind(tempfiles):
    for option in (("--allow-missing-index",), ("--retries", "3")):
        assert f"option {option[0]} is for policies about rows" in tempfiles("--dry-run", *option, code=2).err
    result = tempfiles("--root", "/x", "--dry-run", policy="jobs", code=2)
    assert "option --root is for policies about files; policy jobs is about rows" in result.err
    for option in (("--special", "delete"), ("--owner", "root"), ("--min-free", "5%")):
        result = tempfiles(*option, "--dry-run", policy="jobs", code=2)
        assert f"option {option[0]}: a policy of kind rows has no " in result.err
    for option in (("--protect", "x"), ("--protect-dir", "/x"), ("--age-by", "mtime"), ("--protect-case", "match")):
        result = tempfiles(*option, "--dry-run", policy="tokens", code=2)
        assert f"option {option[0]}: policy tokens removes no files" in result.err
