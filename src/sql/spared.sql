-- The rows that a run spares although its own deletions could make them candidates (pgsweep.spared).

--- record
-- Records the keys of those rows before the first chunk, so that a lost connection or a crash of
-- the server changes nothing. $1: cutoff.
INSERT INTO pgsweep.spared (run_id, digest)
SELECT {run_id}, {digest}
  FROM {root} AS t
 WHERE {held}
ON CONFLICT DO NOTHING

--- anything
-- Whether a run of the policy has recorded anything. $1: policy.
SELECT EXISTS (SELECT FROM pgsweep.spared AS s
                 JOIN pgsweep.runs AS r ON r.run_id OPERATOR(pg_catalog.=) s.run_id
                WHERE r.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text)

--- forget
-- Removes what this run recorded, and what unfinished earlier runs of the policy left: this run
-- holds the policy's lock, so none of them can still be running. $1: policy.
DELETE FROM pgsweep.spared AS s
 USING pgsweep.runs AS r
 WHERE r.run_id OPERATOR(pg_catalog.=) s.run_id
   AND r.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- patient
-- Begins these transactions, which are not chunks: they have no time limit, and their commit waits
-- for the disk. $1: synchronous_commit.
SELECT pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('synchronous_commit', $1, true)
