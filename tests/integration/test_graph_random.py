"""Random graphs of tables, rules and rows, swept and compared with a model that knows nothing of SQL."""
import random

import pytest

from mocsworld import rows as by_table
from sweeping import init, policy, run

ROOT = "t0"


class Table:
    """refs: [(name, parent table, composite)]; row: {"id": n, "old": bool, name: parent id or None}."""

    def __init__(self, name, action, refs=(), via=None):
        self.name, self.action, self.refs, self.via = name, action, list(refs), via
        self.rows = []

    def columns(self, ref):
        name, _, composite = ref
        return [name, f"{name}_k"] if composite else [name]

    def ddl(self, rng):
        parts = ["id int PRIMARY KEY", "k int NOT NULL", "UNIQUE (id, k)", "at timestamptz", "note text"]
        for ref in self.refs:
            name, parent, composite = ref
            columns = self.columns(ref)
            parts += [f"{column} int" for column in columns]
            rule = rng.choice(["NO ACTION", "CASCADE", "SET NULL", "RESTRICT",
                               "NO ACTION DEFERRABLE INITIALLY DEFERRED"])
            target = "(k, id)" if composite else ""
            own = f"{columns[1]}, {columns[0]}" if composite else name
            parts.append(f"FOREIGN KEY ({own}) REFERENCES {parent.name} {target} ON DELETE {rule}")
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    def values(self, row):
        out = [row["id"], row["id"] % 3, row["old"], None]
        for name, _, composite in self.refs:
            out.append(row[name])
            if composite:
                out.append(None if row[name] is None else row[name] % 3)
        return out


def make_graph(rng):
    """A root, a few tables that hang on it in layers, and sometimes a shared table behind a link."""
    composite = rng.random() < 0.4
    tables = [Table(ROOT, "delete")]
    for n in range(1, rng.randint(3, 5)):
        parents = [t for t in tables if t.action == "delete"]
        refs = [(f"r{i}", rng.choice(parents), composite and rng.random() < 0.5)
                for i in range(rng.choice([1, 1, 2, 3]))]
        action = rng.choice(["delete", "delete", "delete", "detach", "reassign", "keep"])
        if action == "reassign":
            refs = [(name, tables[0], False) for name, _, _ in refs]
        tables.append(Table(f"t{n}", action, refs))
    deleted = [t for t in tables[1:] if t.action == "delete"]
    if deleted and rng.random() < 0.6:
        shared = Table("shared", "delete_orphans", via=rng.choice(deleted))
        for number, table in enumerate(tables[1:]):
            if table is shared.via or (table.action in ("delete", "detach") and rng.random() < 0.3):
                table.refs.append((f"s{number}", shared, False))
        hanging = Table("hanging", rng.choice(["delete", "detach"]), [("h", shared, False)])
        tables = [shared, *tables, *([hanging] if rng.random() < 0.5 else [])]
    return tables


def fill(rng, tables):
    for table in sorted(tables, key=lambda t: t.name != "shared"):
        many = 3 if table.action == "keep" else rng.randint(5, 25)
        for number in range(1, many + 1):
            row = {"id": number, "old": rng.random() < 0.6 and number > 1}
            for name, parent, _ in table.refs:
                row[name] = rng.choice([None, *(r["id"] for r in parent.rows)])
            table.rows.append(row)


def going(table, gone):
    """The rows of the table that refer to one that is gone."""
    return {row["id"] for row in table.rows
            if any(row[name] in gone.get(parent.name, ()) for name, parent, _ in table.refs)}


def spread(tables, candidates):
    """What goes with the candidates, shared rows left aside: ids by table."""
    gone = {ROOT: set(candidates)}
    for table in tables:
        if table.action == "delete" and table.name not in (ROOT, "hanging"):
            gone[table.name] = going(table, gone)
    return gone


def touched(table, gone):
    """Counts of the rows that stay and lose a reference, by the label that the report has for them."""
    counts = {}
    for here in (False, True):
        refs = [ref for ref in table.refs if (ref[1].name == "shared") == here]
        both = here and len(refs) < len(table.refs)
        if refs:
            part = Table(table.name, table.action, refs)
            part.rows = table.rows
            counts[f"public.{table.name}" + (" (of public.shared)" if both else "")] = len(going(part, gone))
    return counts


