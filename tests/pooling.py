"""PgBouncer in front of the tests' server, and what its sessions look like from within."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg2

import harness

# What pgsweep sets for itself, and what must be as before for whoever has the session next.
WATCHED = ("row_security", "lock_timeout", "search_path", "statement_timeout", "idle_in_transaction_session_timeout",
           "synchronous_commit", "jit", "TimeZone", "DateStyle", "plan_cache_mode", "default_transaction_isolation",
           "default_transaction_read_only", "client_min_messages", "role", "session_replication_role",
           "extra_float_digits", "transform_null_equals")


class Pooler:
    """A PgBouncer of one test's own, with one pool for the database."""

    def __init__(self, database, mode="transaction", size=5, **settings):
        self.database, self.server = database, database.server
        self.directory = Path(tempfile.mkdtemp(prefix="pgsweep-b.", dir="/tmp"))
        self.log_path = self.directory / "pgbouncer.log"
        self.port = "6432"
        lines = {"listen_addr": "", "unix_socket_dir": self.directory, "listen_port": self.port, "auth_type": "any",
                 "pool_mode": mode, "default_pool_size": size, "min_pool_size": 0, "max_client_conn": 50,
                 "ignore_startup_parameters": "extra_float_digits,options", "server_login_retry": 1,
                 "admin_users": self.server.user, "server_reset_query": "DISCARD ALL", **settings}
        target = f"host={self.server.host} port={self.server.port} dbname={database.name} user={self.server.user}"
        (self.directory / "pgbouncer.ini").write_text(
            f"[databases]\n{database.name} = {target}\n[pgbouncer]\n"
            + "".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")
        command = [shutil.which("pgbouncer", path="/usr/sbin:/usr/bin"), str(self.directory / "pgbouncer.ini")]
        if os.getuid() == 0:  # it refuses to run as root
            owner = (self.server.data / "data").owner()
            shutil.chown(self.directory, owner)
            command = ["runuser", "-u", owner, "--", *command]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        try:
            harness.wait_until(self.answers, what="an answer of pgbouncer")
        except BaseException:
            self.close()
            raise

    @property
    def env(self):
        """How libpq finds it."""
        return {"PGHOST": str(self.directory), "PGPORT": self.port}

    def connect(self, dbname=None):
        connection = psycopg2.connect(host=str(self.directory), port=self.port, user=self.server.user,
                                      dbname=dbname or self.database.name)
        connection.autocommit = True
        return connection

    def answers(self):
        assert self.process.poll() is None, self.log_path.read_text(encoding="utf-8", errors="replace")
        try:
            self.connect("pgbouncer").close()
        except psycopg2.Error:
            return False
        return True

    def sessions(self):
        """Process ids of the pooled sessions."""
        connection = self.connect("pgbouncer")
        with connection.cursor() as cursor:
            cursor.execute("SHOW SERVERS")
            names = [column.name for column in cursor.description]
            found = [row[names.index("remote_pid")] for row in cursor.fetchall()]
        connection.close()
        return found

    def close(self):
        self.process.terminate()  # runuser hands it on
        try:
            self.process.wait(harness.PATIENCE)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def look(self):
        """What each pooled session has, as {process: {setting: value}}; also what is prepared there."""
        wanted = ", ".join(f"current_setting('{name}')" for name in WATCHED)
        found = {}
        open_ones = []
        for _ in range(50):  # each in a transaction that stays open, so that the next one gets another session
            if set(self.sessions()) <= set(found) and found:
                break
            connection = self.connect()
            connection.autocommit = False
            open_ones.append(connection)
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_backend_pid(), {wanted}, (SELECT count(*) FROM pg_prepared_statements)")
                pid, *values, prepared = cursor.fetchone()
            found[pid] = dict(zip(WATCHED, values), prepared=prepared)
        for connection in open_ones:
            connection.close()
        return found

    def locks(self):
        """Advisory locks that any session of the database has."""
        return self.database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                                   " (SELECT oid FROM pg_database WHERE datname = current_database())")

    def clean(self):
        """Asserts that nothing of pgsweep is left in any pooled session. One that pgsweep was cut off from ends first."""
        self.database.wait_for_no_session("pgsweep/%")
        assert self.locks() == 0
        with self.database.connect() as plain, plain.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in WATCHED))
            expected = dict(zip(WATCHED, cursor.fetchone()), prepared=0)
        for pid, seen in self.look().items():
            assert seen == expected, f"session {pid}"
