"""make install and make uninstall, below a directory of the test's own."""
import os
import subprocess

import harness
from harness import ROOT


def make(*args):
    build = harness.binary().rsplit("/", 1)[0]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    # What is there is installed: an older source tree must not rebuild it under a running test.
    subprocess.run(["make", "-s", "-o", f"{build}/pgsweep", f"BUILD={build}", *args], check=True,
                   cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_install_and_uninstall(tmp_path):
    place = tmp_path / "a b"
    other = place / "opt/x/share/doc/other"
    other.mkdir(parents=True)
    (other / "file").write_text("kept")
    make(f"DESTDIR={place}", "prefix=/opt/x", "install")
    names = {str(p.relative_to(place / "opt/x")) for p in place.rglob("*") if p.is_file()}
    assert {"bin/pgsweep", "share/man/man1/pgsweep.1", "share/man/man1/pgsweep-dlq.1", "share/man/man5/pgsweep-policy.5", "share/bash-completion/completions/pgsweep",
            "share/zsh/site-functions/_pgsweep", "share/fish/vendor_completions.d/pgsweep.fish", "lib/systemd/system/pgsweep@.service",
            "lib/systemd/system/pgsweep-jobs.timer", "lib/systemd/system/pgsweep-anonymous.timer",
            "share/doc/pgsweep/crontab", "share/doc/pgsweep/README.md", "share/doc/pgsweep/docs/policies.md",
            "share/doc/pgsweep/policies/jobs.yaml"} <= names
    out = subprocess.run([str(place / "opt/x/bin/pgsweep"), "--version"], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    assert out.startswith("pgsweep ")
    for script in ("bash-completion/completions/pgsweep", "zsh/site-functions/_pgsweep", "fish/vendor_completions.d/pgsweep.fish"):
        assert "--dry-run" in (place / "opt/x/share" / script).read_text(encoding="utf-8")
    unit = (place / "opt/x/lib/systemd/system/pgsweep@.service").read_text(encoding="utf-8")
    assert "\nExecStart=/opt/x/bin/pgsweep %i $PGSWEEP_OPTIONS\n" in unit
    crontab = (place / "opt/x/share/doc/pgsweep/crontab").read_text(encoding="utf-8")
    assert "@bindir@" not in unit + crontab and " /opt/x/bin/pgsweep jobs" in crontab

    make(f"DESTDIR={place}", "prefix=/opt/x", "uninstall")
    assert [p for p in place.rglob("*") if p.is_file()] == [other / "file"]
    assert not [p for p in place.rglob("*pgsweep*")]
