-- The WAL that a run writes, and the space that it leaves free in the files of its tables. Only
-- statistics and the catalog are read: no table is opened, so nothing waits for a lock.

--- marks
-- The values that are compared at the end of the run: columns that begin_run returns. $14: the oids
-- of all tables of the plan and of their partitions.
pg_catalog.pg_backend_pid() AS backend,
pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text AS wal_position,
{session_wal} AS session_wal,
runs.xmin::pg_catalog.text AS began,
(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
            c.oid,
            (c.relpages OPERATOR(pg_catalog.+) coalesce(toast.relpages, 0))::pg_catalog.int8
            OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::pg_catalog.int8,
            c.reltuples::pg_catalog.int8,
            pg_catalog.pg_stat_get_tuples_deleted(c.oid)
            OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_tuples_updated(c.oid)))
   FROM pg_catalog.pg_class AS c
   LEFT JOIN pg_catalog.pg_class AS toast
     ON toast.oid OPERATOR(pg_catalog.=) c.reltoastrelid
  WHERE c.oid OPERATOR(pg_catalog.=) ANY ($14::pg_catalog.oid[])
    AND c.relkind OPERATOR(pg_catalog.=) 'r') AS tables

--- session_wal
-- The WAL that this session alone has written, in bytes (PostgreSQL 18).
(SELECT w.wal_bytes FROM pg_catalog.pg_stat_get_backend_wal(pg_catalog.pg_backend_pid()) AS w)

--- flush
-- Writes the numbers of this session to the statistics, which the next statements read (PostgreSQL
-- 15).
SELECT pg_catalog.pg_stat_force_next_flush()

--- nothing
-- Replaces a statement that this server version does not support.
SELECT

--- wal
-- The WAL written since the run began: by the whole server, and by this session if it is still the
-- same one.
-- $1: position, $2: backend and $3: WAL of the session, as they were when the run began.
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), $1::pg_catalog.pg_lsn)::pg_catalog.int8 AS server,
       CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) $2::pg_catalog.int4
            THEN ({session_wal} OPERATOR(pg_catalog.-) $3::pg_catalog.numeric)::pg_catalog.int8 END AS session

