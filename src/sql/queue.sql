-- The object queue (pgsweep.object_queue) and the columns that name objects and directories (pgsweep.object_sources).

--- insert
-- Queues the stored objects or directories that the rows name, in the transaction that deletes
-- these rows.
INSERT INTO pgsweep.object_queue (run_id, policy, source, kind, root, rules, endpoint, bucket, prefixes, value)
SELECT ${run}::pg_catalog.text,
       ${policy}::pg_catalog.text,
       ${source}::pg_catalog.text,
       ${kind}::pg_catalog.text,
       ${root}::pg_catalog.text,
       ${rules}::pg_catalog.text,
       ${endpoint}::pg_catalog.text,
       ${bucket}::pg_catalog.text,
       ${prefixes}::pg_catalog.text[],
       v.value
  FROM (
      {select}
  ) AS v

--- note_sources
-- Records which columns name objects or directories: by attribute, so that a renamed column is
-- found again, and by name, so that a column is found again in a database that was restored from a
-- dump.
-- $1: policy, $2: endpoint, $3: bucket (NULL: not known now), then arrays: $4: kinds, $5: oids of
-- tables, $6: tables, $7: columns, $8: paths, $9: prefixes of keys, each an array of its own (NULL:
-- none stated).
WITH now_used AS (
    SELECT DISTINCT s.kind, s.table_oid, s.table_ident, s.column_ident, s.path, s.prefixes::pg_catalog.text[] AS prefixes, a.attnum
      FROM ROWS FROM (pg_catalog.unnest($4::pg_catalog.text[]),
                      pg_catalog.unnest($5::pg_catalog.oid[]),
                      pg_catalog.unnest($6::pg_catalog.text[]),
                      pg_catalog.unnest($7::pg_catalog.text[]),
                      pg_catalog.unnest($8::pg_catalog.text[]),
                      pg_catalog.unnest($9::pg_catalog.text[])) AS s(kind, table_oid, table_ident, column_ident, path, prefixes)
      JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid OPERATOR(pg_catalog.=) s.table_oid
       AND NOT a.attisdropped
       AND pg_catalog.concat('"', pg_catalog.replace(a.attname::pg_catalog.text, '"', '""'), '"')
           OPERATOR(pg_catalog.=) s.column_ident
), renamed AS (
    DELETE FROM pgsweep.object_sources AS o
     USING now_used AS n
     WHERE o.policy OPERATOR(pg_catalog.=) $1
       AND o.kind OPERATOR(pg_catalog.=) n.kind
       AND o.table_oid OPERATOR(pg_catalog.=) n.table_oid
       AND o.attnum OPERATOR(pg_catalog.=) n.attnum
       AND o.path OPERATOR(pg_catalog.=) n.path
       AND (o.table_ident OPERATOR(pg_catalog.<>) n.table_ident OR o.column_ident OPERATOR(pg_catalog.<>) n.column_ident)
)
INSERT INTO pgsweep.object_sources AS o (policy, kind, table_ident, column_ident, path, table_oid, attnum, prefixes, endpoint, bucket)
SELECT $1, n.kind, n.table_ident, n.column_ident, n.path, n.table_oid, n.attnum, n.prefixes,
       CASE WHEN n.kind OPERATOR(pg_catalog.=) 'object' THEN $2 END,
       CASE WHEN n.kind OPERATOR(pg_catalog.=) 'object' THEN $3 END
  FROM now_used AS n
    ON CONFLICT (policy, kind, table_ident, column_ident, path) DO UPDATE
   SET table_oid = excluded.table_oid,
       attnum = excluded.attnum,
       prefixes = excluded.prefixes,
       endpoint = CASE WHEN excluded.endpoint IS NULL THEN o.endpoint ELSE excluded.endpoint END,
       bucket = CASE WHEN excluded.endpoint IS NULL THEN o.bucket ELSE excluded.bucket END
 WHERE (o.table_oid OPERATOR(pg_catalog.=) excluded.table_oid
        AND o.attnum OPERATOR(pg_catalog.=) excluded.attnum
        AND (o.prefixes OPERATOR(pg_catalog.=) excluded.prefixes OR (o.prefixes IS NULL AND excluded.prefixes IS NULL))
        AND (excluded.endpoint IS NULL OR o.endpoint OPERATOR(pg_catalog.=) excluded.endpoint)
        AND (excluded.bucket IS NULL OR o.bucket OPERATOR(pg_catalog.=) excluded.bucket)) IS NOT TRUE

