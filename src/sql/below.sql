-- References of the root's rows to each other that the policy deletes along: a row goes only together with all that is
-- below it, so it may go only where all of that may go.

--- guard
-- Something below the row t is no candidate: it is younger, say, or a guard spares it.
(EXISTS (
    WITH RECURSIVE below AS (
        {children}
        UNION
        {grandchildren}
    )
    SELECT
      FROM below AS b
     CROSS JOIN LATERAL (
           SELECT ({candidate}) AS pgsweep_candidate
             FROM {table} AS t
            WHERE {key}
           OFFSET 0) AS r
     WHERE r.pgsweep_candidate IS NOT TRUE))

--- lock_below
-- Locks the rows in hand and all rows below them, in the order of the key, so that two sweeps cannot wait for each other
-- in a circle. Answers how many there are, and their keys as arrays.
WITH RECURSIVE below AS (
    SELECT {columns}
      FROM {table} AS t
     WHERE {keys}
    UNION
    {grandchildren}
)
SELECT pg_catalog.count(*),
       {answer}
  FROM (SELECT *
          FROM below AS b
         ORDER BY {order}
        OFFSET 0) AS b
 CROSS JOIN LATERAL (
       SELECT {key_columns}
         FROM {table} AS t
        WHERE {key}
          FOR UPDATE OF t) AS t

--- children
-- The rows that refer to t.
SELECT {columns}
  FROM {table} AS d
 WHERE {match}

--- grandchildren
-- The rows that refer to those found before, each by its index.
SELECT r.*
  FROM below AS c
 CROSS JOIN LATERAL (
       {lookups}
       OFFSET 0) AS r
