"""A table of old and new items, with or without parts that hang on them, and what must hold of it.

The strategy is the planner's: without parts it sweeps ranges, with parts it locks first; "rows" is the latter with
a transaction for each item, "cascade" leaves the parts to their foreign key.
"""
import re

from harness import wait_until

STRATEGIES = ("range", "locked", "cascade")
DELETES_ITEMS = '^WITH gone AS .DELETE FROM "public"."items"'
REMAINING = "count.*FROM .SELECT FROM .* LIMIT"  # what is left, counted after each pass
ITEMS = """
    CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text);
    CREATE INDEX items_created_at ON items (created_at)"""
PARTS = """
    CREATE TABLE parts (id bigint PRIMARY KEY, item_id bigint NOT NULL REFERENCES items);
    CREATE INDEX parts_item_id ON parts (item_id)"""
# The foreign key deletes the parts, no statement does.
CASCADING = "dependents:\n  - { table: parts, action: delete }\n"
POLICY = "table: items\nage: created_at\nretain: 7 days\n"
# The guard looks beyond the row, so that the second look under lock takes place.
DEPENDENTS = "guards:\n  - { name: held, unless: EXISTS (SELECT FROM parts p WHERE p.item_id = t.id AND p.id < 0) }\n" \
             "dependents:\n  - { table: parts, action: delete }\n"


class World:
    """20 (old) expired items, 5 fresh ones from 1001 on; two parts of each unless the strategy is "range"."""

    def __init__(self, db, pgsweep, policy_file, strategy, old=20, extra="", fresh=5):
        self.db, self.strategy, self.runner = db, strategy, pgsweep
        self.locked = strategy != "range"
        extra += "transaction: row\n" if strategy == "rows" else ""
        self.old, self.fresh = old, fresh
        self.policy = POLICY + extra + ({"range": "", "cascade": CASCADING}.get(strategy, DEPENDENTS))
        self.policy_file = policy_file
        self.directory = policy_file(self.policy, strategy)
        self.env = {"PGSWEEP_TEST_DISTANCE": "far"}  # as through a network: the fewest round trips
        db.sql(ITEMS)
        if self.locked:
            db.sql(PARTS.replace("REFERENCES items", "REFERENCES items ON DELETE CASCADE") if strategy == "cascade" else PARTS)
        self.fill(range(1, old + 1), "30 days")
        self.fill(range(1001, 1001 + fresh), "1 day")
        assert pgsweep("init").code == 0

    def fill(self, ids, age):
        self.db.sql("INSERT INTO items SELECT i, now() - %s::interval - i * interval '1 second'"
                    " FROM unnest(%s::bigint[]) AS i", age, list(ids))
        if self.locked:
            self.db.sql("INSERT INTO parts SELECT i * 2 + k, i FROM unnest(%s::bigint[]) AS i,"
                        " generate_series(0, 1) AS k", list(ids))

    def args(self, *args):
        return (self.strategy, "--policy-dir", self.directory, "--format=json", *args)

    def run(self, *args, chunk=8, **kwargs):
        return self.runner(*self.args(f"--chunk={chunk}", *args), env=self.env, **kwargs)

    def start(self, *args, chunk=8):
        return self.runner.start(*self.args(f"--chunk={chunk}", *args), env=self.env)

    def through(self, proxy):
        self.env |= {"PGHOST": proxy.host, "PGPORT": proxy.port}
        return self

    def left(self):
        """The expired items that are still there."""
        return self.db.column("SELECT id FROM items WHERE id <= 1000 ORDER BY id")

    def gone(self):
        return self.old - len(self.left())

    def check_data(self):
        """Nothing but expired items went, and no part without its item or the other way round."""
        assert self.db.count("items", "id > 1000") == self.fresh
        if self.locked:
            assert self.db.column("SELECT i.id FROM items i LEFT JOIN parts p ON p.item_id = i.id"
                                  " GROUP BY i.id HAVING count(p.id) <> 2") == []

    def check(self, result, left=(), code=0, failed=0):
        """The run's effect, its report, its record and its exit code tell the same."""
        report = result.json()
        assert self.left() == sorted(left), result
        self.check_data()
        gone = self.old - len(left)
        assert (result.code, report["exit_code"]) == (code, code), result
        assert report["deleted"] == gone, result
        assert {t["table"]: t["rows"] for t in report["tables"]
                if t["action"] != "ignore"} == self.expected(gone), result
        assert report["failed"] == failed == len(report["failures"]), result
        row = self.db.sql("SELECT deleted, outcome, failed, chunks FROM pgsweep.runs"
                          " WHERE run_id = %s", report["run_id"])[0]
        assert row[0] == self.expected(gone), row
        assert row[1:] == (report["outcome"], failed, report["chunks"]), (row, result)
        return report

    def expected(self, gone):
        return {"public.items": gone, **({"public.parts": 2 * gone} if self.locked else {})}

    def recorded(self):
        """What all runs together recorded as deleted items."""
        return self.db.value("SELECT coalesce(sum((deleted ->> 'public.items')::int8), 0)::int8"
                             " FROM pgsweep.runs")

    def session(self):
        """The server process of the pgsweep that runs."""
        return wait_until(lambda: self.db.value(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'pgsweep/%%'",
            self.db.name), what="a session of pgsweep")

    def idle_in_transaction(self):
        return self.db.column("SELECT query FROM pg_stat_activity WHERE datname = %s AND"
                              " application_name LIKE 'pgsweep/%%' AND state LIKE 'idle in tr%%'",
                              self.db.name)

    def on_delete(self, items, body, name="refuse", when="BEFORE DELETE"):
        """A trigger of this name for these items, with this body in PL/pgSQL."""
        self.db.sql(f"""
            CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; RETURN OLD; END$$;
            CREATE {"CONSTRAINT" if "DEFERRED" in when else ""} TRIGGER {name} {when.replace("DELETE", "DELETE ON items", 1)}
                FOR EACH ROW WHEN (OLD.id = ANY ('{{{",".join(map(str, items))}}}')) EXECUTE FUNCTION {name}()""")

    def allow(self, name="refuse"):
        self.db.sql(f"DROP TRIGGER {name} ON items")

    def hang_on(self, item):
        """Deleting this item takes for ever."""
        self.on_delete([item], "PERFORM pg_sleep(600)", "hang")

    def refuse(self, items, message="must stay", sqlstate="P0001"):
        """Deleting one of these items is an error."""
        self.on_delete(items, f"RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'")

    def letters(self, columns="key[1]::int, state, attempts"):
        return self.db.sql(f"SELECT {columns} FROM pgsweep.dead_letters ORDER BY key[1]::int")


def failed_keys(report):
    return sorted(int(re.fullmatch(r"\(id\)=\((\d+)\)", f["key"]).group(1))
                  for f in report["failures"])
