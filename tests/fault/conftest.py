"""Fixtures for what goes wrong; those of ../conftest.py are there too."""
import pytest

from pgproxy import PgProxy
from sweepworld import STRATEGIES, World


@pytest.fixture
def proxy(server, db, pgsweep_env):
    """pgproxy.PgProxy in front of the test's server; pgsweep runs go through it with env=pgsweep_env."""
    instance = PgProxy(server.host, server.port)
    pgsweep_env.update(PGHOST=instance.host, PGPORT=instance.port, PGDATABASE=db.name)
    yield instance
    instance.close()


@pytest.fixture
def pgsweep_env():
    """What sends a run through the proxy: pgsweep("jobs", env=pgsweep_env)."""
    return {}


@pytest.fixture
def make_world(db, pgsweep, policy_file):
    """make_world("range" or "locked", old=20, extra="policy lines"): a sweepworld.World."""
    def make(strategy, **options):
        return World(db, pgsweep, policy_file, strategy, **options)

    return make


@pytest.fixture(params=STRATEGIES)
def world(request, make_world):
    """A World for each strategy."""
    return make_world(request.param)
