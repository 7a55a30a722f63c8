-- policy tokens: the statements of a run, in their order; none of them was run
-- table public.tokens, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (dependents, objects or directories go with the candidates), along age and key (index
-- tokens_created_at_idx)

-- count (dry run)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE old_0_tokens AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."product_id", t."entity_id",
           pgsweep_g.pgsweep_guard,
           NULL::pg_catalog.text AS pgsweep_label
      FROM "public"."tokens" AS t
     CROSS JOIN LATERAL (
           SELECT CASE
                      WHEN (t.submitted_at IS NOT NULL) IS NOT FALSE THEN 1
                      ELSE 0
                  END AS pgsweep_guard
           OFFSET 0) AS pgsweep_g
     WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."product_id", t."entity_id", 0, NULL::pg_catalog.text
       FROM "public"."tokens" AS t
      WHERE (SELECT false)
      LIMIT 3000)
),
going_0_tokens AS MATERIALIZED (
    SELECT b.*
      FROM old_0_tokens AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
),
going_1_relationships AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row, d."entity_id"
      FROM "public"."relationships" AS d
     WHERE EXISTS (
           SELECT FROM going_0_tokens AS p
            WHERE p."product_id" OPERATOR(pg_catalog.=) d."product_id"
              AND p."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
              AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
       AND NOT EXISTS (
           SELECT FROM "public"."tokens" AS p
            WHERE p."product_id" OPERATOR(pg_catalog.=) d."product_id"
              AND p."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
              AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
              AND NOT EXISTS (
                  SELECT FROM going_0_tokens AS g
                   WHERE g.pgsweep_row OPERATOR(pg_catalog.=) p.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) p.tableoid))
),
linked_2_entities AS MATERIALIZED (
    SELECT b.tableoid AS pgsweep_table, b.ctid AS pgsweep_row, b."id"
      FROM "public"."entities" AS b
     WHERE EXISTS (
           SELECT FROM going_0_tokens AS l
            WHERE b."id" OPERATOR(pg_catalog.=) l."entity_id"
              AND l."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
    UNION
    SELECT b.tableoid AS pgsweep_table, b.ctid AS pgsweep_row, b."id"
      FROM "public"."entities" AS b
     WHERE EXISTS (
           SELECT FROM going_1_relationships AS l
            WHERE b."id" OPERATOR(pg_catalog.=) l."entity_id"
              AND l."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
),
kept_by_1_2_entities AS MATERIALIZED (
    SELECT b.*
      FROM linked_2_entities AS b
     WHERE EXISTS (
           SELECT FROM public.tokens AS u
            WHERE b."id" OPERATOR(pg_catalog.=) u."entity_id"
              AND u."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
              AND NOT EXISTS (
                  SELECT FROM going_0_tokens AS g
                   WHERE g.pgsweep_row OPERATOR(pg_catalog.=) u.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) u.tableoid)
           )
),
kept_by_2_2_entities AS MATERIALIZED (
    SELECT b.*
      FROM linked_2_entities AS b
     WHERE EXISTS (
           SELECT FROM public.relationships AS u
            WHERE b."id" OPERATOR(pg_catalog.=) u."entity_id"
              AND u."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
              AND NOT EXISTS (
                  SELECT FROM going_1_relationships AS g
                   WHERE g.pgsweep_row OPERATOR(pg_catalog.=) u.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) u.tableoid)
           )
),
going_2_entities AS MATERIALIZED (
    SELECT b.*
      FROM linked_2_entities AS b
     WHERE NOT EXISTS (
           SELECT FROM kept_by_1_2_entities AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       AND NOT EXISTS (
           SELECT FROM kept_by_2_2_entities AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 0 AS kind, b.pgsweep_guard AS number, 0 AS use, b.pgsweep_label AS label, pg_catalog.count(*) AS rows
         FROM old_0_tokens AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.>) 0
        GROUP BY 2, 4
       UNION ALL
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_tokens AS b
       UNION ALL
       SELECT 1 AS kind, 1 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_1_relationships AS b
       UNION ALL
       SELECT 1 AS kind, 2 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_2_entities AS b
       UNION ALL
       SELECT 2 AS kind, 2 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM linked_2_entities AS b
        WHERE NOT EXISTS (
              SELECT FROM going_2_entities AS g
               WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       UNION ALL
       SELECT 3 AS kind, 2 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM kept_by_1_2_entities AS b
       UNION ALL
       SELECT 3 AS kind, 2 AS number, 1 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM kept_by_2_2_entities AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- count (before the first chunk)
-- Counts the rows that are old enough by what spares them, in one scan, where nothing but the candidates is counted.
-- kind 0: spared, by guard and label; 1: the candidates. OFFSET: the planner does not see through to the table, where
-- it would expect as many groups as rows, and sort them.
-- $1 cutoff
SELECT CASE WHEN c.number OPERATOR(pg_catalog.>) 0 THEN 0 ELSE 1 END AS kind,
       c.number,
       0 AS use,
       c.label,
       c.rows
  FROM (
       SELECT g.pgsweep_guard AS number,
              NULL::pg_catalog.text AS label,
              g.rows
         FROM (
              SELECT s.pgsweep_guard,
                     pg_catalog.count(*) AS rows
                FROM (
                     SELECT CASE
                                WHEN (t.submitted_at IS NOT NULL) IS NOT FALSE THEN 1
                                ELSE 0
                            END AS pgsweep_guard
                       FROM "public"."tokens" AS t
                      WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
                     OFFSET 0
                     ) AS s
               GROUP BY 1
              ) AS g
       ) AS c
 ORDER BY c.number, c.rows DESC, c.label;

-- begin (first chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (first chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."tokens", "public"."relationships", "public"."entities" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (first chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_first (first chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."token"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."created_at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."token"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."created_at", t."token"
          FROM "public"."tokens" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND NOT (t.submitted_at IS NOT NULL)
         ORDER BY t."created_at", t."token"
         LIMIT $2::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

-- begin (each later chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (each later chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."tokens", "public"."relationships", "public"."entities" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (each later chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_next (each later chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, token), $4 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."token"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."created_at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."token"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."created_at", t."token"
          FROM "public"."tokens" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND NOT (t.submitted_at IS NOT NULL)
           AND (t."created_at", t."token") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.text)
           AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
         ORDER BY t."created_at", t."token"
         LIMIT $4::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

-- find_locked (a chunk that has met a locked row)
-- Finds what another session has locked of what hangs on the candidates, and locks the rest: the number of the table
-- in the plan, or 0 for a candidate that can go now. The others are tried again at the end of the run.
-- $1 keys of the candidates (token)
SELECT t."token"::pg_catalog.text,
       CASE
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."relationships" AS d
                  WHERE t."product_id" OPERATOR(pg_catalog.=) d."product_id"
                    AND t."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
                    AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."relationships" AS d
                          WHERE t."product_id" OPERATOR(pg_catalog.=) d."product_id"
                            AND t."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
                            AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 1
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."entities" AS d
                  WHERE ((d."id" OPERATOR(pg_catalog.=) t."entity_id"
                          AND t."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
                         OR EXISTS (
                             SELECT FROM public.relationships AS l1
                              WHERE t."product_id" OPERATOR(pg_catalog.=) l1."product_id"
                                AND t."entity_id" OPERATOR(pg_catalog.=) l1."entity_id"
                                AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                                AND d."id" OPERATOR(pg_catalog.=) l1."entity_id"
                                AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')))
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."entities" AS d
                          WHERE ((d."id" OPERATOR(pg_catalog.=) t."entity_id"
                                  AND t."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
                                 OR EXISTS (
                                     SELECT FROM public.relationships AS l1
                                      WHERE t."product_id" OPERATOR(pg_catalog.=) l1."product_id"
                                        AND t."entity_id" OPERATOR(pg_catalog.=) l1."entity_id"
                                        AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                                        AND d."id" OPERATOR(pg_catalog.=) l1."entity_id"
                                        AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''))
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 2
           ELSE 0
       END AS locked
  FROM "public"."tokens" AS t
 WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]);

-- work_0_lock_rows (each chunk)
-- public.relationships: Locks dependent rows before anything reads them: nothing can refer to them or change them
-- before they are deleted.
-- $1 keys of the candidates (token)
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM "public"."relationships" AS d
         WHERE d."product_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
               SELECT t."product_id"
                 FROM "public"."tokens" AS t
                WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
           AND d."entity_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
               SELECT t."entity_id"
                 FROM "public"."tokens" AS t
                WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
           AND (d."product_id", d."entity_id") OPERATOR(pg_catalog.=) ANY (
               SELECT t."product_id", t."entity_id"
                 FROM "public"."tokens" AS t
                WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
           AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
           AND NOT EXISTS (
               SELECT FROM "public"."tokens" AS t
                WHERE t."product_id" OPERATOR(pg_catalog.=) d."product_id"
                  AND t."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
                  AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                  AND (t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) IS NOT TRUE)
           FOR UPDATE OF d) AS locked;

-- work_1_collect (each chunk)
-- public.entities: Locks the shared rows that the rows in hand refer to, and remembers them.
-- $1 keys of the candidates (token)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o2_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."entities" AS s
         WHERE (s."id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                    SELECT t."entity_id"
                      FROM public.tokens AS t
                     WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
                       AND t."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''))
                OR s."id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                    SELECT l1."entity_id"
                      FROM public.relationships AS l1
                     WHERE l1."product_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                           SELECT t."product_id"
                             FROM "public"."tokens" AS t
                            WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
                       AND l1."entity_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                           SELECT t."entity_id"
                             FROM "public"."tokens" AS t
                            WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
                       AND (l1."product_id", l1."entity_id") OPERATOR(pg_catalog.=) ANY (
                           SELECT t."product_id", t."entity_id"
                             FROM "public"."tokens" AS t
                            WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
                       AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                       AND NOT EXISTS (
                           SELECT FROM "public"."tokens" AS t
                            WHERE t."product_id" OPERATOR(pg_catalog.=) l1."product_id"
                              AND t."entity_id" OPERATOR(pg_catalog.=) l1."entity_id"
                              AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
                              AND (t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) IS NOT TRUE)
                       AND l1."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')))
         ORDER BY s."id"
           FOR UPDATE OF s) AS shared;

-- work_2_remember (each chunk)
-- public.relationships: Remembers the values by which other rows may refer to these, or they to others: for the last
-- look before COMMIT.
-- $1 keys of the candidates (token)
SELECT pg_catalog.set_config('pgsweep.r0',
                             coalesce(pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array(d."product_id"::pg_catalog.text, d."entity_id"::pg_catalog.text))::pg_catalog.text,
                                      '[]'), true)
  FROM "public"."relationships" AS d
 WHERE d."product_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t."product_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
   AND d."entity_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t."entity_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
   AND (d."product_id", d."entity_id") OPERATOR(pg_catalog.=) ANY (
       SELECT t."product_id", t."entity_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
   AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
   AND NOT EXISTS (
       SELECT FROM "public"."tokens" AS t
        WHERE t."product_id" OPERATOR(pg_catalog.=) d."product_id"
          AND t."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
          AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
          AND (t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) IS NOT TRUE);

-- work_3_change (each chunk)
-- public.relationships: Deletes or changes dependent rows.
-- $1 keys of the candidates (token)
DELETE FROM "public"."relationships" AS d
 WHERE d."product_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t."product_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
   AND d."entity_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t."entity_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])))
   AND (d."product_id", d."entity_id") OPERATOR(pg_catalog.=) ANY (
       SELECT t."product_id", t."entity_id"
         FROM "public"."tokens" AS t
        WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]))
   AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
   AND NOT EXISTS (
       SELECT FROM "public"."tokens" AS t
        WHERE t."product_id" OPERATOR(pg_catalog.=) d."product_id"
          AND t."entity_id" OPERATOR(pg_catalog.=) d."entity_id"
          AND d."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
          AND (t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) IS NOT TRUE);

-- work_4_delete_root (each chunk)
-- public.tokens: Deletes the candidates.
-- $1 keys of the candidates (token)
DELETE FROM "public"."tokens" AS t
 WHERE t."token" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]);

-- work_5_narrow (each chunk)
-- public.entities: Keeps of the remembered shared rows those that nothing refers to any more.
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o2_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."entities" AS s
         WHERE s."id" OPERATOR(pg_catalog.=) ANY ((
               SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o2_0', true) OPERATOR(pg_catalog.<>) ''
                           THEN pg_catalog.current_setting('pgsweep.o2_0', true)
                           ELSE '{}'
                      END::pg_catalog.text[])::pg_catalog.text[])
           AND NOT EXISTS (
               SELECT FROM public.tokens AS u2
                WHERE s."id" OPERATOR(pg_catalog.=) u2."entity_id"
                  AND u2."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')
           AND NOT EXISTS (
               SELECT FROM public.relationships AS u2
                WHERE s."id" OPERATOR(pg_catalog.=) u2."entity_id"
                  AND u2."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '')) AS shared;

-- work_6_remember (each chunk)
-- public.entities: Remembers the values by which other rows may refer to these, or they to others: for the last look
-- before COMMIT.
SELECT pg_catalog.set_config('pgsweep.r1',
                             coalesce(pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array(d."id"::pg_catalog.text))::pg_catalog.text,
                                      '[]'), true)
  FROM "public"."entities" AS d
 WHERE d."id" OPERATOR(pg_catalog.=) ANY ((
       SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o2_0', true) OPERATOR(pg_catalog.<>) ''
                   THEN pg_catalog.current_setting('pgsweep.o2_0', true)
                   ELSE '{}'
              END::pg_catalog.text[])::pg_catalog.text[]);

-- work_7_remember (each chunk)
-- public.entities: Remembers the values by which other rows may refer to these, or they to others: for the last look
-- before COMMIT.
SELECT pg_catalog.set_config('pgsweep.r2',
                             coalesce(pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array(d."id"::pg_catalog.text))::pg_catalog.text,
                                      '[]'), true)
  FROM "public"."entities" AS d
 WHERE d."id" OPERATOR(pg_catalog.=) ANY ((
       SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o2_0', true) OPERATOR(pg_catalog.<>) ''
                   THEN pg_catalog.current_setting('pgsweep.o2_0', true)
                   ELSE '{}'
              END::pg_catalog.text[])::pg_catalog.text[]);

-- work_8_delete_orphans (each chunk)
-- public.entities: Deletes the shared rows that nothing refers to any more.
DELETE FROM "public"."entities" AS d
 WHERE d."id" OPERATOR(pg_catalog.=) ANY ((
       SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o2_0', true) OPERATOR(pg_catalog.<>) ''
                   THEN pg_catalog.current_setting('pgsweep.o2_0', true)
                   ELSE '{}'
              END::pg_catalog.text[])::pg_catalog.text[]);

-- work_9_look_added (each chunk)
-- public.tokens: Fails if another session has added a row that refers to what is deleted here, or that still needs it.
-- No constraint stands behind this reference, so nothing else would notice.
SELECT CASE WHEN NOT EXISTS (
            SELECT FROM pg_catalog.jsonb_array_elements(
                            pg_catalog.current_setting('pgsweep.r0')::pg_catalog.jsonb) AS r(v)
              JOIN "public"."tokens" AS a
                ON a."product_id" OPERATOR(pg_catalog.=) (r.v OPERATOR(pg_catalog.->>) 0)::pg_catalog.int4
               AND a."entity_id" OPERATOR(pg_catalog.=) (r.v OPERATOR(pg_catalog.->>) 1)::pg_catalog.text
               AND (r.v OPERATOR(pg_catalog.->>) 1) OPERATOR(pg_catalog.<>) '') THEN 0
            ELSE pg_catalog.concat('added ', pg_catalog.now())::pg_catalog.int4
       END;

-- work_10_look_added (each chunk)
-- public.tokens: Fails if another session has added a row that refers to what is deleted here, or that still needs it.
-- No constraint stands behind this reference, so nothing else would notice.
SELECT CASE WHEN NOT EXISTS (
            SELECT FROM pg_catalog.jsonb_array_elements(
                            pg_catalog.current_setting('pgsweep.r1')::pg_catalog.jsonb) AS r(v)
              JOIN public.tokens AS a
                ON (r.v OPERATOR(pg_catalog.->>) 0)::pg_catalog.text OPERATOR(pg_catalog.=) a."entity_id"
               AND a."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '') THEN 0
            ELSE pg_catalog.concat('added ', pg_catalog.now())::pg_catalog.int4
       END;

-- work_11_look_added (each chunk)
-- public.relationships: Fails if another session has added a row that refers to what is deleted here, or that still
-- needs it. No constraint stands behind this reference, so nothing else would notice.
SELECT CASE WHEN NOT EXISTS (
            SELECT FROM pg_catalog.jsonb_array_elements(
                            pg_catalog.current_setting('pgsweep.r2')::pg_catalog.jsonb) AS r(v)
              JOIN public.relationships AS a
                ON (r.v OPERATOR(pg_catalog.->>) 0)::pg_catalog.text OPERATOR(pg_catalog.=) a."entity_id"
               AND a."entity_id"::pg_catalog.text OPERATOR(pg_catalog.<>) '') THEN 0
            ELSE pg_catalog.concat('added ', pg_catalog.now())::pg_catalog.int4
       END;

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
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[]) LIMIT 3))
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'tokens'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
