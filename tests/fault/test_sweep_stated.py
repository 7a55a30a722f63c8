"""References without a constraint: another session adds rows while their entity goes."""
import pytest

import harness

RUNS = [("near", "chunk"), ("far", "chunk"), ("far", "row")]
PLACES = [r'DELETE FROM "public"\."relationships"', r'DELETE FROM "public"\."tokens"', r'DELETE FROM "public"\."entities"']
FRESH = "INSERT INTO tokens VALUES ('fresh', 'e', 1, now())"


@pytest.fixture
def tokens(db, pgsweep):
    db.sql("CREATE TABLE entities (id text PRIMARY KEY);"
           "CREATE TABLE relationships (id int PRIMARY KEY, product_id int, entity_id text);"
           "CREATE INDEX ON relationships (product_id, entity_id); CREATE INDEX ON relationships (entity_id);"
           "CREATE TABLE tokens (token text PRIMARY KEY, entity_id text, product_id int, created_at timestamptz NOT NULL,"
           " submitted_at timestamptz);"
           "CREATE INDEX ON tokens (created_at); CREATE INDEX ON tokens (entity_id);"
           "CREATE INDEX ON tokens (product_id, entity_id);"
           "INSERT INTO entities VALUES ('e'), ('other');"
           "INSERT INTO relationships VALUES (1, 1, 'e'), (2, 1, 'other');"
           "INSERT INTO tokens VALUES ('old', 'e', 1, now() - interval '30 days'),"
           " ('older', 'other', 1, now() - interval '31 days')")
    assert pgsweep("init").code == 0
    return db


def left(db):
    return tuple(db.column(f"SELECT {column} FROM {table} ORDER BY 1")
                 for table, column in (("tokens", "token"), ("relationships", "id"), ("entities", "id")))


@pytest.fixture
def policies(pgsweep, tmp_path):
    """A directory with the built-in policy, but another transaction."""
    def make(transaction):
        text = pgsweep("show", "tokens").out
        assert text.count("\ntransaction: chunk\n") == 1
        (tmp_path / "tokens.yaml").write_text(text.replace("\ntransaction: chunk\n", f"\ntransaction: {transaction}\n"))
        (tmp_path / "tokens.yaml").chmod(0o600)
        return str(tmp_path)
    return make


@pytest.mark.parametrize("distance, transaction", RUNS)
@pytest.mark.parametrize("place", PLACES)
def test_F5_token_added_under_a_chunk_keeps_its_relationship_and_entity(tokens, pgsweep, proxy, pgsweep_env, policies,
                                                                       distance, transaction, place):
    rule = proxy.rule(place, "hold")
    running = pgsweep.start("tokens", "--policy-dir", policies(transaction),
                            env={**pgsweep_env, "PGSWEEP_TEST_DISTANCE": distance})
    rule.wait(60)
    tokens.sql(FRESH)
    rule.release()
    result = running.wait()
    assert result.code == 0, result
    assert left(tokens) == (["fresh"], [1], ["e"])


@pytest.mark.parametrize("distance, transaction", RUNS)
def test_F5_application_that_locks_the_entity_is_safe_however_long_it_takes(tokens, pgsweep, policies, server_log,
                                                                           distance, transaction):
    """What the manual asks of an application without a foreign key."""
    directory = policies(transaction)
    session = tokens.connect(autocommit=False)
    cursor = session.cursor()
    cursor.execute("SELECT FROM entities WHERE id = 'e' FOR KEY SHARE")
    cursor.execute(FRESH)
    running = pgsweep.start("tokens", "--policy-dir", directory, env={"PGSWEEP_TEST_DISTANCE": distance})
    harness.wait_for_lock_timeout(server_log)
    session.commit()
    result = running.wait()
    assert result.code == 0, result
    assert left(tokens) == (["fresh"], [1], ["e"])
