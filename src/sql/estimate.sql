-- Estimates of a dry run: the planner's own, from statistics, for the statements that would count.

--- explain
-- Asks the planner how many rows the count would return; no table is read.
-- $1: the cutoff.
EXPLAIN {rows}

--- candidates
-- The candidates.
SELECT
  FROM {table} AS t
 WHERE {candidate}

--- old_enough
-- The rows older than the cutoff: statistics know more about these than about the effect of
-- conditions and guards.
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
-- The rows of one table, or those of its rows that have a reference.
SELECT
  FROM {table} AS d
 WHERE $1::{type} IS NOT NULL
   AND {not_null}

--- without_statistics
-- Those of the tables for which there are no statistics (ANALYZE has never seen a row). $1: their
-- oids.
SELECT c.oid
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
   AND NOT EXISTS (
       SELECT FROM pg_catalog.pg_stats AS s
        WHERE s.schemaname OPERATOR(pg_catalog.=) n.nspname
          AND s.tablename OPERATOR(pg_catalog.=) c.relname)
