-- policy mocs: the statements of a run, in their order; none of them was run
-- table public.moc_instructions, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (one transaction for each candidate), along age and key (index moc_instructions_deleted_at)

-- count (dry run)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE going_0_moc_instructions AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id"
      FROM "public"."moc_instructions" AS t
     WHERE t."deleted_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id"
       FROM "public"."moc_instructions" AS t
      WHERE (SELECT false)
      LIMIT 1000)
),
going_1_moc_files AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."moc_files" AS d
     WHERE EXISTS (
           SELECT FROM going_0_moc_instructions AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."moc_id")
),
going_2_moc_gallery_albums AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."moc_gallery_albums" AS d
     WHERE EXISTS (
           SELECT FROM going_0_moc_instructions AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."moc_id")
),
going_3_moc_gallery_images AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row, d."gallery_image_id"
      FROM "public"."moc_gallery_images" AS d
     WHERE EXISTS (
           SELECT FROM going_0_moc_instructions AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."moc_id")
),
going_4_moc_parts_lists AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row, d."id"
      FROM "public"."moc_parts_lists" AS d
     WHERE EXISTS (
           SELECT FROM going_0_moc_instructions AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."moc_id")
),
losing_5_upload_sessions AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."upload_sessions" AS d
     WHERE EXISTS (
           SELECT FROM going_0_moc_instructions AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."moc_instruction_id")
),
losing_6_moc_parts AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."moc_parts" AS d
     WHERE EXISTS (
           SELECT FROM going_4_moc_parts_lists AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."parts_list_id")
),
linked_7_gallery_images AS MATERIALIZED (
    SELECT b.tableoid AS pgsweep_table, b.ctid AS pgsweep_row, b."id"
      FROM "public"."gallery_images" AS b
     WHERE EXISTS (
           SELECT FROM going_3_moc_gallery_images AS l
            WHERE b."id" OPERATOR(pg_catalog.=) l."gallery_image_id")
),
kept_by_1_7_gallery_images AS MATERIALIZED (
    SELECT b.*
      FROM linked_7_gallery_images AS b
     WHERE EXISTS (
           SELECT FROM public.moc_gallery_images AS u
            WHERE b."id" OPERATOR(pg_catalog.=) u."gallery_image_id"
              AND NOT EXISTS (
                  SELECT FROM going_3_moc_gallery_images AS g
                   WHERE g.pgsweep_row OPERATOR(pg_catalog.=) u.ctid
                     AND g.pgsweep_table OPERATOR(pg_catalog.=) u.tableoid)
           )
),
going_7_gallery_images AS MATERIALIZED (
    SELECT b.*
      FROM linked_7_gallery_images AS b
     WHERE NOT EXISTS (
           SELECT FROM kept_by_1_7_gallery_images AS g
            WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
              AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_moc_instructions AS b
       UNION ALL
       SELECT 1 AS kind, 1 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_1_moc_files AS b
       UNION ALL
       SELECT 1 AS kind, 2 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_2_moc_gallery_albums AS b
       UNION ALL
       SELECT 1 AS kind, 3 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_3_moc_gallery_images AS b
       UNION ALL
       SELECT 1 AS kind, 4 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_4_moc_parts_lists AS b
       UNION ALL
       SELECT 1 AS kind, 5 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM losing_5_upload_sessions AS b
       UNION ALL
       SELECT 1 AS kind, 6 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM losing_6_moc_parts AS b
       UNION ALL
       SELECT 1 AS kind, 7 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_7_gallery_images AS b
       UNION ALL
       SELECT 2 AS kind, 7 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM linked_7_gallery_images AS b
        WHERE NOT EXISTS (
              SELECT FROM going_7_gallery_images AS g
               WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)
       UNION ALL
       SELECT 3 AS kind, 7 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM kept_by_1_7_gallery_images AS b
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label;

-- count (before the first chunk)
-- Counts the candidates where nothing spares any.
-- $1 cutoff
SELECT pg_catalog.count(*)
  FROM "public"."moc_instructions" AS t
 WHERE t."deleted_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz;

-- list_first (first chunk)
-- Lists the next candidates; each is locked in a transaction of its own.
-- $1 cutoff, $2 rows of the chunk
SELECT t."deleted_at"::pg_catalog.text, t."id"::pg_catalog.text,
       t."id"::pg_catalog.text
  FROM "public"."moc_instructions" AS t
 WHERE t."deleted_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
 ORDER BY t."deleted_at", t."id"
 LIMIT $2::pg_catalog.int8;

-- list_next (each later chunk)
-- Lists the next candidates; each is locked in a transaction of its own.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (deleted_at, id), $4 rows of the chunk
SELECT t."deleted_at"::pg_catalog.text, t."id"::pg_catalog.text,
       t."id"::pg_catalog.text
  FROM "public"."moc_instructions" AS t
 WHERE t."deleted_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t."deleted_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."deleted_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
 ORDER BY t."deleted_at", t."id"
 LIMIT $4::pg_catalog.int8;

-- find_locked (a chunk that has met a locked row)
-- Finds what another session has locked of what hangs on the candidates, and locks the rest: the number of the table
-- in the plan, or 0 for a candidate that can go now. The others are tried again at the end of the run.
-- $1 keys of the candidates (id)
SELECT t."id"::pg_catalog.text,
       CASE
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."moc_files" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."moc_files" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 1
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."moc_gallery_albums" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."moc_gallery_albums" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 2
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."moc_gallery_images" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."moc_gallery_images" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 3
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."moc_parts_lists" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."moc_parts_lists" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."moc_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 4
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."upload_sessions" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."moc_instruction_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."upload_sessions" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."moc_instruction_id"
                            FOR NO KEY UPDATE OF d SKIP LOCKED) AS l) THEN 5
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."moc_parts" AS d
                  WHERE d."parts_list_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                        SELECT p4."id"
                          FROM "public"."moc_parts_lists" AS p4
                         WHERE t."id" OPERATOR(pg_catalog.=) p4."moc_id")))
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."moc_parts" AS d
                          WHERE d."parts_list_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
                                SELECT p4."id"
                                  FROM "public"."moc_parts_lists" AS p4
                                 WHERE t."id" OPERATOR(pg_catalog.=) p4."moc_id"))
                            FOR NO KEY UPDATE OF d SKIP LOCKED) AS l) THEN 6
           WHEN (SELECT pg_catalog.count(*)
                   FROM "public"."gallery_images" AS d
                  WHERE EXISTS (
                        SELECT FROM public.moc_gallery_images AS l3
                         WHERE t."id" OPERATOR(pg_catalog.=) l3."moc_id"
                           AND d."id" OPERATOR(pg_catalog.=) l3."gallery_image_id"))
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."gallery_images" AS d
                          WHERE EXISTS (
                                SELECT FROM public.moc_gallery_images AS l3
                                 WHERE t."id" OPERATOR(pg_catalog.=) l3."moc_id"
                                   AND d."id" OPERATOR(pg_catalog.=) l3."gallery_image_id")
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 7
           ELSE 0
       END AS locked
  FROM "public"."moc_instructions" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- begin (each candidate)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- lock_changed (each candidate)
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a
-- lock that had to become stronger later could meet a migration that waits for the row. It does not wait: another
-- session's ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE "public"."moc_instructions", "public"."moc_files", "public"."moc_gallery_albums", "public"."moc_gallery_images", "public"."moc_parts_lists", "public"."upload_sessions", "public"."moc_parts", "public"."gallery_images" IN ROW EXCLUSIVE MODE NOWAIT;

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
          FROM "public"."moc_instructions" AS t
         WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF t SKIP LOCKED) AS locked;

