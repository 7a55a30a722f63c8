"""Fixtures for what goes wrong; those of ../conftest.py are there too."""
import pytest

from pgproxy import PgProxy


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
