"""A real S3 server (s3rver) behind a proxy that checks every signature and injects faults.

Standard library only. As a pytest fixture:

    @pytest.fixture(scope="module")
    def s3():
        with S3Server(buckets=["media"]) as server:
            yield server

    server.put("media", "a/b.png"); server.environment(); server.fault("slowdown", count=2); server.log()
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))

# A machine may have a proxy configured; nothing here must go through it.
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def install():
    """npm ci, when what is installed is not what the lock file says; one process at a time."""
    done = os.path.join(HERE, "node_modules", ".package-lock.json")
    lock = os.path.join(HERE, "package-lock.json")
    with open(lock, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if os.path.exists(done) and os.path.getmtime(done) >= os.path.getmtime(lock):
            return
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"],
                       cwd=HERE, check=True, stdin=subprocess.DEVNULL)


class S3Server:
    def __init__(self, buckets=("media",), access_key="TESTKEYID", secret="s3cr3t/with+odd=chars",
                 session_token=None, region="eu-test-1", delay_ms=0):
        self.buckets = list(buckets)
        self.access_key, self.secret = access_key, secret
        self.session_token, self.region = session_token, region
        self.delay_ms = delay_ms
        self.process = self.port = self.control_port = self.directory = None

    # Life

    def start(self):
        install()
        self.directory = tempfile.mkdtemp(prefix="pgsweep-s3-")
        config = {"directory": self.directory, "buckets": self.buckets, "accessKeyId": self.access_key,
                  "secretAccessKey": self.secret, "sessionToken": self.session_token,
                  "region": self.region, "delayMs": self.delay_ms}
        self.process = subprocess.Popen(["node", os.path.join(HERE, "proxy.js"), json.dumps(config)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError("the S3 test server did not start")
        ports = json.loads(line)
        self.port, self.control_port = ports["port"], ports["control"]
        return self

    def stop(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.process = None
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # What a client needs

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more):
        """Variables for a client: only these, so that nothing of the machine's own leaks in."""
        env = {"PGSWEEP_S3_ENDPOINT": self.endpoint, "PGSWEEP_S3_REGION": self.region,
               "PGSWEEP_S3_BUCKET": ",".join(self.buckets), "AWS_ACCESS_KEY_ID": self.access_key,
               "AWS_SECRET_ACCESS_KEY": self.secret, "NO_PROXY": "*", "no_proxy": "*"}
        if self.session_token:
            env["AWS_SESSION_TOKEN"] = self.session_token
        env.update(more)
        return {name: value for name, value in env.items() if value is not None}

    # Objects, past the proxy's checks and faults

    def _control(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}{path}", data=body,
                                         method=method)
        with _open(request, timeout=300) as reply:
            return reply.read()

    def _path(self, bucket, key):
        return f"/__s3/{bucket}/" + urllib.parse.quote(key, safe="/~")

    def put(self, bucket, key, body=b"x"):
        self._control("PUT", self._path(bucket, key), body)

    def exists(self, bucket, key):
        try:
            self._control("HEAD", self._path(bucket, key))
            return True
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def list(self, bucket):
        """All keys of the bucket, sorted."""
        keys, token = [], None
        while True:
            query = {"list-type": "2", "encoding-type": "url"}
            if token:
                query["continuation-token"] = token
            text = self._control("GET", f"/__s3/{bucket}/?" + urllib.parse.urlencode(query))
            root = xml.etree.ElementTree.fromstring(text)
            name = root.tag.split("}")[0] + "}"
            keys += [urllib.parse.unquote(k.text) for k in root.iter(name + "Key")]
            token = root.findtext(name + "NextContinuationToken")
            if not token:
                return sorted(keys)

    def clear(self):
        """Empties all buckets."""
        for bucket in self.buckets:
            for key in self.list(bucket):
                self._control("DELETE", self._path(bucket, key))

    # Faults and what was seen

    def fault(self, kind, count=1, after=0, **more):
        """kind: slowdown, internal, reset, hang, cut, down (until up()), partial (match, code,
        message), missing (match), error (status, code, message, extra, headers), raw (status, body).
        It serves `count` requests after letting `after` pass; several faults follow one another."""
        body = {"kind": kind, "count": count, "after": after, **more}
        self._control("POST", "/__fault", json.dumps(body).encode())

    def clock(self, offset_s):
        """Lets the server believe that its clock is off by that much."""
        self._control("POST", "/__clock", json.dumps({"offset_s": offset_s}).encode())

    def configure(self, **changes):
        """Changes secretAccessKey, sessionToken, region, delayMs or keepAliveMs of the running proxy."""
        self._control("POST", "/__config", json.dumps(changes).encode())

    def down(self):
        self._control("POST", "/__down")

    def up(self):
        self._control("POST", "/__up")

    def reset(self):
        """No faults, an empty log, the right time, listening."""
        self._control("POST", "/__reset")

    def log(self):
        """The requests so far: method, bucket, keys (their number), style, status, code, busy (how
        many were being served at once), port (of the client: one per connection)."""
        return json.loads(self._control("GET", "/__log"))
