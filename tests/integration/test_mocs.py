"""The built-in policy "mocs": soft-deleted MOCs with all that hangs on them."""
import re

import pytest

from mocsworld import Mocs, expected, rows
from sweeping import run, spared


@pytest.fixture
def mocs(db, pgsweep):
    return Mocs(db, pgsweep)


def preview_and_run(pgsweep, *args, code=0, **kwargs):
    """A dry run and a live run that tell the same counts; the live report."""
    dry = run(pgsweep, "mocs", "--dry-run", *args, **kwargs)
    live = run(pgsweep, "mocs", *args, "--cutoff", dry["cutoff"], code=code, **kwargs)
    assert rows(dry) == rows(live) and dry["eligible"] == live["eligible"]
    return live


def test_M1_M2_expired_mocs_go_whole_and_bricks_survive(mocs, pgsweep):
    before = mocs.add(1, 2).add(3, deleted="20 days").add(4, deleted=None).state()
    live = preview_and_run(pgsweep)
    assert mocs.left() == [3, 4] and rows(live) == expected(2)
    mocs.check_whole()
    assert mocs.gone(before) == {t: n for t, n in expected(2).items() if n}
    assert mocs.recorded() == {t: n for t, n in expected(2).items() if n}
    assert mocs.db.count("moc_parts", "parts_list_id IS NULL AND status = 'available'") == 12


@pytest.mark.parametrize("rule", ["SET NULL", "NO ACTION", "RESTRICT"])
def test_M2_bricks_survive_whatever_the_foreign_key_says(mocs, pgsweep, rule):
    for table, column, parent in (("moc_parts", "parts_list_id", "moc_parts_lists"),
                                  ("moc_files", "moc_id", "moc_instructions"),
                                  ("moc_gallery_images", "gallery_image_id", "gallery_images")):
        mocs.db.sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_fkey,"
                    f" ADD FOREIGN KEY ({column}) REFERENCES {parent}"
                    f" ON DELETE {rule if table == 'moc_parts' else 'NO ACTION'}")
    mocs.add(1, 2, images=[1])
    live = preview_and_run(pgsweep)
    assert mocs.left() == mocs.images() == [] and rows(live) == expected(2, 1, 2)
    mocs.check_whole()


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_M2_image_goes_with_its_last_moc(mocs, pgsweep, chunk):
    """1: of 1 alone; 2: of 1 and 2; 3: of 2 and of 3, which stays; 4: of 3; 5: of none; 6: of 1, 2, 5, 6."""
    mocs.add(1, images=[1, 2, 6]).add(2, images=[2, 3, 6]).add(5, 6, images=[6])
    mocs.add(3, deleted=None, images=[3, 4]).add(4, deleted="29 days", images=[7]).link(1, 7)
    mocs.db.sql("INSERT INTO gallery_images VALUES (5, 'i/5', NULL)")
    live = preview_and_run(pgsweep, "--chunk", chunk)
    assert mocs.left() == [3, 4] and mocs.images() == [3, 4, 5, 7]
    assert rows(live) == expected(4, 3, 9) and live["metrics"]["images_orphaned"] == 3
    assert mocs.db.count("moc_gallery_images") == 3
    mocs.check_whole()


def test_M2_image_used_elsewhere_survives_once_the_policy_says_so(mocs, pgsweep, policy_file):
    mocs.add(1, images=[1, 2])
    mocs.db.sql("CREATE TABLE banners (id int PRIMARY KEY, image_id bigint REFERENCES gallery_images"
                " ON DELETE CASCADE); CREATE INDEX ON banners (image_id);"
                "INSERT INTO banners VALUES (1, 2), (2, NULL)")
    refused = pgsweep("mocs")
    assert refused.code == 4 and "public.banners refers to public.gallery_images" in refused.err
    assert mocs.left() == [1] and mocs.images() == [1, 2]
    text = pgsweep("show", "mocs").out.replace("dependents:", "dependents:\n- { table: banners, action: keep }")
    live = preview_and_run(pgsweep, "--policy-dir", policy_file(text, name="mocs"))
    assert mocs.images() == [2] and mocs.db.count("banners") == 2 and rows(live) == expected(1, 1, 2)


