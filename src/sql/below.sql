-- References between rows of the root that the policy follows when it deletes: a row is deleted
-- only together with all rows below it, so it may be deleted only if all of those may be.

--- guard
-- Whether a row below t is not a candidate: it is too young, for example, or a guard spares it.
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
-- Locks the candidates and all rows below them, in the order of the key, so that two sweeps cannot
-- deadlock. Returns how many there are, and their keys as arrays.
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
-- The rows that refer to the rows of the previous level, each found by an index.
SELECT r.*
  FROM below AS c
 CROSS JOIN LATERAL (
       {lookups}
       OFFSET 0) AS r
