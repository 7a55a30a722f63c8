-- The statements of "pgsweep dlq" and "pgsweep objects". Ids are an array; NULL if the command line
-- has none.

--- letters_list
-- The open dead letters, for people. $1: policy or NULL.
SELECT l.id, l.policy, l.kind,
       pg_catalog.array_to_string(l.key, ', ', 'NULL') AS key,
       l.state, l.attempts, l.sqlstate, l.error,
       l.last_at::pg_catalog.timestamptz(0) AS last
  FROM pgsweep.dead_letters AS l
 WHERE l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])
   AND ($1::pg_catalog.text IS NULL OR l.policy OPERATOR(pg_catalog.=) $1)
 ORDER BY l.policy, l.id

--- letters_list_all
-- The open dead letters with all columns, for programs. $1: policy or NULL.
SELECT l.id, l.policy, l.kind,
       pg_catalog.array_to_string(l.key, ', ', 'NULL') AS key,
       l.state, l.attempts, l.sqlstate, l.error, l.detail, l.hint,
       l.first_at::pg_catalog.timestamptz(0) AS first,
       l.last_at::pg_catalog.timestamptz(0) AS last,
       l.run_id
  FROM pgsweep.dead_letters AS l
 WHERE l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])
   AND ($1::pg_catalog.text IS NULL OR l.policy OPERATOR(pg_catalog.=) $1)
 ORDER BY l.policy, l.id

--- letters_show
-- These dead letters, in whatever state. $1: ids.
SELECT l.id, l.policy, l.kind,
       pg_catalog.array_to_string(l.key, ', ', 'NULL') AS key,
       l.state, l.attempts, l.sqlstate, l.error, l.detail, l.hint,
       l.first_at::pg_catalog.timestamptz(0) AS first,
       l.last_at::pg_catalog.timestamptz(0) AS last,
       l.run_id
  FROM pgsweep.dead_letters AS l
 WHERE l.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
 ORDER BY l.id

--- letters_retry
-- The dead letter of an object or directory goes back into the queue; that of a row waits for the
-- next run. $1: ids.
WITH back AS (
    DELETE FROM pgsweep.dead_letters AS l
     WHERE l.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
       AND l.kind OPERATOR(pg_catalog.<>) 'row'
    RETURNING l.policy, l.kind, l.key, l.root, l.rules, l.run_id, l.id
), queued AS (
    INSERT INTO pgsweep.object_queue (kind, policy, run_id, source, value, root, rules, bucket, endpoint)
    SELECT b.kind, b.policy, b.run_id, 'dlq retry', b.key[1], b.root, b.rules,
           CASE WHEN b.kind OPERATOR(pg_catalog.=) 'object' THEN b.key[2] END,
           b.key[3]
      FROM back AS b
), rows AS (
    UPDATE pgsweep.dead_letters AS l
       SET state = 'waiting',
           attempts = 0
     WHERE l.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
       AND l.kind OPERATOR(pg_catalog.=) 'row'
    RETURNING l.id
)
SELECT b.id
  FROM back AS b
 UNION ALL
SELECT r.id
  FROM rows AS r

--- letters_discard
-- A person decides that the subjects of these dead letters stay. $1: ids.
UPDATE pgsweep.dead_letters AS l
   SET state = 'discarded',
       last_at = pg_catalog.now()
 WHERE l.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING l.id

--- letters_of_policy
-- The ids of the policy's open dead letters, as an array. $1: policy.
SELECT pg_catalog.array_agg(l.id)
  FROM pgsweep.dead_letters AS l
 WHERE l.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])

--- letters_wrong
-- One of the ids that has no dead letter, or a closed one, which must not be changed; and whether
-- it has none.
-- $1: ids, $2: whether the dead letters are going to be changed.
SELECT i, l.id IS NULL
  FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i
  LEFT JOIN pgsweep.dead_letters AS l ON l.id OPERATOR(pg_catalog.=) i
 WHERE l.id IS NULL
    OR ($2::pg_catalog.bool AND l.state OPERATOR(pg_catalog.=) 'closed')
 LIMIT 1