--- sources
-- Finds the columns that name objects or directories: by attribute, or by name if the oid belongs
-- to another table now. "gone": the table does not exist any more, so it cannot name anything.
-- "lost": the table exists, but the column does not. "denied": this role may not read it. $1: kind.
WITH named AS (
    SELECT c.oid, n.oid AS namespace,
           pg_catalog.concat('"', pg_catalog.replace(n.nspname::pg_catalog.text, '"', '""'), '"."',
                             pg_catalog.replace(c.relname::pg_catalog.text, '"', '""'), '"') AS ident
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
     WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'f', 'v', 'm']::pg_catalog."char"[])
), columns AS (
    SELECT a.attrelid, a.attnum, a.atttypid,
           pg_catalog.concat('"', pg_catalog.replace(a.attname::pg_catalog.text, '"', '""'), '"') AS ident
      FROM pg_catalog.pg_attribute AS a
     WHERE a.attnum OPERATOR(pg_catalog.>) 0
       AND NOT a.attisdropped
), seen AS (
    SELECT o.id, o.policy, o.table_ident, o.column_ident, o.path, o.endpoint, o.bucket, o.prefixes, o.table_oid, o.attnum,
           by_oid.ident AS now_ident, by_name.oid AS named_oid
      FROM pgsweep.object_sources AS o
      LEFT JOIN named AS by_oid ON by_oid.oid OPERATOR(pg_catalog.=) o.table_oid
      LEFT JOIN named AS by_name ON by_name.ident OPERATOR(pg_catalog.=) o.table_ident
     WHERE o.kind OPERATOR(pg_catalog.=) $1
), found AS (
    SELECT s.id, c.attrelid, c.attnum, c.atttypid, c.ident
      FROM seen AS s
      JOIN columns AS c ON c.attrelid OPERATOR(pg_catalog.=) s.table_oid AND c.attnum OPERATOR(pg_catalog.=) s.attnum
     WHERE s.now_ident OPERATOR(pg_catalog.=) s.table_ident OR s.named_oid IS NULL OR c.ident OPERATOR(pg_catalog.=) s.column_ident
     UNION
    SELECT s.id, c.attrelid, c.attnum, c.atttypid, c.ident
      FROM seen AS s
      JOIN columns AS c ON c.attrelid OPERATOR(pg_catalog.=) s.named_oid AND c.ident OPERATOR(pg_catalog.=) s.column_ident
)
SELECT s.id, s.policy, s.table_ident, s.column_ident, s.path, s.endpoint, s.bucket,
       t.ident AS table_now, f.ident AS column_now,
       {shape} AS shape,
       pg_catalog.format_type(f.atttypid, NULL) AS type,
       CASE WHEN f.attrelid IS NOT NULL
            THEN CASE WHEN pg_catalog.has_schema_privilege(t.namespace, 'USAGE')
                       AND pg_catalog.has_column_privilege(f.attrelid, f.attnum, 'SELECT') THEN 'there' ELSE 'denied' END
            WHEN s.now_ident IS NULL AND s.named_oid IS NULL THEN 'gone'
            ELSE 'lost' END AS state,
       NOT EXISTS (
           WITH RECURSIVE tree AS (
               SELECT f.attrelid AS oid
                UNION
               SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN tree ON tree.oid OPERATOR(pg_catalog.=) i.inhparent)
           SELECT FROM tree
             JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) tree.oid
             LEFT JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) c.relam
            WHERE c.relkind OPERATOR(pg_catalog.<>) 'p'
              AND (c.relkind OPERATOR(pg_catalog.<>) 'r' OR m.amname OPERATOR(pg_catalog.<>) 'heap')) AS is_heap,
       pg_catalog.array_to_json(s.prefixes)::pg_catalog.text AS prefixes,
       EXISTS (SELECT FROM pg_catalog.pg_cast AS x
                WHERE x.casttarget OPERATOR(pg_catalog.=) 'pg_catalog.text'::pg_catalog.regtype
                  AND x.castfunc OPERATOR(pg_catalog.>=) 16384) AS text_casts
  FROM seen AS s
  LEFT JOIN found AS f ON f.id OPERATOR(pg_catalog.=) s.id
  LEFT JOIN named AS t ON t.oid OPERATOR(pg_catalog.=) f.attrelid
 ORDER BY t.ident, f.ident, s.path, s.id

