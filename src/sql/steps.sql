-- Statements that act on the rows of a table in one transaction; src/plan/steps.c fills the slots.

--- delete
-- Deletes the rows.
DELETE FROM {table} AS d
 WHERE {rows}

--- update
-- Changes the rows.
UPDATE {table} AS d
   SET {set}
 WHERE {rows}

--- rows
-- The rows themselves, for a query around that counts them.
SELECT
  FROM {table} AS d
 WHERE {rows}

--- lock_rows
-- Locks the rows, for a query around that counts them: PostgreSQL allows row locks only in a query
-- without aggregates.
SELECT
  FROM {table} AS d
 WHERE {rows}
   FOR UPDATE OF d

--- lock
-- Locks the rows and counts them.
SELECT pg_catalog.count(*)
  FROM (SELECT
          FROM {table} AS d
         WHERE {rows}
           FOR UPDATE OF d) AS locked

--- directories
-- The names of the working directories of the rows that are deleted.
SELECT {text} AS value
  FROM {table} AS t
 WHERE t.{column} IS NOT NULL
   AND {keys}