-- verify_row (each candidate)
-- Evaluates the conditions again now that the row is locked: fails if it is no candidate any more.
-- $1 cutoff, $2 keys of the candidates (id)
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN 1
            ELSE pg_catalog.concat('candidates ', pg_catalog.count(*))::pg_catalog.int4
       END
  FROM "public"."moc_instructions" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int8[])
   AND t."deleted_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz;

-- work_0_lock_rows (each candidate)
-- public.moc_parts_lists: Locks dependent rows before anything reads them: nothing can refer to them or change them
-- before they are deleted.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM "public"."moc_parts_lists" AS d
         WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF d) AS locked;

-- work_1_lock_rows (each candidate)
-- public.moc_gallery_images: Locks dependent rows before anything reads them: nothing can refer to them or change them
-- before they are deleted.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM "public"."moc_gallery_images" AS d
         WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF d) AS locked;

-- work_2_lock_rows (each candidate)
-- public.moc_files: Locks dependent rows before anything reads them: nothing can refer to them or change them before
-- they are deleted.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM "public"."moc_files" AS d
         WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
           FOR UPDATE OF d) AS locked;

-- work_3_collect (each candidate)
-- public.gallery_images: Locks the shared rows that the rows in hand refer to, and remembers them.
-- $1 keys of the candidates (id)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o7_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."gallery_images" AS s
         WHERE s."id" OPERATOR(pg_catalog.=) ANY (ARRAY(
               SELECT l3."gallery_image_id"
                 FROM public.moc_gallery_images AS l3
                WHERE l3."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])))
         ORDER BY s."id"
           FOR UPDATE OF s) AS shared;

-- work_4_queue (each candidate)
-- public.moc_instructions: Puts the names of stored objects into the queue, before their rows are deleted.
-- $1 keys of the candidates (id), $2 run id, $3 policy, $4 where the name was found, $5 kind, $6 root of directories,
-- $7 what stays in directories, $8 store, $9 bucket of a value that names none, $10 what its key must begin with
INSERT INTO pgsweep.object_queue (run_id, policy, source, kind, root, rules, endpoint, bucket, prefixes, value)
SELECT $2::pg_catalog.text,
       $3::pg_catalog.text,
       $4::pg_catalog.text,
       $5::pg_catalog.text,
       $6::pg_catalog.text,
       $7::pg_catalog.text,
       $8::pg_catalog.text,
       $9::pg_catalog.text,
       $10::pg_catalog.text[],
       v.value
  FROM (
      SELECT t."thumbnail_url"::pg_catalog.text AS value
        FROM "public"."moc_instructions" AS t
       WHERE t."thumbnail_url"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
         AND t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
  ) AS v;

-- work_5_queue (each candidate)
-- public.moc_files: Puts the names of stored objects into the queue, before their rows are deleted.
-- $1 keys of the candidates (id), $2 run id, $3 policy, $4 where the name was found, $5 kind, $6 root of directories,
-- $7 what stays in directories, $8 store, $9 bucket of a value that names none, $10 what its key must begin with
INSERT INTO pgsweep.object_queue (run_id, policy, source, kind, root, rules, endpoint, bucket, prefixes, value)
SELECT $2::pg_catalog.text,
       $3::pg_catalog.text,
       $4::pg_catalog.text,
       $5::pg_catalog.text,
       $6::pg_catalog.text,
       $7::pg_catalog.text,
       $8::pg_catalog.text,
       $9::pg_catalog.text,
       $10::pg_catalog.text[],
       v.value
  FROM (
      SELECT d."s3_key"::pg_catalog.text AS value
        FROM "public"."moc_files" AS d
       WHERE d."s3_key"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
         AND d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
  ) AS v;

-- work_6_change (each candidate)
-- public.moc_parts: Deletes or changes dependent rows.
-- $1 keys of the candidates (id), $2 value that the policy sets
WITH gone AS (
    UPDATE "public"."moc_parts" AS d
       SET "parts_list_id" = NULL,
           "status" = $2
     WHERE d."parts_list_id" OPERATOR(pg_catalog.=) ANY (ARRAY(
           SELECT p4."id"
             FROM "public"."moc_parts_lists" AS p4
            WHERE p4."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])))
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n6',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n6', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_7_change (each candidate)
-- public.upload_sessions: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    UPDATE "public"."upload_sessions" AS d
       SET "moc_instruction_id" = NULL
     WHERE d."moc_instruction_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n5',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n5', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_8_change (each candidate)
-- public.moc_files: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."moc_files" AS d
     WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n1',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n1', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_9_change (each candidate)
-- public.moc_gallery_albums: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."moc_gallery_albums" AS d
     WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n2',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n2', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_10_change (each candidate)
-- public.moc_gallery_images: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."moc_gallery_images" AS d
     WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n3',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n3', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_11_change (each candidate)
-- public.moc_parts_lists: Deletes or changes dependent rows.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."moc_parts_lists" AS d
     WHERE d."moc_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n4',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n4', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_12_delete_root (each candidate)
-- public.moc_instructions: Deletes the candidates.
-- $1 keys of the candidates (id)
WITH gone AS (
    DELETE FROM "public"."moc_instructions" AS t
     WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n0',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_13_narrow (each candidate)
-- public.gallery_images: Keeps of the remembered shared rows those that nothing refers to any more.
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.o7_0', coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k0))), '{}'), true)
  FROM (SELECT s."id" AS k0
          FROM "public"."gallery_images" AS s
         WHERE s."id" OPERATOR(pg_catalog.=) ANY ((
               SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o7_0', true) OPERATOR(pg_catalog.<>) ''
                           THEN pg_catalog.current_setting('pgsweep.o7_0', true)
                           ELSE '{}'
                      END::pg_catalog.int8[])::pg_catalog.int8[])
           AND NOT EXISTS (
               SELECT FROM public.moc_gallery_images AS u7
                WHERE s."id" OPERATOR(pg_catalog.=) u7."gallery_image_id")) AS shared;

-- work_14_queue (each candidate)
-- public.gallery_images: Puts the names of stored objects into the queue, before their rows are deleted.
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
      SELECT d."image_url"::pg_catalog.text AS value
        FROM "public"."gallery_images" AS d
       WHERE d."image_url"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
         AND d."id" OPERATOR(pg_catalog.=) ANY ((
             SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o7_0', true) OPERATOR(pg_catalog.<>) ''
                         THEN pg_catalog.current_setting('pgsweep.o7_0', true)
                         ELSE '{}'
                    END::pg_catalog.int8[])::pg_catalog.int8[])
  ) AS v;

-- work_15_queue (each candidate)
-- public.gallery_images: Puts the names of stored objects into the queue, before their rows are deleted.
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
      SELECT d."thumbnail_url"::pg_catalog.text AS value
        FROM "public"."gallery_images" AS d
       WHERE d."thumbnail_url"::pg_catalog.text OPERATOR(pg_catalog.<>) ''
         AND d."id" OPERATOR(pg_catalog.=) ANY ((
             SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o7_0', true) OPERATOR(pg_catalog.<>) ''
                         THEN pg_catalog.current_setting('pgsweep.o7_0', true)
                         ELSE '{}'
                    END::pg_catalog.int8[])::pg_catalog.int8[])
  ) AS v;

-- work_16_delete_orphans (each candidate)
-- public.gallery_images: Deletes the shared rows that nothing refers to any more.
WITH gone AS (
    DELETE FROM "public"."gallery_images" AS d
     WHERE d."id" OPERATOR(pg_catalog.=) ANY ((
           SELECT CASE WHEN pg_catalog.current_setting('pgsweep.o7_0', true) OPERATOR(pg_catalog.<>) ''
                       THEN pg_catalog.current_setting('pgsweep.o7_0', true)
                       ELSE '{}'
                  END::pg_catalog.int8[])::pg_catalog.int8[])
    RETURNING 1
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n7',
                             (pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n7', true))::pg_catalog.int8
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone;

-- work_17_assert (each candidate)
-- public.moc_instructions: Fails unless all candidates of the transaction were deleted: a trigger or rule may have
-- kept one.
-- $1 how many candidates
SELECT CASE WHEN pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8 OPERATOR(pg_catalog.=) $1::pg_catalog.int8 THEN 0
            ELSE pg_catalog.concat('only ', pg_catalog.concat('0', pg_catalog.current_setting('pgsweep.n0', true))::pg_catalog.int8, ' rows')::pg_catalog.int4
       END;

-- work_18_record (each candidate)
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

-- work_19_check_plan (each candidate)
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
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[]) LIMIT 8))
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'mocs'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each candidate)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
