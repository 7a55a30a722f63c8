-- The record of a run (pgsweep.runs): what is sent beside the work of each transaction.

--- note_unfinished
-- Marks runs of this policy that never finished; the lock of the policy is held, so none of them can still be on.
-- $1: policy.
UPDATE pgsweep.runs
   SET outcome = 'interrupted',
       finished = coalesce(last_chunk, started)
 WHERE policy OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND outcome OPERATOR(pg_catalog.=) 'running'
RETURNING run_id, started::pg_catalog.timestamptz(0), host, deleted::pg_catalog.text

--- begin_run
-- Opens the record of a run.
-- $1: run id, $2: policy, $3: cutoff, $4: retention, $5: user of the operating system, $6: host, $7: process,
-- $8: version, $9: rows in the table, $10: candidates, $11: rows spared, by guard, $12: rows deleted, by table,
-- $13: text of the policy. What is returned beside the start is compared at the end (space.sql).
INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, cutoff, retain, os_user, host, pid, version,
                          total, eligible, spared, deleted, policy_text)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, 'live', 'running', $3::pg_catalog.timestamptz,
        $4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.int4,
        $8::pg_catalog.text, $9::pg_catalog.int8, $10::pg_catalog.int8, $11::pg_catalog.jsonb,
        $12::pg_catalog.jsonb, $13::pg_catalog.text)
RETURNING started,
          {marks}

--- refuse_run
-- The record of a run that was refused before it began.
-- $1: run id, $2: policy, $3: cutoff, $4: retention (NULL: not known), $5: user of the operating system, $6: host, $7: process,
-- $8: version, $9: why, $10: text of the policy (NULL: it could not be read).
INSERT INTO pgsweep.runs (run_id, policy, mode, outcome, cutoff, retain, os_user, host, pid, version,
                          finished, error, policy_text)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, 'live', 'refused', $3::pg_catalog.timestamptz,
        $4::pg_catalog.text, $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.int4, $8::pg_catalog.text,
        pg_catalog.now(), $9::pg_catalog.text, $10::pg_catalog.text)

--- counted
-- Counts the rows of one step, and adds them to the number of its table in this transaction.
WITH gone AS (
    {rows}
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n{node}',
                             ({number}
                              OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone

--- note_counters
-- Notes how many rows of these tables the session has deleted so far. $1: the tables, $2: their numbers in the plan.
SELECT pg_catalog.set_config('pgsweep.b' OPERATOR(pg_catalog.||) t.node::pg_catalog.text,
                             pg_catalog.pg_stat_get_xact_tuples_deleted(t.oid)::pg_catalog.text, true)
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]),
                  pg_catalog.unnest($2::pg_catalog.int4[])) AS t(oid, node)

--- count_cascaded
-- Counts the rows of a table that the session has deleted since then. Fails unless it has counted all candidates, too: then
-- it does not count. $1: the table, $2: the candidates' table, $3: how many candidates.
SELECT c.rows,
       pg_catalog.set_config('pgsweep.n{node}', c.rows::pg_catalog.text, true)
  FROM (SELECT CASE WHEN pg_catalog.pg_stat_get_xact_tuples_deleted($2::pg_catalog.oid)
                         OPERATOR(pg_catalog.-) pg_catalog.current_setting('pgsweep.b0')::pg_catalog.int8
                         OPERATOR(pg_catalog.=) $3::pg_catalog.int8
                    THEN pg_catalog.pg_stat_get_xact_tuples_deleted($1::pg_catalog.oid)
                         OPERATOR(pg_catalog.-) pg_catalog.current_setting('pgsweep.b{node}')::pg_catalog.int8
                    ELSE ('uncounted ' OPERATOR(pg_catalog.||) pg_catalog.now()::pg_catalog.text)::pg_catalog.int4
               END AS rows) AS c

--- assert_counted
-- Fails unless all candidates of the transaction were deleted: a trigger or rule may have kept one. (The cast of
-- a text that is no number is the plainest way to fail in SQL.)
SELECT CASE WHEN {number} OPERATOR(pg_catalog.=) $1::pg_catalog.int8 THEN 0
            ELSE pg_catalog.concat('only ', {number}, ' rows')::pg_catalog.int4
       END

--- assert_locked
-- Fails if more rows were deleted than the transaction had locked before: somebody has added some behind its back.
SELECT CASE WHEN {number} OPERATOR(pg_catalog.<=) {locked} THEN 0
            ELSE pg_catalog.concat('locked ', {locked}, ', deleted ', {number})::pg_catalog.int4
       END