def test_M2_what_moderators_say_about_an_image_goes_with_it(mocs, pgsweep):
    mocs.add(1, images=[1, 2]).add(2, deleted=None, images=[2])
    mocs.db.sql("CREATE TABLE gallery_flags (id int PRIMARY KEY, image_id bigint REFERENCES gallery_images"
                " ON DELETE CASCADE); CREATE INDEX ON gallery_flags (image_id);"
                "INSERT INTO gallery_flags VALUES (1, 1), (2, 1), (3, 2), (4, NULL)")
    live = preview_and_run(pgsweep)
    assert mocs.images() == [2] and mocs.db.column("SELECT id FROM gallery_flags ORDER BY 1") == [3, 4]
    assert rows(live) == {**expected(1, 1, 2), "public.gallery_flags": 2}


def test_M1_candidates_at_the_cutoff(mocs, pgsweep):
    mocs.add(1, 2, 3).add(4, deleted=None)
    mocs.db.sql("UPDATE moc_instructions SET deleted_at = '2026-01-02 03:04:05+00'::timestamptz"
                " + (id - 2) * interval '1 microsecond' WHERE id < 4")
    dry = run(pgsweep, "mocs", "--dry-run", "--cutoff", "2026-01-02 03:04:05+00")
    live = run(pgsweep, "mocs", "--cutoff", "2026-01-02 03:04:05+00")
    assert mocs.left() == [2, 3, 4] and rows(dry) == rows(live) == expected(1)


@pytest.mark.parametrize("args, env, left", [
    ((), {}, [2, 3]), ((), {"PGSWEEP_MOCS_RETAIN": "15 days"}, [3]),
    (("--retain", "60 days"), {"PGSWEEP_MOCS_RETAIN": "15 days"}, [1, 2, 3]),
    (("--retain", "5 days"), {}, []), ((), {"PGSWEEP_MOCS_RETAIN": "3 mons"}, [1, 2, 3])])
def test_M4_retention_from_environment_and_option(mocs, pgsweep, args, env, left):
    mocs.add(1).add(2, deleted="20 days").add(3, deleted="10 days")
    preview_and_run(pgsweep, *args, env=env)
    assert mocs.left() == left


@pytest.mark.parametrize("value", ["30", "0 days", "-1 day", "soon", ""])
def test_M4_F4_a_retention_without_a_unit_touches_nothing(mocs, pgsweep, value):
    mocs.add(1)
    for args in (("--dry-run",), ()):
        result = pgsweep("mocs", *args, env={"PGSWEEP_MOCS_RETAIN": value})
        if value == "" and result.code == 0:
            continue  # an empty variable is none
        assert result.code == 2 and "PGSWEEP_MOCS_RETAIN" in result.err, result
        assert mocs.left() == [1]


@pytest.mark.parametrize("args, env, lists", [
    ((), {}, 1), (("--chunk", 3), {}, 3), ((), {"PGSWEEP_MOCS_CHUNK": "3"}, 3),
    (("--chunk", 4), {"PGSWEEP_MOCS_CHUNK": "3"}, 2)])
def test_M4_chunks_of_mocs(mocs, pgsweep, server_log, args, env, lists):
    mocs.add(*range(1, 8))
    live = run(pgsweep, "mocs", *args, env=env)
    assert mocs.left() == [] and live["chunks"] == 7
    listed = server_log.matching(r'^SELECT .* FROM "public"."moc_instructions" .*ORDER BY .* LIMIT', "pgsweep/mocs/")
    assert live["deleted"] == 7 and len(listed) == lists


