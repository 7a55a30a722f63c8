-- The state schema as a whole: statements to create it (with the script state.sql), grant its use,
-- and check it.

--- begin
-- Begins the one transaction of the script, with a lock because two scripts at once would collide
-- at IF NOT EXISTS. The content of the schema is checked before anything in it is touched; from
-- here on nobody can create another schema of that name.
SELECT pg_catalog.pg_advisory_xact_lock({lock});
CREATE SCHEMA IF NOT EXISTS pgsweep

--- revoke
-- Revokes what an earlier version granted, which may be more than is needed.
REVOKE ALL ON pgsweep.state, pgsweep.runs, pgsweep.object_queue, pgsweep.object_sources, pgsweep.dead_letters, pgsweep.spared, pgsweep.locks FROM {role};

--- grant
-- Grants a role the use of the schema: what the program does there, and no more. It cannot delete
-- records of runs, and can update only those columns of a record that change during a run.
GRANT USAGE ON SCHEMA pgsweep TO {role};
GRANT SELECT ON pgsweep.state, pgsweep.runs, pgsweep.object_queue, pgsweep.object_sources, pgsweep.dead_letters, pgsweep.spared, pgsweep.locks TO {role};
GRANT INSERT (run_id, policy, mode, outcome, cutoff, retain, os_user, host, pid, version, finished, total, eligible, deleted, spared, error, policy_text),
      UPDATE (outcome, last_chunk, finished, deleted, failed, left_locked, chunks, error, waited_ms, waited, wal_bytes, wal_of, dead_rows,
              spared_late, left_by_limit, changed, arrived) ON pgsweep.runs TO {role};
GRANT INSERT, UPDATE, DELETE ON pgsweep.object_queue, pgsweep.object_sources, pgsweep.dead_letters TO {role};
GRANT INSERT, DELETE ON pgsweep.spared TO {role};
GRANT INSERT, UPDATE ON pgsweep.locks TO {role};
GRANT EXECUTE ON FUNCTION pgsweep.key_digest(pg_catalog.text[]), pgsweep.text_digest(pg_catalog.text),
      pgsweep.keep_locks(pg_catalog.text, pg_catalog.text[], pg_catalog.interval) TO {role};

--- version
-- The version of the schema.
SELECT s.version
  FROM pgsweep.state AS s

--- schema
-- Whether the schema exists, and whether this role may use it (NULL: it does not exist).
SELECT pg_catalog.to_regnamespace('pgsweep') IS NOT NULL AS present,
       CASE WHEN pg_catalog.to_regnamespace('pgsweep') IS NOT NULL
            THEN pg_catalog.has_schema_privilege('pgsweep', 'USAGE') END AS usable

--- tables
-- Whether this role may use the tables; no row: some tables are missing.
SELECT pg_catalog.has_table_privilege('pgsweep.state', 'SELECT')
   AND pg_catalog.has_table_privilege('pgsweep.runs', 'SELECT')
   AND pg_catalog.has_any_column_privilege('pgsweep.runs', 'INSERT')
   AND pg_catalog.has_any_column_privilege('pgsweep.runs', 'UPDATE')
   AND pg_catalog.has_table_privilege('pgsweep.object_queue', 'INSERT')
   AND pg_catalog.has_any_column_privilege('pgsweep.object_queue', 'UPDATE')
   AND pg_catalog.has_table_privilege('pgsweep.object_queue', 'DELETE')
   AND pg_catalog.has_table_privilege('pgsweep.object_sources', 'INSERT')
   AND pg_catalog.has_table_privilege('pgsweep.dead_letters', 'INSERT')
   AND pg_catalog.has_any_column_privilege('pgsweep.dead_letters', 'UPDATE')
   -- Missing before version 2; the check of the version reports that.
   AND coalesce(pg_catalog.has_table_privilege(s.oid, 'INSERT')
                AND pg_catalog.has_table_privilege(s.oid, 'SELECT')
                AND pg_catalog.has_table_privilege(s.oid, 'DELETE'), true)
   AND coalesce(pg_catalog.has_table_privilege(s.locks, 'INSERT')
                AND pg_catalog.has_table_privilege(s.locks, 'SELECT')
                AND pg_catalog.has_any_column_privilege(s.locks, 'UPDATE'), true)
  FROM (SELECT pg_catalog.to_regclass('pgsweep.spared')::pg_catalog.oid AS oid,
               pg_catalog.to_regclass('pgsweep.locks')::pg_catalog.oid AS locks
         WHERE pg_catalog.to_regclass('pgsweep.state') IS NOT NULL
           AND pg_catalog.to_regclass('pgsweep.runs') IS NOT NULL
           AND pg_catalog.to_regclass('pgsweep.object_queue') IS NOT NULL
           AND pg_catalog.to_regclass('pgsweep.object_sources') IS NOT NULL
           AND pg_catalog.to_regclass('pgsweep.dead_letters') IS NOT NULL) AS s
