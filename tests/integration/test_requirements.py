"""The ids in the names of tests are those of docs/requirements.md."""
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/requirements.md").read_text()
# test_J4_O2_what_it_proves in Python, START_TEST(J4_...) or START_TEST(test_J4_...) in C.
NAMES = {".py": re.compile(r"^\s*def test_((?:[A-Z][0-9]+_)+)", re.M),
         ".c": re.compile(r"^START_TEST\((?:test_)?((?:[A-Z][0-9]+_)+)", re.M)}


def required():
    return re.findall(r"^\| ([A-Z][0-9]+) \| ", PAGE, re.M)


def tested():
    """Ids, each with a test that names it."""
    found = {}
    for kind, names in NAMES.items():
        for path in (ROOT / "tests").rglob("*" + kind):
            for ids in names.findall(path.read_text()):
                found.update({an_id: path.name for an_id in ids.strip("_").split("_")})
    return found


def test_ids_of_tests_are_requirements():
    assert len(required()) == len(set(required())) > 50
    assert {an_id: where for an_id, where in tested().items() if an_id not in required()} == {}


def test_requirements_without_a_test_are_listed():
    listed = re.findall(r"[A-Z][0-9]+", PAGE.split("## No test names these yet")[1])
    assert listed == [an_id for an_id in required() if an_id not in tested()]