--- objects_list
-- The entries of the queue. $1: policy or NULL.
SELECT q.id, q.policy, q.kind, q.source,
       CASE WHEN q.root IS NULL THEN q.value
            ELSE q.root OPERATOR(pg_catalog.||) '/' OPERATOR(pg_catalog.||) q.value END AS value,
       q.state, q.attempts,
       q.next_attempt::pg_catalog.timestamptz(0) AS next_attempt,
       q.last_error
  FROM pgsweep.object_queue AS q
 WHERE $1::pg_catalog.text IS NULL
    OR q.policy OPERATOR(pg_catalog.=) $1
 ORDER BY q.id

--- objects_sources
-- The columns that name objects and directories. $1: policy or NULL.
SELECT o.id, o.policy, o.kind,
       o.table_ident OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) o.column_ident AS "column",
       o.path, o.bucket, o.endpoint
  FROM pgsweep.object_sources AS o
 WHERE $1::pg_catalog.text IS NULL
    OR o.policy OPERATOR(pg_catalog.=) $1
 ORDER BY o.id

--- objects_forget
-- A person declares that a column names no objects any more: while it cannot be read, it keeps the
-- objects of its policy. $1: ids.
DELETE FROM pgsweep.object_sources AS o
 WHERE o.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING o.id

--- objects_forget_wrong
-- One of the ids that belongs to no column; and true: it does not exist. $1: ids, $2: not used.
SELECT i, true
  FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i
 WHERE $2::pg_catalog.bool IS NOT NULL
   AND NOT EXISTS (SELECT FROM pgsweep.object_sources AS o
                    WHERE o.id OPERATOR(pg_catalog.=) i)
 LIMIT 1

--- objects_rebind
-- Assigns the objects to the store that is configured now; their keys must have the prefixes that
-- the policy has now. $1: ids, $2: endpoint, $3: bucket.
UPDATE pgsweep.object_queue AS q
   SET endpoint = $2::pg_catalog.text,
       bucket = $3::pg_catalog.text,
       prefixes = NULL,
       state = 'queued',
       attempts = 0,
       next_attempt = pg_catalog.now()
 WHERE q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
   AND q.kind OPERATOR(pg_catalog.=) 'object'
RETURNING q.id

--- objects_retry
-- Makes the entries due now. Foreign objects are examined again too, because another bucket may be
-- configured now.
-- $1: ids; NULL: all.
UPDATE pgsweep.object_queue AS q
   SET state = 'queued',
       attempts = 0,
       next_attempt = pg_catalog.now()
 WHERE $1::pg_catalog.int8[] IS NULL
    OR q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING q.id

--- objects_discard
-- The subjects of the entries stay. They are recorded as discarded dead letters, which are not
-- retried. $1: ids.
WITH gone AS (
    DELETE FROM pgsweep.object_queue AS q
     WHERE q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
    RETURNING *
), kept AS (
    INSERT INTO pgsweep.dead_letters (policy, kind, key, root, state, attempts, error, run_id)
    SELECT DISTINCT ON (policy, kind, k.key) policy, kind, k.key, root, 'discarded', attempts, coalesce(last_error, ''), run_id
      FROM gone,
           LATERAL (SELECT {key}) AS k(key)
        ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE
       SET state = 'discarded',
           last_at = pg_catalog.now()
)
SELECT g.id
  FROM gone AS g

--- objects_of_policy
-- The ids of the policy's entries, as an array. $1: policy.
SELECT pg_catalog.array_agg(q.id)
  FROM pgsweep.object_queue AS q
 WHERE q.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- objects_wrong
-- One of the ids that belongs to no entry; and true: it does not exist. $1: ids, $2: not used.
SELECT i, true
  FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i
 WHERE $2::pg_catalog.bool IS NOT NULL
   AND NOT EXISTS (SELECT FROM pgsweep.object_queue AS q
                    WHERE q.id OPERATOR(pg_catalog.=) i)
 LIMIT 1

--- change_id
-- The number of the transaction: what became of it can be asked later, on another connection.
SELECT pg_catalog.txid_current()

--- change_outcome
-- What became of a transaction: 'committed', 'aborted' or 'in progress'. $1: its number.
SELECT pg_catalog.txid_status($1::pg_catalog.int8)
