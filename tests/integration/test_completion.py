"""Shell completion, asked from the shells themselves. What they offer is compared with the help."""
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

import harness
from harness import ROOT

POLICIES = {"anonymous", "jobs", "mocs", "tempfiles", "tokens"}
BASH = """source "$SCRIPT"
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_pgsweep "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# An interactive shell that prints the matches of one completion.
ZSH = """autoload -Uz compinit
compinit -u -D
source $SCRIPT
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local hit
    local -a hits
    builtin compadd -A hits "$@"
    for hit in $hits; do print -r -- "@@$hit@@"; done
}
finish() { print -r -- FINISHED; exit }
comppostfuncs=(finish)
zstyle ':completion:*' insert-tab false
bindkey '^I' complete-word
print -r -- re''ady
"""


class Shells:
    """The completion script of each shell, and what a shell offers with it."""

    def __init__(self, place):
        (place / "bin").mkdir()
        (place / "bin" / "pgsweep").symlink_to(harness.public_binary())
        self.place = place
        self.env = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}", "HOME": str(place), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        for shell in ("bash", "zsh", "fish"):
            (place / shell).write_text(self.pgsweep("completion", shell), encoding="utf-8")

    def pgsweep(self, *words, code=0):
        done = subprocess.run(["pgsweep", *words], env=self.env, text=True, capture_output=True, check=False)
        assert done.returncode == code and bool(done.stderr) == bool(code), done
        return done.stdout or done.stderr

    def script(self, shell):
        return {**self.env, "SCRIPT": str(self.place / shell)}

    def bash(self, *words):
        return self.run("bash", ["bash", "--norc", "-c", BASH, "bash", *words]).split()

    def fish(self, *words):
        out = self.run("fish", ["fish", "-N", "-c", "source $SCRIPT; complete -C $argv[1]", " ".join(words)])
        return [line.split("\t")[0] for line in out.splitlines()]

    def run(self, shell, words):
        if not shutil.which(shell):
            pytest.skip(f"{shell} is not installed")
        done = subprocess.run(words, env=self.script(shell), text=True, capture_output=True, timeout=harness.PATIENCE, check=True)
        assert done.stderr == ""
        return done.stdout

    def zsh(self, *words):
        if not shutil.which("zsh"):
            pytest.skip("zsh is not installed")
        (self.place / "inner").write_text(ZSH)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], self.script("zsh"))
        try:
            os.write(terminal, f"source {self.place / 'inner'}\n".encode())
            read_until(terminal, "ready\r\n")
            os.write(terminal, (" ".join(words) + "\t").encode())
            return re.findall("@@(.*?)@@", read_until(terminal, "FINISHED"))
        finally:
            os.close(terminal)
            os.waitpid(pid, 0)


def read_until(terminal, word):
    text, end = "", time.monotonic() + harness.PATIENCE
    while word not in text:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, text
        text += os.read(terminal, 4096).decode()
    return text


@pytest.fixture(scope="module")
def shells(tmp_path_factory):
    return Shells(tmp_path_factory.mktemp("completion"))


@pytest.fixture(params=["bash", "zsh", "fish"])
def offered(request, shells):
    return getattr(shells, request.param)


def commands_of(shells):
    part = shells.pgsweep("--help").split("\nCommands:\n")[1].split("\n\n")[0]
    return set(re.findall(r"^  ([a-z]+) ", part, re.M))


def test_O1_the_first_word_is_a_command_or_a_policy(offered, shells):
    assert set(offered("pgsweep", "")) == commands_of(shells) | POLICIES


def test_O1_a_subcommand_its_policy_and_the_words_of_an_option_are_offered(offered, shells):
    verbs = set(re.findall(r"^  ([a-z]+) \S*(?:ID|POLICY)", shells.pgsweep("objects", "--help"), re.M))
    assert {"drain", "rebind", "forget"} <= verbs
    assert set(offered("pgsweep", "--format", "json", "objects", "")) == verbs
    assert set(offered("pgsweep", "dlq", "retry", "")) == POLICIES
    assert set(offered("pgsweep", "jobs", "--protect-case", "")) == {"default", "ignore", "match"}


@pytest.mark.parametrize("command", ["jobs", "init", "show", "objects"])
def test_O1_bash_offers_the_options_of_a_command(shells, command):
    listed = set(re.findall(r"^ +(?:-\w, )? *(--[a-z-]+)", shells.pgsweep(command, "--help"), re.M)) | {"--help", "--version"}
    assert len(listed) >= 10
    assert set(shells.bash("pgsweep", command, "--")) == listed


def test_O1_policies_of_the_directory_on_the_command_line_are_offered(offered, shells):
    (shells.place / "policies").mkdir(exist_ok=True)
    shutil.copy(ROOT / "src/policies/tokens.yaml", shells.place / "policies/tidy.yaml")
    assert set(offered("pgsweep", "--policy-dir", str(shells.place / "policies"), "show", "")) == POLICIES | {"tidy"}


def test_O1_bash_understands_a_value_behind_an_equals_sign(shells):
    assert shells.bash("pgsweep", "jobs", "--special", "=", "d") == ["delete"]
    assert shells.bash("pgsweep", "jobs", "--special", "=") == ["keep", "delete"]
    assert shells.bash("pgsweep", "--retain", "=", "jobs", "dl") == ["dlq"]
    assert shells.bash("pgsweep", "jobs", "--metrics-file", str(shells.place / "bi")) == [str(shells.place / "bin")]
    assert shells.bash("pgsweep", "jobs", "--retain", "") == []


@pytest.mark.parametrize("words, says", [([], "name of a shell"), (["tcsh"], 'unknown shell "tcsh"'), (["bash", "zsh"], '"zsh"')])
def test_T3_an_unknown_shell_is_refused(shells, words, says):
    assert says in shells.pgsweep("completion", *words, code=2)