--- bind_queue
-- Assigns the entries that the policy queued while no store was configured to the store that it has
-- now.
-- $1: policy, $2: endpoint, $3: bucket.
UPDATE pgsweep.object_queue
   SET endpoint = $2,
       bucket = $3
 WHERE kind OPERATOR(pg_catalog.=) 'object'
   AND policy OPERATOR(pg_catalog.=) $1
   AND endpoint IS NULL

--- bind_sources
-- The same for the columns that name its objects. $1: policy, $2: endpoint, $3: bucket.
UPDATE pgsweep.object_sources
   SET endpoint = $2,
       bucket = $3
 WHERE kind OPERATOR(pg_catalog.=) 'object'
   AND policy OPERATOR(pg_catalog.=) $1
   AND endpoint IS NULL

--- due_objects
-- The next objects that are due and belong to this store: if a value names no bucket, the one
-- recorded with it must be configured. Objects outside the configured buckets are examined again,
-- because the configuration may have changed.
-- $1: policy or NULL, $2: endpoint, $3: an array of buckets, $4: the last id seen, $5: how many.
SELECT q.id, q.value, q.policy, q.bucket, q.state, q.last_error, q.source,
       pg_catalog.array_to_json(q.prefixes)::pg_catalog.text AS prefixes
  FROM pgsweep.object_queue AS q
 WHERE q.kind OPERATOR(pg_catalog.=) 'object'
   AND q.next_attempt OPERATOR(pg_catalog.<=) pg_catalog.now()
   AND ($1::pg_catalog.text IS NULL OR q.policy OPERATOR(pg_catalog.=) $1)
   AND q.endpoint OPERATOR(pg_catalog.=) $2
   AND (q.bucket OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[])
        OR pg_catalog.strpos(q.value, ':') OPERATOR(pg_catalog.>) 0
        OR pg_catalog.left(q.value, 2) OPERATOR(pg_catalog.=) '//')
   AND q.id OPERATOR(pg_catalog.>) $4::pg_catalog.int8
 ORDER BY q.id
 LIMIT $5::pg_catalog.int8

--- due_directories
-- The next directories that are due. $1: policy or NULL, $2: the last id seen, $3: how many.
SELECT q.id, q.value, coalesce(q.root, ''), coalesce(q.rules, ''), q.policy
  FROM pgsweep.object_queue AS q
 WHERE q.kind OPERATOR(pg_catalog.=) 'directory'
   AND q.state OPERATOR(pg_catalog.=) 'queued'
   AND q.next_attempt OPERATOR(pg_catalog.<=) pg_catalog.now()
   AND ($1::pg_catalog.text IS NULL OR q.policy OPERATOR(pg_catalog.=) $1)
   AND q.id OPERATOR(pg_catalog.>) $2::pg_catalog.int8
 ORDER BY q.id
 LIMIT $3::pg_catalog.int8

--- queue_policies
-- The policies that have objects or directories in the queue. $1: policy or NULL.
SELECT DISTINCT q.policy
  FROM pgsweep.object_queue AS q
 WHERE $1::pg_catalog.text IS NULL
    OR q.policy OPERATOR(pg_catalog.=) $1

