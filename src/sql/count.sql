-- Exact counts, for a dry run and before a live one. All of them read one snapshot, in a read-only transaction.

--- counts
-- Counts what would go, table by table, what spares candidates and what keeps shared rows. kind 0: spared, by guard and
-- label; 1: rows of a table; 2: shared rows that stay; 3: those that one reference keeps.
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
-- Candidates that stay because a row below them is none.
SELECT 0, {guard}, 0, NULL, pg_catalog.count(*)
  FROM {old} AS b
 WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
   AND NOT EXISTS (
       SELECT FROM {going} AS g
        WHERE g.pgsweep_row OPERATOR(pg_catalog.=) b.pgsweep_row
          AND g.pgsweep_table OPERATOR(pg_catalog.=) b.pgsweep_table)

--- count_rows
-- Rows of one table, once each: as deleted where they are deleted first, and not as detached besides.
SELECT {kind} AS kind, {number} AS number, {use} AS use, NULL AS label, pg_catalog.count(*) AS rows
  FROM {set} AS b
 WHERE {not_elsewhere}

--- candidates
-- Counts the candidates where nothing spares any.
SELECT pg_catalog.count(*)
  FROM {table} AS t
 WHERE {candidate}

--- total
-- Counts the rows that the policy is about, whatever their age. The cutoff is there to give its parameter a type.
SELECT pg_catalog.count(*)
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND {where}

--- remaining
-- Counts the candidates that are there now, up to a limit.
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM {table} AS t
         WHERE {candidate}
         LIMIT $2::pg_catalog.int8) AS r

--- active
-- The keys, or directory names, of the rows that a guard spares, whatever their age.
SELECT t.{column}::pg_catalog.text
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND t.{column} IS NOT NULL
   AND ({guards})
