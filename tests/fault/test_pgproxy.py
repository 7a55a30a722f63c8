"""The proxy itself: each action, with the simple protocol (psycopg2, psql), the extended one and
pipelines (libpq by ctypes)."""
import ctypes
import ctypes.util
import re
import subprocess
import sys
import time

import psycopg2
import pytest

import pgproxy
from harness import wait_until


@pytest.fixture
def connect(proxy, db):
    """A psycopg2 connection through the proxy."""
    opened = []

    def make(autocommit=False, **kwargs):
        connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                                      dbname=db.name, **kwargs)
        connection.autocommit = autocommit
        opened.append(connection)
        return connection

    db.sql("CREATE TABLE t (a int)")
    yield make
    for connection in opened:
        connection.close()


class Libpq:
    """The few functions of libpq that speak the extended protocol."""

    FATAL_ERROR, PIPELINE_SYNC, PIPELINE_ABORTED = 7, 10, 11

    def __init__(self, conninfo):
        lib = self.lib = ctypes.CDLL(ctypes.util.find_library("pq"))
        for name in ("PQconnectdb", "PQexecParams", "PQprepare", "PQexecPrepared", "PQgetResult"):
            getattr(lib, name).restype = ctypes.c_void_p
        for name in ("PQresultErrorField", "PQgetvalue", "PQerrorMessage"):
            getattr(lib, name).restype = ctypes.c_char_p
        self.conn = ctypes.c_void_p(lib.PQconnectdb(conninfo.encode()))
        assert lib.PQstatus(self.conn) == 0, lib.PQerrorMessage(self.conn)

    def state(self, result):
        """The status, the SQLSTATE, and the first value of a result."""
        result = ctypes.c_void_p(result)
        status = self.lib.PQresultStatus(result)
        sqlstate = (self.lib.PQresultErrorField(result, ord("C")) or b"").decode()
        value = self.lib.PQgetvalue(result, 0, 0).decode() if status == 2 else None
        self.lib.PQclear(result)
        return status, sqlstate, value

    def execute(self, sql):
        return self.state(self.lib.PQexecParams(self.conn, sql.encode(), 0, None, None, None,
                                                None, 0))

    def prepare(self, name, sql):
        return self.state(self.lib.PQprepare(self.conn, name.encode(), sql.encode(), 0, None))

    def execute_prepared(self, name):
        return self.state(self.lib.PQexecPrepared(self.conn, name.encode(), 0, None, None, None, 0))

    def in_transaction(self):
        return self.lib.PQtransactionStatus(self.conn)

    def pipeline(self, *statements):
        """Sends each with a Sync of its own, in one go; the states of all results."""
        self.lib.PQenterPipelineMode(self.conn)
        for sql in statements:
            self.lib.PQsendQueryParams(self.conn, sql.encode(), 0, None, None, None, None, 0)
            self.lib.PQpipelineSync(self.conn)
        states, left = [], len(statements)
        while left and self.lib.PQstatus(self.conn) == 0:
            result = self.lib.PQgetResult(self.conn)
            if result:
                states.append(self.state(result))
                left -= states[-1][0] == self.PIPELINE_SYNC
        self.lib.PQexitPipelineMode(self.conn)
        return [s for s in states if s[0] != self.PIPELINE_SYNC]

    def cancel(self):
        self.lib.PQgetCancel.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(self.lib.PQgetCancel(self.conn))
        assert self.lib.PQcancel(handle, ctypes.create_string_buffer(256), 256) == 1
        self.lib.PQfreeCancel(handle)

    def close(self):
        self.lib.PQfinish(self.conn)


@pytest.fixture
def libpq(proxy, db):
    db.sql("CREATE TABLE IF NOT EXISTS t (a int)")
    opened = []

    def make():
        opened.append(Libpq(f"host={proxy.host} port={proxy.port} user=postgres dbname={db.name}"))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