--- elsewhere
-- Objects that are due and belong to a store or bucket that is not configured, or to an unknown
-- one.
-- $1: policy or NULL, $2: endpoint, $3: an array of buckets.
SELECT q.endpoint, q.bucket, pg_catalog.count(*), pg_catalog.min(q.policy)
  FROM pgsweep.object_queue AS q
 WHERE q.kind OPERATOR(pg_catalog.=) 'object'
   AND q.next_attempt OPERATOR(pg_catalog.<=) pg_catalog.now()
   AND ($1::pg_catalog.text IS NULL OR q.policy OPERATOR(pg_catalog.=) $1)
   AND (q.endpoint IS NULL
        OR q.endpoint OPERATOR(pg_catalog.<>) $2
        OR (q.bucket OPERATOR(pg_catalog.<>) ALL ($3::pg_catalog.text[])
            AND pg_catalog.strpos(q.value, ':') OPERATOR(pg_catalog.=) 0
            AND pg_catalog.left(q.value, 2) OPERATOR(pg_catalog.<>) '//'))
 GROUP BY q.endpoint, q.bucket
 ORDER BY 3 DESC, 1, 2

--- note_held
-- Records why these entries stay in the queue, without counting a failed attempt. $1: ids, $2:
-- reasons, $3: their state.
UPDATE pgsweep.object_queue AS q
   SET state = $3,
       last_error = f.reason
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) AS f(id, reason)
 WHERE q.id OPERATOR(pg_catalog.=) f.id
   AND (q.state OPERATOR(pg_catalog.<>) $3 OR (q.last_error OPERATOR(pg_catalog.=) f.reason) IS NOT TRUE)

--- again
-- Records a failed attempt: the entry waits, longer each time. $1: ids, $2: errors.
UPDATE pgsweep.object_queue AS q
   SET state = 'queued',
       attempts = q.attempts OPERATOR(pg_catalog.+) 1,
       last_error = f.error,
       next_attempt = pg_catalog.now() OPERATOR(pg_catalog.+)
                      least('1 min'::pg_catalog.interval
                            OPERATOR(pg_catalog.*) (2.0::pg_catalog.float8 OPERATOR(pg_catalog.^) least(q.attempts, 20)),
                            '1 day'::pg_catalog.interval)
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) AS f(id, error)
 WHERE q.id OPERATOR(pg_catalog.=) f.id

--- bury
-- Turns entries that were tried often enough into dead letters. $1: ids, $2: how often is enough.
WITH gone AS (
    DELETE FROM pgsweep.object_queue AS q
     WHERE q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
       AND q.attempts OPERATOR(pg_catalog.>=) $2::pg_catalog.int4
    RETURNING *
)
INSERT INTO pgsweep.dead_letters (policy, kind, key, root, rules, state, attempts, error, run_id)
SELECT DISTINCT ON (policy, kind, k.key) policy, kind, k.key, root, rules, 'parked', attempts, coalesce(last_error, ''), run_id
  FROM gone,
       LATERAL (SELECT {key}) AS k(key)
    ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE
   SET state = 'parked',
       attempts = excluded.attempts,
       error = excluded.error,
       rules = excluded.rules,
       last_at = pg_catalog.now()

--- letter_key
-- The key of an entry's dead letter: the whole value, and whatever else distinguishes it from other
-- entries with the same value.
CASE WHEN root IS NOT NULL THEN ARRAY[value, root]
     WHEN endpoint IS NOT NULL THEN ARRAY[value, bucket, endpoint]
     ELSE ARRAY[value] END

--- done
-- Removes entries whose objects are gone or still named by a row. $1: ids.
DELETE FROM pgsweep.object_queue
 WHERE id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])

--- waiting
-- How many entries are queued, and how many of them are due now. $1: kind, $2: policy or NULL.
SELECT pg_catalog.count(*) FILTER (WHERE state OPERATOR(pg_catalog.=) 'queued'),
       pg_catalog.count(*) FILTER (WHERE next_attempt OPERATOR(pg_catalog.<=) pg_catalog.now()
                                     AND (state OPERATOR(pg_catalog.=) 'queued' OR kind OPERATOR(pg_catalog.=) 'object'))
  FROM pgsweep.object_queue
 WHERE kind OPERATOR(pg_catalog.=) $1
   AND ($2::pg_catalog.text IS NULL OR policy OPERATOR(pg_catalog.=) $2)
