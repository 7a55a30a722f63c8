"""A box of files to sweep, and the driver that sweeps it; shared by tests/fault/test_files_*.py."""
import ctypes
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import time

import pytest

from harness import PATIENCE

HERE = pathlib.Path(__file__).resolve().parent
DAY = 86400
_driver = {}


def driver():
    """The driver program: FILES_DRIVER, or built once per session."""
    if "path" not in _driver:
        path = os.environ.get("FILES_DRIVER")
        if not path:
            place = tempfile.mkdtemp(prefix="pgsweep-driver-")
            os.chmod(place, 0o755)
            path = f"{place}/driver"
            subprocess.run([HERE / "build.sh", path], check=True)
            import atexit
            atexit.register(shutil.rmtree, place, True)
        _driver["path"] = path
    return _driver["path"]


class Result:
    def __init__(self, process):
        self.code = process.returncode
        self.stderr = process.stderr
        self.report = json.loads(process.stdout) if process.stdout.strip() else None

    def __getattr__(self, name):
        return self.report[name]

    def counts(self):
        """Everything that a dry run must predict."""
        names = ("scanned", "directories", "files", "links", "dirs", "special", "bytes", "kept",
                 "vanished", "failed", "errors", "limit")
        return {name: self.report[name] for name in names}


class Box:
    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="pgsweep-files-"))
        self.path.chmod(0o755)
        self.root = self.path / "root"
        self.outside = self.path / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        self.processes = []

    # making things

    def file(self, name, age=10, size=0, base=None):
        path = (base or self.root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        self.age(path, age)
        return path

    def dir(self, name, age=10):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        self.age(path, age)
        return path

    def link(self, name, target, age=10):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        self.age(path, age)
        return path

    def age(self, path, days):
        when = time.time() - days * DAY
        os.utime(path, (when, when), follow_symlinks=False)

    def age_dirs(self, days=10):
        """Directories grow younger when something is made in them: set them back, deepest first."""
        for place, _, _ in os.walk(self.root, topdown=False):
            if pathlib.Path(place) != self.root:
                self.age(place, days)

    def spawn(self, *command, **kw):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **kw)
        self.processes.append(process)
        return process

    def holder(self, code):
        """A process that runs the Python code, says "ready", and stays until the test ends."""
        process = self.spawn("/usr/bin/python3", "-c",
                             f"{code}\nimport time\nprint('ready', flush=True)\ntime.sleep(600)")
        assert process.stdout.readline() == "ready\n"
        return process

    # sweeping

    def run(self, command, *args, root=None, user=None, nofile=None, env=None, timeout=PATIENCE, killed=False,
            without=None):
        """without: capabilities that it does not have."""
        argv = [driver(), command, str(root or self.root), *map(str, args)]
        if without:
            dropped = ",".join(f"-{name}" for name in without)
            argv = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *argv]
        if nofile:
            argv = ["sh", "-c", f"ulimit -n {nofile}; exec \"$@\"", "sh", *argv]
        extra = {"user": user, "group": user, "extra_groups": []} if user else {}
        process = subprocess.run(argv, capture_output=True, timeout=timeout, check=False,
                                 env={**os.environ, "EVENTS": "1", **(env or {})}, **extra)
        process.stderr = process.stderr.decode("utf-8", "surrogateescape")
        process.stdout = process.stdout.decode()
        assert process.returncode in ((-9,) if killed else (0, 2, 4)), process.stderr
        assert "Sanitizer" not in process.stderr and "runtime error" not in process.stderr, \
            process.stderr
        result = Result(process)
        if result.report:
            check_sum(result)
        return result

    def sweep(self, *args, older=7, **kw):
        age = [] if "--cutoff" in args else ["--older", older * DAY]
        return self.run("sweep", *age, *args, **kw)

    def tree(self, name, *args, **kw):
        return self.run("tree", name, *args, **kw)

    def finish(self, *args, **kw):
        return self.run("finish", *args, **kw)

    # what pgsweep makes

    def trash(self):
        """The trash of a run, which has another name each time; None where there is none."""
        found = list(self.root.glob(".pgsweep-trash.*"))
        assert len(found) <= 1, found
        return found[0] if found else None

    def lock_file(self, root=None):
        """The file that is the lock of the root, for root."""
        st = os.stat(root or self.root)
        place = pathlib.Path("/run/pgsweep")
        place.mkdir(mode=0o700, exist_ok=True)
        return place / f"root-{st.st_dev:x}-{st.st_ino}"

    def hold_lock(self, root=None):
        """A process that holds it, as another sweep would."""
        need_root()
        path = str(self.lock_file(root))
        return self.holder("import fcntl, os; "
                           f"fcntl.flock(os.open({path!r}, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)")

    def killed_tree(self, name, at="moved"):
        """Leaves the directory name as a run leaves it that is killed when it begins to empty it in its trash."""
        if not (self.root / name).exists():
            self.file(f"{name}/old", age=100)
        self.run("tree", name, f"--on-{at}", "kill -9 $PPID", killed=True)
        assert self.trash() and not (self.root / name).exists()
        return self.trash()

    # looking

    def names(self, base=None):
        """All names below. A directory may go while it is looked at: that is no error here."""
        base = base or self.root
        return sorted(os.path.relpath(os.path.join(path, name), base)
                      for path, directories, files in os.walk(base) for name in directories + files)

    def snapshot(self):
        """All that a dry run might change, access times included. Taken without changing any."""
        seen = {}
        def look(path):
            st = os.lstat(path)
            seen[path] = (st.st_ino, st.st_mode, st.st_size, st.st_nlink, st.st_atime_ns,
                          st.st_mtime_ns, st.st_ctime_ns)
            if stat.S_ISDIR(st.st_mode):
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME)
                try:
                    for name in os.listdir(fd):
                        look(os.path.join(path, name))
                finally:
                    os.close(fd)
        look(str(self.path))
        return seen

    # mounts

    def mount(self, *args):
        if os.geteuid() != 0 or subprocess.run(["mount", *map(str, args)], check=False,
                                               stderr=subprocess.DEVNULL).returncode != 0:
            pytest.skip("mounting is not permitted here")

    def clean(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        mounts = [line.split()[4] for line in open("/proc/self/mountinfo", encoding="utf-8")]
        for place in reversed(mounts):
            if place.startswith(f"{self.path}/"):
                subprocess.run(["umount", "-l", place], check=False)
        subprocess.run(["chattr", "-R", "-i", "-a", self.path], check=False,
                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", self.path], check=False)


def check_sum(result):
    """Each object scanned has exactly one outcome."""
    r = result.report
    assert r["scanned"] == (r["files"] + r["links"] + r["dirs"] + r["special"] +
                            sum(r["kept"].values()) + r["vanished"] + r["failed"]), r
    assert sum(r["errors"].values()) == r["failed"], r


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


NOBODY = 65534


def exchange(a, b):
    """Swaps two names at one instant (renameat2, RENAME_EXCHANGE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) == 0


@pytest.fixture
def box():
    made = Box()
    try:
        yield made
    finally:
        made.clean()