def test_M4_runs_until_a_limit(mocs, pgsweep):
    mocs.add(*range(1, 8))
    live = run(pgsweep, "mocs", "--max-rows", 5, "--chunk", 2)
    assert len(mocs.left()) == 2 and live["limit"] == "max-rows" and rows(live) == expected(5)
    mocs.check_whole()


def test_M2_one_transaction_for_each_moc_and_the_order_inside(mocs, pgsweep, server_log):
    mocs.add(1, 2, 3, images=[1])
    run(pgsweep, "mocs")
    transactions, inside = [], None
    for text in server_log.statements("pgsweep/mocs/"):
        if text.startswith("BEGIN") and "READ ONLY" not in text:
            inside = []
        elif text.startswith("COMMIT") and inside is not None:
            transactions.append(inside)
            inside = None
        else:
            word = re.match(r'WITH gone AS \(\s*(UPDATE|DELETE FROM) "public"."(\w+)"', text)
            if word:
                assert inside is not None, text
                inside.append(" ".join(word.groups()))
    assert len(transactions) == 3
    for work in transactions:
        assert set(work[:2]) == {"UPDATE moc_parts", "UPDATE upload_sessions"}
        assert set(work[2:-2]) == {f"DELETE FROM {t}" for t in (
            "moc_files", "moc_parts_lists", "moc_gallery_images", "moc_gallery_albums")}
        assert work[-2:] == ["DELETE FROM moc_instructions", "DELETE FROM gallery_images"]


def test_M10_tables_that_the_schema_lacks_are_no_trouble(mocs, pgsweep):
    mocs.add(1, images=[1])
    mocs.db.sql("DROP TABLE upload_sessions, moc_gallery_albums")
    live = preview_and_run(pgsweep)
    assert mocs.left() == mocs.images() == [] and live["deleted"] == 1
    assert mocs.db.count("moc_parts", "status = 'available'") == 6


@pytest.mark.parametrize("change, said", [
    ("ALTER TABLE moc_parts DROP status", 'ALTER TABLE .*moc_parts.* ADD COLUMN "status"'),
    ("ALTER TABLE moc_parts ALTER parts_list_id SET NOT NULL",
     "ALTER TABLE .*moc_parts.* ALTER COLUMN .*parts_list_id.* DROP NOT NULL"),
    ("DROP TABLE moc_parts", "moc_parts"), ("ALTER TABLE moc_files DROP s3_key", "s3_key"),
    ("ALTER TABLE moc_instructions DROP deleted_at", "deleted_at")])
def test_M2_a_schema_that_does_not_fit_is_told_and_nothing_is_touched(mocs, pgsweep, change, said):
    mocs.add(1, images=[1])
    mocs.db.sql(change)
    for args in (("--dry-run",), ()):
        result = pgsweep("mocs", *args)
        assert result.code == 2 and re.search(said, result.err), result
    assert mocs.left() == [1] and mocs.images() == [1] and mocs.db.count("moc_files") == 2
    assert mocs.db.count("pgsweep.runs", "outcome <> 'refused'") == 0


def test_M10_a_table_that_is_not_listed_is_found_and_the_line_to_add_is_printed(mocs, pgsweep, policy_file):
    mocs.add(1, images=[1])
    mocs.db.sql("CREATE TABLE reviews (id int, moc_id bigint REFERENCES moc_instructions ON DELETE CASCADE);"
                "INSERT INTO reviews VALUES (1, 1)")
    for args in (("--dry-run",), ()):
        result = pgsweep("mocs", *args)
        assert result.code == 4 and "public.reviews" in result.err and mocs.left() == [1], result
    line = re.search(r"^ *(- \{ table.*)$", result.err, re.M).group(1)
    shown = re.sub(r"^dependents:\n( *)", rf"dependents:\n\1{line}\n\1", pgsweep("show", "mocs").out, flags=re.M)
    live = preview_and_run(pgsweep, "--policy-dir", policy_file(shown, "mocs"))
    assert mocs.left() == [] and rows(live) == {**expected(1, 1, 1), "public.reviews": 1}


