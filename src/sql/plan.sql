-- What a plan asks of the catalog once its tables are known.

--- inheritance
-- Which of these tables are partitions or children of others of them, at any depth: a row of one is a row of the other.
WITH RECURSIVE above AS (
    SELECT i.inhrelid AS child, i.inhparent AS parent
      FROM pg_catalog.pg_inherits AS i
     WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
    UNION
    SELECT a.child, i.inhparent
      FROM above AS a
      JOIN pg_catalog.pg_inherits AS i ON i.inhrelid OPERATOR(pg_catalog.=) a.parent
)
SELECT DISTINCT a.child, a.parent
  FROM above AS a
 WHERE a.parent OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