--- tables
-- For each table or partition in which the run deleted or changed rows: how many (if known), their
-- size, and whether VACUUM has run since. The rows of a partitioned table are divided among its
-- partitions in proportion to their statistics.
-- $1: oids of the tables of the plan, $2: rows deleted and $3: rows changed in each, $4: the tables
-- when the run began, $5: when that was.
WITH RECURSIVE asked AS (
    SELECT a.oid,
           pg_catalog.sum(a.deleted) AS deleted,
           pg_catalog.sum(a.changed) AS changed
      FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                      pg_catalog.unnest($2::pg_catalog.int8[]),
                      pg_catalog.unnest($3::pg_catalog.int8[])) AS a(oid, deleted, changed)
     GROUP BY a.oid
),
tree AS (
    SELECT a.oid AS root, a.oid
      FROM asked AS a
     WHERE (a.deleted OPERATOR(pg_catalog.+) a.changed) OPERATOR(pg_catalog.>) 0
     UNION
    SELECT t.root, i.inhrelid
      FROM tree AS t
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) t.oid
),
began AS (
    SELECT (m.value OPERATOR(pg_catalog.->>) 0)::pg_catalog.oid AS oid,
           (m.value OPERATOR(pg_catalog.->>) 1)::pg_catalog.int8 AS bytes,
           (m.value OPERATOR(pg_catalog.->>) 2)::pg_catalog.int8 AS rows,
           (m.value OPERATOR(pg_catalog.->>) 3)::pg_catalog.int8 AS touched
      FROM pg_catalog.jsonb_array_elements($4::pg_catalog.jsonb) AS m(value)
),
leaf AS (
    SELECT t.root, c.oid, c.relname, c.relnamespace, c.relispartition, c.reloptions,
           b.bytes, b.rows,
           greatest(pg_catalog.pg_stat_get_tuples_deleted(c.oid)
                    OPERATOR(pg_catalog.+) pg_catalog.pg_stat_get_tuples_updated(c.oid)
                    OPERATOR(pg_catalog.-) b.touched, 0)::pg_catalog.numeric AS touched
      FROM tree AS t
      JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.oid
      LEFT JOIN began AS b ON b.oid OPERATOR(pg_catalog.=) t.oid
     WHERE c.relkind OPERATOR(pg_catalog.=) 'r'
),
part AS (
    SELECT l.*,
           CASE WHEN pg_catalog.count(*) OVER (PARTITION BY l.root) OPERATOR(pg_catalog.=) 1 THEN 1
                WHEN pg_catalog.sum(l.touched) OVER (PARTITION BY l.root) OPERATOR(pg_catalog.>) 0
                THEN l.touched OPERATOR(pg_catalog./) pg_catalog.sum(l.touched) OVER (PARTITION BY l.root)
           END AS part
      FROM leaf AS l
),
own AS (
    SELECT p.oid, p.relname, p.relnamespace, p.relispartition, p.reloptions, p.bytes, p.rows,
           pg_catalog.round(pg_catalog.sum(a.deleted OPERATOR(pg_catalog.*) p.part))::pg_catalog.int8 AS deleted,
           pg_catalog.round(pg_catalog.sum(a.changed OPERATOR(pg_catalog.*) p.part))::pg_catalog.int8 AS changed
      FROM part AS p
      JOIN asked AS a ON a.oid OPERATOR(pg_catalog.=) p.root
     GROUP BY p.oid, p.relname, p.relnamespace, p.relispartition, p.reloptions, p.bytes, p.rows
)
SELECT pg_catalog.format('%I.%I', n.nspname, o.relname) AS label,
       o.relispartition AS partition,
       o.deleted,
       CASE WHEN v.since THEN least(o.deleted OPERATOR(pg_catalog.+) o.changed,
                                    pg_catalog.pg_stat_get_dead_tuples(o.oid))
            ELSE o.deleted OPERATOR(pg_catalog.+) o.changed END AS dead,
       v.since AS vacuumed,
       CASE WHEN o.rows OPERATOR(pg_catalog.>) 0 AND o.bytes OPERATOR(pg_catalog.>) 0 THEN o.bytes END AS bytes,
       CASE WHEN o.rows OPERATOR(pg_catalog.>) 0 THEN o.rows END AS rows,
       pg_catalog.current_setting('autovacuum')::pg_catalog.bool
           AND pg_catalog.current_setting('track_counts')::pg_catalog.bool
           AND coalesce((SELECT x.option_value::pg_catalog.bool
                           FROM pg_catalog.pg_options_to_table(o.reloptions) AS x
                          WHERE x.option_name OPERATOR(pg_catalog.=) 'autovacuum_enabled'), true) AS autovacuum
  FROM own AS o
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) o.relnamespace
 CROSS JOIN LATERAL (
       SELECT coalesce(greatest(pg_catalog.pg_stat_get_last_vacuum_time(o.oid),
                                pg_catalog.pg_stat_get_last_autovacuum_time(o.oid))
                       OPERATOR(pg_catalog.>) $5::pg_catalog.timestamptz, false) AS since) AS v
 WHERE (o.deleted OPERATOR(pg_catalog.+) o.changed) OPERATOR(pg_catalog.>) 0
 ORDER BY o.deleted DESC, label

--- holder
-- The holder of a snapshot from before the run, because of which VACUUM cannot remove the deleted
-- rows: the oldest that this role may see. $1: transaction that began the run.
SELECT h.who
  FROM (SELECT pg_catalog.concat('session ', a.pid, ' (', a.application_name, ')'), a.backend_xmin
          FROM pg_catalog.pg_stat_activity AS a
         WHERE a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
           AND a.backend_xmin IS NOT NULL
           AND a.backend_type OPERATOR(pg_catalog.<>) 'autovacuum worker'
           AND (a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                OR a.backend_type OPERATOR(pg_catalog.=) 'walsender')
         UNION ALL
        SELECT pg_catalog.concat('replication slot ', s.slot_name), s.xmin
          FROM pg_catalog.pg_replication_slots AS s
         WHERE s.xmin IS NOT NULL
         UNION ALL
        SELECT pg_catalog.concat('prepared transaction ', p.gid), p.transaction
          FROM pg_catalog.pg_prepared_xacts AS p
         WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()) AS h(who, xmin)
 WHERE pg_catalog.age(h.xmin) OPERATOR(pg_catalog.>=) pg_catalog.age($1::pg_catalog.xid)
 ORDER BY pg_catalog.age(h.xmin) DESC
 LIMIT 1
