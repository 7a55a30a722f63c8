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

--- counted
-- Counts the rows of one step, and adds them to the number of its table in this transaction.
WITH gone AS (
    {rows}
)
SELECT pg_catalog.count(*),
       pg_catalog.set_config('pgsweep.n{node}',
                             ({number} OPERATOR(pg_catalog.+) pg_catalog.count(*))::pg_catalog.text, true)
  FROM gone
