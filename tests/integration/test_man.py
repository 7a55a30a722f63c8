"""The man page says what there is: every option, exit code and policy key, from the program's tables."""
import re
import subprocess

import pytest

from harness import ROOT

PAGE = ROOT / "man" / "pgsweep.1"


@pytest.fixture(scope="module")
def text():
    """The page as a reader sees it, without line breaks."""
    out = subprocess.run(["mandoc", "-Tutf8", "-O", "width=900", str(PAGE)], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return re.sub(".\b", "", out).replace("\u2010", "-")


def test_page_has_no_warnings():
    done = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(PAGE)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_option_of_help_is_in_it(pgsweep, text):
    found = re.findall(r"^ +(?:(-\w), )?(?:    )?(--[a-z-]+)", pgsweep("--help").out, re.M)
    assert len(found) > 20
    for letter, name in found:
        assert re.search(rf"{letter and letter + ', '}{name}\b", text), (letter, name)


def test_every_exit_code_of_help_is_in_it(pgsweep, text):
    codes = re.findall(r"^ +(\d+(?:\+n)?)  ", pgsweep("--help").out.split("Exit codes:")[1], re.M)
    assert {"0", "1", "2", "75", "128+n"} <= set(codes)
    section = text.split("EXIT STATUS")[1].split("SIGNALS")[0]
    for code in codes:
        assert re.search(rf"^ +{re.escape(code)}\s", section, re.M), code


def test_every_policy_key_and_word_is_in_it(text):
    source = (ROOT / "src" / "policy" / "fields.c").read_text(encoding="utf-8")
    keys = re.findall(r'\.key = "(\w+)"', source)
    for words in re.findall(r"_names\[\] = \{(.*?)\};", source, re.S):
        keys += re.findall(r'"(\w+)"', words)
    assert len(keys) > 20
    section = text.split("POLICIES")[1].split("ENVIRONMENT")[0]
    assert not [key for key in keys if not re.search(rf"\b{key}\b", section)]
