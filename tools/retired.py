#!/usr/bin/env python3
"""Finds words that were retired (tools/retired-words): one concept has one word, in code and comments.

    tools/retired.py        prints FILE:LINE: finding; 1 if there is one
"""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent


def main():
    retired = []
    for line in (TOP / "tools" / "retired-words").read_text().splitlines():
        if line and not line.startswith("#"):
            word, instead = line.split("\t")
            retired.append((re.compile(word), instead))
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "include", "tests"],
                           cwd=TOP, capture_output=True, text=True, check=True).stdout.split("\0")
    found = False
    for name in filter(lambda n: n.endswith((".c", ".h", ".py", ".sql", ".sh")), names):
        path = TOP / name
        if not path.exists():
            continue
        for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for word, instead in retired:
                match = word.search(text)
                if match:
                    found = True
                    print(f"{name}:{number}: \"{match.group()}\" is retired: {instead}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
