"""Random graphs of tables, rules and rows, swept and compared with a model that knows nothing of SQL.

GRAPHS: how many (60); GRAPH_SEED: the number of the first (0). A failure is repeated with GRAPHS=1 GRAPH_SEED=its number.
"""
import collections
import os
import random

import pytest

from sweeping import init, policy, run

ROOT = "t0"
SEEDS = range(int(os.environ.get("GRAPH_SEED", 0)), int(os.environ.get("GRAPH_SEED", 0)) + int(os.environ.get("GRAPHS", 60)))
SHARED = "delete_orphans"
RULES = ["NO ACTION", "CASCADE", "SET NULL", "RESTRICT", "NO ACTION DEFERRABLE INITIALLY DEFERRED"]


class Ref:
    """A reference; action: of an entry of its own in the policy, else None."""

    def __init__(self, name, parent, composite=False, action=None):
        self.name, self.parent, self.composite, self.own = name, parent, composite, action

    def constraint(self, table):
        return f"{table.name}_{self.name}_fk"


class Table:
    """rows: {id: {"old": bool, reference's name: parent id or None}}."""

    def __init__(self, name, action, refs=(), via=None):
        self.name, self.action, self.refs, self.via = name, action, list(refs), via
        self.rows = {}

    def action_of(self, ref):
        return ref.own or self.action

    def refers(self, row, ref):
        return self.rows[row][ref.name]


class Guard:
    """Spares a root row if the table has such a row: one that refers to it, or one whose id is some steps from its own."""

    def __init__(self, table, ref, step, rest):
        self.table, self.ref, self.step, self.rest = table, ref, step, rest

    def sql(self):
        key = f"x.{self.ref.name} = t.id" if self.ref else f"x.id = t.id + {self.step}"
        return f"EXISTS (SELECT FROM {self.table.name} x WHERE {key} AND x.id % 3 = {self.rest})"

    def spares(self, row):
        return any((self.table.refers(other, self.ref) == row if self.ref else other == row + self.step)
                   and other % 3 == self.rest for other in self.table.rows)


def make_guards(rng, tables):
    """They look at tables that the policy deletes from, or takes a reference out of."""
    guards = []
    for _ in range(rng.choice([0, 0, 1, 2])):
        table = rng.choice(tables)
        refs = [ref for ref in table.refs if ref.parent is tables[0]]
        guards.append(Guard(table, rng.choice([*refs, None]), rng.choice([-1, 1, 2]), rng.randint(0, 2)))
    return guards


def self_reference(rng, table):
    """A row may refer to any of its table, itself too."""
    if rng.random() < 0.35:
        own = "detach" if rng.random() < 0.3 else None
        if table.name == ROOT:
            own = rng.choice(["detach", "keep", "delete"])
        table.refs.append(Ref("self", table, action=own))


def make_layers(rng):
    """The root and what hangs on it, at any depth."""
    composite = rng.random() < 0.4
    tables = [Table(ROOT, "delete")]
    self_reference(rng, tables[0])
    for n in range(1, rng.randint(3, 5)):
        parents = [t for t in tables if t.action == "delete"]
        action = rng.choice(["delete", "delete", "delete", "detach", "reassign", "keep"])
        refs = [Ref(f"r{i}", rng.choice(parents), composite and rng.random() < 0.5)
                for i in range(rng.choice([1, 1, 2, 3]))]
        if action == "reassign":
            refs = [Ref(ref.name, tables[0]) for ref in refs]
        table = Table(f"t{n}", action, refs)
        if action == "delete":
            self_reference(rng, table)
            for ref in refs[1:]:
                ref.own = rng.choice([None, None, None, None, "detach", "keep"])
        tables.append(table)
    if len(tables) > 1 and tables[-1].action == "delete" and rng.random() < 0.3:
        tables[0].refs.append(Ref("back", tables[-1], action="detach"))
    return tables


