"""MOCs with files, bricks and images in a database, and their objects in a real S3 server."""
import sys
from pathlib import Path

from harness import wait_until

sys.path.insert(0, str(Path(__file__).resolve().parent / "s3"))
from s3server import S3Server  # noqa: E402

__all__ = ["S3Server", "Mocs", "BUCKET"]
BUCKET = "media"


class Mocs:
    """Call add() for expired MOCs; run() sweeps them. env: what a run sees of the store."""

    def __init__(self, db, runner, s3=None):
        self.db, self.runner, self.s3 = db, runner, s3
        self.env = s3.environment() if s3 else {}
        db.load("mocs")
        assert runner("init").code == 0

    def add(self, moc, files=(), thumbnail=None, images=(), bricks=0, age="60 days", put=True):
        """A MOC soft-deleted that long ago (None: not at all); images: ids, or (id, url, thumbnail)."""
        sql = self.db.sql
        sql("INSERT INTO moc_instructions (id, thumbnail_url, deleted_at)"
            " VALUES (%s, %s, now() - %s::interval)", moc, thumbnail, age)
        sql("INSERT INTO moc_files (moc_id, s3_key) SELECT %s, k FROM unnest(%s::text[]) AS k", moc,
            list(files))
        if bricks:
            sql("WITH l AS (INSERT INTO moc_parts_lists (moc_id) VALUES (%s) RETURNING id)"
                " INSERT INTO moc_parts (parts_list_id) SELECT l.id FROM l, generate_series(1, %s)",
                moc, bricks)
        for image in images:
            image, *urls = image if isinstance(image, tuple) else (image,)
            if urls:
                sql("INSERT INTO gallery_images VALUES (%s, %s, %s)", image, *urls)
            sql("INSERT INTO moc_gallery_images VALUES (%s, %s)", moc, image)
        if put and self.s3:
            plain = [*files, thumbnail, *(u for i in images if isinstance(i, tuple) for u in i[1:])]
            for key in plain:
                if key and "//" not in key:
                    self.s3.put(BUCKET, key)

    def run(self, *args, code=0, env=None, **kwargs):
        """pgsweep mocs; the JSON report, with the Result as ["result"]. code None: any."""
        result = self.runner("mocs", "--format=json", *args, env={**self.env, **(env or {})}, **kwargs)
        assert code is None or result.code == code, result
        return {**result.json(), "result": result}

    def start(self, *args, env=None):
        return self.runner.start("mocs", "--format=json", *args, env={**self.env, **(env or {})})

    def drain(self, *args, code=0, env=None):
        result = self.runner("objects", "drain", "--format=json", *args, env={**self.env, **(env or {})})
        assert code is None or result.code == code, result
        return {**result.json(), "result": result}

    def refuse(self, *mocs, message="must stay"):
        """Deleting one of these MOCs is an error."""
        self.db.sql(f"""
            CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$BEGIN RAISE EXCEPTION USING MESSAGE = '{message}', ERRCODE = 'P0042'; END$$;
            DROP TRIGGER IF EXISTS refuse ON moc_instructions;
            CREATE TRIGGER refuse BEFORE DELETE ON moc_instructions FOR EACH ROW
                WHEN (OLD.id = ANY ('{{{",".join(map(str, mocs))}}}')) EXECUTE FUNCTION refuse()""")

    def allow(self):
        self.db.sql("DROP TRIGGER refuse ON moc_instructions")

    def left(self):
        return self.db.column("SELECT id FROM moc_instructions ORDER BY id")

    def keys(self):
        return self.s3.list(BUCKET)

    def queue(self, columns="value"):
        """What is in the queue: values, or tuples of these columns."""
        rows = self.db.sql(f"SELECT {columns} FROM pgsweep.object_queue ORDER BY value")
        return [row[0] for row in rows] if "," not in columns else rows

    def make_due(self):
        """Time passes."""
        self.db.sql("UPDATE pgsweep.object_queue SET next_attempt = now()")

    def letters(self, columns="key, state, attempts"):
        return self.db.sql(f"SELECT {columns} FROM pgsweep.dead_letters ORDER BY id")

    def wait_committed(self):
        """Until the rows are gone and their keys are queued."""
        wait_until(lambda: not self.left() and self.queue(), what="the commit")
