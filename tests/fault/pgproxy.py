#!/usr/bin/python3
"""A proxy that speaks PostgreSQL's protocol (version 3, no TLS) and goes wrong on demand.

It stands between pgsweep and a throwaway server, knows which SQL each message means (statement and
portal names are tracked, simple and extended protocol, pipelines too) and breaks things at an exact
place: "lose the reply to the second COMMIT".

    proxy = PgProxy(server_host, server_port)
    proxy.rule(r"^COMMIT", "drop_after", nth=2)
    ... run the client with PGHOST=proxy.host PGPORT=proxy.port ...
    proxy.round_trips, proxy.executed(r"DELETE"), proxy.close()

Rules match executions: a simple Query, or an Execute by the SQL of its statement; with on="parse" a
Parse. Actions:
    drop_before   close the connection; the server never sees the message
    drop_after    the server executes it (up to the next Sync), the reply is lost, the connection closed
    drop_during   the client is cut off at once; the server goes on with it, and notices the loss
                  only when it is done and delay has passed
    error         an ErrorResponse with that sqlstate in the place of the execution; the server's
                  transaction is truly aborted (a failed COMMIT rolls back, as in the server)
    fatal         FATAL ErrorResponse with that sqlstate, then the connection is closed
    drop_mid      the same as drop_after, but half of the first message of the reply gets through
    rollback      a COMMIT that ends the transaction with ROLLBACK, and whose tag says so
    delay         hold it back for delay seconds, then forward it
    hold          hold it back until the test calls the rule's release()
    hang          never forward it; hang_after: forward it, never deliver the reply
Message numbers and layouts: PostgreSQL manual, "Frontend/Backend Protocol", "Message Formats".

As a command:  pgproxy.py [--latency-ms N] COMMAND [ARG...]   runs COMMAND with PGHOST and PGPORT
pointing to a proxy in front of the PGHOST and PGPORT given, and reports the round trips on stderr.
"""
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque, namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # it is a program of its own, too
from harness import one_line  # noqa: E402

SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
ACTIONS = ("drop_before", "drop_after", "drop_during", "drop_mid", "error", "fatal", "rollback",
           "delay", "hold", "hang", "hang_after")
LOSING = ("drop_after", "drop_during", "drop_mid", "hang_after")

Seen = namedtuple("Seen", "connection kind sql at")  # kind: query, parse, execute; at: seconds


class Dropped(Exception):
    """The connection is over, on purpose or not."""


class Rule:
    """One thing that goes wrong. hits: matching executions so far; fired: how often it acted."""

    def __init__(self, regex, action, nth=1, times=1, on="execute", sqlstate="XX000",
                 message="injected by the test", delay=0.0):
        if action not in ACTIONS or on not in ("execute", "parse"):
            raise ValueError((action, on))
        self.regex = re.compile(regex, re.I | re.S)
        self.action, self.nth, self.times, self.on = action, nth, times, on
        self.sqlstate, self.message, self.delay = sqlstate, message, delay
        self.hits = self.fired = 0
        self.event = threading.Event()
        self.released = threading.Event()

    def release(self):
        """Lets go what the action hold keeps back."""
        self.released.set()

    def wait(self, timeout=float(os.environ.get("TEST_PATIENCE", 300))):
        """Waits until the rule has acted."""
        assert self.event.wait(timeout), f"rule {self.regex.pattern!r} did not fire"

    def acts_on(self, sql):
        if not self.regex.search(one_line(sql)):
            return False
        self.hits += 1
        if self.hits < self.nth or (self.times is not None and self.hits >= self.nth + self.times):
            return False
        self.fired += 1
        return True


class Pending:
    """A request whose reply is still to come. hidden: the client did not send it."""

    def __init__(self, kind, hidden=False, rule=None):
        self.kind, self.hidden, self.rule = kind, hidden, rule


def message(kind, body):
    return kind + struct.pack("!i", len(body) + 4) + body


def cstring(body, at):
    end = body.index(b"\0", at)
    return body[at:end].decode("utf-8", "replace"), end + 1


def error_response(severity, sqlstate, text):
    fields = b"".join(tag + value.encode() + b"\0" for tag, value in
                      ((b"S", severity), (b"V", severity), (b"C", sqlstate), (b"M", text)))
    return message(b"E", fields + b"\0")


