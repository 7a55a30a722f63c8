"""Fixtures for tests/integration and tests/fault; tests/README.md lists them."""
import itertools
import os
import signal

import pytest

import harness
import objectsworld

numbers = itertools.count(1)


def pytest_configure(config):
    # A run that is stopped by its scheduler cleans up like one that is interrupted by hand.
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def server():
    """harness.Server: one per pytest process, so one per xdist worker."""
    instance = harness.Server()
    yield instance
    instance.stop()


def pytest_addoption(parser):
    parser.addoption("--hostile", action="store_true", help="every test in a database with the overloads of hostile.sql")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("SANITIZE"):
        left = [item for item in items if item.get_closest_marker("unsanitized")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture
def db(server, request):
    """harness.Database: of this test's own, and empty but for the overloads of hostile.sql where these are wanted."""
    hostile = request.node.get_closest_marker("hostile") or (
        request.config.getoption("--hostile") and not request.node.get_closest_marker("not_hostile"))
    template = harness.hostile_template(server) if hostile else "template0"
    database = harness.Database(server, f"t{next(numbers)}_{os.getpid()}", template)
    log = harness.ServerLog(server, database)
    yield database
    database.drop()
    used = log.overloads() if hostile else []
    if used:
        pytest.fail(f"{len(used)} uses of hostile overloads, the first: {used[0]}", pytrace=False)


@pytest.fixture
def home(tmp_path):
    """The HOME, TMPDIR and working directory of the pgsweep that is run."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def pgsweep(db, home):
    """harness.Runner: pgsweep("jobs", "--dry-run", env={}, user=None, stdin=None)."""
    assert os.access(harness.binary(), os.X_OK), f"{harness.binary()} is not built"
    runner = harness.Runner(db, home)
    yield runner
    runner.close()


@pytest.fixture
def start_pgsweep(pgsweep):
    """The same in the background: start_pgsweep("jobs").signal(...).wait()."""
    return pgsweep.start


@pytest.fixture
def server_log(server, db):
    """harness.ServerLog: the SQL that reached the server."""
    return harness.ServerLog(server, db)


@pytest.fixture
def policy_file(tmp_path):
    """policy_file(text, name="test"): writes NAME.yaml and returns the directory for --policy-dir."""
    directory = tmp_path / "policies"

    def write(text, name="test"):
        directory.mkdir(exist_ok=True)
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
        return directory

    return write


@pytest.fixture(scope="session")
def s3_server():
    """s3server.S3Server with one bucket "media": one per pytest process."""
    with objectsworld.S3Server(buckets=[objectsworld.BUCKET], session_token="t0ken/of+a=session") as instance:
        yield instance


@pytest.fixture
def s3(s3_server):
    """The same, empty, with no faults."""
    s3_server.configure(secretAccessKey=s3_server.secret, sessionToken=s3_server.session_token,
                        region=s3_server.region, delayMs=0, held=False)
    s3_server.reset()
    s3_server.clear()
    return s3_server


@pytest.fixture
def mocs(db, pgsweep, s3):
    """objectsworld.Mocs: the schema of pgsweep mocs, and the S3 server that it is configured with."""
    return objectsworld.Mocs(db, pgsweep, s3)
