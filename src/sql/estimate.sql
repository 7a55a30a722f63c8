-- Estimates of a dry run from statistics: the planner's own, for the statements that would count.

--- explain
-- Asks the planner how many rows it expects of the rows that would be counted; nothing is read.
-- $1: the cutoff.
EXPLAIN {rows}

--- candidates
-- The candidates.
SELECT
  FROM {table} AS t
 WHERE {candidate}

--- old_enough
-- The rows older than the cutoff: of these the statistics know more than of what conditions and guards leave.
SELECT
  FROM {table} AS t
 WHERE t.{age} {below} $1::{type}

--- total
-- The rows that satisfy the policy's condition, whatever their age.
SELECT
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND {where}

--- referring
-- The rows of one table, or those of them that refer to anything.
SELECT
  FROM {table} AS d
 WHERE $1::{type} IS NOT NULL
   AND {not_null}

--- without_statistics
-- Those of these tables of which ANALYZE has never seen a row. $1: their oids.
SELECT c.oid
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_stats AS s
        WHERE s.schemaname OPERATOR(pg_catalog.=) n.nspname
          AND s.tablename OPERATOR(pg_catalog.=) c.relname)
