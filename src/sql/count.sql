-- Exact counts, for a dry run and before a live run. All of them read one snapshot, in a read-only
-- transaction.

--- lock_counted
-- Locks the tables before the count takes its snapshot: in a snapshot from before the end of an
-- ALTER TABLE that rewrote a table, that table would seem to be empty. Does not wait, because
-- behind a pooler the snapshot is older than this statement.
LOCK TABLE {tables} IN ACCESS SHARE MODE NOWAIT

--- counts
-- Counts the rows that would be deleted or changed, by table, those that guards spare, and the
-- shared rows that stay. kind 0: spared, by guard and label; 1: rows of a table; 2: shared rows
-- that stay; 3: those that one reference keeps.
{sets}
SELECT c.kind, c.number, c.use, c.label, c.rows
  FROM (
       {counts}
       ) AS c
 ORDER BY c.kind, c.number, c.rows DESC, c.use, c.label

--- count_spared
-- The candidates that a guard spares.
SELECT 0 AS kind, b.pgsweep_guard AS number, 0 AS use, b.pgsweep_label AS label, pg_catalog.count(*) AS rows
  FROM {old} AS b
 WHERE b.pgsweep_guard OPERATOR(pg_catalog.>) 0
 GROUP BY 2, 4

--- count_blocked
-- Candidates that stay because a row below them is not a candidate.
SELECT 0, {guard}, 0, NULL, pg_catalog.count(*)
  FROM {old} AS b
 WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
   AND NOT EXISTS (
       SELECT FROM {going} AS g
        WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
          AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)

--- count_rows
-- Rows of one table, each once: a row that is both detached and deleted counts as deleted.
SELECT {kind} AS kind, {number} AS number, {use} AS use, NULL AS label, pg_catalog.count(*) AS rows
  FROM {set} AS b
 WHERE {not_elsewhere}

--- candidates
-- Counts the candidates of a policy without guards.
SELECT pg_catalog.count(*)
  FROM {table} AS t
 WHERE {candidate}

--- candidates_by_guard
-- Counts the rows that are old enough in one scan, by the guard that spares them, if only
-- candidates are counted. kind 0: spared, by guard and label; 1: the candidates. OFFSET 0 hides the
-- table from the planner, which would otherwise expect as many groups as rows, and sort them.
SELECT CASE WHEN c.number OPERATOR(pg_catalog.>) 0 THEN 0 ELSE 1 END AS kind,
       c.number,
       0 AS use,
       c.label,
       c.rows
  FROM (
       SELECT {number} AS number,
              {label} AS label,
              g.rows
         FROM (
              SELECT s.pgsweep_guard,
                     pg_catalog.count(*) AS rows
                FROM (
                     SELECT {guard} AS pgsweep_guard
                       FROM {table} AS t
                      WHERE {old}
                        AND {where}
                     OFFSET 0
                     ) AS s
               GROUP BY 1
              ) AS g
       ) AS c
 ORDER BY c.number, c.rows DESC, c.label

--- guard
-- The number of the first guard that spares the row (0: none), and its label for the row.
CASE
    {guards}
    ELSE {none}
END

--- total
-- Counts the rows that satisfy the policy's condition, whatever their age. The cutoff appears only
-- to give its parameter a type.
SELECT pg_catalog.count(*)
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND {where}

--- remaining
-- Counts the candidates that exist now and have not failed in this run, up to a limit. $1: cutoff,
-- $2: the limit.
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM {table} AS t
         WHERE {candidate}
           AND {not_failed}
         LIMIT $2::pg_catalog.int8) AS r

--- remaining_keys
-- Lists some of the candidates that exist now and have not failed in this run, for people. $1:
-- cutoff, $2: how many.
SELECT {key}
  FROM {table} AS t
 WHERE {candidate}
   AND {not_failed}
 ORDER BY {order}
 LIMIT $2::pg_catalog.int8

--- not_failed
-- The row has no dead letter of this run, in whatever state.
NOT EXISTS (
    SELECT FROM pgsweep.dead_letters AS l
     WHERE l.policy OPERATOR(pg_catalog.=) {policy}
       AND l.kind OPERATOR(pg_catalog.=) 'row'
       AND l.run_id OPERATOR(pg_catalog.=) {run_id}
       AND pgsweep.key_digest(l.key) OPERATOR(pg_catalog.=) {digest})

--- active
-- The keys, or directory names, of the rows that a guard spares, whatever their age.
SELECT {text}
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND t.{column} IS NOT NULL
   AND ({guards})
