-- policy range: the statements of a run, in their order; none of them was run
-- table public.items, cutoff 2020-01-01 00:00:00+00
-- strategy: range (every condition is about the candidate's own row), along age and key (index items_created_at)

-- count (dry run)
-- Counts the candidates where nothing spares any.
-- $1 cutoff
SELECT pg_catalog.count(*)
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL);

-- count (before the first chunk)
-- Counts the candidates where nothing spares any.
-- $1 cutoff
SELECT pg_catalog.count(*)
  FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL);

-- bound_first (first chunk)
-- Looks up where the next chunk ends: the candidate that many further on. Only that one's values become text.
-- $1 cutoff, $2 rows of the chunk
SELECT t."created_at"::pg_catalog.text, t."id"::pg_catalog.text
  FROM (SELECT t."created_at", t."id"
          FROM "public"."items" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (t.note IS NULL)
         ORDER BY t."created_at", t."id"
        OFFSET $2::pg_catalog.int8 OPERATOR(pg_catalog.-) 1
         LIMIT 1) AS t;

-- begin (first chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- limit_waits (first chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- range_first (first chunk)
-- Deletes the candidates of a range. The whole condition is part of the DELETE, so a row that was renewed meanwhile
-- stays.
-- $1 cutoff, $2 to $3 last candidate of the chunk (created_at, id)
DELETE FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL)
   AND (t."created_at", t."id") OPERATOR(pg_catalog.<=) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.<=) $2::pg_catalog.timestamptz;

-- record_counted (first chunk)
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

-- check_plan (first chunk)
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
                  WHERE l.policy OPERATOR(pg_catalog.=) 'range'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (first chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;

-- bound_next (first chunk)
-- Looks up where the next chunk ends: the candidate that many further on. Only that one's values become text.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 rows of the chunk
SELECT t."created_at"::pg_catalog.text, t."id"::pg_catalog.text
  FROM (SELECT t."created_at", t."id"
          FROM "public"."items" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (t.note IS NULL)
           AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
           AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
         ORDER BY t."created_at", t."id"
        OFFSET $4::pg_catalog.int8 OPERATOR(pg_catalog.-) 1
         LIMIT 1) AS t;

-- begin (each later chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- limit_waits (each later chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- range_next (each later chunk)
-- Deletes the candidates of a range. The whole condition is part of the DELETE, so a row that was renewed meanwhile
-- stays.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 to $5 last candidate of the chunk
-- (created_at, id)
DELETE FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL)
   AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
   AND (t."created_at", t."id") OPERATOR(pg_catalog.<=) ($4::pg_catalog.timestamptz, $5::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.<=) $4::pg_catalog.timestamptz;

-- range_unlocked_next (a chunk that has met a locked row)
-- Deletes the candidates of a range that no other session has locked; the others are left for a later pass. Sent for a
-- range in which a locked row was met.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 to $5 last candidate of the chunk
-- (created_at, id)
DELETE FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL)
   AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
   AND (t."created_at", t."id") OPERATOR(pg_catalog.<=) ($4::pg_catalog.timestamptz, $5::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.<=) $4::pg_catalog.timestamptz
   AND t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t.ctid
         FROM "public"."items" AS t
        WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
          AND (t.note IS NULL)
          AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
          AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
          AND (t."created_at", t."id") OPERATOR(pg_catalog.<=) ($4::pg_catalog.timestamptz, $5::pg_catalog.int8)
          AND t."created_at" OPERATOR(pg_catalog.<=) $4::pg_catalog.timestamptz
          FOR UPDATE OF t SKIP LOCKED));

-- record_counted (each later chunk)
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

-- check_plan (each later chunk)
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
                  WHERE l.policy OPERATOR(pg_catalog.=) 'range'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (each later chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;

-- bound_next (each later chunk)
-- Looks up where the next chunk ends: the candidate that many further on. Only that one's values become text.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id), $4 rows of the chunk
SELECT t."created_at"::pg_catalog.text, t."id"::pg_catalog.text
  FROM (SELECT t."created_at", t."id"
          FROM "public"."items" AS t
         WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
           AND (t.note IS NULL)
           AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
           AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz
         ORDER BY t."created_at", t."id"
        OFFSET $4::pg_catalog.int8 OPERATOR(pg_catalog.-) 1
         LIMIT 1) AS t;

-- begin (last chunk)
-- Begins a transaction in which every statement sees what is committed when it starts.
BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;

-- limit_waits (last chunk)
-- The transaction is going to hold rows: it waits no longer than this for one that another session has locked.
SELECT pg_catalog.set_config('lock_timeout', '10ms', true);

-- range_next_last (last chunk)
-- Deletes the candidates of a range. The whole condition is part of the DELETE, so a row that was renewed meanwhile
-- stays.
-- $1 cutoff, $2 to $3 last candidate of the chunk before (created_at, id)
DELETE FROM "public"."items" AS t
 WHERE t."created_at" OPERATOR(pg_catalog.<) $1::pg_catalog.timestamptz
   AND (t.note IS NULL)
   AND (t."created_at", t."id") OPERATOR(pg_catalog.>) ($2::pg_catalog.timestamptz, $3::pg_catalog.int8)
   AND t."created_at" OPERATOR(pg_catalog.>=) $2::pg_catalog.timestamptz;

-- record_counted (last chunk)
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

-- check_plan (last chunk)
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
                  WHERE l.policy OPERATOR(pg_catalog.=) 'range'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END;

-- commit (last chunk)
-- Ends the transaction; pgsweep checks that the server answers COMMIT.
COMMIT;
