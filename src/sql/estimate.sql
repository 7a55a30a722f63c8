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
 WHERE t.{age} OPERATOR(pg_catalog.<) $1::{type}

--- total
-- The rows that satisfy the policy's condition, whatever their age.
SELECT
  FROM {table} AS t
 WHERE $1::{type} IS NOT NULL
   AND {where}

--- dependents
-- The rows of one table that would go, or lose their reference, with the candidates.
SELECT
  FROM {table} AS d
 WHERE {reached}

--- has_statistics
-- Whether ANALYZE has ever seen rows of a table. $1: its oid.
SELECT EXISTS (SELECT
                 FROM pg_catalog.pg_stats AS s
                 JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) s.schemaname
                 JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
                                              AND c.relname OPERATOR(pg_catalog.=) s.tablename
                WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid)