def test_M5_a_moc_that_fails_stays_whole_and_is_parked_after_its_retries(mocs, pgsweep):
    mocs.add(1, 2, 3, 4, images=[1]).link(2, 2)
    mocs.db.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN RAISE EXCEPTION 'legal hold'; END$$;"
                "CREATE TRIGGER refuse BEFORE DELETE ON moc_files FOR EACH ROW WHEN (OLD.moc_id = 2)"
                " EXECUTE FUNCTION refuse()")
    for attempt in range(1, 5):
        live = run(pgsweep, "mocs", code=6)
        assert mocs.left() == [2] and mocs.images() == [1, 2]
        mocs.check_whole()
        assert live["failed"] == 1 and live["failures"][0]["key"] == "(id)=(2)"
        assert mocs.db.sql("SELECT key, attempts, state, error ~ 'legal hold' FROM pgsweep.dead_letters") == \
            [(["2"], attempt, "parked" if attempt == 4 else "waiting", True)]
        assert rows(live) == (expected(3, 0, 3) if attempt == 1 else expected(0))
    mocs.add(9)
    live = preview_and_run(pgsweep)
    assert mocs.left() == [2] and spared(live) == {("dead letter", None): 1} and live["failed"] == 0
    assert rows(live) == expected(1)
    mocs.db.sql("DROP TRIGGER refuse ON moc_files")
    letter = mocs.db.value("SELECT id FROM pgsweep.dead_letters")
    assert pgsweep("dlq", "retry", letter).code == 0
    assert rows(run(pgsweep, "mocs")) == expected(1, 2, 2)
    assert mocs.left() == mocs.images() == []
    assert mocs.db.value("SELECT state FROM pgsweep.dead_letters") == "closed"


def test_M6_each_hard_delete_is_logged_with_the_run(mocs, pgsweep):
    mocs.add(1, 2)
    live = run(pgsweep, "mocs", "--verbose")
    lines = [l for l in live["stderr"].splitlines() if "deleted public.moc_instructions" in l]
    assert len(lines) == 2 and all(live["run_id"] in l and "moc_parts 6" in l for l in lines), live["stderr"]


def test_M7_metrics(mocs, pgsweep):
    mocs.add(1, 2, images=[1])
    live = preview_and_run(pgsweep)
    metrics = live["metrics"]
    assert metrics.pop("duration_ms") > 0
    assert metrics == {"processed": 2, "failed": 0, "objects_deleted": 0, "images_orphaned": 1,
                       "bricks_returned": 12}


def test_M7_metrics_in_the_text(mocs, pgsweep):
    mocs.add(1, 2, images=[1])
    for args in (("--dry-run",), ()):
        out = pgsweep("mocs", *args).out
        assert re.search(r"moc_parts +12  detach +status = available; counted as bricks_returned\n", out), out
        assert re.search(r"gallery_images +1  delete orphans +objects: .*; counted as images_orphaned\n", out), out
    assert re.search(r"eligible 2, deleted 2, errors 0, in [0-9.]+ m?s", out), out


def test_M3_keys_are_queued_with_the_rows_and_never_without(mocs, pgsweep):
    mocs.add(1, images=[1, 2]).add(2, deleted=None, images=[2])
    mocs.db.sql("UPDATE moc_files SET s3_key = CASE id % 2 WHEN 0 THEN '' END WHERE moc_id = 1 AND id > 1;"
                "UPDATE gallery_images SET thumbnail_url = NULL")
    live = run(pgsweep, "mocs")
    assert mocs.left() == [2] and mocs.images() == [2]
    queued = sorted(mocs.db.column("SELECT value FROM pgsweep.object_queue"))
    assert queued == ["f/1", "i/1", "thumb/1"] and live["objects"]["queued"] == 3
