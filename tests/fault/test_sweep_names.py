"""A run finds its own lost session by the name that pg_stat_activity shows, which the server cuts after 63 bytes."""
import re

import pytest

import sweepworld


@pytest.mark.parametrize("length", [1, 30, 31])
def test_J6_a_policy_with_a_long_name_ends_its_lost_session(db, pgsweep, policy_file, proxy, length):
    """The lost session stays at work for longer than the run waits for the lock."""
    name = "p" * length
    world = sweepworld.World(db, pgsweep, policy_file, "range").through(proxy)
    db.sql("CREATE SEQUENCE once;"
           "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
           " IF nextval('once') = 1 THEN PERFORM pg_sleep(300); END IF; RETURN OLD; END $$;"
           "CREATE TRIGGER linger BEFORE DELETE ON items FOR EACH ROW WHEN (OLD.id = 8) EXECUTE FUNCTION linger()")
    directory = policy_file(sweepworld.POLICY, name)
    rule = proxy.rule(sweepworld.DELETES_ITEMS, "drop_during", nth=2)
    result = pgsweep(name, "--policy-dir", directory, "--format=json", "--chunk=8", env=world.env)
    assert rule.fired == 1
    assert result.code == 0 and world.left() == [], result
    # What was shown in the log of the server is the whole of the run's id.
    run_id = result.json()["run_id"]
    shown = {line for line in re.findall(r"\|(pgsweep/[^|]*)\| ", db.server.log_path.read_text()) if run_id in line}
    assert shown == {f"pgsweep/{name[:30]}/{run_id}"}
