-- policy orphans: the statements of a run, in their order; none of them was run
-- table public.items, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (dependents, objects or directories go with the candidates), along age and key (index
-- items_created_at)

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
),
going_2_shown AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row, d."image_id"
      FROM "public"."shown" AS d
     WHERE EXISTS (
           SELECT FROM going_0_items AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."item_id")
),
linked_3_images AS MATERIALIZED (
    SELECT b.tableoid AS pgsweep_table, b.ctid AS pgsweep_row, b."id"
      FROM "public"."images" AS b
     WHERE EXISTS (
           SELECT FROM going_2_shown AS l
            WHERE b."id" OPERATOR(pg_catalog.=) l."image_id")
),
kept_by_1_3_images AS MATERIALIZED (
    SELECT b.*
      FROM linked_3_images AS b
     WHERE EXISTS (
           SELECT FROM public.shown AS u
            WHERE b."id" OPERATOR(pg_catalog.=) u."image_id"
              AND NOT EXISTS (
                  SELECT FROM going_2_shown AS g
                   WHERE g.pgsweep_row OPERATOR(pg_catalog.=) u.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) u.tableoid)
           )
),
going_3_images AS MATERIALIZED (
    SELECT b.*
      FROM linked_3_images AS b
     WHERE NOT EXISTS (
           SELECT FROM kept_by_1_3_images AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_items AS b
       UNION ALL
       SELECT 1 AS kind, 1 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_1_parts AS b
       UNION ALL
       SELECT 1 AS kind, 2 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_2_shown AS b
       UNION ALL
       SELECT 1 AS kind, 3 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_3_images AS b
       UNION ALL
       SELECT 2 AS kind, 3 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM linked_3_images AS b
        WHERE NOT EXISTS (
              SELECT FROM going_3_images AS g
               WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       UNION ALL
       SELECT 3 AS kind, 3 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM kept_by_1_3_images AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- count (before the first chunk)
-- Counts the candidates where nothing spares any.
-- $1 cutoff
SELECT pg_catalog.count(*)
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz;

-- begin (first chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (first chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."items", "public"."parts", "public"."shown", "public"."images" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (first chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_first (first chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."created_at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."id"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."created_at", t."id"
          FROM "public"."items" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
         ORDER BY t."created_at", t."id"
         LIMIT $2::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

-- begin (each later chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (each later chunk)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."items", "public"."parts", "public"."shown", "public"."images" IN ROW EXCLUSIVE MODE NOWAIT;

-- limit_waits (each later chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- lock_next (each later chunk)
-- Locks the next candidates; rows that another session has locked are left for a later pass. Answers how many there
-- are, their keys as arrays, and the last one's cursor: of the others that is not made text.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 rows of the chunk
SELECT pg_catalog.count(*),
       pg_catalog.array_agg(t."id"::pg_catalog.text)::pg_catalog.text,
       (pg_catalog.array_agg(t."created_at"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text,
       (pg_catalog.array_agg(t."id"))[pg_catalog.count(*)::pg_catalog.int4]::pg_catalog.text
  FROM (SELECT t."created_at", t."id"
          FROM "public"."items" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
           AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
         ORDER BY t."created_at", t."id"
         LIMIT $4::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t;

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
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."shown" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."item_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."shown" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."item_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 2
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."images" AS d
                  WHERE EXISTS (
                        SELECT FROM public.shown AS l2
                         WHERE t."id" OPERATOR(pg_catalog.=) l2."item_id"
                           AND d."id" OPERATOR(pg_catalog.=) l2."image_id"))
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."images" AS d
                          WHERE EXISTS (
                                SELECT FROM public.shown AS l2
                                 WHERE t."id" OPERATOR(pg_catalog.=) l2."item_id"
                                   AND d."id" OPERATOR(pg_catalog.=) l2."image_id")
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 3
           ELSE 0
       END AS locked
  FROM "public"."items" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_0_lock_rows (each chunk)
-- public.shown: Locks dependent rows before anything reads them: nothing can refer to them or change them before they
-- are deleted.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM "public"."shown" AS d
         WHERE d."item_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF d) AS locked;

-- work_1_collect (each chunk)
-- public.images: Locks the shared rows that the rows in hand refer to, and remembers them.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o3_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."images" AS s
         WHERE s."id" OPERATOR(pg_catalog.=) ANY (ARRAY(
               SELECT l2."image_id"
                 FROM public.shown AS l2
                WHERE l2."item_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])))
         ORDER BY s."id"
           FOR UPDATE OF s) AS shared;

-- work_2_change (each chunk)
-- public.parts: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
DELETE FROM "public"."parts" AS d
 WHERE d."item_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_3_change (each chunk)
-- public.shown: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
DELETE FROM "public"."shown" AS d
 WHERE d."item_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_4_delete_root (each chunk)
-- public.items: Deletes the candidates.
-- $1 keys of the candidates (id)
DELETE FROM "public"."items" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_5_narrow (each chunk)
-- public.images: Keeps of the remembered shared rows those that nothing refers to any more.
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o3_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."images" AS s
         WHERE s."id" OPERATOR(pg_catalog.=) ANY ((
               SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o3_0', true) OPERATOR(pg_catalog.<>) ''
                           THEN pg_catalog.current_setting('pgsweep.o3_0', true)
                           ELSE '{}'
                      END::pg_catalog.int8[])::pg_catalog.int8[])
           AND NOT EXISTS (
               SELECT FROM public.shown AS u3
                WHERE s."id" OPERATOR(pg_catalog.=) u3."image_id")) AS shared;

-- work_6_queue (each chunk)
-- public.images: Puts the names of stored objects into the queue, before their rows are deleted.
-- $1 run id, $2 policy, $3 where the name was found, $4 kind, $5 root of directories, $6 what stays in directories, $7
-- store, $8 bucket of a value that names none, $9 what its key must begin with
INSERT INTO pgsweep.object_queue (run_id, policy, source, kind, root, rules, endpoint, bucket, prefixes, value)
SELECT $1::pg_catalog.text,
       $2::pg_catalog.text,
       $3::pg_catalog.text,
       $4::pg_catalog.text,
       $5::pg_catalog.text,
       $6::pg_catalog.text,
       $7::pg_catalog.text,
       $8::pg_catalog.text,
       $9::pg_catalog.text[],
       v.value
  FROM (
      SELECT d."s3_key"::pg_catalog.text AS value
        FROM "public"."images" AS d
       WHERE d."s3_key"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
         AND d."id" OPERATOR(pg_catalog.=) ANY ((
             SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o3_0', true) OPERATOR(pg_catalog.<>) ''
                         THEN pg_catalog.current_setting('pgsweep.o3_0', true)
                         ELSE '{}'
                    END::pg_catalog.int8[])::pg_catalog.int8[])
  ) AS v;

-- work_7_delete_orphans (each chunk)
-- public.images: Deletes the shared rows that nothing refers to any more.
DELETE FROM "public"."images" AS d
 WHERE d."id" OPERATOR(pg_catalog.=) ANY ((
       SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o3_0', true) OPERATOR(pg_catalog.<>) ''
                   THEN pg_catalog.current_setting('pgsweep.o3_0', true)
                   ELSE '{}'
              END::pg_catalog.int8[])::pg_catalog.int8[]);

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
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[]) LIMIT 4))
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'orphans'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