def model(tables):
    """(ids that go by table, what is left as {table: {id: refs}}, counts by table)."""
    by_name = {t.name: t for t in tables}
    keepers = [t for t in tables if t.action == "keep"]
    candidates = [row["id"] for row in by_name[ROOT].rows if row["old"] and
                  not any(going(k, spread(tables, [row["id"]])) for k in keepers)]
    gone = spread(tables, candidates)
    shared = by_name.get("shared")
    if shared:
        linked, used = set(), set()
        for table in tables:
            for name, parent, _ in table.refs:
                for row in table.rows:
                    if parent is not shared or table.name == "hanging" or row[name] is None:
                        continue
                    if row["id"] in gone.get(table.name, ()):
                        linked.add(row[name])
                    elif table.action != "detach":
                        used.add(row[name])
        gone["shared"] = linked - used
        if "hanging" in by_name and by_name["hanging"].action == "delete":
            gone["hanging"] = going(by_name["hanging"], gone)
    left, counts = {}, {}
    for table in tables:
        here = gone.get(table.name, set())
        stays = table.action in ("detach", "reassign")
        if stays:  # what it refers to goes at two different times: counted apart
            counts.update(touched(table, gone))
        elif table.action != "keep":
            counts[f"public.{table.name}"] = len(here)
        left[table.name] = {}
        for row in table.rows:
            if row["id"] in here:
                continue
            new = 1 if table.action == "reassign" else None
            left[table.name][row["id"]] = tuple(
                new if row[name] is not None and row[name] in gone.get(parent.name, ()) and
                stays else row[name]
                for name, parent, _ in table.refs)
    return left, counts


def build(db, rng, tables):
    for table in tables:
        db.sql(table.ddl(rng))
        for row in table.rows:
            marks = ["%s", "%s", "CASE WHEN %s THEN now() - interval '30 days' ELSE now() END", "%s"]
            values = table.values(row)
            marks += ["%s"] * (len(values) - 4)
            db.sql(f"INSERT INTO {table.name} VALUES ({', '.join(marks)})", *values)


def listed(tables):
    entries = []
    for table in tables:
        if table.name == ROOT:
            continue
        entry = {"table": table.name, "action": table.action}
        if table.action == "delete_orphans":
            entry["via"] = table.via.name
        if table.action == "reassign":
            entry["to"] = 1
        entries.append(entry)
    return entries


def found(db, table):
    columns = ", ".join(name for name, _, _ in table.refs)
    return {row[0]: tuple(row[1:]) for row in
            db.sql(f"SELECT id{', ' if columns else ''}{columns} FROM {table.name}")}


@pytest.mark.parametrize("seed", range(24))
def test_D2_O2_random_graph_ends_as_the_model_says(db, pgsweep, policy_file, seed):
    rng = random.Random(seed)
    tables = make_graph(rng)
    rng.shuffle(tables[2:])
    fill(rng, tables)
    build(db, rng, tables)
    init(pgsweep)
    left, counts = model(tables)
    transaction, chunk = rng.choice(["row", "chunk"]), rng.choice([1, 2, 5, 100])
    directory = policy_file(policy(ROOT, dependents=listed(tables), transaction=transaction))
    args = ("--policy-dir", directory, "--chunk", chunk)
    dry = run(pgsweep, "test", "--dry-run", *args)
    live = run(pgsweep, "test", *args, "--cutoff", dry["cutoff"])
    for table in tables:
        assert found(db, table) == left[table.name], (table.name, listed(tables))
    assert by_table(dry) == counts, listed(tables)
    told = by_table(live)
    if (transaction, chunk) != ("chunk", 100):
        # A row that stays and refers to candidates of several transactions is counted in each.
        for table in tables:
            if table.action in ("detach", "reassign") and len(table.refs) > 1:
                for label in touched(table, {}):
                    assert told[label] >= counts[label]
                    told[label] = counts[label]
    assert told == counts, listed(tables)
    assert run(pgsweep, "test", *args)["deleted"] == 0