def make_shared(rng, tables):
    """Shared tables, those that refer to others first, and what hangs on them."""
    links = [t for t in tables if t.action == "delete"]
    shared, hanging = [], []
    for n in range(rng.choice([0, 1, 1, 2, 3])):
        one = Table(f"s{n}", SHARED)
        via = rng.choice(links + shared)
        via.refs.append(Ref(f"s{n}", one))
        one.via = via
        for table in links + shared:
            if table is not via and rng.random() < 0.25:
                own = "detach" if table in shared and rng.random() < 0.4 else None
                table.refs.append(Ref(f"s{n}", one, action=own))
        self_reference(rng, one)
        shared.append(one)
    for table in tables:
        if table.action == "detach" and shared and rng.random() < 0.4:
            table.refs += [Ref(f"h{i}", rng.choice(shared)) for i in range(rng.choice([1, 2]))]
    for n in range(rng.choice([0, 1, 2]) if shared else 0):
        refs = [Ref(f"h{i}", rng.choice(shared)) for i in range(rng.choice([1, 1, 2]))]
        hanging.append(Table(f"h{n}", rng.choice(["delete", "detach"]), refs))
        first = hanging[0]
        if n > 0 and first.action == "delete" and len({ref.parent for ref in first.refs}) == 1:
            hanging[n].refs.append(Ref("below", first))
    return shared, hanging


def fill(rng, tables):
    for table in tables:
        many = 3 if table.action == "keep" else rng.randint(5, 25)
        table.rows = {n: {"old": rng.random() < 0.6 and n > 1} for n in range(1, many + 1)}
    for table in tables:
        for row in table.rows.values():
            for ref in table.refs:
                row[ref.name] = rng.choice([None, *ref.parent.rows])


def is_link(table, ref):
    """Does a row of the table keep, and link to, the shared row that it refers to?"""
    return ref.parent.action == SHARED and ref.parent is not table and not ref.own


def spread(tables, gone):
    """Adds to gone what goes with it along references that say delete, shared tables left aside."""
    before = None
    while before != (before := sum(map(len, gone.values()))):
        for table in tables:
            for ref in table.refs:
                if table.action_of(ref) == "delete" and table.name != ROOT:
                    gone[table.name] |= {row for row in table.rows
                                         if table.refers(row, ref) in gone[ref.parent.name]}
    return gone


def follow(one, rows):
    """rows, and what they refer to within their shared table."""
    rows, before = set(rows), None
    while before != (before := len(rows)):
        for ref in one.refs:
            if ref.parent is one and not ref.own:
                rows |= {one.refers(row, ref) for row in rows} - {None}
    return rows


def orphans(one, users, gone):
    """The rows of a shared table that lose their last reference."""
    linked, used = set(), set()
    for table in users:
        for ref in table.refs:
            if ref.parent is one and is_link(table, ref):
                for row in table.rows:
                    (linked if row in gone[table.name] else used).add(table.refers(row, ref))
    linked = follow(one, linked - {None})
    outside = {one.refers(row, ref) for row in set(one.rows) - linked
               for ref in one.refs if ref.parent is one and not ref.own}
    return linked - follow(one, (used | outside) & linked)


def spared_by_keep(tables, alone):
    """Does a row of any table keep what goes with a candidate?"""
    return any(table.action_of(ref) == "keep" and table.refers(row, ref) in alone[ref.parent.name]
               for table in tables for ref in table.refs for row in table.rows)


def with_all_descendants(root, candidates):
    """Along a reference of the root to itself that is deleted along, a row goes if all that refer to it do."""
    before = None
    while before != (before := len(candidates)):
        for ref in root.refs:
            if ref.parent is root and ref.own == "delete":
                candidates -= {root.refers(row, ref) for row in set(root.rows) - candidates}
    return candidates


def candidates(tables, guards):
    """The root rows that may go."""
    found = set()
    for row, values in tables[0].rows.items():
        alone = spread(tables, collections.defaultdict(set, {ROOT: {row}}))
        if values["old"] and not spared_by_keep(tables, alone) and not any(guard.spares(row) for guard in guards):
            found.add(row)
    return with_all_descendants(tables[0], found)


def without(tables, shared, hanging, roots):
    """(what is left once these root rows are gone, as {table: {id: refs}}, rows by table and action)."""
    gone = spread(tables, {**{t.name: set() for t in [*tables, *shared, *hanging]}, ROOT: set(roots)})
    for n, one in enumerate(shared):
        gone[one.name] = orphans(one, [t for t in tables if t.action == "delete"] + shared[:n], gone)
    return outcome([*tables, *shared, *hanging], spread(hanging, gone))


