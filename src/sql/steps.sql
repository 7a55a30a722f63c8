-- What is done to the rows of a table in one transaction: src/plan/steps.c fills the slots.

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
-- Locks the rows, for a query around that counts them: nothing but a query of its own may lock rows.
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
-- The names of working directories of the rows in hand.
SELECT {text} AS value
  FROM {table} AS t
 WHERE t.{column} IS NOT NULL
   AND {keys}