--- record
-- Adds the transaction and what each of its steps counted to the record of the run. While another session has an old
-- transaction open, VACUUM leaves all earlier versions of the record. So the index is read backwards, from the
-- last one on (with "=" PostgreSQL would read it forwards, whatever the order).
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
   AND r.run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- record_counted
-- Adds the transaction and the numbers that pgsweep took from the command tags to the record of the run.
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
   AND r.run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- record_gone
-- Adds the transaction and the rows of the query "gone" to the record of the run. Fails if they are more than a
-- transaction may delete.
UPDATE pgsweep.runs AS r
   SET chunks = r.chunks OPERATOR(pg_catalog.+)
                CASE WHEN (SELECT pg_catalog.count(*) FROM gone) OPERATOR(pg_catalog.<=) {limit}::pg_catalog.int8 THEN 1
                     ELSE pg_catalog.concat('pgsweep: more rows than ', {limit}::pg_catalog.int8, ': ',
                                            (SELECT pg_catalog.count(*) FROM gone))::pg_catalog.int4
                END,
       last_chunk = pg_catalog.clock_timestamp(),
       deleted = pg_catalog.jsonb_build_object(
           {label}::pg_catalog.text,
           coalesce((r.deleted OPERATOR(pg_catalog.->>) {label}::pg_catalog.text)::pg_catalog.int8, 0)
           OPERATOR(pg_catalog.+) (SELECT pg_catalog.count(*) FROM gone))
 WHERE r.ctid OPERATOR(pg_catalog.=) (SELECT n.ctid
                                          FROM pgsweep.runs AS n
                                         WHERE n.run_id OPERATOR(pg_catalog.>=) {run}::pg_catalog.text
                                           AND n.run_id OPERATOR(pg_catalog.<=) {run}::pg_catalog.text
                                         ORDER BY n.run_id DESC
                                         LIMIT 1)
   AND r.run_id OPERATOR(pg_catalog.=) {run}::pg_catalog.text

--- commit_waits
-- Says what the COMMIT of this transaction waits for. $1: a value of synchronous_commit.
SELECT pg_catalog.set_config('synchronous_commit', $1::pg_catalog.text, true)

--- touch
-- A commit that waits for the disk makes all earlier ones of the run durable.
UPDATE pgsweep.runs
   SET last_chunk = pg_catalog.clock_timestamp()
 WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- read_back
-- Reads what the record says is gone, after a lost connection. FOR UPDATE waits for a transaction of the lost
-- session that is still about to end. $1: run id, $2: labels of the tables.
WITH r AS (
    SELECT chunks, deleted
      FROM pgsweep.runs
     WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text
       FOR UPDATE
)
SELECT r.chunks, (r.deleted OPERATOR(pg_catalog.->>) n.label)::pg_catalog.int8
  FROM r
 CROSS JOIN pg_catalog.unnest($2::pg_catalog.text[]) WITH ORDINALITY AS n(label, place)
 ORDER BY n.place

--- finish_run
-- Writes the end of the run. A closed record stays as it is: this is sent again where the answer was lost.
-- $1: run id, $2: outcome, $3: candidates that failed, $4: candidates left, $5: error, $6: milliseconds waited, $7: the same
-- by reason, $8: bytes of WAL, $9: whose they are, $10: dead rows, by table, $11: candidates spared when they were locked,
-- $12: candidates that a limit left, $13: candidates that changed after the count, $14: rows that became eligible after it.
UPDATE pgsweep.runs
   SET outcome = $2::pg_catalog.text,
       finished = pg_catalog.clock_timestamp(),
       failed = $3::pg_catalog.int8,
       left_locked = $4::pg_catalog.int8,
       error = $5::pg_catalog.text,
       waited_ms = $6::pg_catalog.int8,
       waited = $7::pg_catalog.jsonb,
       wal_bytes = $8::pg_catalog.int8,
       wal_of = $9::pg_catalog.text,
       dead_rows = $10::pg_catalog.jsonb,
       spared_late = $11::pg_catalog.int8,
       left_by_limit = $12::pg_catalog.int8,
       changed = $13::pg_catalog.int8,
       arrived = $14::pg_catalog.int8
 WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND outcome OPERATOR(pg_catalog.=) 'running'