def model(tables, shared, hanging, guards):
    """The same for all candidates."""
    return without(tables, shared, hanging, candidates(tables, guards))


def lock_some(db, rng, every):
    """Another session locks some rows; which, as {(table's name, id)}."""
    connection = db.connect(autocommit=False)
    locked = set()
    for table in rng.sample(every, rng.randint(1, min(3, len(every)))):
        for row in rng.sample(sorted(table.rows), min(len(table.rows), rng.randint(1, 3))):
            mode = rng.choice(["UPDATE", "UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE"])
            connection.cursor().execute(f"SELECT FROM {table.name} WHERE id = {row} FOR {mode}")
            locked.add((table.name, row))
    return connection, locked


def within_reach(every, row):
    """All rows that the deletion of a root row might have to lock: {(table's name, id)}."""
    reached, goes = set(), [(every[0], row)]
    while goes:
        table, one = goes.pop()
        if (table.name, one) in reached:
            continue
        reached.add((table.name, one))
        goes += [(ref.parent, table.refers(one, ref)) for ref in table.refs
                 if ref.parent.action == SHARED and table.refers(one, ref)]
        for other in every:
            for ref in [r for r in other.refs if r.parent is table]:
                users = [(other, x) for x in other.rows if other.refers(x, ref) == one]
                if other.action_of(ref) in ("delete", SHARED):
                    goes += users
                else:
                    # A row that is changed twice in one transaction has all its references checked again.
                    reached |= {(other.name, x) for _, x in users}
                    reached |= {(r.parent.name, other.refers(x, r)) for _, x in users for r in other.refs}
                if users and other.action_of(ref) == "reassign":
                    reached.add((ROOT, 1))
    return reached


def group(ref):
    """What the row referred to goes with: the root, or a shared table."""
    if ref.parent.action == SHARED:
        return ref.parent.name
    return group(ref.parent.refs[0]) if ref.parent.name.startswith("h") else ROOT


def outcome(tables, gone):
    left, counts = {}, collections.Counter()
    for table in tables:
        if table.action in ("delete", SHARED):
            counts[table.name, "delete"] += len(gone[table.name])
        left[table.name] = {row: dict(values) for row, values in table.rows.items() if row not in gone[table.name]}
        loses = set()
        for ref in table.refs:
            for row in left[table.name]:
                if table.refers(row, ref) in gone[ref.parent.name]:
                    assert table.action_of(ref) in ("detach", "reassign"), (table.name, ref.name)
                    left[table.name][row][ref.name] = 1 if table.action == "reassign" else None
                    loses.add((row, ref.own and ref.name, group(ref)))
        for _ in loses:
            counts[table.name, "reassign" if table.action == "reassign" else "detach"] += 1
    return left, +counts


def build(db, rng, tables):
    for table in tables:
        columns = ["id int PRIMARY KEY", "k int NOT NULL", "UNIQUE (id, k)", "at timestamptz",
                   *(f"{ref.name} int, {ref.name}_k int" for ref in table.refs)]
        db.sql(f"CREATE TABLE {table.name} ({', '.join(columns)})")
        for row, values in table.rows.items():
            refs = [x for ref in table.refs
                    for x in (values[ref.name], values[ref.name] and values[ref.name] % 3)]
            db.sql(f"INSERT INTO {table.name} VALUES (%s, %s, now() - CASE WHEN %s THEN interval '30 days' ELSE '0' END"
                   f"{', %s' * len(refs)})", row, row % 3, values["old"], *refs)
    for table in tables:
        for ref in table.refs:
            own, other = (f"{ref.name}_k, {ref.name}", "(k, id)") if ref.composite else (ref.name, "")
            db.sql(f"ALTER TABLE {table.name} ADD CONSTRAINT {ref.constraint(table)} FOREIGN KEY ({own})"
                   f" REFERENCES {ref.parent.name} {other} ON DELETE {rng.choice(RULES)}")


def listed(tables):
    entries = []
    for table in tables:
        if table.name != ROOT:
            entries.append({"table": table.name, "action": table.action})
        if table.via:
            entries[-1]["via"] = table.via.name
        if table.action == "reassign":
            entries[-1]["to"] = 1
        entries += [{"table": table.name, "constraint": ref.constraint(table), "action": ref.own}
                    for ref in table.refs if ref.own]
    return entries