class Connection:
    """One client connection and its connection to the server."""

    def __init__(self, proxy, number, client):
        self.proxy, self.number, self.client = proxy, number, client
        self.server = None
        self.lock = threading.Lock()
        self.pending = deque()
        self.statements, self.portals = {}, {}
        self.swallow = None        # the rule because of which replies are no longer delivered
        self.doom = None           # the same, while its Sync is still to be forwarded
        self.transaction = b"I"
        self.names = 0

    def serve(self):
        try:
            if self.startup():
                reader = threading.Thread(target=self.guarded, args=(self.from_server,), daemon=True)
                reader.start()
                self.guarded(self.from_client)
                reader.join()
        except (OSError, Dropped):
            pass
        finally:
            self.close()
            self.proxy.forget(self)

    def guarded(self, loop):
        try:
            loop()
        except (OSError, Dropped):
            self.close()

    def close(self):
        for sock in (self.client, self.server):
            if sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()

    def close_client(self):
        try:
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    # Start-up

    def startup(self):
        """Forwards the start-up packet; False for a cancel request, which is over with that."""
        if self.proxy.black_hole:
            self.hang()
        while True:
            head = self.read_exactly(8)
            length, code = struct.unpack("!ii", head)
            packet = head + self.read_exactly(length - 8)
            if code not in (SSL_REQUEST, GSSENC_REQUEST):
                break
            self.client.sendall(b"N")
        self.server = self.proxy.connect_server()
        if code == CANCEL_REQUEST:
            self.proxy.cancels += 1
            self.server.sendall(packet)
            self.server.recv(1)
            return False
        self.pending.append(Pending("startup"))
        self.server.sendall(packet)
        return True

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.client.recv(count - len(data))
            if not more:
                raise Dropped
            data += more
        return data

    @staticmethod
    def messages(sock, latency):
        """Yields lists of whole messages, as they come in."""
        data = b""
        while True:
            more = sock.recv(1 << 20)
            if not more:
                raise Dropped
            latency()
            data += more
            found, at = [], 0
            while len(data) - at >= 5:
                length = struct.unpack_from("!i", data, at + 1)[0]
                if len(data) - at < length + 1:
                    break
                found.append((data[at:at + 1], data[at + 5:at + 1 + length]))
                at += length + 1
            data = data[at:]
            yield found

    # From the client to the server

    def from_client(self):
        skipping = False
        for batch in self.messages(self.client, lambda: None):
            out = []
            for kind, body in batch:
                if skipping and kind != b"S":
                    continue
                skipping = False
                if kind == b"X":
                    self.linger()
                rule = self.note(kind, body)
                if rule:
                    if rule.action != "hold":
                        rule.event.set()
                    if rule.action in ("drop_before", "fatal", "hang", "delay", "hold"):
                        self.send_server(out)
                        self.act_before(rule)
                    elif rule.action in ("error", "rollback"):
                        replacement = self.failing(rule, kind, self.sql_of(kind, body))
                        out.append(replacement)
                        skipping = kind != b"Q" and rule.action == "error"
                        continue
                self.expect(kind, rule)
                out.append(message(kind, body))
                # Nothing that the client sends after the lost reply reaches the server.
                if self.doomed(kind, rule):
                    self.send_server(out)
                    self.after_doomed()
                    return
            self.send_server(out)

    def doomed(self, kind, rule):
        if rule and rule.action in LOSING:
            self.doom = rule
            return kind == b"Q"
        return self.doom is not None and kind == b"S"

    def after_doomed(self):
        if self.doom.action == "drop_during":
            self.close_client()

    def linger(self):
        """The client has gone; a busy server notices when it comes to it."""
        while self.proxy.linger and not self.proxy.closed.wait(0.02):
            pass

    def send_server(self, out):
        if out:
            self.proxy.sleep_latency()
            self.server.sendall(b"".join(out))
            out.clear()

    def note(self, kind, body):
        """Keeps track of names, logs SQL, and returns the rule that acts on this message."""
        if kind == b"P":
            name, at = cstring(body, 0)
            sql, _ = cstring(body, at)
            self.statements[name] = sql
            return self.proxy.seen(self.number, "parse", sql)
        if kind == b"B":
            portal, at = cstring(body, 0)
            name, _ = cstring(body, at)
            self.portals[portal] = self.statements.get(name, "")
        elif kind in (b"Q", b"E"):
            return self.proxy.seen(self.number, "query" if kind == b"Q" else "execute",
                                   self.sql_of(kind, body))
        return None

    def sql_of(self, kind, body):
        text, at = cstring(body, 0)
        if kind == b"E":
            return self.portals.get(text, "")
        return cstring(body, at)[0] if kind == b"P" else text

    def expect(self, kind, rule=None, hidden=False):
        if kind in (b"P", b"B", b"C", b"D", b"E", b"S", b"Q", b"F"):
            with self.lock:
                if not self.pending and not hidden:
                    self.proxy.count_round_trip()
                self.pending.append(Pending(kind.decode(), hidden, rule))

    def act_before(self, rule):
        if rule.action == "delay":
            time.sleep(rule.delay)
        elif rule.action == "hold":
            # Whoever waits for the rule can rely on it: the server has done what was asked before.
            self.wait_for_answers(10)
            rule.event.set()
            while not rule.released.wait(0.02) and not self.proxy.closed.is_set():
                pass
        elif rule.action == "hang":
            self.hang()
        else:
            if rule.action == "fatal":
                self.wait_for_answers(60)
                with self.lock:
                    self.client.sendall(error_response("FATAL", rule.sqlstate, rule.message))
            raise Dropped

    def wait_for_answers(self, seconds):
        """What was asked before is answered first; without a Flush the server keeps it back until the Sync."""
        self.server.sendall(message(b"H", b""))
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.pending:
            time.sleep(0.005)

    def hang(self):
        """Until the client gives up or the proxy is closed."""
        while not self.proxy.closed.wait(0.02):
            if select.select([self.client], [], [], 0)[0]:
                try:
                    if not self.client.recv(1 << 16):
                        break
                except OSError:
                    break
        raise Dropped

    def failing(self, rule, kind, sql):
        """What makes the server itself raise the error, in the protocol that the client used."""
        text = rule.message.replace("'", "''")
        raising = (f"DO $pgproxy$BEGIN RAISE EXCEPTION USING ERRCODE = '{rule.sqlstate}',"
                   f" MESSAGE = '{text}'; END$pgproxy$")
        # A COMMIT that fails has ended the transaction all the same.
        ends = re.match(r"\s*(COMMIT|END)\b", sql, re.I) is not None
        if kind == b"Q":
            if ends:
                self.expect(b"Q", hidden=True)
                self.expect(b"Q")
                return message(b"Q", b"ROLLBACK\0") + message(b"Q", raising.encode() + b"\0")
            self.expect(b"Q")
            return message(b"Q", raising.encode() + b"\0")
        out = []
        statements = (["ROLLBACK"] if ends else []) + [raising]
        if rule.action == "rollback":
            statements = ["ROLLBACK"]
        for statement in statements:
            self.names += 1
            name = f"pgproxy_{self.names}".encode() + b"\0"
            out += [message(b"P", name + statement.encode() + b"\0\0\0"),
                    message(b"B", name + name + b"\0\0" * 3),
                    message(b"E", name + b"\0" * 4)]
            for part in (b"P", b"B", b"E"):
                self.expect(part, hidden=part != b"E" or statement != statements[-1])
        return b"".join(out)

    # From the server to the client

    def from_server(self):
        half = None
        for batch in self.messages(self.server, self.proxy.sleep_latency):
            out, over = [], False
            with self.lock:
                for kind, body in batch:
                    hidden = self.answered(kind, body)
                    if not hidden and not self.swallow:
                        out.append(message(kind, body))
                    elif self.swallow and self.swallow.action == "drop_mid" and not half:
                        half = message(kind, body)
                        out.append(half[:len(half) // 2])
                    over = over or (self.swallow and kind == b"Z")
                if out:
                    self.client.sendall(b"".join(out))
            if over:
                if self.swallow.action == "hang_after":
                    self.hang()
                time.sleep(self.swallow.delay)
                raise Dropped

    def answered(self, kind, body):
        """Finds the request that a message of the server answers; true: not for the client."""
        if kind in (b"N", b"A", b"S") or not self.pending:
            return False
        head = self.pending[0]
        hidden = head.hidden and kind != b"E"
        self.notice_doom(head)
        if kind == b"Z":
            self.transaction = body
            if head.kind in ("startup", "S", "Q", "F"):
                self.pending.popleft()
        elif kind == b"E" and head.kind in "PBCDE":
            # The server skips everything up to the next Sync.
            while self.pending and self.pending[0].kind != "S":
                self.notice_doom(self.pending.popleft())
        elif head.kind in ("P", "B", "C") and kind in (b"1", b"2", b"3"):
            self.pending.popleft()
        elif head.kind == "D" and kind in (b"T", b"n"):
            self.pending.popleft()
        elif head.kind == "E" and kind in (b"C", b"I", b"s"):
            self.pending.popleft()
        return hidden

    def notice_doom(self, entry):
        if entry.rule and entry.rule.action in LOSING:
            self.swallow = entry.rule


class PgProxy:
    """Listens on a unix socket of its own (or, tcp=True, on a port of 127.0.0.1).

    latency: seconds added each way. refuse: true while new connections are closed at once (refused: how many).
    linger: true while the server does not learn that a client has said good-bye.
    black_hole: true while new connections are accepted, read, and never answered; cancel requests too.
    round_trips: how often a client sent something while nothing was outstanding, so had waited for
    all replies (exact with a latency of some milliseconds, else a flush in two parts may count
    twice). log: every Seen. connections: how many were made. cancels: cancel requests."""

    def __init__(self, server_host, server_port, tcp=False, latency=0.0):
        self.server_host, self.server_port = str(server_host), int(server_port)
        self.latency, self.refuse, self.linger = latency, False, False
        self.black_hole = False
        self.rules, self.log = [], []
        self.round_trips = self.connections = self.cancels = self.refused = 0
        self.lock = threading.Lock()
        self.closed = threading.Event()
        self.live = set()
        self.dir = None
        if tcp:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.host, self.port = "127.0.0.1", str(self.listener.getsockname()[1])
        else:
            self.dir = tempfile.mkdtemp(prefix="pgsweep-p.", dir="/tmp")
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{self.dir}/.s.PGSQL.5432")
            self.listener.listen(64)
            self.host, self.port = self.dir, "5432"
        threading.Thread(target=self.accept, daemon=True).start()

    def rule(self, regex, action, **options):
        """Adds a rule (see Rule for nth, times (None: for good), on, sqlstate, message, delay)."""
        rule = Rule(regex, action, **options)
        with self.lock:
            self.rules.append(rule)
        return rule

    def clear(self):
        """Drops the rules and what was counted."""
        with self.lock:
            self.rules, self.log = [], []
            self.round_trips = self.connections = self.cancels = 0

    def executed(self, regex=""):
        """The SQL of all executions that match, in order, each in one line."""
        with self.lock:
            seen = [one_line(s.sql) for s in self.log if s.kind != "parse"]
        return [sql for sql in seen if re.search(regex, sql, re.I)]

    def drop_all(self):
        """Cuts every connection now."""
        for connection in list(self.live):
            connection.close()

    def close(self):
        self.closed.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop_all()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    # For the connections

    def accept(self):
        while not self.closed.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refuse:
                self.refused += 1
                client.close()
                continue
            with self.lock:
                self.connections += 1
                connection = Connection(self, self.connections, client)
                self.live.add(connection)
            threading.Thread(target=connection.serve, daemon=True).start()

    def forget(self, connection):
        with self.lock:
            self.live.discard(connection)

    def connect_server(self):
        if self.server_host.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(f"{self.server_host}/.s.PGSQL.{self.server_port}")
            return sock
        return socket.create_connection((self.server_host, self.server_port))

    def seen(self, connection, kind, sql):
        """Logs SQL and returns the first rule that acts on it; every rule counts its hits."""
        sql = re.sub(r"\(\s+", "(", sql)
        with self.lock:
            self.log.append(Seen(connection, kind, sql, time.monotonic()))
            on = "parse" if kind == "parse" else "execute"
            acting = [rule for rule in self.rules if rule.on == on and rule.acts_on(sql)]
            return acting[0] if acting else None

    def count_round_trip(self):
        with self.lock:
            self.round_trips += 1

    def sleep_latency(self):
        if self.latency:
            time.sleep(self.latency)


def main(args):
    latency = 0.0
    if args[:1] == ["--latency-ms"] and len(args) > 1:
        latency = float(args[1]) / 1000
        args = args[2:]
    if not args or args[0].startswith("-"):
        sys.stderr.write("usage: pgproxy.py [--latency-ms N] COMMAND [ARG...]\n")
        return 2
    proxy = PgProxy(os.environ.get("PGHOST", "/var/run/postgresql"),
                    os.environ.get("PGPORT", "5432"), latency=latency)
    try:
        env = dict(os.environ, PGHOST=proxy.host, PGPORT=proxy.port)
        code = subprocess.run(args, env=env, check=False).returncode
        sys.stderr.write(f"pgproxy: {proxy.round_trips} round trips on {proxy.connections}"
                         f" connections\n")
        return code if code >= 0 else 128 - code
    finally:
        proxy.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
