"""Random schemas, rows, ages and chunk sizes: what is left is what one plain SQL statement says.

The seeds are fixed; a failure names its seed, which is all that is needed to see it again."""
import random

import pytest

from sweeping import init, policy, rows, run, spared

CUTOFF = "2026-05-05 12:00:00+00"
KEYS = {"int": "n - 20", "text": "chr(64 + n % 60) || '\\,\"' || n", "uuid": "md5(n::text)::uuid",
        "numeric": "n / 3.0", "timestamptz": "timestamptz 'epoch' + n * interval '1 s'"}
AGES = ["timestamptz", "timestamp", "date"]
ACTIONS = ["delete", "detach", "keep", "none"]


class World:
    """A root table r, dependents c0, c1..., perhaps dependents g0... of those."""

    def __init__(self, seed, strategy):
        self.random = random.Random(f"{seed} {strategy}")
        choose = self.random.choice
        self.age = choose(AGES)
        self.width = choose([1, 1, 2, 3])
        self.keys = [choose(list(KEYS)) for _ in range(self.width)]
        self.count = choose([0, 1, 7, 60, 200])
        self.chunk = choose([1, 2, 7, 50, 1000])
        if self.count == 200:
            self.chunk = max(self.chunk, 7)
        self.index = choose(["", "CREATE INDEX ON r (at);", "CREATE INDEX ON r (at, k0);"])
        self.where = choose([None, "t.n % 7 <> 3", "nullif(t.n % 3, 1) = 0 OR t.flag"])
        self.guard = choose([None, "t.flag", "t.n % 5 = 0 AND t.flag IS NOT TRUE"])
        # Each dependent: (action, of the dependent before it instead of the root).
        self.dependents = [] if strategy == "range" else [
            choose(ACTIONS[:3]) for _ in range(choose([1, 2, 3]))]
        self.nested = bool(self.dependents) and self.dependents[0] == "delete" and choose([True, False])

    def sql(self):
        names = [f"k{i}" for i in range(self.width)]
        columns = ", ".join(f"{n} {k} NOT NULL" for n, k in zip(names, self.keys))
        # Only the first column tells rows apart, so that others repeat.
        values = ", ".join(f"{KEYS[k]}" if i == 0 else f"(SELECT {KEYS[k]} FROM (SELECT n % 3 AS n) x)"
                           for i, k in enumerate(self.keys))
        text = (f"CREATE TABLE r ({columns}, at {self.age}, n int UNIQUE, flag boolean,"
                f" PRIMARY KEY ({', '.join(names)}));{self.index}"
                f"INSERT INTO r SELECT {values}, CASE WHEN n % 11 = 0 THEN NULL"
                f" ELSE (timestamptz '{CUTOFF}' - (n % 6 - 2) * interval '1 day') AT TIME ZONE 'UTC' END,"
                f" n, CASE n % 4 WHEN 0 THEN true WHEN 1 THEN NULL ELSE false END"
                f" FROM generate_series(1, {self.count}) n;")
        for i, _ in enumerate(self.dependents):
            text += (f"CREATE TABLE c{i} (id serial PRIMARY KEY, {columns.replace(' NOT NULL', '')}, n int,"
                     f" FOREIGN KEY ({', '.join(names)}) REFERENCES r);"
                     f"INSERT INTO c{i} ({', '.join(names)}, n) SELECT {', '.join(names)}, n FROM r,"
                     f" generate_series(1, n % {i + 3});")
        if self.nested:
            text += ("CREATE TABLE g (id serial PRIMARY KEY, c_id int REFERENCES c0);"
                     "INSERT INTO g (c_id) SELECT id FROM c0, generate_series(1, id % 3);")
        return text

    def policy(self):
        dependents = [{"table": f"c{i}", "action": action} for i, action in enumerate(self.dependents)]
        if self.nested:
            dependents.append({"table": "g", "action": "detach"})
        return policy("r", where=self.where, chunk=self.chunk, dependents=dependents,
                      guards=[{"name": "g", "unless": self.guard}] if self.guard else [])

    def eligible(self):
        """The condition of those that should go, written without any of pgsweep's SQL."""
        local = {"timestamptz": f"timestamptz '{CUTOFF}'", "timestamp": f"timestamp '{CUTOFF[:19]}'",
                 "date": f"date '{CUTOFF[:10]}'"}[self.age]
        parts = [f"t.at < {local}"]
        if self.where:
            parts.append(f"coalesce({self.where}, false)")
        if self.guard:
            parts.append(f"NOT coalesce({self.guard}, true)")
        for i, action in enumerate(self.dependents):
            if action == "keep":
                parts.append(f"t.n NOT IN (SELECT n FROM c{i} WHERE k0 IS NOT NULL)")
        return " AND ".join(f"({part})" for part in parts)


@pytest.mark.parametrize("strategy", ["range", "locked"])
@pytest.mark.parametrize("block", range(3))
def test_survivors_are_what_plain_sql_says(db, pgsweep, policy_file, strategy, block):
    init(pgsweep)
    for seed in range(block * 8, block * 8 + 8):
        world = World(seed, strategy)
        db.sql(world.sql())
        gone = db.column(f"SELECT n FROM r t WHERE {world.eligible()}")
        expected = {"r": db.column("SELECT n FROM r WHERE n <> ALL (%s) ORDER BY n", gone)}
        counts = {"public.r": len(gone)}
        for i, action in enumerate(world.dependents):
            hit = db.count(f"c{i}", "n = ANY (%s)", gone)
            total = db.count(f"c{i}")
            expected[f"c{i}"] = (total - hit if action == "delete" else total, hit if action == "detach" else 0)
            if action != "keep":
                counts[f"public.c{i}"] = hit
        if world.nested:
            hit = db.count("g", "c_id IN (SELECT id FROM c0 WHERE n = ANY (%s))", gone)
            expected["g"] = (db.count("g"), hit)
            counts["public.g"] = hit
        args = ("--policy-dir", policy_file(world.policy()), "--cutoff", CUTOFF)
        dry = run(pgsweep, "test", "--dry-run", *args)
        live = run(pgsweep, "test", *args)
        left = {"r": db.column("SELECT n FROM r ORDER BY n")}
        for i, _ in enumerate(world.dependents):
            left[f"c{i}"] = (db.count(f"c{i}"), db.count(f"c{i}", "k0 IS NULL"))
        if world.nested:
            left["g"] = (db.count("g"), db.count("g", "c_id IS NULL"))
        assert left == expected, f"seed {seed}: {vars(world)}"
        assert rows(dry) == rows(live) == counts, f"seed {seed}: {vars(world)}"
        assert (spared(dry), dry["eligible"]) == (spared(live), live["eligible"]), f"seed {seed}"
        assert live["strategy"] == ("locked" if world.dependents else "range"), f"seed {seed}"
        assert rows(run(pgsweep, "test", *args))["public.r"] == 0, f"seed {seed}"
        db.sql("DROP TABLE r CASCADE" + "".join(f"; DROP TABLE c{i} CASCADE" for i in range(len(world.dependents)))
               + ("; DROP TABLE g" if world.nested else ""))