def found(db, table):
    columns = ["id", *(ref.name for ref in table.refs)]
    return [dict(zip(columns, row)) for row in db.sql(f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY id")]


def told(report):
    """Rows by table and action: a table may have an entry for each of its references."""
    counts = collections.Counter()
    for entry in report["tables"]:
        if entry["action"] not in ("keep", "ignore"):
            table = entry["table"].removeprefix("public.").split(" ")[0]
            counts[table, "delete" if entry["action"].startswith("delete") else entry["action"]] += entry["rows"]
    return +counts


@pytest.mark.parametrize("seed", SEEDS)
def test_D2_O2_random_graph_ends_as_the_model_says(db, pgsweep, policy_file, seed):
    rng = random.Random(seed)
    tables = make_layers(rng)
    shared, hanging = make_shared(rng, tables)
    every = [*tables, *shared, *hanging]
    fill(rng, every)
    build(db, rng, every)
    init(pgsweep)
    guards = make_guards(rng, tables)
    entries = listed(every)
    rng.shuffle(entries)
    transaction, chunk = rng.choice(["row", "chunk"]), rng.choice([1, 1, 3, "auto"])
    named = [{"name": f"g{n}", "unless": guard.sql()} for n, guard in enumerate(guards)]
    directory = policy_file(policy(ROOT, dependents=entries, transaction=transaction, guards=named))
    args = ("--policy-dir", directory, "--chunk", chunk)
    # What the first run has made free, the second one takes.
    for number in range(3):
        left, counts = model(tables, shared, hanging, guards)
        about = (number, entries, named, transaction, chunk)
        dry = run(pgsweep, "test", "--dry-run", *args)
        live = run(pgsweep, "test", *args, "--cutoff", dry["cutoff"])
        for table in every:
            want = [{"id": row, **{r.name: values[r.name] for r in table.refs}}
                    for row, values in left[table.name].items()]
            assert found(db, table) == want, (table.name, about)
            table.rows = left[table.name]
        assert told(dry) == counts, about
        assert told(live) == counts, about


@pytest.mark.parametrize("seed", SEEDS[::5])
def test_G1_J7_random_graph_beside_locked_rows(db, pgsweep, policy_file, seed):
    """What goes, goes whole; what stays is a candidate that may need a locked row. It goes once nothing is locked."""
    rng = random.Random(1000 + seed)
    tables = make_layers(rng)
    shared, hanging = make_shared(rng, tables)
    every = [*tables, *shared, *hanging]
    fill(rng, every)
    build(db, rng, every)
    init(pgsweep)
    entries = listed(every)
    transaction, chunk = rng.choice(["row", "chunk"]), rng.choice([1, 3, "auto"])
    directory = policy_file(policy(ROOT, dependents=entries, transaction=transaction))
    args = ("test", "--policy-dir", directory, "--chunk", chunk)
    holder, locked = lock_some(db, rng, every)
    about = (entries, transaction, chunk, locked)
    for number in range(2):
        may_go = candidates(tables, [])
        result = pgsweep(*args, "--format=json")
        report = result.json()
        gone = set(tables[0].rows) - {row["id"] for row in found(db, tables[0])}
        left, counts = without(tables, shared, hanging, gone)
        kept = may_go - gone
        assert gone <= may_go and result.code == report["exit_code"] == (1 if kept else 0), (number, kept, about, result)
        assert (report["failed"], report["left_locked"]) == (0, len(kept)), (number, kept, about, result)
        for row in kept:
            assert number == 0 and within_reach(every, row) & locked, (number, row, about)
        for table in every:
            want = [{"id": row, **{r.name: values[r.name] for r in table.refs}} for row, values in left[table.name].items()]
            assert found(db, table) == want, (number, table.name, about)
            table.rows = left[table.name]
        counted = told(report)
        if kept:
            # A detached row counts with the last candidate that it refers to, which may be one that stays.
            assert not counted - counts, (number, about)
            counts, counted = ({k: n for k, n in c.items() if k[1] == "delete"} for c in (counts, counted))
        assert counted == counts, (number, about)
        holder.rollback()
    assert db.count("pgsweep.dead_letters") == 0
