-- policy rows_below: the statements of a run, in their order; none of them was run
-- table public.posts, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (a condition looks beyond the candidate's own row), along age and key (index posts_at)

-- count (dry run)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE old_0_posts AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."parent", t."id",
           pgsweep_g.pgsweep_guard,
           NULL::pg_catalog.text AS pgsweep_label
      FROM "public"."posts" AS t
     CROSS JOIN LATERAL (
           SELECT CASE
                      WHEN false THEN 0
                      ELSE 0
                  END AS pgsweep_guard
           OFFSET 0) AS pgsweep_g
     WHERE t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."parent", t."id", 0, NULL::pg_catalog.text
       FROM "public"."posts" AS t
      WHERE (SELECT false)
      LIMIT 3000)
),
blocked_0_posts AS MATERIALIZED (
    SELECT b.pgsweep_table, b.pgsweep_row, b."parent", b."id"
      FROM old_0_posts AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
       AND EXISTS (
           SELECT FROM "public"."posts" AS c
            WHERE b."id" OPERATOR(pg_catalog.=) c."parent"
              AND NOT EXISTS (
                  SELECT FROM old_0_posts AS g
                   WHERE g.pgsweep_guard OPERATOR(pg_catalog.<) 1
                     AND g.pgsweep_row OPERATOR(pg_catalog.=) c.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) c.tableoid))
    UNION
    SELECT r.*
      FROM blocked_0_posts AS c
     CROSS JOIN LATERAL (
           SELECT p.tableoid AS pgsweep_table, p.ctid AS pgsweep_row, p."parent", p."id"
             FROM "public"."posts" AS p
            WHERE p."id" OPERATOR(pg_catalog.=) c."parent"
           OFFSET 0) AS r
),
going_0_posts AS MATERIALIZED (
    SELECT b.*
      FROM old_0_posts AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
       AND NOT EXISTS (
           SELECT FROM blocked_0_posts AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 0 AS kind, b.pgsweep_guard AS number, 0 AS use, b.pgsweep_label AS label, pg_catalog.count(*) AS rows
         FROM old_0_posts AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.>) 0
        GROUP BY 2, 4
       UNION ALL
       SELECT 0, 1, 0, NULL, pg_catalog.count(*)
         FROM old_0_posts AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
          AND NOT EXISTS (
              SELECT FROM going_0_posts AS g
               WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       UNION ALL
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_posts AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- count (before the first chunk)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE old_0_posts AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."parent", t."id",
           pgsweep_g.pgsweep_guard,
           NULL::pg_catalog.text AS pgsweep_label
      FROM "public"."posts" AS t
     CROSS JOIN LATERAL (
           SELECT CASE
                      WHEN false THEN 0
                      ELSE 0
                  END AS pgsweep_guard
           OFFSET 0) AS pgsweep_g
     WHERE t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."parent", t."id", 0, NULL::pg_catalog.text
       FROM "public"."posts" AS t
      WHERE (SELECT false)
      LIMIT 3000)
),
blocked_0_posts AS MATERIALIZED (
    SELECT b.pgsweep_table, b.pgsweep_row, b."parent", b."id"
      FROM old_0_posts AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
       AND EXISTS (
           SELECT FROM "public"."posts" AS c
            WHERE b."id" OPERATOR(pg_catalog.=) c."parent"
              AND NOT EXISTS (
                  SELECT FROM old_0_posts AS g
                   WHERE g.pgsweep_guard OPERATOR(pg_catalog.<) 1
                     AND g.pgsweep_row OPERATOR(pg_catalog.=) c.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) c.tableoid))
    UNION
    SELECT r.*
      FROM blocked_0_posts AS c
     CROSS JOIN LATERAL (
           SELECT p.tableoid AS pgsweep_table, p.ctid AS pgsweep_row, p."parent", p."id"
             FROM "public"."posts" AS p
            WHERE p."id" OPERATOR(pg_catalog.=) c."parent"
           OFFSET 0) AS r
),
going_0_posts AS MATERIALIZED (
    SELECT b.*
      FROM old_0_posts AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
       AND NOT EXISTS (
           SELECT FROM blocked_0_posts AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 0 AS kind, b.pgsweep_guard AS number, 0 AS use, b.pgsweep_label AS label, pg_catalog.count(*) AS rows
         FROM old_0_posts AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.>) 0
        GROUP BY 2, 4
       UNION ALL
       SELECT 0, 1, 0, NULL, pg_catalog.count(*)
         FROM old_0_posts AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
          AND NOT EXISTS (
              SELECT FROM going_0_posts AS g
               WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       UNION ALL
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_posts AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- begin (first chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (first chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."posts" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (first chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_first (first chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."id"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."at", t."id"
          FROM "public"."posts" AS t
         WHERE t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (EXISTS (
                   WITH RECURSIVE below AS (
                       SELECT d."id"
                         FROM "public"."posts" AS d
                        WHERE t."id" OPERATOR(pg_catalog.=) d."parent"
                       UNION
                       SELECT r.*
                         FROM below AS c
                        CROSS JOIN LATERAL (
                              SELECT d."id"
                                FROM "public"."posts" AS d
                               WHERE c."id" OPERATOR(pg_catalog.=) d."parent"
                              OFFSET 0) AS r
                   )
                   SELECT
                     FROM below AS b
                    CROSS JOIN LATERAL (
                          SELECT (t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz) AS pgsweep_candidate
                            FROM "public"."posts" AS t
                           WHERE t."id" OPERATOR(pg_catalog.=) b."id"
                          OFFSET 0) AS r
                    WHERE r.pgsweep_candidate IS NOT TRUE)) IS FALSE
         ORDER BY t."at", t."id"
         LIMIT $2::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

-- begin (each later chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (each later chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."posts" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (each later chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_next (each later chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (at, id), $4 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."id"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."at", t."id"
          FROM "public"."posts" AS t
         WHERE t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (EXISTS (
                   WITH RECURSIVE below AS (
                       SELECT d."id"
                         FROM "public"."posts" AS d
                        WHERE t."id" OPERATOR(pg_catalog.=) d."parent"
                       UNION
                       SELECT r.*
                         FROM below AS c
                        CROSS JOIN LATERAL (
                              SELECT d."id"
                                FROM "public"."posts" AS d
                               WHERE c."id" OPERATOR(pg_catalog.=) d."parent"
                              OFFSET 0) AS r
                   )
                   SELECT
                     FROM below AS b
                    CROSS JOIN LATERAL (
                          SELECT (t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz) AS pgsweep_candidate
                            FROM "public"."posts" AS t
                           WHERE t."id" OPERATOR(pg_catalog.=) b."id"
                          OFFSET 0) AS r
                    WHERE r.pgsweep_candidate IS NOT TRUE)) IS FALSE
           AND (t."at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
           AND t."at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
         ORDER BY t."at", t."id"
         LIMIT $4::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

-- lock_below (each chunk)
-- Locks the rows in hand and all rows below them, in the order of the key, so that two sweeps cannot wait for each
-- other in a circle. Answers how many there are, and their keys as arrays.
-- $1 keys of the candidates (id)
WITH RECURSIVE below AS (
    SELECT t."id"
      FROM "public"."posts" AS t
     WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    UNION
    SELECT r.*
      FROM below AS c
     CROSS JOIN LATERAL (
           SELECT d."id"
             FROM "public"."posts" AS d
            WHERE c."id" OPERATOR(pg_catalog.=) d."parent"
           OFFSET 0) AS r
)
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text
  FROM (SELECT *
          FROM below AS b
         ORDER BY b."id"
        OFFSET 0) AS b
 CROSS JOIN LATERAL (
       SELECT t."id"
         FROM "public"."posts" AS t
        WHERE t."id" OPERATOR(pg_catalog.=) b."id"
          FOR UPDATE OF t) AS t;

-- verify (each chunk)
-- Evaluates the conditions again now that the rows are locked: answers how many still are candidates, and their keys
-- as arrays.
-- $1 cutoff, $2 keys of the candidates (id)
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text
  FROM "public"."posts" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int8[])
   AND t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (EXISTS (
           WITH RECURSIVE below AS (
               SELECT d."id"
                 FROM "public"."posts" AS d
                WHERE t."id" OPERATOR(pg_catalog.=) d."parent"
               UNION
               SELECT r.*
                 FROM below AS c
                CROSS JOIN LATERAL (
                      SELECT d."id"
                        FROM "public"."posts" AS d
                       WHERE c."id" OPERATOR(pg_catalog.=) d."parent"
                      OFFSET 0) AS r
           )
           SELECT
             FROM below AS b
            CROSS JOIN LATERAL (
                  SELECT (t."at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz) AS pgsweep_candidate
                    FROM "public"."posts" AS t
                   WHERE t."id" OPERATOR(pg_catalog.=) b."id"
                  OFFSET 0) AS r
            WHERE r.pgsweep_candidate IS NOT TRUE)) IS FALSE;

-- work_0_delete_root (each chunk)
-- public.posts: Deletes the candidates.
-- $1 keys of the candidates (id)
DELETE FROM "public"."posts" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- record_counted (each chunk)
-- Adds the transaction and the numbers that pgsweep took from the command tags to the record of the run.
-- $1 run id, $2 tables, $3 rows of each
UPDATE pgsweep.runs AS r
   SET chunks = r.chunks OPERATOR(pg_catalog.+) 1,
       last_chunk = pg_catalog.clock_timestamp(),
       deleted = r.deleted OPERATOR(pg_catalog.||) (
           SELECT pg_catalog.jsonb_object_agg(
                      n.label,
                      coalesce((r.deleted OPERATOR(pg_catalog.->>) n.label)::pg_catalog.int8, 0)
                      OPERATOR(pg_catalog.+) n.rows)
             FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]),
                             pg_catalog.unnest($3::pg_catalog.int8[])) AS n(label, rows))
 WHERE r.ctid OPERATOR(pg_catalog.=) (SELECT n.ctid
                                          FROM pgsweep.runs AS n
                                         WHERE n.run_id OPERATOR(pg_catalog.>=) $1::pg_catalog.text
                                           AND n.run_id OPERATOR(pg_catalog.<=) $1::pg_catalog.text
                                         ORDER BY n.run_id DESC
                                         LIMIT 1)
   AND r.run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text;

-- check_plan (each chunk)
-- Fails if a table of the plan has got a foreign key, trigger, rule, partition, index, column or owner since the plan
-- was made, or if the policy has got its first parked or discarded dead letter, or has lost its last. The transaction
-- has locked the tables by now, so none can be added before it ends.
-- $1 tables of the plan, $2 its fingerprint
SELECT CASE WHEN pg_catalog.concat_ws('/',
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(c.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_class AS c
                       WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'
                         AND c.oid OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(g.oid::pg_catalog.int8),
                                                       pg_catalog.sum(g.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_trigger AS g
                       WHERE g.oid IS NOT NULL
                         AND g.tgrelid OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.sum(f.xmin::pg_catalog.text::pg_catalog.int8)
                        FROM pg_catalog.pg_trigger AS g
                        JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) g.tgfoid
                       WHERE NOT g.tgisinternal
                         AND g.tgrelid OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(r.oid::pg_catalog.int8),
                                                       pg_catalog.sum(r.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_rewrite AS r
                       WHERE r.rulename OPERATOR(pg_catalog.<>) '_RETURN'
                         AND r.ev_class OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(i.inhrelid::pg_catalog.int8))
                        FROM pg_catalog.pg_inherits AS i
                       WHERE i.inhseqno OPERATOR(pg_catalog.>) 0
                         AND i.inhparent OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(x.indexrelid::pg_catalog.int8))
                        FROM pg_catalog.pg_index AS x
                       WHERE x.indisvalid
                         AND x.indrelid OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     ),
                     (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8))
                        FROM pg_catalog.pg_attribute AS a
                       WHERE a.attnum OPERATOR(pg_catalog.>) 0
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY[(SELECT ($1::pg_catalog.oid[])[1])])
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'rows_below'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
