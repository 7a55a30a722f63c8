"""The counts of a dry run: each row once, on the line where a live run counts it, by statements that PostgreSQL can join."""
import re

import pytest

from mocsworld import rows
from sweeping import init, policy, run


@pytest.fixture
def both(db, pgsweep, policy_file):
    """both(dependents, chunk): the rows by label of a dry run and of the live run after it."""
    def go(dependents, chunk="auto", root="a"):
        init(pgsweep)
        args = ("--policy-dir", policy_file(policy(root, dependents=dependents)), "--chunk", chunk)
        dry = run(pgsweep, "test", "--dry-run", *args)
        return rows(dry), rows(run(pgsweep, "test", *args, "--cutoff", dry["cutoff"]))
    return go


ROOT = ("CREATE TABLE a (id int PRIMARY KEY, at timestamptz DEFAULT now() - interval '30 days'); CREATE INDEX ON a (at);"
        "INSERT INTO a VALUES (1), (2), (3);")


@pytest.mark.parametrize("chunk", [1, "auto"])
def test_O2_a_partition_and_its_parent_both_listed_count_each_row_once(db, both, chunk):
    db.sql(ROOT + """
        CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a); CREATE INDEX ON b (a_id);
        CREATE TABLE p (id int, a_id int REFERENCES a, b_id int) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
        ALTER TABLE p1 ADD CONSTRAINT p1_b FOREIGN KEY (b_id) REFERENCES b; CREATE INDEX ON p (a_id); CREATE INDEX ON p1 (b_id);
        INSERT INTO b VALUES (1, 1), (2, 2);
        INSERT INTO p VALUES (1, 1, 1), (2, 2, NULL), (3, NULL, 2), (101, 3, NULL)""")
    dry, live = both([{"table": "b", "action": "delete"}, {"table": "p", "action": "delete"},
                      {"table": "p1", "action": "delete", "constraint": "p1_b"}], chunk)
    assert db.count("p") == 0
    assert dry == live
    assert sum(n for label, n in live.items() if label.startswith("public.p")) == 4


@pytest.mark.parametrize("chunk", [1, 2, "auto"])
def test_O2_what_refers_to_a_table_with_two_entries_is_detached_once(db, both, chunk):
    db.sql(ROOT + """
        CREATE TABLE b (id int PRIMARY KEY, a1 int REFERENCES a, a2 int REFERENCES a);
        CREATE INDEX ON b (a1); CREATE INDEX ON b (a2);
        CREATE TABLE c (id int PRIMARY KEY, b_id int REFERENCES b); CREATE INDEX ON c (b_id);
        INSERT INTO b VALUES (1, 1, 2), (2, 3, NULL); INSERT INTO c VALUES (1, 1), (2, 2), (3, NULL)""")
    dry, live = both([{"table": "b", "constraint": "b_a1_fkey", "action": "delete"},
                      {"table": "b", "constraint": "b_a2_fkey", "action": "delete"},
                      {"table": "c", "action": "detach"}], chunk)
    assert db.count("b") == 0 and db.column("SELECT b_id FROM c") == [None] * 3
    assert dry == live and live["public.c"] == 2


def test_O2_M2_the_tree_says_what_keeps_shared_rows(mocs, pgsweep, policy_file):
    mocs.db.sql("INSERT INTO gallery_images (id) VALUES (1), (2), (3), (4)")
    mocs.add(1, images=[1, 2, 3, 4])
    mocs.add(2, age=None, images=[4])
    mocs.db.sql("CREATE TABLE banners (id int PRIMARY KEY, image_id bigint REFERENCES gallery_images);"
                "CREATE INDEX ON banners (image_id); INSERT INTO banners VALUES (1, 2), (2, 3), (3, 3), (4, NULL), (5, 4);")
    text = pgsweep("show", "mocs").out.replace("dependents:", "dependents:\n- { table: banners, action: keep }")
    args = ("mocs", "--dry-run", "--policy-dir", policy_file(text, name="mocs"))
    images = next(entry for entry in run(pgsweep, *args)["tables"] if entry["table"] == "public.gallery_images")
    assert (images["rows"], images["kept"]) == (1, 3)
    assert {by["table"]: by["rows"] for by in images["kept_by"]} == {"public.banners": 3, "public.moc_gallery_images": 1}
    line = next(line for line in pgsweep(*args).out.splitlines() if "delete orphans" in line)
    assert "kept 3: 3 by public.banners, 1 by public.moc_gallery_images" in line


def statement(server_log, mark):
    """The statement with the mark that the program sent last, with its only parameter written in."""
    text = next(text for text in reversed(server_log.statements("pgsweep/")) if mark in text)
    return re.sub(r"\$1\b", "'2026-01-01'", text)


def test_O2_every_set_of_the_count_is_joined_and_none_is_looked_up_row_by_row(mocs, pgsweep, server_log):
    """A subplan reads its rows again for each row once they are too many for work_mem."""
    run(pgsweep, "mocs", "--dry-run")
    plan = "\n".join(row[0] for row in mocs.db.sql("EXPLAIN " + statement(server_log, "going_0_moc_instructions")))
    assert plan.count("CTE Scan on going_") > 5
    assert "SubPlan" not in plan


def test_F2_a_chunk_reads_only_what_its_keys_lead_to(db, pgsweep, policy_file, server_log):
    """Two ways to the same rows are two look-ups by an index, whatever the sizes of the tables."""
    db.sql("""CREATE TABLE a (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON a (at);
        CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a); CREATE INDEX ON b (a_id);
        CREATE TABLE c (id int PRIMARY KEY, a_id int REFERENCES a); CREATE INDEX ON c (a_id);
        CREATE TABLE d (id int PRIMARY KEY, b_id int REFERENCES b, c_id int REFERENCES c, path text);
        CREATE INDEX ON d (b_id); CREATE INDEX ON d (c_id);
        CREATE TABLE e (id int PRIMARY KEY, d_id int REFERENCES d); CREATE INDEX ON e (d_id);
        INSERT INTO a SELECT n, now() - CASE WHEN n > 20 THEN '0' ELSE interval '30 days' END FROM generate_series(1, 5000) n;
        INSERT INTO b SELECT n, n FROM generate_series(1, 5000) n; INSERT INTO c SELECT n, n FROM generate_series(1, 5000) n;
        INSERT INTO d SELECT n, n, 5001 - n, 'x' FROM generate_series(1, 5000) n;
        INSERT INTO e SELECT n, n FROM generate_series(1, 5000) n""")
    db.connect(autocommit=True).cursor().execute("VACUUM ANALYZE")
    init(pgsweep)
    directory = policy_file(policy("a", dependents=[
        {"table": "b", "action": "delete"}, {"table": "c", "action": "delete"}, {"table": "d", "action": "delete"},
        {"table": "e", "action": "detach"}]))
    live = run(pgsweep, "test", "--policy-dir", directory, "--chunk", 5)
    assert rows(live)["public.d"] == 40 and db.count("d") == 4960
    changes = {text for text in server_log.statements("pgsweep/test") if re.search(r'"public"\."[bcde]" AS d\b', text)}
    assert len(changes) > 5
    for text in changes:
        bound = re.sub(r"\$\d+::(?!pg_catalog.int4)", "'2026-01-01'::", text).replace("$1", "'{1,2,3,4,5}'").replace("$2", "'{1,2,3}'")
        plan = "\n".join(row[0] for row in db.sql("EXPLAIN " + bound))
        assert "Seq Scan" not in plan, text + "\n" + plan
