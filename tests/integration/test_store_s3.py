"""The object store module against a real S3 server whose proxy checks each signature.

Run: /usr/bin/python3 -m pytest tests/integration/test_store_s3.py (BUILD=... for another build).
M3: objects are deleted in batches of up to 1,000, a failure is a result per key and never more.
O5: a key counts as deleted only when the server said so.
"""

import http.server
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import threading
import time

import pytest

from harness import PATIENCE, signal_is_pending, wait_until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "s3"))
from s3server import S3Server  # noqa: E402

ODD_KEYS = [
    "plain.png", "with space.png", " leading", "trailing ", "plus+plus", "amp&amp", "a&amp;b", "less<more>",
    "quote\"s and 'apostrophes'", "ümläut/日本語/🦀.pdf", "percent%20literal", "question?mark#hash",
    "semi;colon,comma=equals", "s/l/a/s/h/e/s", "]]>cdata", "<!-- comment -->",
]


@pytest.fixture(scope="session")
def driver():
    done = subprocess.run([os.path.join(ROOT, "tests", "s3", "build.sh")], check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def server():
    with S3Server(buckets=["media", "second.bucket"]) as s3:
        yield s3


@pytest.fixture
def s3(server):
    server.configure(secretAccessKey=server.secret, region=server.region, sessionToken=None, delayMs=0, held=False, keepAliveMs=60000)
    server.reset()
    server.clear()
    return server


def start(driver, env, requests=0, timeout_ms=0, backoff_ms=10, calls=1, pause_ms=0):
    options = (requests, timeout_ms, backoff_ms, calls, pause_ms)
    return subprocess.Popen([driver, *map(str, options)],
                            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def delete(driver, env, objects, **options):
    """objects: keys of bucket "media", or pairs of bucket (None: a value to resolve) and key."""
    pairs = [("media", o) if isinstance(o, str) else o for o in objects]
    process = start(driver, env, **options)
    out, err = process.communicate(json.dumps(pairs), timeout=PATIENCE)
    assert process.returncode == 0, err
    for secret in (env.get("AWS_SECRET_ACCESS_KEY"), env.get("AWS_SESSION_TOKEN")):
        assert not secret or (secret not in out and secret not in err)
    return json.loads(out)


def begin(driver, s3, keys, **options):
    """Starts a deletion and waits until the server has seen its first request."""
    process = start(driver, s3.environment(), **options)
    process.stdin.write(json.dumps([("media", key) for key in keys]))
    process.stdin.close()
    process.stdin = None
    wait_until(s3.log, what="the first request")
    time.sleep(0.2)  # time for the answer, where there is one
    return process


def end(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return json.loads(out)


def outcomes(reply):
    return {result["key"]: result["outcome"] for result in reply["results"]}


def errors(reply):
    return [result["error"] for result in reply["results"]]


def fill(s3, count, prefix="k"):
    keys = [f"{prefix}/{i:04}" for i in range(count)]
    for key in keys:
        s3.put("media", key)
    return keys


# What it does when all is well


def test_M3_2500_keys_are_three_requests(driver, s3):
    keys = fill(s3, 20) + [f"absent/{i:05}" for i in range(2480)]
    s3.put("media", "bystander")
    reply = delete(driver, s3.environment(), keys)
    assert reply["deleted"] == 2500
    log = s3.log()
    assert sorted(entry["keys"] for entry in log) == [500, 1000, 1000]
    assert {(entry["method"], entry["bucket"], entry["status"]) for entry in log} == {("POST", "media", 200)}
    assert reply["requests"] == 3
    assert s3.list("media") == ["bystander"]


def test_M3_odd_keys(driver, s3):
    for key in ODD_KEYS:
        s3.put("media", key)
    neighbours = ["plus plus", "with+space.png", "percent literal", "leading", "trailing", "amp", "a&b"]
    for key in neighbours:
        s3.put("media", key)
    before = s3.list("media")
    reply = delete(driver, s3.environment(), ODD_KEYS)
    assert set(outcomes(reply).values()) == {"deleted"}, reply
    assert s3.list("media") == sorted(set(before) - set(ODD_KEYS))
    assert set(neighbours) <= set(s3.list("media"))


def test_M3_values_are_resolved_and_foreign_ones_left(driver, s3):
    keys = ["a b+c&d/ü.png", "two", "three", "four"]
    for key in keys:
        s3.put("media", key)
    s3.put("second.bucket", "five")
    values = [f"{s3.endpoint}/media/a%20b%2Bc%26d/%C3%BC.png?X-Amz-Signature=0#page=1", "two", "s3://media/three",
              "https://media.s3.eu-west-1.amazonaws.com/four", "s3://second.bucket/five", "",
              "https://example.com/media/two", "s3://other/two", f"{s3.endpoint}/media/%zz"]
    reply = delete(driver, s3.environment(), [(None, value) for value in values])
    assert reply["deleted"] == 5 and len(reply["foreign"]) == 3
    assert s3.list("media") == [] and s3.list("second.bucket") == []


def test_M3_missing_objects_and_duplicates_count_as_deleted(driver, s3):
    s3.put("media", "once")
    reply = delete(driver, s3.environment(), ["once", "never", "once"])
    assert [result["outcome"] for result in reply["results"]] == ["deleted"] * 3
    assert [entry["keys"] for entry in s3.log()] == [2]


def test_M3_no_keys_no_request(driver, s3):
    reply = delete(driver, s3.environment(), [])
    assert reply["deleted"] == 0 and s3.log() == []


def test_M3_several_requests_in_flight_over_kept_connections(driver, s3):
    s3.configure(delayMs=150)
    keys = [f"n/{i}" for i in range(4000)]
    reply = delete(driver, s3.environment(), keys, calls=2)
    assert reply["deleted"] == 4000
    assert max(entry["busy"] for entry in s3.log()) == 4
    assert len(s3.log()) == 8 and len({entry["port"] for entry in s3.log()}) == 4
    s3.reset()
    delete(driver, s3.environment(), keys, requests=1)
    assert {entry["busy"] for entry in s3.log()} == {1}


def test_M3_a_connection_that_went_stale_is_replaced(driver, s3):
    s3.configure(keepAliveMs=200)
    reply = delete(driver, s3.environment(), ["a"], calls=2, pause_ms=1500)
    assert reply["deleted"] == 1 and reply["requests"] == 2
    assert len({entry["port"] for entry in s3.log()}) == 2


def test_M3_virtual_host_style(driver, s3):
    s3.put("media", "v")
    env = s3.environment(PGSWEEP_S3_ENDPOINT=f"http://localhost:{s3.port}", PGSWEEP_S3_PATH_STYLE="off")
    assert delete(driver, env, ["v"])["deleted"] == 1
    assert [(e["style"], e["host"]) for e in s3.log()] == [("virtual", f"media.localhost:{s3.port}")]
    assert s3.list("media") == []


def test_M3_path_style_is_the_default_with_an_endpoint(driver, s3):
    delete(driver, s3.environment(), ["v"])
    assert [entry["style"] for entry in s3.log()] == ["path"]


def test_M3_long_keys_split_by_size(driver, s3):
    keys = [f"{i:04}" + "&" * 200 for i in range(1000)]  # a kilobyte each in XML
    s3.put("media", keys[0])
    s3.put("media", keys[-1])
    reply = delete(driver, s3.environment(), keys)
    assert reply["deleted"] == 1000 and s3.list("media") == []
    assert sum(entry["keys"] for entry in s3.log()) == 1000 and len(s3.log()) == 2
    assert all(entry["bytes"] <= 1000000 for entry in s3.log())


# Credentials


def test_M3_session_token(driver, s3):
    s3.configure(sessionToken="to/ken+1==")
    s3.put("media", "t")
    reply = delete(driver, s3.environment(), ["t"])
    assert outcomes(reply) == {"t": "permanent"} and errors(reply)[0].startswith("InvalidToken: ")
    assert s3.exists("media", "t")
    assert delete(driver, s3.environment(AWS_SESSION_TOKEN="to/ken+1=="), ["t"])["deleted"] == 1
    assert not s3.exists("media", "t")


def test_M3_credentials_file_with_profile(driver, s3, tmp_path):
    s3.configure(sessionToken="tok")
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
                    f"# a comment\n[sweeper]\naws_access_key_id={s3.access_key}\n"
                    f"aws_secret_access_key = {s3.secret}\r\naws_session_token = tok\n[last]\nx = y\n")
    env = s3.environment(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None,
                         AWS_SHARED_CREDENTIALS_FILE=str(path), AWS_PROFILE="sweeper")
    assert delete(driver, env, ["t"])["deleted"] == 1
    env["AWS_PROFILE"] = "default"
    assert errors(delete(driver, env, ["t"]))[0].startswith("InvalidAccessKeyId: ")
    env["AWS_PROFILE"] = "nobody"
    reply = delete(driver, env, ["t"])
    assert reply["setup"] == "misconfigured" and "[nobody]" in reply["error"] and str(path) in reply["error"]


@pytest.mark.parametrize("wrong, code", [({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
                                         ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId")])
def test_M3_wrong_credentials(driver, s3, wrong, code):
    s3.put("media", "safe")
    keys = ["safe"] + [f"n/{i:05}" for i in range(9000)]
    reply = delete(driver, s3.environment(**wrong), keys, requests=2)
    assert set(outcomes(reply).values()) == {"permanent"}
    assert all(error.startswith(code + ": ") for error in errors(reply))
    assert s3.exists("media", "safe")
    assert len(s3.log()) <= 4  # the rest is not even sent


def test_M3_no_bucket_of_that_name_leaves_the_other_alone(driver, s3):
    env = s3.environment(PGSWEEP_S3_BUCKET="nowhere,media")
    s3.put("media", "m")
    reply = delete(driver, env, [("nowhere", "n"), ("media", "m"), ("unlisted", "u")])
    assert outcomes(reply) == {"n": "permanent", "m": "deleted", "u": "permanent"}
    assert errors(reply)[0].startswith("NoSuchBucket: ")


# Faults


def test_O5_clock_skew(driver, s3):
    s3.put("media", "c")
    s3.clock(16 * 60)
    reply = delete(driver, s3.environment(), ["c"])
    assert outcomes(reply) == {"c": "retryable"}
    assert errors(reply)[0].startswith("RequestTimeTooSkewed: ") and "clock" in errors(reply)[0]
    s3.clock(14 * 60)
    assert delete(driver, s3.environment(), ["c"])["deleted"] == 1


def test_M3_wrong_region_is_named(driver, s3):
    reply = delete(driver, s3.environment(PGSWEEP_S3_REGION="us-east-1"), ["r"])
    assert outcomes(reply) == {"r": "permanent"}
    assert "eu-test-1" in errors(reply)[0] and "PGSWEEP_S3_REGION" in errors(reply)[0]


def test_M3_redirects_are_not_followed(driver, s3):
    s3.fault("error", status=301, code="PermanentRedirect", extra="<Endpoint>127.0.0.1</Endpoint>",
             headers={"location": f"{s3.endpoint}/second.bucket?delete=", "x-amz-bucket-region": "eu-west-9"})
    reply = delete(driver, s3.environment(), ["r"])
    assert outcomes(reply) == {"r": "permanent"}
    assert errors(reply)[0].startswith("PermanentRedirect: ") and "eu-west-9" in errors(reply)[0]
    assert len(s3.log()) == 1


@pytest.mark.parametrize("kind", ["slowdown", "internal", "reset"])
def test_M3_passing_faults_are_ridden_out(driver, s3, kind):
    s3.put("media", "p")
    s3.fault(kind, count=2)
    reply = delete(driver, s3.environment(), ["p"])
    assert reply["deleted"] == 1 and reply["requests"] == 3
    assert not s3.exists("media", "p")


@pytest.mark.parametrize("kind, code", [("slowdown", "SlowDown: "), ("internal", "InternalError: "),
                                        ("reset", "ConnectionLost: ")])
def test_O5_lasting_faults_leave_the_keys_to_a_later_run(driver, s3, kind, code):
    s3.put("media", "p")
    s3.fault(kind, count=3)
    reply = delete(driver, s3.environment(), ["p"])
    assert outcomes(reply) == {"p": "retryable"} and errors(reply)[0].startswith(code)
    assert len(s3.log()) == 3 and s3.exists("media", "p")


def test_O5_partial_errors_in_a_200(driver, s3):
    keys = fill(s3, 5) + ["locked/1", "locked & <2>"]
    s3.put("media", "locked/1")
    s3.put("media", "locked & <2>")
    s3.fault("partial", match="locked", code="AccessDenied", message="Access Denied")
    reply = delete(driver, s3.environment(), keys)
    assert {k for k, o in outcomes(reply).items() if o != "deleted"} == {"locked/1", "locked & <2>"}
    assert outcomes(reply)["locked/1"] == "permanent"
    assert {e for e in errors(reply) if e} == {"AccessDenied: Access Denied"}
    assert s3.list("media") == ["locked & <2>", "locked/1"]


@pytest.mark.parametrize("code, outcome", [("InternalError", "retryable"), ("SlowDown", "retryable"),
                                           ("NoSuchKey", "deleted"), ("SomethingNew", "retryable")])
def test_O5_partial_error_codes(driver, s3, code, outcome):
    s3.fault("partial", match="x", code=code)
    assert outcomes(delete(driver, s3.environment(), ["x", "y"])) == {"x": outcome, "y": "deleted"}


def test_O5_a_key_that_the_reply_leaves_out_is_not_deleted(driver, s3):
    s3.fault("missing", match="x")
    reply = delete(driver, s3.environment(), ["x", "y"])
    assert outcomes(reply) == {"x": "retryable", "y": "deleted"}
    assert errors(reply)[0].startswith("NotConfirmed: ")


def test_O5_reply_cut_short(driver, s3):
    keys = fill(s3, 10)
    s3.fault("cut")
    reply = delete(driver, s3.environment(), keys)
    assert set(outcomes(reply).values()) == {"retryable"}
    assert all(error.startswith("IncompleteReply: ") for error in errors(reply))
    assert delete(driver, s3.environment(), keys)["deleted"] == 10


@pytest.mark.parametrize("body, why", [
    ("", "empty"), ("<DeleteResult><Deleted><Key>a</Key></Deleted>", "incomplete"), ("<html><body>Hi</body></html>", "not a reply"),
    ("<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult", "incomplete"),
    ("<!DOCTYPE x [<!ENTITY a 'a'>]><DeleteResult><Deleted><Key>&a;</Key></Deleted></DeleteResult>", "document type"),
    ("<DeleteResult>" + "<Deleted><Key>" + "z" * 1000 + "</Key></Deleted>" * 1 + " " * 5 * 1024 * 1024, "4 MiB"),
    ("<html>" + " " * 5 * 1024 * 1024, "4 MiB")],
    ids=["empty", "unclosed", "html", "one byte short", "entity", "huge", "huge html"])
def test_O5_replies_that_confirm_nothing(driver, s3, body, why):
    s3.fault("raw", body=body)
    reply = delete(driver, s3.environment(), ["a"])
    assert outcomes(reply) == {"a": "retryable"} and why in errors(reply)[0], reply


@pytest.mark.parametrize("order", [1, -1])
def test_O5_deleted_and_failed_at_once_is_failed(driver, s3, order):
    entries = ["<Deleted><Key>a</Key></Deleted>", "<Error><Key>a</Key><Code>SlowDown</Code></Error>"][::order]
    s3.fault("raw", body="<DeleteResult>" + "".join(entries) + "</DeleteResult>")
    assert outcomes(delete(driver, s3.environment(), ["a", "a"])) == {"a": "retryable"}


def test_O5_other_keys_than_those_sent_confirm_nothing(driver, s3):
    s3.fault("raw", body="<DeleteResult><Deleted><Key>b</Key></Deleted><Deleted><Key>a/</Key></Deleted></DeleteResult>")
    assert outcomes(delete(driver, s3.environment(), ["a"])) == {"a": "retryable"}


def test_O5_an_error_document_in_a_200(driver, s3):
    s3.fault("raw", body="<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    reply = delete(driver, s3.environment(), ["a"])
    assert outcomes(reply) == {"a": "permanent"} and errors(reply) == ["AccessDenied: no"]


def test_O5_a_balancer_without_xml(driver, s3):
    s3.fault("raw", count=3, status=502, body="<html><hr>Bad Gateway")
    reply = delete(driver, s3.environment(), ["a"])
    assert outcomes(reply) == {"a": "retryable"} and errors(reply) == ["HTTP 502"] and reply["requests"] == 3


def test_O5_server_down_in_the_middle(driver, s3):
    keys = fill(s3, 5) + [f"n/{i:05}" for i in range(5000)]
    s3.fault("down", after=2)
    reply = delete(driver, s3.environment(), keys, requests=1)
    done = [k for k, o in outcomes(reply).items() if o == "deleted"]
    assert len(done) == 2000 and set(outcomes(reply).values()) == {"deleted", "retryable"}
    assert any(error.startswith("Unreachable: ") for error in errors(reply) if error)
    s3.up()
    assert delete(driver, s3.environment(), keys)["deleted"] == 5005
    assert s3.list("media") == []


def test_O5_server_that_hangs(driver, s3):
    s3.fault("hang")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    reply = delete(driver, s3.environment(), ["h"], timeout_ms=1500)
    assert outcomes(reply) == {"h": "retryable"} and errors(reply)[0].startswith("Timeout: ")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime < 0.7  # it waits, it does not spin


@pytest.mark.parametrize("fault, signals", [("slowdown", 1), ("hang", 2)])
def test_O5_a_stop_ends_waiting(driver, s3, fault, signals):
    s3.fault(fault, count=100)
    process = begin(driver, s3, [f"n/{i:05}" for i in range(9000)], requests=1, backoff_ms=3600000, timeout_ms=3600000)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: process.poll() is not None or not signal_is_pending(process.pid, signal.SIGTERM))
    reply = end(process)  # not after an hour
    assert set(outcomes(reply).values()) == {"stopped"} and len(s3.log()) == 1
    assert all(error.startswith("Stopped: ") for error in errors(reply))


def test_O5_one_stop_ends_a_hang_after_a_few_seconds(driver, s3):
    s3.fault("hang", count=100)
    process = begin(driver, s3, ["a", "b"], timeout_ms=3600000)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    reply = end(process)
    assert time.monotonic() - began > 4  # nor after an hour
    assert set(outcomes(reply).values()) == {"stopped"}


def test_O5_a_stop_waits_for_what_is_in_flight(driver, s3):
    s3.configure(held=True)
    process = begin(driver, s3, [f"n/{i:05}" for i in range(3000)], requests=1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # time to do the wrong thing
    s3.configure(held=False)
    assert end(process)["deleted"] == 1000 and len(s3.log()) == 1


# TLS


class Tls(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b"<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>"
        self.server.seen.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_M3_certificates_are_verified(driver, tmp_path):
    pem, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=s3",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", pem],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tls)
    server.handle_error = lambda *_: None
    server.daemon_threads = True
    server.seen = []
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    env = {"PGSWEEP_S3_BUCKET": "media", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "the-secret", "NO_PROXY": "*"}
    try:
        env["PGSWEEP_S3_ENDPOINT"] = f"https://127.0.0.1:{server.server_port}"
        reply = delete(driver, env, ["a"])
        assert outcomes(reply) == {"a": "retryable"} and errors(reply)[0].startswith("TlsError: ")
        env["AWS_CA_BUNDLE"] = pem
        assert delete(driver, env, ["a"])["deleted"] == 1
        env["PGSWEEP_S3_ENDPOINT"] = f"https://localhost:{server.server_port}"  # a name that is not in it
        reply = delete(driver, env, ["a"])
        assert outcomes(reply) == {"a": "retryable"} and errors(reply)[0].startswith("TlsError: ")
        assert server.seen == ["/media?delete="]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Keys that cannot be sent


def test_M3_keys_that_xml_cannot_carry_fail_alone(driver, s3):
    s3.put("media", "good")
    reply = delete(driver, s3.environment(), ["good", "bell\x07", "\uffff", "x" * 1025])
    assert outcomes(reply)["good"] == "deleted"
    assert [result["outcome"] for result in reply["results"][1:]] == ["permanent"] * 3
    assert all(e.split(":")[0] in ("InvalidKey", "KeyTooLongError") for e in errors(reply)[1:])


# Configuration


def test_M3_not_configured_is_no_error(driver):
    reply = delete(driver, {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://localhost:1"}, [])
    assert reply["setup"] == "not configured" and reply["error"] is None


def test_M3_the_description_holds_no_secret(driver, s3):
    reply = delete(driver, s3.environment(), [])
    assert reply["describe"] == f"buckets media, second.bucket at {s3.endpoint}, region eu-test-1"
    assert s3.access_key not in json.dumps(reply)
