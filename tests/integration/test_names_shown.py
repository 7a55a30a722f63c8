"""Names that other people chose, where they are printed: on a terminal, in a log, in JSON (O2, T2)."""
import base64
import json
import os
import sys
import unicodedata

import pytest

import harness
from sweeping import init, policy
from test_tempfiles import report, tempfiles  # noqa: F401  pylint: disable=unused-import

sys.path.insert(0, str(harness.ROOT / "tests" / "files"))
from sweeplib import box  # noqa: E402,F401  pylint: disable=unused-import

EVIL = "a\u202eb\u2028c\u200bd\x9be\x1b[2Jf\u2066g\ufeff"


def is_safe(text):
    """Nothing but line breaks that a terminal obeys, or that hides."""
    return not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")]


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_O2_T2_file_names_in_log_and_errors(tempfiles, box, tmp_path, dry):
    box.file(EVIL)
    box.file(os.fsdecode(b"x\xffy"))
    log = tmp_path / "log"
    result = tempfiles("--root", box.root, "--verbose", *dry)
    assert is_safe(result.err) and len(result.err.splitlines()) == 2
    assert r"/a\xe2\x80\xaeb\xe2\x80\xa8c\xe2\x80\x8bd\xc2\x9be\x1b[2Jf\xe2\x81\xa6g\xef\xbb\xbf" in result.err
    assert r"/x\xffy" in result.err
    box.file(EVIL)
    tempfiles("--root", box.root, "--log-file", log, *dry)
    assert is_safe(log.read_text(encoding="utf-8"))
    for args in (("--root", f"{box.root}/none/{EVIL}"), ("--protect", f"{EVIL}/.."), ("--protect-dir", EVIL),
                 ("--owner", EVIL), ("--cutoff", EVIL), ("--policy-dir", EVIL), ("--special", EVIL), (EVIL,)):
        if args[0] == "--root":
            result = tempfiles(*args, "--dry-run")
        else:
            result = tempfiles("--root", box.root, *args, "--dry-run", code=2)
        assert is_safe(result.err + result.out), args
        assert r"a\xe2\x80\xae" in result.err + result.out, args


def test_O2_two_roots_that_are_not_utf8_are_told_apart(tempfiles, box, policy_file):
    found = []
    for name in (b"a\xff", b"a\xfe", rb"a\xff"):
        root = os.fsencode(box.root) + b"/" + name
        os.mkdir(root)
        with open(root + b"/old", "wb"):
            os.utime(root + b"/old", (0, 0))
        found.append((root, report(tempfiles, box, "--root", os.fsdecode(root), root=False)))
    for root, told in found:
        exact = base64.b64decode(told["roots_base64"][0]) if "roots_base64" in told else os.fsencode(told["roots"][0])
        assert exact == root
    assert ["roots_base64" in told for _, told in found] == [True, True, False]
    assert found[0][1]["roots"] != found[1][1]["roots"]


def test_O2_json_is_ascii(tempfiles, box):
    root = box.root / EVIL
    root.mkdir()
    result = tempfiles("--root", root, "--format=json")
    assert result.out.isascii() and result.json()["roots"] == [str(root)]


def test_O2_names_of_the_database(db, pgsweep, policy_file):
    table = 't' + EVIL + '\nnote: all is well'
    quoted = '"' + table + '"'
    db.sql(f"CREATE TABLE {quoted} (id text PRIMARY KEY, at timestamptz NOT NULL)")
    db.sql(f"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no % %', old.id, E'{EVIL}'; END$$")
    db.sql(f"CREATE TRIGGER no BEFORE DELETE ON {quoted} FOR EACH ROW EXECUTE FUNCTION no()")
    db.sql(f"INSERT INTO {quoted} VALUES (%s, now() - interval '1 year')", EVIL)
    init(pgsweep)
    policies = policy_file(json.dumps(json.loads(policy(f"public.{quoted}"))), "mine")
    args = ("mine", "--policy-dir", policies)
    allow = ("--allow-triggers",) if "--allow-triggers" in pgsweep("--help").out else ()
    for more in (("--dry-run",), ("--dry-run", "--echo"), (), ("--verbose",), ("--quiet",)):
        result = pgsweep(*args, *more, *allow)
        assert is_safe(result.out + result.err), result
        assert not [line for line in result.out.splitlines() if line.startswith("note:")], result
    told = pgsweep(*args, "--dry-run", "--format=json", *allow)
    assert told.out.isascii() and table in told.json()["table"]
    for command in (("show", *args, "--sql"), ("dlq", "list"), ("show", *args), ("list", "--policy-dir", policies)):
        result = pgsweep(*command)
        assert result.code == 0 and is_safe(result.out + result.err), result
    (letter,) = json.loads(pgsweep("dlq", "list", "--format=json").out)
    assert letter["key"] == EVIL or EVIL in str(letter["key"])
    shown = pgsweep("show", *args).out
    again = pgsweep("show", "mine", "--policy-dir", policy_file(shown, "mine")).out
    assert again.split("\n", 1)[1] == shown.split("\n", 1)[1]


def test_O2_a_comment_of_show_sql_does_not_end_early(db, pgsweep, policy_file):
    """What is printed is there to be pasted: behind a line break a name would be a statement."""
    db.sql('CREATE TABLE "t\nDROP TABLE x; --" (id int PRIMARY KEY, at timestamptz NOT NULL)')
    shown = pgsweep("show", "mine", "--policy-dir", policy_file(policy('public."t\nDROP TABLE x; --"'), "mine"), "--sql")
    assert shown.code == 0
    outside = [line for line in shown.out.splitlines() if line.startswith("DROP TABLE")]
    inside = shown.out.count('"t\nDROP TABLE x; --"')
    assert len(outside) == inside  # only where it is the quoted name
