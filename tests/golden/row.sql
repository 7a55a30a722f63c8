-- policy row: the statements of a run, in their order; none of them was run
-- table public.items, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (one transaction for each candidate), along age and key (index items_created_at)

-- count (dry run)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE going_0_items AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id"
      FROM "public"."items" AS t
     WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id"
       FROM "public"."items" AS t
      WHERE (SELECT false)
      LIMIT 1000)
),
going_1_parts AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."parts" AS d
     WHERE EXISTS (
           SELECT FROM going_0_items AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."item_id")
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_items AS b
       UNION ALL
       SELECT 1 AS kind, 1 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_1_parts AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- count (before the first chunk)
-- Counts the candidates where nothing spares any.
-- $1 cutoff
SELECT pg_catalog.count(*)
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz;

-- list_first (first chunk)
-- Lists the next candidates; each is locked in a transaction of its own.
-- $1 cutoff, $2 rows of the chunk
SELECT t."created_at"::pg_catalog.text, t."id"::pg_catalog.text,
       t."id"::pg_catalog.text
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
 ORDER BY t."created_at", t."id"
 LIMIT $2::pg_catalog.int8;

-- list_next (each later chunk)
-- Lists the next candidates; each is locked in a transaction of its own.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 rows of the chunk
SELECT t."created_at"::pg_catalog.text, t."id"::pg_catalog.text,
       t."id"::pg_catalog.text
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
 ORDER BY t."created_at", t."id"
 LIMIT $4::pg_catalog.int8;

-- find_locked (a chunk that has met a locked row)
-- Finds what another session has locked of what hangs on the candidates, and locks the rest: the number of the table
-- in the plan, or 0 for a candidate that can go now. The others are tried again at the end of the run.
-- $1 keys of the candidates (id)
SELECT t."id"::pg_catalog.text,
       CASE
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."parts" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."item_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."parts" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."item_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 1
           ELSE 0
       END AS locked
  FROM "public"."items" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- begin (each candidate)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (each candidate)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."items", "public"."parts" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (each candidate)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_row (each candidate)
-- Locks the candidate. Fails if it is gone or if another session has locked it. (The cast of a text that is no number
-- is the plainest way to fail in SQL.)
-- $1 key of the candidate (id)
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN 1
            ELSE pg_catalog.concat('locked ', pg_catalog.count(*))::pg_catalog.int4
       END
  FROM (SELECT
          FROM "public"."items" AS t
         WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF t SKIP LOCKED) AS locked;

-- verify_row (each candidate)
-- Evaluates the conditions again now that the row is locked: fails if it is no candidate any more.
-- $1 cutoff, $2 keys of the candidates (id)
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN 1
            ELSE pg_catalog.concat('candidates ', pg_catalog.count(*))::pg_catalog.int4
       END
  FROM "public"."items" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int8[])
   AND t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz;

-- work_0_change (each candidate)
-- public.parts: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."parts" AS d
     WHERE d."item_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n1',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n1', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_1_delete_root (each candidate)
-- public.items: Deletes the candidates.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."items" AS t
     WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n0',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_2_assert (each candidate)
-- public.items: Fails unless all candidates of the transaction were deleted: a trigger or rule may have kept one.
-- $1 how many candidates
SELECT CASE WHEN pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8 OPERATOR(pg_catalog.=) $1::pg_catalog.int8 THEN 0
            ELSE pg_catalog.concat('only ', pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8, ' rows')::pg_catalog.int4
       END;

-- work_3_record (each candidate)
-- Adds the transaction and what its statements counted to the record of the run.
-- $1 run id, $2 tables, $3 their numbers in the plan
UPDATE pgsweep.runs AS r
   SET chunks = r.chunks OPERATOR(pg_catalog.+) 1,
       last_chunk = pg_catalog.clock_timestamp(),
       deleted = r.deleted OPERATOR(pg_catalog.||) (
           SELECT pg_catalog.jsonb_object_agg(
                      n.label,
                      coalesce((r.deleted OPERATOR(pg_catalog.->>) n.label)::pg_catalog.int8, 0)
                      OPERATOR(pg_catalog.+)
                      pg_catalog.concat('0', pg_catalog.current_setting(pg_catalog.concat('pgsweep.n', n.node),
                                                                        true))::pg_catalog.int8)
             FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]),
                             pg_catalog.unnest($3::pg_catalog.int4[])) AS n(label, node))
 WHERE r.ctid OPERATOR(pg_catalog.=) (SELECT n.ctid
                                          FROM pgsweep.runs AS n
                                         WHERE n.run_id OPERATOR(pg_catalog.>=) $1::pg_catalog.text
                                           AND n.run_id OPERATOR(pg_catalog.<=) $1::pg_catalog.text
                                         ORDER BY n.run_id DESC
                                         LIMIT 1)
   AND r.run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text;

-- work_4_check_plan (each candidate)
-- Fails if the tables of the plan are not what they were when it was made.
-- $1 tables of the plan, $2 its fingerprint
SELECT CASE WHEN pg_catalog.concat_ws('/',
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(c.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_class AS c
                       WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'
                         AND c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(g.oid::pg_catalog.int8),
                                                       pg_catalog.sum(g.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_trigger AS g
                       WHERE g.oid IS NOT NULL
                         AND g.tgrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.sum(f.xmin::pg_catalog.text::pg_catalog.int8)
                        FROM pg_catalog.pg_trigger AS g
                        JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) g.tgfoid
                       WHERE NOT g.tgisinternal
                         AND g.tgrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(r.oid::pg_catalog.int8),
                                                       pg_catalog.sum(r.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_rewrite AS r
                       WHERE r.rulename OPERATOR(pg_catalog.<>) '_RETURN'
                         AND r.ev_class OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(i.inhrelid::pg_catalog.int8))
                        FROM pg_catalog.pg_inherits AS i
                       WHERE i.inhseqno OPERATOR(pg_catalog.>) 0
                         AND i.inhparent OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(x.indexrelid::pg_catalog.int8))
                        FROM pg_catalog.pg_index AS x
                       WHERE x.indisvalid
                         AND x.indrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[])))
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_attribute AS a
                       WHERE a.attnum OPERATOR(pg_catalog.>) 0
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[]) LIMIT 2))
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'row'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each candidate)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
