-- Questions about the catalog that a plan asks once its tables are known.

--- inheritance
-- Which of these tables are partitions or children of others, at any depth: a row of one is a row
-- of the other.
WITH RECURSIVE above AS (
    SELECT i.inhrelid AS child, i.inhparent AS parent
      FROM pg_catalog.pg_inherits AS i
     WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
    UNION
    SELECT a.child, i.inhparent
      FROM above AS a
      JOIN pg_catalog.pg_inherits AS i ON i.inhrelid OPERATOR(pg_catalog.=) a.parent
)
SELECT DISTINCT a.child, a.parent
  FROM above AS a
 WHERE a.parent OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])

--- cascades
-- The tables in which ON DELETE CASCADE deletes exactly the rows that refer to deleted rows of the
-- root, and the session counts them. $1: root, $2: tables that refer to it, $3: all tables of the
-- plan.
WITH RECURSIVE touched AS (
    SELECT t.oid
      FROM pg_catalog.unnest($3::pg_catalog.oid[]) AS t(oid)
     UNION
    SELECT i.inhrelid
      FROM touched AS t
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) t.oid
)
SELECT d.oid
  FROM pg_catalog.unnest($2::pg_catalog.oid[]) AS d(oid)
  -- The session must count the rows that it deletes, and keep the number until the transaction
  -- ends.
 WHERE pg_catalog.current_setting('track_counts') OPERATOR(pg_catalog.=) 'on'
   AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 OPERATOR(pg_catalog.<) 190000
   AND pg_catalog.has_function_privilege('pg_catalog.pg_stat_get_xact_tuples_deleted(pg_catalog.oid)'::pg_catalog.text,
                                         'EXECUTE'::pg_catalog.text)
  -- It counts rows deleted from heaps; each row belongs to this table itself, and the role sees all
  -- rows.
   AND NOT EXISTS (
       SELECT
         FROM pg_catalog.pg_class AS c
        WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY[$1::pg_catalog.oid, d.oid])
          AND (c.relkind OPERATOR(pg_catalog.<>) 'r'
               OR c.relpersistence OPERATOR(pg_catalog.=) 't'
               OR c.relrowsecurity
               OR NOT EXISTS (
                  SELECT
                    FROM pg_catalog.pg_am AS a
                   WHERE a.oid OPERATOR(pg_catalog.=) c.relam
                     AND a.amhandler OPERATOR(pg_catalog.=) 'pg_catalog.heap_tableam_handler'::pg_catalog.regproc)
               OR EXISTS (
                  SELECT
                    FROM pg_catalog.pg_inherits AS i
                   WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid
                      OR i.inhparent OPERATOR(pg_catalog.=) c.oid)))
  -- No trigger or rule of a table of the plan keeps or deletes rows, or depends on their order.
   AND NOT EXISTS (
       SELECT
         FROM touched AS t
         JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) t.oid
        WHERE NOT g.tgisinternal
          AND g.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[])
          AND (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 24) OPERATOR(pg_catalog.<>) 0)
   AND NOT EXISTS (
       SELECT
         FROM touched AS t
         JOIN pg_catalog.pg_rewrite AS w ON w.ev_class OPERATOR(pg_catalog.=) t.oid
        WHERE w.ev_type OPERATOR(pg_catalog.=) ANY (ARRAY['2', '4']::pg_catalog."char"[])
          AND w.ev_enabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[]))
  -- Nothing refers to the dependent rows, and no row of the root refers to another.
   AND NOT EXISTS (
       SELECT
         FROM pg_catalog.pg_constraint AS f
        WHERE f.contype OPERATOR(pg_catalog.=) 'f'
          AND (f.confrelid OPERATOR(pg_catalog.=) d.oid
               OR (f.confrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
                   AND f.conrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid)))
  -- There is one foreign key between them, and it acts at once: another one could refuse the
  -- deletion.
   AND 1 OPERATOR(pg_catalog.=) (
       SELECT pg_catalog.count(*)
         FROM pg_catalog.pg_constraint AS f
        WHERE f.contype OPERATOR(pg_catalog.=) 'f'
          AND f.conrelid OPERATOR(pg_catalog.=) d.oid
          AND f.confrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid)
   AND EXISTS (
       SELECT
         FROM pg_catalog.pg_constraint AS f
         JOIN pg_catalog.pg_trigger AS g ON g.tgconstraint OPERATOR(pg_catalog.=) f.oid
        WHERE f.contype OPERATOR(pg_catalog.=) 'f'
          AND f.conrelid OPERATOR(pg_catalog.=) d.oid
          AND f.confrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
          AND f.confdeltype OPERATOR(pg_catalog.=) 'c'
          AND f.convalidated
          AND NOT f.condeferrable
          AND g.tgrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
          AND g.tgfoid OPERATOR(pg_catalog.=) 'pg_catalog."RI_FKey_cascade_del"'::pg_catalog.regproc
          AND g.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[]))
