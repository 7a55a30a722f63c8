"""The schedule that ships: the units are sound, and the very commands in them do the work."""
import os
import re
import shlex
import subprocess

import pytest

import harness
from harness import ROOT

POLICIES = {"jobs": "03", "anonymous": "02"}
HOURS = {**{name: f"{hour}:00" for name, hour in POLICIES.items()}, "mocs": "03:00", "tokens": "04:30",
         "tempfiles": "04:00"}


def installed(path, bindir):
    """A file as "make install" leaves it."""
    return path.read_text(encoding="utf-8").replace("@bindir@", str(bindir))


def run_command(pgsweep, command, policy, db):
    """Runs a command line on a database with one row to delete and one to keep."""
    db.load({"jobs": "jobs", "anonymous": "auth"}[policy])
    old, young = "now() - interval '40 days'", "now() - interval '1 day'"
    if policy == "jobs":
        db.sql(f"INSERT INTO jobs (status, created_at) VALUES ('finished', {old}), ('finished', {young})")
    else:
        db.sql(f"""INSERT INTO "user" (id, name, email, is_anonymous, created_at)
                   VALUES ('a', 'A', 'a@example.org', true, {old}), ('b', 'B', 'b@example.org', true, {young})""")
    assert pgsweep("init").code == 0
    words = shlex.split(command)
    assert words[0].endswith("/pgsweep")
    result = pgsweep(*words[1:])
    assert result.code == 0, result
    assert result.err == "" or "--verbose" in words
    assert db.count({"jobs": "jobs", "anonymous": '"user"'}[policy]) == 1
    assert db.value("SELECT outcome FROM pgsweep.runs WHERE policy = %s", policy) == "done"
    return result


def test_O3_units_are_sound(tmp_path):
    bindir = harness.binary().rsplit("/", 1)[0]
    for path in (ROOT / "systemd").iterdir():
        (tmp_path / path.name).write_text(installed(path, bindir), encoding="utf-8")
    (tmp_path / "pgsweep@.service").rename(tmp_path / "template")
    text = (tmp_path / "template").read_text(encoding="utf-8")
    (tmp_path / "template").unlink()
    units = []
    for name in HOURS:  # older versions of the tool do not take instances of a template
        if not (tmp_path / f"pgsweep@{name}.service").exists():
            (tmp_path / f"pgsweep@{name}.service").write_text(text, encoding="utf-8")
        units += [tmp_path / f"pgsweep@{name}.service", tmp_path / f"pgsweep-{name}.timer"]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, units)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"})
    ours = [line for line in done.stdout.splitlines() if "pgsweep" in line]
    assert (done.returncode, ours) == (0, []), done.stdout


@pytest.mark.parametrize("policy, hour", HOURS.items())
def test_J1_A5_timer_is_daily_and_catches_up(policy, hour):
    text = (ROOT / "systemd" / f"pgsweep-{policy}.timer").read_text(encoding="utf-8")
    assert f"\nUnit=pgsweep@{policy}.service\n" in text and "\nPersistent=true\n" in text
    calendar = re.search(r"^OnCalendar=(.*)$", text, re.M).group(1)
    out = subprocess.run(["systemd-analyze", "calendar", "--iterations=2", calendar], check=True,
                         stdout=subprocess.PIPE, text=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}).stdout
    days = re.findall(rf"(\d{{4}}-\d\d-\d\d) {hour}:00 UTC", out)
    assert len(set(days)) == 2, out


@pytest.mark.parametrize("options", ["", " --verbose"])
@pytest.mark.parametrize("policy", POLICIES)
def test_O3_command_of_the_unit_works(pgsweep, db, policy, options):
    text = installed(ROOT / "systemd" / "pgsweep@.service", "/usr/bin")
    command = re.search(r"^ExecStart=(.*)$", text, re.M).group(1).replace("%i", policy)
    assert command.endswith(" $PGSWEEP_OPTIONS")  # systemd makes words of it, or none
    result = run_command(pgsweep, command.replace(" $PGSWEEP_OPTIONS", options), policy, db)
    assert (" deleted public." in result.err) == bool(options)


@pytest.mark.parametrize("policy, hour", POLICIES.items())
def test_O3_line_of_the_crontab_works(pgsweep, db, policy, hour):
    lines = installed(ROOT / "packaging" / "crontab", "/usr/bin").splitlines()
    entries = [re.fullmatch(r"(\S+ \S+ \S+ \S+ \S+)\s+(\S+)\s+(.*)", line) for line in lines
               if re.match(r"[\d*]", line)]
    assert sorted(e.group(3).split()[1] for e in entries) == sorted(HOURS)
    entry = next(e for e in entries if f" {policy} " in e.group(3) + " ")
    assert entry.group(1) == f"0 {int(hour)} * * *"
    assert "%" not in entry.group(3)  # cron takes it for the end of the line
    assert run_command(pgsweep, entry.group(3), policy, db).out == ""


def test_O3_every_line_of_the_crontab_has_the_hour_of_its_timer():
    lines = installed(ROOT / "packaging" / "crontab", "/usr/bin").splitlines()
    hours = dict(HOURS)
    for minute, hour, user, policy in re.findall(
            r"^(\d+) (\d+) \* \* \* +(\w+) +/usr/bin/pgsweep (\w+) --quiet$", "\n".join(lines), re.M):
        assert f"{int(hour):02}:{int(minute):02}" == hours.pop(policy)
        assert user == ("root" if policy == "tempfiles" else "pgsweep")
    assert not hours


def test_O3_T1_unit_of_tempfiles_reaches_the_files_and_little_else(tmp_path, home):
    text = installed(ROOT / "systemd" / "pgsweep@tempfiles.service", "/usr/bin")
    for line in ("PrivateTmp=no", "ReadWritePaths=-/tmp -/var/tmp", "ProtectSystem=strict", "NoNewPrivileges=yes",
                 "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_LEASE CAP_SYS_PTRACE"):
        assert f"\n{line}\n" in text
    assert "DynamicUser" not in text
    command = re.search(r"^ExecStart=(.*) \$PGSWEEP_OPTIONS$", text, re.M).group(1)
    old = tmp_path / "root" / "old"
    old.parent.mkdir()
    old.touch()
    os.utime(old, (0, 0))
    result = harness.Runner(None, home)(*shlex.split(command)[1:], env={"TEMP_DIR": old.parent})
    assert result.code == 0 and not old.exists() and old.parent.exists()
