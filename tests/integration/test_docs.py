"""Every command of README.md and docs/ does what it says, in its order, on a database as its page supposes.

A fenced block is run by its language: sh line by line (a line that ends with "# exit code N" must end so), sql in the database
"app", yaml whose first line is "# NAME.yaml" becomes a policy of the directory "policies", other yaml is read into one, ini
lines are variables of the environment, text is what the command before it printed, but for times.
"""
import os
import re
import shutil
import subprocess

import pytest

import harness

PAGES = sorted((harness.ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00|in [\d.,]+ (ms|s)\b|(?<=WAL: ).*")
# What the pages tell an administrator to do to a host is done below the test's own directory.
SUDO = """#!/bin/sh
for word; do
    shift
    case $word in
    /etc/*|/var/*) word=$STAGE$word; mkdir -p "${word%/*}" ;;
    esac
    set -- "$@" "$word"
done
exec "$@"
"""
SYSTEMCTL = """#!/bin/sh
test "$1 $2" = "enable --now" || exit 1
shift 2
for unit; do test -f "$ROOT/systemd/$unit" || exit 1; done
"""
# A benchmark is not run here: its target is looked for.
MAKE = f"""#!/bin/sh
exec {shutil.which("make")} -n -C "$ROOT" "$@"
"""


class Reader:
    """Somebody who follows a page, with the programs of the host at hand."""

    def __init__(self, server, home):
        self.home = home
        programs = home / "bin"
        programs.mkdir()
        (home / "policies").mkdir()
        for name, text in (("sudo", SUDO), ("systemctl", SYSTEMCTL), ("make", MAKE)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (programs / "pgsweep").symlink_to(harness.public_binary())
        self.env = {"PATH": f"{programs}:{os.environ['PATH']}", "PGHOST": str(server.host), "PGPORT": str(server.port),
                    "PGUSER": "postgres", "PGDATABASE": "app", "PGSWEEP_SUPERUSER": "allow", "HOME": str(home), "STAGE": str(home / "stage"),
                    "ROOT": str(harness.ROOT), "TEMP_DIR": str(home / "tmp"), "LC_ALL": "C.UTF-8"}
        self.said = ""
        self.before = {}  # what a command needs: SQL, by a word of the command

    def run(self, words, code=0, stdin=None):
        result = subprocess.run(words, cwd=self.home, env=self.env, input=stdin, text=True, capture_output=True,
                                timeout=harness.PATIENCE, check=False)
        self.said = result.stdout + result.stderr
        assert result.returncode == code, (words, result.returncode, self.said)

    def sql(self, text, database="app"):
        self.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database], stdin=text)

    def sh(self, text):
        for line in text.splitlines():
            code = re.search(r"# exit code (\d+)", line)
            for word, text in self.before.items():
                if word in line:
                    self.sql(text)
            export = re.fullmatch(r"export (\w+)='(.*?)'.*", line)
            if export:
                self.env[export[1]] = export[2]
            else:
                self.run(["bash", "-euc", "set -o pipefail; " + line], int(code[1]) if code else 0)

    def yaml(self, text):
        name = re.match(r"# (\w+\.yaml)\n", text)
        if name:
            (self.home / "policies" / name[1]).write_text(text)

    def ini(self, text):
        for line in text.splitlines():
            name, value = re.match(r"([A-Z0-9_]+)=(\S+)", line).groups()
            self.env[name] = value

    def text(self, text):
        printed = TIMES.sub("", self.said)
        assert TIMES.sub("", text) in printed, self.said


@pytest.fixture
def reader(server, tmp_path):
    someone = Reader(server, tmp_path)
    someone.sql("CREATE DATABASE app", "postgres")
    someone.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield someone
    someone.sql("DROP DATABASE app WITH (FORCE);" if server_version(server) >= 130000 else "DROP DATABASE app", "postgres")
    someone.sql("DROP ROLE IF EXISTS pgsweep", "postgres")


def server_version(server):
    connection = server.connect()
    try:
        return connection.server_version
    finally:
        connection.close()


def set_up(reader, name):
    """What the page takes for granted."""
    if name != "policies.md":
        reader.sql((harness.SQL_DIR / "jobs.sql").read_text())
        reader.sql("INSERT INTO jobs (status, created_at) SELECT 'finished', now() - interval '9 days' FROM generate_series(1, 20)")
    if name == "files.md":
        (reader.home / "tmp").mkdir()
        for root in ("/srv/render", "/var/cache/thumbs", "/srv/thumbs"):
            (reader.home / "stage" / root[1:]).mkdir(parents=True)
    if name in ("objects.md", "operating.md"):
        reader.sh("createuser pgsweep\npgsweep init -d app --role pgsweep")
    if name == "objects.md":
        entry = "INSERT INTO pgsweep.object_queue (id, policy, run_id, source, value) OVERRIDING SYSTEM VALUE" \
            " VALUES (17, 'mocs', 'r', 'moc_files.s3_key', 'files/1')"
        column = "INSERT INTO pgsweep.object_sources (id, policy, table_ident, column_ident) OVERRIDING SYSTEM VALUE" \
            " VALUES (3, 'mocs', 'public.moc_files', 's3_key')"
        reader.before = {"objects rebind": entry, "objects forget": column}
    if name == "operating.md":
        reader.sql("INSERT INTO pgsweep.dead_letters (policy, key, error, sqlstate, run_id) VALUES ('jobs', '{7}', 'e', '23503', 'r')")


@pytest.mark.parametrize("page", [harness.ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_O2_O3_commands_of_a_page_do_what_it_says(reader, page):
    set_up(reader, page.name)
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    for language, text in blocks:
        # Where the page names places of a host, the test has its own.
        if page.name == "files.md":
            text = re.sub(r"(?<![\w.])/(srv|var/cache)/", lambda m: f"{reader.home}/stage/{m[1]}/", text)
            text = text.replace("[render, 1001]", f"[{os.getuid()}]")
        getattr(reader, language)(text)
    if page.name == "README.md":
        assert len(blocks) == 2
    shutil.rmtree(reader.home / "stage", ignore_errors=True)


def test_O3_every_page_is_linked_from_the_readme():
    readme = (harness.ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if f"(docs/{page.name})" not in readme] == []


@pytest.mark.parametrize("page", [*harness.ROOT.glob("*.md"), *PAGES], ids=lambda page: page.name)
def test_O3_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^):#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
