"""What the tests are written with: a throwaway server, databases, pgsweep runs, the server's log.

The fixtures that hand these out are in conftest.py. Nothing here knows what pgsweep should do.
"""
import atexit
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql as pgsql

ROOT = Path(__file__).resolve().parent.parent
SQL_DIR = ROOT / "tests" / "integration" / "sql"
THROWAWAY = str(ROOT / "tools" / "throwaway-pg.sh")
# The settings of the sanitizers reach pgsweep; nothing else of the tester's environment does.
KEPT_ENV = ("PATH", "PGSWEEP_TEST_SESSION", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS")
# The end of every wait. It is no measure of speed: a test waits for a condition, and this only keeps a bug from
# hanging the suite, on however busy a machine.
PATIENCE = int(os.environ.get("TEST_PATIENCE", 300))
DEFAULT_TIMEOUT = PATIENCE


def binary():
    """The pgsweep under test, as an absolute path."""
    path = Path(os.environ.get("PGSWEEP_BIN", ROOT / "build" / "pgsweep"))
    return str(path if path.is_absolute() else Path.cwd() / path)


def public_binary():
    """A copy of it that every user may run, wherever the tree is."""
    directory = Path(tempfile.mkdtemp(prefix="pgsweep-bin.", dir="/tmp"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    copy = shutil.copy(binary(), directory / "pgsweep")
    os.chmod(copy, 0o755)
    return str(copy)


def one_line(sql):
    """A statement in one line, so that a pattern need not know how it is broken."""
    return re.sub(r" ?\n *", " ", sql).replace("( ", "(").replace(" )", ")")


def wait_until(condition, timeout=PATIENCE, what="condition"):
    """Polls condition() until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def wait_for_lock_timeout(log):
    """Waits until pgsweep has met a lock: it waits for a row for a moment only. log: harness.ServerLog."""
    wait_until(lambda: any("due to lock timeout" in message or "could not obtain lock" in message
                           for _, message in log.records()), what="a lock that pgsweep cannot have")


class Server:
    """A PostgreSQL server of this pytest process's own, or with standby_of a hot standby of one."""

    LOG_PREFIX = "@|%p|%d|%a| "

    def __init__(self, *conf, standby_of=None):
        self.data = Path(tempfile.mkdtemp(prefix="pgsweep-t.", dir="/tmp"))
        settings = ("log_statement = 'all'", f"log_line_prefix = '{self.LOG_PREFIX}'",
                    "lc_messages = 'C'", "shared_buffers = '32MB'", "autovacuum = off", *conf)
        try:
            out = subprocess.run(
                [THROWAWAY, "start", "--while", str(os.getpid()),
                 *(["--standby-of", standby_of.host] if standby_of else []), str(self.data), *settings],
                check=True, stdout=subprocess.PIPE, text=True, timeout=PATIENCE).stdout
        except BaseException:
            self.stop()
            raise
        assigned = dict(word.split("=", 1) for word in shlex.split(out) if "=" in word)
        self.host, self.port, self.user = (assigned[k] for k in ("PGHOST", "PGPORT", "PGUSER"))
        self.log_path = self.data / "server.log"
        self.version = int((self.data / "data" / "PG_VERSION").read_text(encoding="ascii"))
        self._admin = None

    def stop(self):
        subprocess.run([THROWAWAY, "stop", str(self.data)], check=False)

    def _pg_ctl(self, *args):
        """pg_ctl as the user that owns the server."""
        bindir = subprocess.run([THROWAWAY, "bindir"], check=True, stdout=subprocess.PIPE,
                                text=True).stdout.strip()
        command = [f"{bindir}/pg_ctl", "-D", str(self.data / "data"), "-w", "-t", str(PATIENCE), "-s",
                   "-l", str(self.log_path), *args]
        if os.getuid() == 0:
            owner = (self.data / "data").owner()
            command = ["runuser", "-u", owner, "--", *command]
        subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, timeout=2 * PATIENCE)

    def restart(self, mode="immediate"):
        """Stops the server (mode: smart, fast, immediate) and starts it again."""
        self._leave()
        self._pg_ctl("-m", mode, "restart")

    def shutdown(self, mode="fast"):
        self._leave()
        self._pg_ctl("-m", mode, "stop")

    def startup(self):
        self._pg_ctl("start")

    def become_standby(self):
        """The next start is in recovery, until somebody promotes it."""
        signal_file = self.data / "data" / "standby.signal"
        signal_file.touch()
        owner = (self.data / "data").stat()
        os.chown(signal_file, owner.st_uid, owner.st_gid)

    def connect(self, dbname="postgres", user=None, autocommit=True, **kwargs):
        connection = psycopg2.connect(host=self.host, port=self.port, user=user or self.user,
                                      dbname=dbname, **kwargs)
        connection.autocommit = autocommit
        return connection


    def admin(self, statement):
        """Runs one statement in the maintenance database, outside of any transaction; returns its rows. All on one
        connection: a test needs several, and there are thousands of tests."""
        for again in (True, False):
            if self._admin is None or self._admin.closed:
                self._admin = self.connect()
            try:
                with self._admin.cursor() as cursor:
                    cursor.execute(statement)
                    return cursor.fetchall() if cursor.description else []
            except psycopg2.OperationalError:
                self._leave()  # a test has crashed or restarted the server
                if not again:
                    raise
        return []

    def _leave(self):
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def hostile_template(server):
    """The name of a database to copy, with the overloads of tests/integration/sql/hostile.sql."""
    if not server.admin("SELECT 1 FROM pg_database WHERE datname = 'hostile'"):
        server.admin("CREATE DATABASE hostile TEMPLATE template0")
        connection = server.connect("hostile")
        with connection.cursor() as cursor:
            cursor.execute((SQL_DIR / "hostile.sql").read_text(encoding="utf-8"))
        connection.close()
    return "hostile"


class Database:
    """A database of one test's own. Values are passed as %s parameters."""

    def __init__(self, server, name, template="template0"):
        self.server = server
        self.name = name
        self.roles = []
        self.connections = []
        # Copied as files: a third of the work of what is the default since version 15.
        strategy = " STRATEGY file_copy" if server.version >= 15 else ""
        server.admin(pgsql.SQL("CREATE DATABASE {} TEMPLATE {}" + strategy).format(
            pgsql.Identifier(name), pgsql.Identifier(template)))
        self._main = None
        if server.version < 15:  # as it is from then on
            self.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    @property
    def env(self):
        """How libpq finds this database."""
        return {"PGHOST": self.server.host, "PGPORT": self.server.port,
                "PGUSER": self.server.user, "PGDATABASE": self.name}

    def connect(self, user=None, autocommit=True, **kwargs):
        """A further connection; closed at the end of the test."""
        connection = self.server.connect(self.name, user, autocommit, **kwargs)
        self.connections.append(connection)
        return connection

    def _cursor(self):
        if self._main is None or self._main.closed:
            self._main = self.connect(application_name="test")
        return self._main.cursor()

    def sql(self, text, *values):
        """Runs SQL (autocommit) and returns its rows, or [] where it gives none."""
        with self._cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, text, *values):
        """The first column of the first row, or None."""
        rows = self.sql(text, *values)
        return rows[0][0] if rows else None

    def column(self, text, *values):
        """The first column of all rows."""
        return [row[0] for row in self.sql(text, *values)]

    def count(self, table, where="true", *values):
        """The number of rows; table is SQL ('"user"', 'job_logs')."""
        return self.value(f"SELECT count(*) FROM {table} WHERE {where}", *values)

    def load(self, name):
        """Runs a file of tests/integration/sql ("jobs" or "jobs.sql") or a path."""
        path = Path(name)
        if not path.is_absolute():
            path = SQL_DIR / (name if name.endswith(".sql") else name + ".sql")
        self.sql(path.read_text(encoding="utf-8"))

    def role(self, name, *grants, options="LOGIN"):
        """A role with these rights and no others: role("reader", "SELECT ON jobs, job_logs").
        Its real name, unique in the server, is returned (use it as PGUSER)."""
        real = f"{name}_{self.name}"
        self.sql(pgsql.SQL("CREATE ROLE {} " + options).format(pgsql.Identifier(real)))
        self.roles.append(real)
        for grant in grants:
            self.sql(pgsql.SQL("GRANT " + grant + " TO {}").format(pgsql.Identifier(real)))
        return real

    def forget_connections(self):
        """After a restart of the server: they are of no use any more."""
        for connection in self.connections:
            connection.close()
        self.connections, self._main = [], None

    def wait_for_lock_waiter(self, application="pgsweep%"):
        """Waits until a backend of that application name waits for a lock."""
        return wait_until(lambda: self.value(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s"
            " AND wait_event_type = 'Lock' LIMIT 1", self.name, application),
            what="a backend that waits for a lock")

    def wait_for_sleeper(self):
        """Waits until a backend is in pg_sleep()."""
        return wait_until(lambda: self.value(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep' LIMIT 1", self.name),
            what="the sleep")

    def wait_for_no_session(self, application="pgsweep%"):
        """Waits until no session of that application name is left, with its locks. A server process ends a
        moment after its client, on a busy machine a long one."""
        wait_until(lambda: self.value(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s",
            self.name, application), what="the end of all sessions of pgsweep")

    def drop(self):
        for connection in self.connections:
            connection.close()
        name = pgsql.Identifier(self.name)
        # Sessions of pgsweep that have not noticed yet that their client is gone end with it.
        force = " WITH (FORCE)" if self.server.version >= 13 else ""
        if not force:
            self.server.admin(pgsql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            self.server.admin(pgsql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
                              .format(pgsql.Literal(self.name)))
        self.server.admin(pgsql.SQL("DROP DATABASE {}" + force).format(name))
        for role in self.roles:
            self.server.admin(pgsql.SQL("DROP ROLE IF EXISTS {}").format(pgsql.Identifier(role)))


class Result:
    """How a pgsweep run ended: code (negative: killed by that signal), out, err, seconds."""

    def __init__(self, args, code, out, err, seconds):
        self.args, self.code, self.out, self.err, self.seconds = args, code, out, err, seconds

    def json(self):
        """Standard output, which must be exactly one JSON document."""
        try:
            return json.loads(self.out)
        except ValueError as problem:
            raise AssertionError(f"stdout is no JSON document: {problem}\n{self}") from None

    def __repr__(self):
        return (f"pgsweep {shlex.join(self.args)}: exit code {self.code}\n"
                f"--- stdout\n{self.out}--- stderr\n{self.err}---")


def signal_is_pending(pid, number):
    """Has the process been sent this signal, and not handled it yet?"""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(int(mask, 16) >> (number - 1) & 1 for mask in re.findall(r"^S(?:hd|ig)Pnd:\s*(\S+)", status, re.M))


class Running:
    """A pgsweep in the background."""

    def __init__(self, args, env, directory, database=None):
        self.args, self.database = args, database
        self.paths = [Path(tempfile.mkstemp(dir=directory, suffix=s)[1]) for s in (".out", ".err")]
        self.started = time.monotonic()
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            self.process = subprocess.Popen([binary(), *args], env=env, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, cwd=directory)

    @property
    def pid(self):
        return self.process.pid

    def out(self):
        """Standard output so far."""
        return self.paths[0].read_text(encoding="utf-8", errors="replace")

    def err(self):
        """Standard error so far."""
        return self.paths[1].read_text(encoding="utf-8", errors="replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number=signal.SIGTERM):
        """Sends a signal, and returns when the process has taken it: of two that are pending it would see one."""
        self.process.send_signal(number)
        wait_until(lambda: not self.running() or not signal_is_pending(self.pid, number), what="the signal")

    def kill(self, sessions_end=True):
        """kill -9, and the result. sessions_end: its sessions have ended too; false where one cannot notice."""
        self.process.kill()
        result = self.wait()
        if sessions_end and self.database:
            self.database.wait_for_no_session()
        return result

    def wait_for(self, pattern):
        """Waits until standard error or output matches the regular expression; fails at once where the program ends first."""
        def found_or_ended():
            ended = not self.running()  # asked first: what it wrote at its end is read after that
            return re.search(pattern, self.err() + self.out()) or ended
        found = wait_until(found_or_ended, what=f"output {pattern!r}")
        assert found is not True, f"the program ended without output {pattern!r}\n{self.wait()}"
        return found

    def wait(self, timeout=DEFAULT_TIMEOUT):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {timeout} s: {self.args}\n"
                                 f"{self.err()}") from None
        return Result(self.args, code, self.out(), self.err(), time.monotonic() - self.started)


class Runner:
    """Runs pgsweep against one database, with a clean environment. Called: waits for the end.

    env: further variables (a value of None removes one). user: PGUSER. stdin: text."""

    def __init__(self, database, home):
        self.database = database
        self.home = home
        self.background = []

    def environment(self, env=None, user=None):
        result = {name: os.environ[name] for name in KEPT_ENV if name in os.environ}
        result.update(HOME=str(self.home), LC_ALL="C.UTF-8", TMPDIR=str(self.home), PGSWEEP_SUPERUSER="allow")
        if self.database:
            result.update(self.database.env)
        if user:
            result["PGUSER"] = user
        for name, value in (env or {}).items():
            if value is None:
                result.pop(name, None)
            else:
                result[name] = str(value)
        return result

    def __call__(self, *args, env=None, user=None, stdin=None, timeout=DEFAULT_TIMEOUT):
        args = [str(arg) for arg in args]
        started = time.monotonic()
        try:
            done = subprocess.run([binary(), *args], env=self.environment(env, user),
                                  input=(stdin or "").encode(), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=timeout, cwd=self.home)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"pgsweep {shlex.join(args)}: still running after {timeout} s\n"
                                 f"{(late.stderr or b'').decode(errors='replace')}") from None
        out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
        return Result(args, done.returncode, out, err, time.monotonic() - started)

    def start(self, *args, env=None, user=None):
        running = Running([str(arg) for arg in args], self.environment(env, user), self.home, self.database)
        self.background.append(running)
        return running

    def close(self):
        for running in self.background:
            if running.running():
                running.kill(sessions_end=False)


class ServerLog:
    """What reached the server since the test began (or since mark())."""

    def __init__(self, server, database):
        self.server, self.database = server, database
        self.mark()

    def mark(self):
        """Forgets what was logged so far."""
        self.offset = self.server.log_path.stat().st_size

    def records(self, application="pgsweep"):
        """(pid, message) of each entry of this test's database whose application name starts
        with application ("": any); multi-line messages are whole."""
        with open(self.server.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.offset)
            text = log.read()
        found = []
        ours = False
        for line in text.split("\n"):
            match = re.match(r"@\|(\d*)\|([^|]*)\|([^|]*)\| (.*)", line)
            if match:
                pid, name, app, message = match.groups()
                ours = name == self.database.name and app.startswith(application)
                if ours:
                    found.append((int(pid), message))
            elif ours and line.startswith("\t"):
                found[-1] = (found[-1][0], found[-1][1] + "\n" + line[1:])
        return found

    def overloads(self):
        """The overloads of hostile.sql that pgsweep used, each with the statement that did."""
        records = [message for _, message in self.records("")]
        return [f"{message} in {one_line(next((m for m in records[i:] if m.startswith('STATEMENT:')), '?'))}"
                for i, message in enumerate(records) if re.match(r"LOG:\s+hostile overload: ", message)]

    def statements(self, application="pgsweep"):
        """The SQL of each statement that was executed, in order, each in one line."""
        pattern = re.compile(r"LOG:\s+(?:statement|execute [^:]*): (.*)", re.S)
        matches = (pattern.match(message) for _, message in self.records(application))
        return [one_line(match.group(1)) for match in matches if match]

    def matching(self, regex, application="pgsweep"):
        """The statements that match a regular expression (case-insensitive)."""
        return [s for s in self.statements(application) if re.search(regex, s, re.I | re.S)]


def keys_wait(report):
    """The exit code of a run without a store that would be 0 with one: 1 where keys of objects wait for it."""
    return int((report["objects"]["waiting"] or 0) > 0 and any("no object store" in r for r in report["remarks"]))
