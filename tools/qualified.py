#!/usr/bin/env python3
"""Finds names in SQL that PostgreSQL would look up through the search path.

    tools/qualified.py FILE...      templates (src/sql/*.sql), or C files with pieces of SQL

Whoever may create objects in a schema of the path can add an operator, function, type or table of the same name that
fits better than PostgreSQL's own, and pgsweep would run it with its own rights. So operators are written
OPERATOR(pg_catalog.=) or with the schema that the catalog names, functions and types as pg_catalog.name, tables with
their schema. IN, BETWEEN, LIKE, NULLIF, CASE x WHEN, IS DISTINCT FROM and USING look an operator up by its bare name:
they are not used at all. In C a line that says /* no SQL */ is left out. Prints FILE:LINE: finding.
"""
import re
import sys

TOKEN = re.compile(r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<string>[eEbBxX]?'(?:[^'\\]|''|\\.)*')
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<body>\$\$)
  | (?P<param>\$(?:\d+|\{\w+\}))
  | (?P<slot>\{\w+\}|%(?:l*[sduz]u?|[0-9]*s))
  | (?P<number>\d+(?:\.\d+)?(?:e\d+)?)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<cast>::)
  | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
  | (?P<other>.)
""", re.X | re.S)

# Words that a bracket may follow although they are no functions, and what the grammar itself makes of such a call.
NO_FUNCTION = set("""all and any array as between by check coalesce conflict count_as distinct exists extract filter from
    greatest grouping in inner insert into is join key lateral least limit materialized not null offset on only operator or order
    over partition primary recursive returning row rows select set some then union unique unnest_as update using values when where
    with within else case""".split())
# Without bigint, boolean, integer and the like: these are words of the grammar, and mean PostgreSQL's own.
TYPES = set("bool bytea date int2 int4 int8 interval jsonb name oid regclass text timestamptz uuid xid".split())
BEFORE_STAR = set("select returning distinct ( , .".split())


class Token:
    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line
        self.low = text.lower() if kind == "word" else text


def tokens(sql, line=1):
    """The tokens of a text, without spaces and comments."""
    for match in TOKEN.finditer(sql):
        kind, text = match.lastgroup, match.group()
        if kind not in ("space", "body"):
            yield Token(kind, text, line)
        line += text.count("\n")


def bracket_end(list_, i):
    """The index of the bracket that closes the one at i."""
    depth = 0
    while i < len(list_):
        depth += (list_[i].text == "(") - (list_[i].text == ")")
        if depth == 0:
            return i
        i += 1
    return len(list_) - 1


def names_of_queries(list_):
    """What WITH gives a name to: NAME AS (, NAME AS MATERIALIZED (, NAME(columns) AS (."""
    found = {"excluded"}
    for i, token in enumerate(list_[:-2]):
        if token.kind != "word":
            continue
        k = i + 1
        if list_[k].text == "(":
            k = bracket_end(list_, k) + 1
        if k + 1 < len(list_) and list_[k].low == "as" and list_[k + 1].low in ("(", "materialized"):
            found.add(token.low)
    return found


class Checker:
    def __init__(self, list_, queries, tables, types):
        self.list, self.queries, self.tables, self.types = list_, queries, tables, types

    def at(self, i):
        return self.list[i].low if 0 <= i < len(self.list) else ""

    def kind(self, i):
        return self.list[i].kind if 0 <= i < len(self.list) else ""

    def check(self):
        """Pairs of a line and a finding."""
        i, depth, assigning = 0, 0, None
        while i < len(self.list):
            token = self.list[i]
            if token.low == "operator" and self.at(i + 1) == "(":
                if self.at(i + 3) != "." and self.kind(i + 2) != "slot":
                    yield token.line, "OPERATOR without a schema"
                i = bracket_end(self.list, i + 1) + 1
                continue
            depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
            if token.low == "set" and self.at(i - 1) not in ("=",):
                assigning = depth
            elif assigning is not None and (depth < assigning or (
                    depth == assigning and token.low in ("where", "from", "returning", ";"))):
                assigning = None
            finding = getattr(self, "check_" + token.kind, lambda i, a: None)(i, assigning == depth)
            if finding:
                yield token.line, finding
            i += 1

    def check_operator(self, i, assigning):
        text, before = self.at(i), self.at(i - 1)
        if text == "*" and before in BEFORE_STAR:
            return None
        if text == "=" and assigning and self.kind(i - 1) in ("word", "slot", "quoted"):
            return None
        if text == "=" and before in ("errcode", "message", "detail", "hint"):
            return None # RAISE ... USING
        if text == "-" and self.kind(i + 1) == "number" and (before in ("(", ",") or self.at(i - 6) == "operator"):
            return None # a negative number, says the grammar
        return "operator %s without a schema" % text

    def check_word(self, i, assigning):
        word, before, after = self.at(i), self.at(i - 1), self.at(i + 1)
        if before == ".":
            return None
        if word in ("like", "ilike", "similar", "between", "overlaps", "natural", "nullif"):
            return "%s looks an operator up by its bare name" % word.upper()
        if word == "in" and after == "(":
            return "IN looks an operator up by its bare name"
        if word == "case" and after != "when" and self.kind(i + 1) != "slot":
            return "CASE x WHEN looks an operator up by its bare name"
        if word == "from" and before == "distinct":
            return "IS DISTINCT FROM looks an operator up by its bare name"
        if word == "using" and after == "(":
            return "USING looks an operator up by its bare name"
        if word == "collate" and self.at(i + 2) != "." and self.kind(i + 1) != "slot":
            return "collation %s without a schema" % after
        if before in ("explain", "execute", "prepare") or word in ("explain", "prepare"):
            return None
        if word in TYPES and (self.kind(i + 1) == "string" or self.types) and before not in ("as", "::"):
            return "type %s without a schema" % word
        if after == "(" and word not in NO_FUNCTION and before not in ("as", "table", "with", ",") \
                and word not in self.queries:
            return "function %s without a schema" % word
        if after == "(" and before == "," and word not in NO_FUNCTION and word not in self.queries \
                and self.at(bracket_end(self.list, i + 1) + 1) != "as":
            return "function %s without a schema" % word
        if self.tables and word in ("from", "join", "into", "update"):
            return self.check_table(i)
        return None

    def check_table(self, i):
        word, before, name = self.at(i), self.at(i - 1), self.at(i + 1)
        if (word == "update" and before in ("for", "do", ",", "before")) or self.at(i - 2) == "extract":
            return None
        if self.kind(i + 1) != "word" or self.at(i + 2) == "." or name in self.queries:
            return None
        if word == "into" and before != "insert":
            return None # a variable of PL/pgSQL
        if name in ("lateral", "rows", "only", "select", "set", "of") or self.at(i + 2) == "(":
            return None
        return "table %s without a schema" % name

    def check_cast(self, i, assigning):
        if self.at(i + 2) == "." or self.kind(i + 1) == "slot":
            return None
        return "type %s without a schema" % self.at(i + 1)


def check_template(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    list_ = list(tokens(text))
    # "--- NAME" starts a template; a name of WITH may stand in another template of the file.
    yield from Checker(list_, names_of_queries(list_), True, path.endswith("state.sql")).check()


STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
# A piece of SQL, and no message: what only SQL has.
PIECE = re.compile(r"\bAND \(?%|%s\.%s|::|\bSELECT\b|\bFROM %|\bWHERE\b|\bt\.%s|\$%|OPERATOR\(|pg_catalog\.|\bANY \(|^ *(=|<|>|<>|<=|>=|\|\|) *$"
                   r"|\bIN \((SELECT|%)|^ IN |\bnullif\(|\bcoalesce\(|\bEXISTS\b|\bIS (NOT )?(TRUE|FALSE|NULL)\b")


def check_c(path):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if re.search(r"\berror_\w+\(|plan_note\(|hint|#include|/\* no SQL", line):
            continue
        line = re.sub(r"/\*.*|^ \*.*", "", line)
        for match in STRING.finditer(line):
            piece = match.group(1).replace("\\n", " ").replace('\\"', '"')
            if not PIECE.search(piece) or re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", piece):
                continue
            for _, finding in Checker(list(tokens(piece)), {"linked"}, False, False).check():
                yield number, finding


def main(paths):
    found = False
    for path in paths:
        for line, finding in (check_template if path.endswith(".sql") else check_c)(path):
            print("%s:%d: %s" % (path, line, finding))
            found = True
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