def test_passes_everything_through(connect, proxy, db):
    cursor = connect(autocommit=True).cursor()
    cursor.execute("INSERT INTO t SELECT generate_series(1, 100000)")
    cursor.execute("SELECT a, repeat('x', 100) FROM t")
    assert len(cursor.fetchall()) == 100000
    assert proxy.executed("^INSERT") == ["INSERT INTO t SELECT generate_series(1, 100000)"]
    with pytest.raises(psycopg2.errors.DivisionByZero):
        cursor.execute("SELECT 1/0")
    assert db.count("t") == 100000


def test_psql_over_tcp_is_told_that_there_is_no_tls(server, db):
    proxy = pgproxy.PgProxy(server.host, server.port, tcp=True)
    try:
        out = subprocess.run(["psql", "-X", "-A", "-t", "-h", proxy.host, "-p", proxy.port,
                              "-U", "postgres", "-c", "COPY (SELECT 7) TO STDOUT", db.name],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        assert out == "7\n" and proxy.connections == 1
    finally:
        proxy.close()


@pytest.mark.parametrize("action, rows", [("drop_before", 0), ("drop_after", 1)])
def test_lost_commit_simple_protocol(connect, proxy, db, action, rows):
    rule = proxy.rule("^COMMIT", action, nth=2)
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    connection.commit()
    cursor.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg2.OperationalError):
        connection.commit()
    rule.wait()
    assert rule.hits == 2 and rule.fired == 1
    wait_until(lambda: db.count("pg_stat_activity", "datname = %s", db.name) == 1)
    assert db.count("t") == rows


@pytest.mark.parametrize("action, rows", [("drop_before", 0), ("drop_after", 1)])
def test_lost_commit_extended_protocol(libpq, proxy, db, action, rows):
    proxy.rule("^COMMIT", action)
    connection = libpq()
    connection.prepare("done", "COMMIT")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute_prepared("done")[0] == Libpq.FATAL_ERROR
    wait_until(lambda: db.count("pg_stat_activity", "datname = %s", db.name) == 1)
    assert db.count("t") == rows


def test_drop_during_leaves_the_server_at_work(connect, proxy, db):
    proxy.rule("^INSERT", "drop_during")
    cursor = connect(autocommit=True).cursor()
    db.sql("SELECT pg_advisory_lock(1)")
    with pytest.raises(psycopg2.OperationalError):
        cursor.execute("INSERT INTO t SELECT 1 FROM pg_advisory_lock(1)")
    db.wait_for_lock_waiter("%")
    assert db.count("t") == 0
    db.sql("SELECT pg_advisory_unlock(1)")
    wait_until(lambda: db.count("t") == 1)


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (2)", "COMMIT"])
def test_error_in_place_of_a_simple_query(connect, proxy, db, sql):
    proxy.rule(f"^{sql[:6]}.*", "error", sqlstate="40001", message="it's injected",
               nth=2 if sql[0] == "I" else 1)
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    cursor.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg2.errors.SerializationFailure, match="it's injected"):
        cursor.execute(sql)
    in_transaction = connection.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE
    assert in_transaction == (sql != "COMMIT")
    cursor.execute("ROLLBACK")
    assert db.count("t") == 0
    cursor.execute(sql)


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (2)", "COMMIT"])
def test_error_in_place_of_an_execute(libpq, proxy, db, sql):
    proxy.rule("^(INSERT INTO t VALUES .2|COMMIT)", "error", sqlstate="55P03")
    connection = libpq()
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute(sql)[1] == "55P03"
    assert connection.in_transaction() == (0 if sql == "COMMIT" else 3)
    connection.execute("ROLLBACK")
    assert connection.execute("SELECT count(*) FROM t")[2] == "0"
    connection.execute(sql)
    assert db.count("t") == (1 if sql[0] == "I" else 0)


def test_error_inside_a_pipeline_spares_the_other_parts(libpq, proxy, db):
    proxy.rule("VALUES .2", "error", sqlstate="40P01")
    states = libpq().pipeline(*(f"INSERT INTO t VALUES ({n})" for n in (1, 2, 3)))
    assert [s[1] for s in states] == ["", "40P01", ""]
    assert db.column("SELECT a FROM t ORDER BY a") == [1, 3]


