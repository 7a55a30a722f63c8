"""Working directories of deleted jobs when things go wrong: crashes, permissions, files in use (J3, J6, O5)."""
import os
import subprocess
import sys
import threading

import pytest

import harness

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import NOBODY, box, need_root  # noqa: E402,F401  pylint: disable=unused-import

OLD = "now() - interval '8 days'"


@pytest.fixture
def jobs(db, pgsweep):
    db.load("jobs")
    assert pgsweep("init").code == 0
    return db


def add(db, box, *names, files=("a", "deep/b")):
    for name in names:
        db.sql(f"INSERT INTO jobs (id, status, created_at) VALUES (%s, 'finished', {OLD})", name)
        for file in files:
            box.file(f"{name}/{file}", size=5000)


def sweep(pgsweep, box, *args, code=0, env=None, **kwargs):
    result = pgsweep("jobs", "--format=json", *args, env={"TEMP_DIR": box.root, **(env or {})}, **kwargs)
    assert result.code == code, result
    return result.json()


def queue(db):
    return db.sql("SELECT value, state, attempts, last_error FROM pgsweep.object_queue"
                  " WHERE kind = 'directory' ORDER BY id")


def due(db):
    db.sql("UPDATE pgsweep.object_queue SET next_attempt = now()")


def immutable(box, path, on=True):
    done = subprocess.run(["chattr", "+i" if on else "-i", str(box.root / path)], check=False,
                          stderr=subprocess.DEVNULL)
    if done.returncode != 0:
        pytest.skip("no immutable files here")


def enqueue(db, box, *names, root=None):
    for name in names:
        db.sql("INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root)"
               " VALUES ('directory', 'jobs', 'r', 'jobs.id', %s, %s)", str(name), str(root or box.root))


def wait_for_end(db):
    db.wait_for_no_session()


