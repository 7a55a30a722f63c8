"""The manual says what there is, and no more: options, commands, subcommands, exit codes, variables and policy keys are compared
with the program's tables, and the program reads the examples."""
import re
import subprocess

import pytest

from harness import ROOT

PAGES = sorted((ROOT / "man").glob("pgsweep*.[15]"))
NAMES = {page.name for page in PAGES}


def source(name):
    return (ROOT / "man" / name).read_text(encoding="utf-8")


def section(text, name):
    """The lines between ".Sh NAME" and the next section."""
    return text.split(f"\n.Sh {name}\n")[1].split("\n.Sh ")[0]


def plain(text):
    """A line of mdoc without its macros: "--special keep|delete"."""
    text = re.sub(r"\bFl ", "-", text)
    return re.sub(r" ?\| ?", "|", re.sub(r"\b(Ar|Cm|Op) ", "", text))


@pytest.fixture(name="helped")
def fixture_helped(pgsweep):
    return pgsweep("--help").out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_O1_mandoc_has_nothing_to_say_about_a_page(page):
    done = subprocess.run(["mandoc", "-Tlint", str(page)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    # Pages of other packages need not be installed here.
    said = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line and "outdated mandoc.db" not in line]
    assert said == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_O1_pages_that_a_page_refers_to_are_there(page):
    referred = {f"{name}.{number}" for name, number in re.findall(r"^\.Xr (pgsweep\S*) (\d)", page.read_text(encoding="utf-8"), re.M)}
    assert referred and referred <= NAMES
    assert page.name == "pgsweep.1" or page.name in {
        f"{name}.{number}" for name, number in re.findall(r"^\.Xr (pgsweep\S*) (\d)", section(source("pgsweep.1"), "SEE ALSO"), re.M)}


def test_O1_the_options_of_the_page_are_those_of_the_program(helped):
    known = {(letter, name, argument.lower()) for letter, name, argument in
             re.findall(r"^ +(?:-(\w), )? *--([a-z-]+)(?: (\S+))?(?:  | [a-z]|$)", helped, re.M)}
    assert len(known) > 50
    items = re.findall(r"^\.It (?:Fl (\w) , )?Fl -([a-z-]+)(?: (.*))?$", section(source("pgsweep.1"), "OPTIONS"), re.M)
    assert {(letter, name, plain(argument)) for letter, name, argument in items} == known
    assert len(items) == len(known)


def test_O1_the_commands_of_the_page_are_those_of_the_program(helped):
    known = set(re.findall(r"^  ([a-z]+) ", helped.split("\nCommands:\n")[1].split("\n\n")[0], re.M))
    page = source("pgsweep.1")
    assert set(re.findall(r"^\.Nm\n\.Cm ([a-z]+)", section(page, "SYNOPSIS"), re.M)) == known
    assert set(re.findall(r"^\.It Cm ([a-z]+)", section(page, "DESCRIPTION").split("commands are")[1], re.M)) == known


@pytest.mark.parametrize("command", ["dlq", "objects"])
def test_O1_the_subcommands_of_a_page_are_those_of_the_program(pgsweep, command):
    helped = pgsweep(command, "--help").out
    known = re.findall(r"^  ([a-z]+ \S*(?:ID|POLICY)\S*) ", helped, re.M)
    known = [word.lower().replace("...", " ...") for word in known]
    assert len(known) >= 4
    page = source(f"pgsweep-{command}.1")
    options = re.findall(r"--([a-z-]+)", " ".join(re.findall(r"^ +(?:-\w, )? *(--\S+)", helped.split("Connection:")[0], re.M)))
    assert set(re.findall(r"^\.Fl -([a-z-]+)", section(page, "DESCRIPTION"), re.M)) == set(options)
    items = re.findall(r"^\.It Cm (.*)$", section(page, "DESCRIPTION"), re.M)
    assert [re.sub(r"Op (.*)", r"[\1]", item).replace("Ar ", "").replace(" | ", "|") for item in items] == known
    synopsis = re.findall(rf"^\.Nm pgsweep\n\.Cm {command} ([a-z]+)\n\.(.*)$", section(page, "SYNOPSIS"), re.M)
    shown = [f"{verb} " + re.sub(r"Op (.*)", r"[\1]", rest).replace("Ar ", "").replace(" | ", "|") for verb, rest in synopsis]
    assert shown == known
    assert re.search(rf"^\.It Cm {command} Cm {re.escape(' | '.join(word.split()[0] for word in known))}$", source("pgsweep.1"), re.M)


def test_O1_the_exit_codes_of_the_page_are_those_of_the_program(helped):
    known = re.findall(r"^ +(\d+(?:\+n)?)  (\w+)", helped.split("Exit codes:")[1], re.M)
    assert len(known) == 9
    items = re.findall(r"^\.It (\S+)\n(\w+)", section(source("pgsweep.1"), "EXIT STATUS"), re.M)
    assert [(code, words.lower()) for code, words in items] == [(code, words.lower()) for code, words in known]


def test_T3_the_variables_of_the_pages_are_those_of_the_program():
    layers = (ROOT / "src/policy/layers.c").read_text(encoding="utf-8")
    table = re.search(r"policy_override_keys\[\] = \{(.*?)\};", layers, re.S)[1]
    keys = re.findall(r'"(\w+)"', re.sub(r"/\*.*?\*/", "", table, flags=re.S))
    assert len(keys) > 30
    known = {f"PGSWEEP_NAME_{key.upper()}" for key in keys}
    for file in (*ROOT.glob("src/*/*.[ch]"), *ROOT.glob("include/pgsweep/*.h")):
        known |= set(re.findall(r'"(PGSWEEP_[A-Z0-9_]+)"', file.read_text(encoding="utf-8")))
    known = {name for name in known if not name.startswith("PGSWEEP_TEST_")}
    assert {"PGSWEEP_SUPERUSER", "PGSWEEP_OPTIONS", "PGSWEEP_S3_BUCKET"} <= known
    assert {name for page in NAMES for name in re.findall(r"PGSWEEP_[A-Z0-9_]*[A-Z0-9]", source(page))} == known


class Keys:
    """The keys of a page: the items of its section KEYS, and the lines of its examples by the depth of the list they are in."""

    def __init__(self, name):
        self.names, self.examples, depth, literal = [], [], 0, False
        for line in section(source(name), "KEYS").splitlines():
            depth += line.startswith(".Bl") - line.startswith(".El")
            item = re.match(r"\.It Cm (.*)", line)
            if item:
                self.names += item[1].split(" , ")
            elif line.startswith((".Bd", ".Ed")):
                literal = line.startswith(".Bd")
            elif literal or line.startswith(".Dl "):
                self.examples.append((depth, line.removeprefix(".Dl ")))

    def policy(self):
        """All examples of keys at the top as one policy, with those of further down as dependents."""
        lines = [line for depth, line in self.examples if depth == 1]
        below = [line for depth, line in self.examples if depth > 1]
        entries = [line if line.startswith("{") else f"{{ table: t{n}, action: delete, {line} }}" for n, line in enumerate(below)]
        at = lines.index("dependents:") + 1 if below else 0
        return "\n".join([*lines[:at], *(f"  - {entry}" for entry in entries), *lines[at:]]) + "\n"


def known_keys():
    text = (ROOT / "src/policy/fields.c").read_text(encoding="utf-8")
    keys = set(re.findall(r'\.key = "(\w+)"', text))
    assert len(keys) > 60
    return keys


def test_T3_every_key_has_an_entry_and_an_example():
    rows, files = Keys("pgsweep-policy.5"), Keys("pgsweep-files.5")
    assert set(rows.names + files.names) == known_keys()
    shown = "\n".join(line for _, line in rows.examples + files.examples)
    assert [key for key in known_keys() if not re.search(rf"(^|[ {{-]){key}: ?", shown, re.M)] == []


def test_T3_every_word_of_a_key_is_in_its_page():
    text = section(source("pgsweep-policy.5"), "KEYS") + section(source("pgsweep-files.5"), "KEYS")
    words = set()
    for names in re.findall(r"_names\[\] = \{(.*?)\};", (ROOT / "src/policy/fields.c").read_text(encoding="utf-8"), re.S):
        words |= set(re.findall(r'"(\w+)"', names))
    assert len(words) > 20
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


@pytest.mark.parametrize("page", ["pgsweep-policy.5", "pgsweep-files.5"])
def test_T3_the_program_reads_the_examples_of_the_keys(pgsweep, policy_file, page):
    text = Keys(page).policy()
    if page == "pgsweep-files.5":
        text += "retain: 2 days\n"
    result = pgsweep("show", "test", "--policy-dir", policy_file(text))
    assert result.code == 0, (result, text)
    assert re.search("^throttle:|^min_free:", result.out, re.M)


@pytest.mark.parametrize("page, name", [("pgsweep-policy.5", "audit"), ("pgsweep-files.5", "thumbs")])
def test_O3_the_example_of_a_page_is_a_policy(pgsweep, policy_file, page, name):
    example = section(source(page), "EXAMPLES")
    assert f"policies/{name}.yaml" in example and f"pgsweep {name} --policy-dir policies --dry-run" in example
    text = re.search(r"^\.Bd -literal.*?\n(.*?)\n\.Ed", example, re.M | re.S)[1]
    assert pgsweep("show", name, "--policy-dir", policy_file(text + "\n", name)).code == 0
