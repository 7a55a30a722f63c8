-- policy jobs: the statements of a run, in their order; none of them was run
-- table public.jobs, cutoff 2020-01-01 00:00:00+00
-- strategy: locked (dependents, objects or directories go with the candidates), along age and key (index
-- jobs_created_at)

-- count (dry run)
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard
-- and label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
-- $1 cutoff
WITH RECURSIVE old_0_jobs AS MATERIALIZED (
    SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id",
           pgsweep_g.pgsweep_guard,
           CASE
               WHEN pgsweep_g.pgsweep_guard OPERATOR(pg_catalog.=) 1 THEN coalesce(((t.status::text))::pg_catalog.text, '(null)')
               ELSE NULL
           END AS pgsweep_label
      FROM "public"."jobs" AS t
     CROSS JOIN LATERAL (
           SELECT CASE
                      WHEN (t.status IS NULL OR lower(t.status::text) NOT IN ('completed', 'complete', 'succeeded', 'success', 'finished', 'done',
                            'failed', 'failure', 'error', 'errored', 'dead', 'discarded',
                            'cancelled', 'canceled', 'aborted', 'expired', 'timeout', 'timed_out')) IS NOT FALSE THEN 1
                      ELSE 0
                  END AS pgsweep_guard
           OFFSET 0) AS pgsweep_g
     WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
    UNION ALL
    (SELECT t.tableoid AS pgsweep_table, t.ctid AS pgsweep_row, t."id", 0, NULL::pg_catalog.text
       FROM "public"."jobs" AS t
      WHERE (SELECT false)
      LIMIT 3000)
),
going_0_jobs AS MATERIALIZED (
    SELECT b.*
      FROM old_0_jobs AS b
     WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
),
going_1_job_logs AS MATERIALIZED (
    SELECT d.tableoid AS pgsweep_table, d.ctid AS pgsweep_row
      FROM "public"."job_logs" AS d
     WHERE EXISTS (
           SELECT FROM going_0_jobs AS p
            WHERE p."id" OPERATOR(pg_catalog.=) d."job_id")
)
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       SELECT 0 AS kind, b.pgsweep_guard AS number, 0 AS use, b.pgsweep_label AS label, pg_catalog.count(*) AS rows
         FROM old_0_jobs AS b
        WHERE b.pgsweep_guard OPERATOR(pg_catalog.>) 0
        GROUP BY 2, 4
       UNION ALL
       SELECT 1 AS kind, 0 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_0_jobs AS b
       UNION ALL
       SELECT 1 AS kind, 1 AS number, 0 AS use, NULL AS label, pg_catalog.count(*) AS rows
         FROM going_1_job_logs AS b
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
       SELECT (g.pgsweep_guard)[1]::pg_catalog.int4 AS number,
              (g.pgsweep_guard)[2] AS label,
              g.rows
         FROM (
              SELECT s.pgsweep_guard,
                     pg_catalog.count(*) AS rows
                FROM (
                     SELECT CASE
                                WHEN (t.status IS NULL OR lower(t.status::text) NOT IN ('completed', 'complete', 'succeeded', 'success', 'finished', 'done',
                                      'failed', 'failure', 'error', 'errored', 'dead', 'discarded',
                                      'cancelled', 'canceled', 'aborted', 'expired', 'timeout', 'timed_out')) IS NOT FALSE THEN ARRAY['1', coalesce(((t.status::text))::pg_catalog.text, '(null)')]
                                ELSE ARRAY['0', NULL]
                            END AS pgsweep_guard
                       FROM "public"."jobs" AS t
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
LOCK TABLE "public"."jobs", "public"."job_logs" IN ROW EXCLUSIVE MODE NOWAIT;

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
          FROM "public"."jobs" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND NOT (t.status IS NULL OR lower(t.status::text) NOT IN ('completed', 'complete', 'succeeded', 'success', 'finished', 'done',
                    'failed', 'failure', 'error', 'errored', 'dead', 'discarded',
                    'cancelled', 'canceled', 'aborted', 'expired', 'timeout', 'timed_out'))
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
LOCK TABLE "public"."jobs", "public"."job_logs" IN ROW EXCLUSIVE MODE NOWAIT;

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
          FROM "public"."jobs" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND NOT (t.status IS NULL OR lower(t.status::text) NOT IN ('completed', 'complete', 'succeeded', 'success', 'finished', 'done',
                    'failed', 'failure', 'error', 'errored', 'dead', 'discarded',
                    'cancelled', 'canceled', 'aborted', 'expired', 'timeout', 'timed_out'))
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
                   FROM "public"."job_logs" AS d
                  WHERE t."id" OPERATOR(pg_catalog.=) d."job_id")
                OPERATOR(pg_catalog.>)
                (SELECT pg_catalog.count(*)
                   FROM (SELECT
                           FROM "public"."job_logs" AS d
                          WHERE t."id" OPERATOR(pg_catalog.=) d."job_id"
                            FOR UPDATE OF d SKIP LOCKED) AS l) THEN 1
           ELSE 0
       END AS locked
  FROM "public"."jobs" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_0_note_counters (each chunk)
-- Notes how many rows the session has deleted so far from the tables whose rows ON DELETE CASCADE deletes with the
-- candidates: no statement of pgsweep deletes these rows.
-- $1 tables, $2 their numbers in the plan
SELECT pg_catalog.set_config('pgsweep.b' OPERATOR(pg_catalog.||) t.node::pg_catalog.text,
                             pg_catalog.pg_stat_get_xact_tuples_deleted(t.oid)::pg_catalog.text, true)
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                  pg_catalog.unnest($2::pg_catalog.int4[])) AS t(oid, node);

-- work_1_delete_root (each chunk)
-- public.jobs: Deletes the candidates.
-- $1 keys of the candidates (id)
DELETE FROM "public"."jobs" AS t
 WHERE t."id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- work_2_count_cascaded (each chunk)
-- public.job_logs: Counts the rows that the foreign key has deleted with the candidates (ON DELETE CASCADE), as the
-- session's own counter says. Fails if the session has not counted the candidates.
-- $1 its table, $2 table of the candidates, $3 how many candidates
SELECT c.rows,
       pg_catalog.set_config('pgsweep.n1', c.rows::pg_catalog.text, true)
  FROM (SELECT CASE WHEN pg_catalog.pg_stat_get_xact_tuples_deleted($2::pg_catalog.oid)
                         OPERATOR(pg_catalog.-) pg_catalog.current_setting('pgsweep.b0')::pg_catalog.int8
                         OPERATOR(pg_catalog.=) $3::pg_catalog.int8
                    THEN pg_catalog.pg_stat_get_xact_tuples_deleted($1::pg_catalog.oid)
                         OPERATOR(pg_catalog.-) pg_catalog.current_setting('pgsweep.b1')::pg_catalog.int8
                    ELSE ('uncounted ' OPERATOR(pg_catalog.||) pg_catalog.now()::pg_catalog.text)::pg_catalog.int4
               END AS rows) AS c;

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
                         AND a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT * FROM pg_catalog.unnest($1::pg_catalog.oid[]) LIMIT 2))
                     )) OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND NOT EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) 'jobs'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
