-- Dead letters of rows (pgsweep.dead_letters): candidates that could not be deleted.

--- letter_waits
-- Makes the following commit wait for the disk. $1: a value of synchronous_commit.
SELECT pg_catalog.set_config('synchronous_commit', $1::pg_catalog.text, true)

--- letter_note
-- Records a failed candidate: one more attempt; each run counts at most one. After enough attempts
-- the dead letter is parked. A closed one starts again.
INSERT INTO pgsweep.dead_letters AS l (policy, key, error, sqlstate, run_id, detail, hint)
VALUES ($1::pg_catalog.text,
        $2::pg_catalog.text[],
        $3::pg_catalog.text,
        CASE WHEN $4::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN $4::pg_catalog.text END,
        $5::pg_catalog.text,
        $7::pg_catalog.text,
        $8::pg_catalog.text)
    ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE
   SET attempts = CASE WHEN l.state OPERATOR(pg_catalog.=) 'closed' THEN 1
                       WHEN l.run_id OPERATOR(pg_catalog.=) excluded.run_id THEN l.attempts
                       ELSE l.attempts OPERATOR(pg_catalog.+) 1 END,
       first_at = CASE WHEN l.state OPERATOR(pg_catalog.=) 'closed' THEN pg_catalog.now() ELSE l.first_at END,
       state = CASE WHEN l.state OPERATOR(pg_catalog.=) 'closed' THEN 'waiting'
                    WHEN l.state OPERATOR(pg_catalog.=) 'waiting'
                     AND l.run_id OPERATOR(pg_catalog.<>) excluded.run_id
                     AND l.attempts OPERATOR(pg_catalog.>=) $6::pg_catalog.int4 THEN 'parked'
                    ELSE l.state END,
       error = excluded.error,
       sqlstate = excluded.sqlstate,
       detail = excluded.detail,
       hint = excluded.hint,
       run_id = excluded.run_id,
       last_at = pg_catalog.now()
RETURNING l.attempts, l.state OPERATOR(pg_catalog.=) 'parked'

--- close_settled
-- Closes the dead letters whose row is gone or not a candidate any more. $1: cutoff, $2: policy.
UPDATE pgsweep.dead_letters AS l
   SET state = 'closed',
       last_at = pg_catalog.now()
 WHERE l.policy OPERATOR(pg_catalog.=) $2::pg_catalog.text
   AND l.kind OPERATOR(pg_catalog.=) 'row'
   AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])
   AND NOT EXISTS (
       SELECT FROM {root} AS t
        WHERE {key}
          AND {candidate})

--- depth
-- How many dead letters of the policy are open. $1: policy.
SELECT pg_catalog.count(*)
  FROM pgsweep.dead_letters AS l
 WHERE l.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked'])