def test_J6_O5_killed_between_commit_and_removal_the_next_run_finishes(jobs, pgsweep, box, start_pgsweep):
    """The look for rows that still name the directories comes after the commit; the view it meets sleeps."""
    add(jobs, box, *range(1, 6))
    sweep(pgsweep, box, "--dry-run")
    jobs.sql("CREATE VIEW slow AS SELECT pg_sleep(600)::text AS name")
    jobs.sql("""INSERT INTO pgsweep.object_sources (policy, kind, table_ident, column_ident)
                VALUES ('other', 'directory', '"public"."slow"', '"name"')""")
    run = start_pgsweep("jobs", env={"TEMP_DIR": box.root})
    harness.wait_until(lambda: jobs.value("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="sleep")
    assert jobs.count("jobs") == 0 and len(queue(jobs)) == 5
    run.kill(sessions_end=False)
    jobs.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    wait_for_end(jobs)
    assert len(os.listdir(box.root)) == 5
    jobs.sql("DROP VIEW slow")
    found = sweep(pgsweep, box)
    assert found["eligible"] == 0 and found["directories"]["removed"] == 5
    assert box.names() == [] and queue(jobs) == []


def test_J6_O5_killed_after_removal_the_next_run_forgets_what_is_gone(jobs, pgsweep, box, start_pgsweep):
    add(jobs, box, 1, 2)
    blocker = jobs.connect()
    with blocker.cursor() as cursor:
        cursor.execute("CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN OLD; END $$;"
                       "CREATE TRIGGER stall BEFORE DELETE ON pgsweep.object_queue"
                       " FOR EACH ROW EXECUTE FUNCTION stall()")
        cursor.execute("SELECT pg_advisory_lock(4711)")
        run = start_pgsweep("jobs", env={"TEMP_DIR": box.root})
        pid = jobs.wait_for_lock_waiter()
        run.kill()
        cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_for_end(jobs)
        cursor.execute("SELECT pg_advisory_unlock(4711)")
    assert os.listdir(box.root) == [box.trash().name] and len(queue(jobs)) == 2
    found = sweep(pgsweep, box)
    assert found["directories"]["removed"] == 2 and queue(jobs) == [] and box.names() == []


def test_J6_trash_of_a_killed_run_is_finished(jobs, pgsweep, box):
    box.file("7/a")
    box.killed_tree("7")
    enqueue(jobs, box, 7)
    found = sweep(pgsweep, box)
    assert box.names() == [] and queue(jobs) == [] and found["directories"]["removed"] == 1


def test_J6_trash_that_cannot_be_finished_is_not_forgotten(jobs, pgsweep, box):
    need_root()
    box.file("7/a")
    trash = box.killed_tree("7")
    immutable(box, trash / "7/a")
    enqueue(jobs, box, 7)
    found = sweep(pgsweep, box, code=1)
    assert found["directories"]["failed"] == 1 and [row[:3] for row in queue(jobs)] == [("7", "queued", 1)]
    immutable(box, trash / "7/a", on=False)
    due(jobs)
    assert sweep(pgsweep, box)["directories"]["removed"] == 1
    assert box.names() == [] and queue(jobs) == []


@pytest.mark.parametrize("name", [".pgsweep-trash", ".pgsweep-trash.0123456789abcdef"])
def test_J6_trash_of_someone_else_is_stepped_around(jobs, pgsweep, box, name):
    add(jobs, box, 1)
    (box.root / name).mkdir(mode=0o777)
    found = sweep(pgsweep, box)
    assert found["deleted"] == 1 and found["directories"]["removed"] == 1
    assert box.names() == [name] and queue(jobs) == []


def test_J6_T3_what_is_not_permitted_stays_queued_and_goes_later(jobs, pgsweep, box):
    need_root()
    add(jobs, box, 1, 2)
    immutable(box, "1/deep/b")
    found = sweep(pgsweep, box, code=1)
    reason = f"cannot remove {box.root}/1/deep/b: Operation not permitted"
    directories = found["directories"]
    assert found["deleted"] == 2 and found["outcome"] == "partial"
    assert (directories["removed"], directories["failed"], directories["waiting"]) == (1, 1, 1)
    assert found["remarks"] == [f"working directory {box.root}/1 could not be removed and stays queued: {reason}"]
    assert queue(jobs) == [("1", "queued", 1, reason)]
    assert sweep(pgsweep, box)["directories"]["failed"] == 0  # not due yet
    immutable(box, "1/deep/b", on=False)
    due(jobs)
    assert sweep(pgsweep, box)["directories"]["removed"] == 1
    assert box.names() == [] and queue(jobs) == []


def test_J6_tried_often_enough_it_becomes_a_dead_letter_and_can_be_retried(jobs, pgsweep, box):
    need_root()
    add(jobs, box, 1)
    immutable(box, "1/a")
    sweep(pgsweep, box, code=1)
    jobs.sql("UPDATE pgsweep.object_queue SET attempts = 9, next_attempt = now()")
    found = sweep(pgsweep, box, code=1)
    assert (found["directories"]["dead"], found["directories"]["failed"]) == (1, 0) and queue(jobs) == []
    letter, = jobs.sql("SELECT id, kind, key, root, state, attempts, error FROM pgsweep.dead_letters")
    assert letter[1:] == ("directory", ["1", str(box.root)], str(box.root), "parked", 10,
                          f"cannot remove {box.root}/1/a: Operation not permitted")
    assert sweep(pgsweep, box)["dead_letters"] == 1
    listed = pgsweep("dlq", "list").out
    assert "directory" in listed and str(box.root) in listed
    immutable(box, "1/a", on=False)
    assert pgsweep("dlq", "retry", letter[0]).code == 0
    assert sweep(pgsweep, box)["directories"]["removed"] == 1
    assert box.names() == [] and sweep(pgsweep, box)["dead_letters"] == 0


def test_J3_T2_a_directory_in_use_is_kept_until_it_is_not(jobs, pgsweep, box):
    need_root()
    add(jobs, box, 1, 2)
    holder = box.holder(f"f = open({str(box.root / '1/a')!r})")
    found = sweep(pgsweep, box)  # no failure: it is as it should be
    directories = found["directories"]
    assert (directories["removed"], directories["busy"], directories["failed"]) == (1, 1, 0)
    assert "something in it is in use" in found["remarks"][0]
    assert (box.root / "1/a").exists() and not (box.root / "2").exists()
    holder.kill()
    holder.wait()
    due(jobs)
    assert sweep(pgsweep, box)["directories"]["removed"] == 1 and box.names() == []


def test_J3_T2_a_file_system_mounted_inside_is_not_entered_and_waited_for(jobs, pgsweep, box):
    need_root()
    add(jobs, box, 1)
    mount = box.dir("1/mounted")
    box.mount("-t", "tmpfs", "none", mount)
    box.file("1/mounted/precious")
    found = sweep(pgsweep, box)
    assert (found["directories"]["busy"], found["directories"]["kept"]) == (1, 0)
    assert found["remarks"][0].endswith("stays queued: a file system is mounted in it")
    assert box.names() == ["1", "1/mounted", "1/mounted/precious"]
    subprocess.run(["umount", mount], check=True)
    due(jobs)
    assert sweep(pgsweep, box)["directories"]["removed"] == 1 and box.names() == []


def test_O5_a_chunk_that_is_rolled_back_leaves_nothing_queued(jobs, pgsweep, box):
    add(jobs, box, 1, 2)
    jobs.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
             " $$ BEGIN IF OLD.id = 1 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN OLD; END $$;"
             "CREATE TRIGGER refuse BEFORE DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    found = sweep(pgsweep, box, code=1)
    assert found["directories"]["queued"] == 1 and found["directories"]["removed"] == 1
    assert sorted(os.listdir(box.root)) == ["1"] and queue(jobs) == []


def test_J6_directories_of_another_host_wait_for_it(jobs, pgsweep, box):
    elsewhere = box.path / "elsewhere"
    enqueue(jobs, box, 1, 2, root=elsewhere)
    add(jobs, box, 3)
    found = sweep(pgsweep, box)
    assert (found["directories"]["removed"], found["directories"]["waiting"]) == (1, 2)
    assert found["remarks"] == [f"{elsewhere} does not exist on this host: its working directories stay queued"]
    elsewhere.mkdir()
    box.file("1/a", base=elsewhere)
    found = sweep(pgsweep, box, env={"TEMP_DIR": elsewhere})
    assert found["directories"]["waiting"] == 0 and os.listdir(elsewhere) == []


def test_J6_objects_list_and_drain_know_directories(jobs, pgsweep, box):
    need_root()
    enqueue(jobs, box, 1, 2, "../x")
    box.file("1/a", size=5000)
    box.file("2/a")
    immutable(box, "2/a")
    listed = pgsweep("objects", "list").out
    assert "directory" in listed and f"{box.root}/1" in listed
    result = pgsweep("objects", "drain", env={"TEMP_DIR": box.root})
    assert result.code == 1 and "some working directories could not be removed" in result.err, result
    assert "directories: 1 removed, 0 kept, 0 still named by a row, 1 refused, 0 below another root, 0 in use, 1 failed, 0 given up, 1 waiting" in result.out
    immutable(box, "2/a", on=False)
    due(jobs)
    found = pgsweep("objects", "drain", "--format=json", env={"TEMP_DIR": box.root}).json()
    assert found["directories"]["removed"] == 1 and found["deleted"] == 0
    assert box.names() == [] and [row[1] for row in queue(jobs)] == ["foreign"]


def test_J6_stopped_by_a_signal_the_rest_stays_queued(jobs, pgsweep, box, start_pgsweep):
    enqueue(jobs, box, *range(1, 1501))
    for name in range(1, 1501):
        (box.root / str(name)).mkdir()
    run = start_pgsweep("jobs", "--format=json", env={"TEMP_DIR": box.root})
    harness.wait_until(lambda: len(os.listdir(box.root)) < 1450, what="first removals")
    run.signal()
    result = run.wait(20)
    left = len([name for name in os.listdir(box.root) if not name.startswith(".pgsweep-")])
    # One may be gone without its entry being so: a later run finds nothing there, and is done with it.
    assert left > 0 and left <= len(queue(jobs)) <= left + 1
    assert result.code == 143 and result.json()["directories"]["waiting"] == len(queue(jobs)), result
    assert sweep(pgsweep, box)["directories"]["waiting"] == 0
    assert box.names() == []


def test_J3_T3_directories_go_while_another_sweep_is_at_work(jobs, pgsweep, box, policy_file):
    """pgsweep tempfiles takes what it finds in the trash along, and the trash itself: nothing is lost, nothing fails."""
    for name in range(1, 601):
        box.file(f"{name}/a")
        box.file(f"{name}/deep/b", age=0)
    box.file("young", age=0)
    enqueue(jobs, box, *range(1, 601))
    policies = policy_file('{"table": "jobs", "age": "created_at", "retain": "7 days", "unlisted": "cascade", '
                           '"files": {"directory": "id", "retain": "none"}}', "jobs")
    stop = threading.Event()
    codes = []

    def sweep_again_and_again():
        while not stop.is_set():
            codes.append(pgsweep("tempfiles", "--root", box.root, env={"PGHOST": None, "PGDATABASE": None}).code)

    others = [threading.Thread(target=sweep_again_and_again) for _ in range(2)]
    for other in others:
        other.start()
    found = sweep(pgsweep, box, "--policy-dir", policies)
    stop.set()
    for other in others:
        other.join()
    assert set(codes) <= {0, 75} and found["directories"]["failed"] == 0
    assert found["directories"]["removed"] + found["directories"]["busy"] == 600
    due(jobs)
    assert sweep(pgsweep, box, "--policy-dir", policies)["directories"]["waiting"] == 0
    assert box.names() == ["young"]


def test_T3_as_a_user_who_may_not(jobs, pgsweep, box):
    """Run as a user who may write into the root only: what is the worker's stays, and is told."""
    need_root()
    add(jobs, box, 1)
    box.root.chmod(0o777)
    env = {**pgsweep.environment(), "TEMP_DIR": str(box.root)}
    done = subprocess.run([harness.public_binary(), "jobs"], env=env, user=NOBODY, group=NOBODY, extra_groups=[],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", check=False)
    assert done.returncode == 1, done
    assert "could not be removed and stays queued: " in done.stdout and len(queue(jobs)) == 1
    assert (box.root / "1/deep/b").exists()
