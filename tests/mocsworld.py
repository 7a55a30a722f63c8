"""MOCs with files, lists, bricks, images, albums and uploads, and what must hold of them after a sweep."""
TABLES = ("moc_instructions", "moc_files", "moc_parts_lists", "moc_parts", "moc_gallery_images",
          "moc_gallery_albums", "upload_sessions")
# Of every MOC: 2 files, 2 lists with 3 bricks each, 1 link to the album, 1 upload.
EACH = {"public.moc_files": 2, "public.moc_parts_lists": 2, "public.moc_parts": 6,
        "public.moc_gallery_albums": 1, "public.upload_sessions": 1}


class Mocs:
    """add() makes MOCs; images are linked by the numbers given."""

    def __init__(self, db, pgsweep):
        self.db, self.pgsweep = db, pgsweep
        db.load("mocs")
        db.sql("INSERT INTO gallery_albums VALUES (1, 'all')")
        assert pgsweep("init").code == 0

    def add(self, *ids, deleted="40 days", images=()):
        """MOCs that were deleted this long ago (None: not at all), with these images."""
        db = self.db
        for moc in ids:
            db.sql("INSERT INTO moc_instructions VALUES (%s, 'm', 'thumb/' || %s, now() - %s::interval)",
                   moc, moc, deleted)
            db.sql("INSERT INTO moc_files (moc_id, s3_key) SELECT %s, 'f/' || n FROM generate_series(1, 2) n;"
                   "INSERT INTO upload_sessions (moc_instruction_id) VALUES (%s);"
                   "INSERT INTO moc_gallery_albums VALUES (%s, 1)", moc, moc, moc)
            db.sql("WITH lists AS (INSERT INTO moc_parts_lists (moc_id) VALUES (%s), (%s) RETURNING id)"
                   " INSERT INTO moc_parts (parts_list_id) SELECT id FROM lists, generate_series(1, 3)",
                   moc, moc)
            self.link(moc, *images)
        return self

    def link(self, moc, *images):
        for image in images:
            self.db.sql("INSERT INTO gallery_images VALUES (%s, 'i/' || %s, 't/' || %s)"
                        " ON CONFLICT DO NOTHING", image, image, image)
            self.db.sql("INSERT INTO moc_gallery_images VALUES (%s, %s)", moc, image)

    def left(self):
        return self.db.column("SELECT id FROM moc_instructions ORDER BY id")

    def images(self):
        return self.db.column("SELECT id FROM gallery_images ORDER BY id")

    def check_whole(self):
        """What is there has all that hangs on it, what is gone nothing, and no brick is lost."""
        db, left = self.db, len(self.left())
        assert db.column("SELECT moc_id FROM moc_files GROUP BY 1 HAVING count(*) = 2 ORDER BY 1") == self.left()
        assert db.column("SELECT moc_id FROM moc_parts_lists GROUP BY 1 HAVING count(*) = 2 ORDER BY 1") == \
            self.left()
        assert db.column("SELECT moc_id FROM moc_gallery_albums ORDER BY 1") == self.left()
        assert db.column("SELECT moc_instruction_id FROM upload_sessions WHERE moc_instruction_id IS NOT NULL"
                         " ORDER BY 1") == self.left()
        assert db.count("gallery_albums") == 1
        assert db.count("moc_parts", "parts_list_id IS NOT NULL AND status = 'used'") == 6 * left
        assert db.count("moc_parts", "(parts_list_id IS NULL) <> (status = 'available')") == 0
        assert db.count("moc_parts") == 6 * db.count("upload_sessions")

    def recorded(self):
        """What all runs together recorded, by table."""
        rows = self.db.sql("SELECT key, sum(value::int8)::int8 FROM pgsweep.runs, jsonb_each_text(deleted)"
                           " GROUP BY 1")
        return {table: rows for table, rows in rows if rows}

    def gone(self, before):
        """What is gone, or detached, since before = self.state(), by table."""
        now = self.state()
        return {table: before[table] - now[table] for table in before if before[table] != now[table]}

    def state(self):
        """The rows of each table; of those that stay, the ones that refer to something."""
        where = {"moc_parts": "parts_list_id IS NOT NULL",
                 "upload_sessions": "moc_instruction_id IS NOT NULL"}
        return {f"public.{table}": self.db.count(table, where.get(table, "true"))
                for table in (*TABLES, "gallery_images")}


def expected(mocs, images=0, links=0):
    """The counts of a report after that many MOCs are gone."""
    counts = {"public.moc_instructions": mocs, **{table: n * mocs for table, n in EACH.items()}}
    return {**counts, "public.gallery_images": images, "public.moc_gallery_images": links}


def rows(report):
    """Rows by table, of all tables that the run acted on."""
    return {entry["table"]: entry["rows"] for entry in report["tables"]
            if entry["action"] not in ("keep", "ignore")}
