#!/usr/bin/env python3
"""Finds circles of files: a.c uses a function of b.c, which uses one of a.c, directly or through others.

    tools/circles.py [--uses] [ROOM...]      rooms are the directories of src; all of them by default

Files of a circle can only be read together. A circle is opened by deciding apart from acting (what is called returns
what follows, and its caller acts on it), or by a file of its own for what both sides use. A circle that is natural is
named in ALLOWED, with the reason. Prints ROOM: finding; with --uses also who uses which file's functions. Looks at each
room by itself: between rooms the table of tools/lint.sh holds.
"""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parent.parent / "src"

# Room: sets of files that may use each other in a circle.
ALLOWED = {
    "plan": [
        # A row is reached along references or because it is an orphan, and a row is an orphan if what refers to it is
        # reached. What they share is in src/plan/internal.h, "reach".
        {"levels.c", "orphans.c", "reach.c"},
        # The set of rows of a table is made of the sets of the tables that it refers to; for shared rows as well.
        {"rowset.c", "rowset_shared.c"},
    ],
}
# Rooms whose circles are still to be opened: without arguments they are not looked at for more than that.
TO_OPEN = set("files sweep".split())

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)
# The format of the code (make format) puts a definition's first line and its brace into the first column.
DEFINITION = re.compile(r"^(?!static\b|typedef\b|#)[A-Za-z_][^;{}()=]*?\b(\w+)\((?:[^;{}]*)\)\n\{", re.M)

TO_OPEN.discard("sweep")


def read(room):
    """The text of each .c file of the room, without comments and strings."""
    return {path.name: COMMENT_OR_TEXT.sub(" ", path.read_text()) for path in sorted((SRC / room).glob("*.c"))}


def uses_of(files):
    """{file: {other file: functions of it that are used}}; a use is any mention, so that callbacks count."""
    home = {name: file for file, text in files.items() for name in DEFINITION.findall(text)}
    uses = {file: {} for file in files}
    for file, text in files.items():
        for word in set(re.findall(r"\b[A-Za-z_]\w*\b", text)):
            if home.get(word, file) != file:
                uses[file].setdefault(home[word], set()).add(word)
    return uses


def reached(uses, start):
    """Every file that start uses, directly or not."""
    seen, todo = set(), list(uses[start])
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += uses[file]
    return seen


def circles_of(uses):
    """Sets of files each of which leads to every other one."""
    leads = {file: reached(uses, file) for file in uses}
    return {frozenset(other for other in leads if other in leads[file] and file in leads[other])
            for file in uses if file in leads[file]}


def main(arguments):
    rooms = [a for a in arguments if not a.startswith("--")] or sorted(p.name for p in SRC.iterdir() if p.is_dir())
    found, asked = False, len(arguments) > 0
    for room in rooms:
        uses = uses_of(read(room))
        allowed = {frozenset(files) for files in ALLOWED.get(room, [])}
        circles = circles_of(uses)
        if room in TO_OPEN and not asked:
            if circles <= allowed:
                found = True
                print(f"src/{room}: all of its circles are open, take it from TO_OPEN")
            continue
        for circle in sorted(circles - allowed, key=sorted):
            found = True
            inside = "; ".join(f"{file} uses {name} of {other}" for file in sorted(circle) for other in sorted(circle)
                               for name in sorted(uses[file].get(other, ()))[:3])
            print(f"src/{room}: a circle of {len(circle)} files ({' '.join(sorted(circle))}): {inside}")
        for circle in sorted(allowed - circles, key=sorted):
            found = True
            print(f"src/{room}: no such circle any more, take it from ALLOWED: {' '.join(sorted(circle))}")
        if "--uses" in arguments:
            for file, others in uses.items():
                print(f"  {room}/{file}: {', '.join(f'{o} ({len(n)})' for o, n in sorted(others.items())) or '-'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