def test_drop_after_inside_a_pipeline(libpq, proxy, db):
    proxy.rule("VALUES .2", "drop_after")
    states = libpq().pipeline(*(f"INSERT INTO t VALUES ({n})" for n in (1, 2, 3)))
    assert states[0][:2] == (1, "") and len([s for s in states if s[0] == 1]) == 1
    assert db.column("SELECT a FROM t ORDER BY a") == [1, 2]


def test_fatal(libpq, proxy, db):
    rule = proxy.rule("SELECT 1", "fatal", sqlstate="57P01", message="terminating connection")
    connection = libpq()
    status, sqlstate, _ = connection.execute("SELECT 1")
    assert (status, rule.fired) == (Libpq.FATAL_ERROR, 1) and sqlstate in ("57P01", "")
    out = subprocess.run(["psql", "-X", "-h", proxy.host, "-U", "postgres", "-v", "VERBOSITY=verbose",
                          "-c", "SELECT 1", "-d", db.name], check=False, stderr=subprocess.PIPE,
                         text=True)
    assert out.returncode == 0
    proxy.rule("SELECT 3", "fatal", sqlstate="57P01", message="terminating connection")
    out = subprocess.run(["psql", "-X", "-h", proxy.host, "-U", "postgres", "-v", "VERBOSITY=verbose",
                          "-c", "SELECT 3", "-d", db.name], check=False, stderr=subprocess.PIPE,
                         text=True)
    # psql may notice the closed connection before it has read why.
    assert re.search("FATAL:  57P01: terminating connection|connection to server was lost", out.stderr)
    assert out.returncode == 2


def test_hang_ends_with_the_client(connect, proxy, db):
    rule = proxy.rule("SELECT 1", "hang")
    client = subprocess.Popen(["psql", "-X", "-h", proxy.host, "-U", "postgres", "-c", "SELECT 1", db.name])
    rule.wait()
    client.kill()
    client.wait()
    wait_until(lambda: not proxy.live)


def test_hang_after_withholds_the_reply(connect, proxy, db):
    proxy.rule("INSERT", "hang_after")
    client = subprocess.Popen(["psql", "-X", "-h", proxy.host, "-U", "postgres", "-c", "INSERT INTO t VALUES (1)", db.name])
    wait_until(lambda: db.count("t") == 1)
    time.sleep(0.2)  # time for the reply, which must not come
    assert client.poll() is None
    client.kill()
    client.wait()


def test_delay(connect, proxy):
    proxy.rule("SELECT 1", "delay", delay=0.3)
    started = time.monotonic()
    connect(autocommit=True).cursor().execute("SELECT 1")
    assert time.monotonic() - started >= 0.3


def test_cancel_requests_pass(libpq, proxy):
    # Not by psycopg2: its cancel() keeps the interpreter lock, and the proxy waits for that.
    connection = libpq()
    connection.cancel()
    assert proxy.cancels == 1


def test_refused_and_cut_connections(connect, proxy):
    connection = connect(autocommit=True)
    proxy.drop_all()
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    proxy.refuse = True
    with pytest.raises(psycopg2.OperationalError):
        connect()
    proxy.refuse = False
    connect()


def test_rule_on_parse(libpq, proxy):
    rule = proxy.rule("SELECT 2", "drop_before", on="parse")
    connection = libpq()
    assert connection.execute("SELECT 1")[2] == "1"
    assert connection.execute("SELECT 2")[0] == Libpq.FATAL_ERROR
    assert rule.fired == 1 and proxy.executed("SELECT") == ["SELECT 1"]


def test_round_trips(libpq, proxy, db):
    proxy.latency = 0.005
    connection = libpq()
    started = time.monotonic()
    for _ in range(10):
        connection.execute("SELECT 1")
    assert proxy.round_trips == 10
    assert time.monotonic() - started >= 0.1
    proxy.clear()
    assert len(connection.pipeline(*["SELECT 1"] * 50)) == 50
    assert proxy.round_trips == 1


def test_command_reports_round_trips(server, db):
    done = subprocess.run([sys.executable, pgproxy.__file__, "--latency-ms", "1", "psql", "-X",
                           "-c", "SELECT 1", "-c", "SELECT 2"], env=dict(db.env, PATH="/usr/bin:/bin"),
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "pgproxy: 2 round trips on 1 connections" in done.stderr
