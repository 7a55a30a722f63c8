-- What "pgsweep dlq" and "pgsweep objects" send. Ids are an array, and NULL where the command line gives none.

--- letters_list
-- The open letters, for people. $1: policy or NULL.
SELECT l.id, l.policy, l.kind,
       pg_catalog.array_to_string(l.key, ', ', 'NULL') AS key,
       l.state, l.attempts, l.sqlstate, l.error,
       l.last_at::pg_catalog.timestamptz(0) AS last
  FROM pgsweep.dead_letters AS l
 WHERE l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])
   AND ($1::pg_catalog.text IS NULL OR l.policy OPERATOR(pg_catalog.=) $1)
 ORDER BY l.policy, l.id

--- letters_list_all
-- The open letters with all columns, for programs. $1: policy or NULL.
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
-- These letters, in whatever state. $1: ids.
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
-- The letter of an object or directory goes back into the queue; that of a row waits for the next run. $1: ids.
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
-- A person decides that what these letters are about stays. $1: ids.
UPDATE pgsweep.dead_letters AS l
   SET state = 'discarded',
       last_at = pg_catalog.now()
 WHERE l.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING l.id

--- letters_of_policy
-- The ids of the policy's open letters, as an array. $1: policy.
SELECT pg_catalog.array_agg(l.id)
  FROM pgsweep.dead_letters AS l
 WHERE l.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])

--- letters_wrong
-- One of the ids that has no letter, or that has a closed one, which is not to be changed; and whether there is none.
-- $1: ids, $2: are the letters going to be changed?
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
-- A column that cannot be looked at any more keeps the objects of its policy: a person says that it names none. $1: ids.
DELETE FROM pgsweep.object_sources AS o
 WHERE o.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING o.id

--- objects_forget_wrong
-- One of the ids that no column has; and true: it is not there. $1: ids, $2: is not looked at.
SELECT i, true
  FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS i
 WHERE $2::pg_catalog.bool IS NOT NULL
   AND NOT EXISTS (SELECT FROM pgsweep.object_sources AS o
                    WHERE o.id OPERATOR(pg_catalog.=) i)
 LIMIT 1

--- objects_rebind
-- The objects belong to the store that is configured now, and their keys are bounded by what the policy states now. $1: ids, $2: endpoint, $3: bucket.
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
-- The entries are due. What is foreign is looked at again too: the configuration may have another bucket now.
-- $1: ids; NULL: all.
UPDATE pgsweep.object_queue AS q
   SET state = 'queued',
       attempts = 0,
       next_attempt = pg_catalog.now()
 WHERE $1::pg_catalog.int8[] IS NULL
    OR q.id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING q.id

--- objects_discard
-- What the entries are about stays. It is known still, as a letter that nobody tries again. $1: ids.
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
-- One of the ids that no entry has; and true: it is not there. $1: ids, $2: is not looked at.
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
