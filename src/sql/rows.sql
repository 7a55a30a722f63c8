-- Sets of rows, as the common table expressions of a statement: each identifies the rows of one
-- table by their location (tableoid, ctid: the same for a partition and its parent, and stable
-- within a snapshot) and has the columns that the next sets compare. References are followed by
-- EXISTS and NOT EXISTS directly under AND, one query for each reference: PostgreSQL turns them
-- into joins, which use the disk instead of becoming suddenly slow when memory is short.

--- set
-- A set of rows that is computed once.
{name} AS MATERIALIZED (
    {rows}
)

--- going_root
-- The candidates. The second query returns nothing, but the planner expects 1,000 rows from it, so
-- that statistics from before many rows expired do not make it choose nested loops.
SELECT {columns}
  FROM {table} AS t
 WHERE {candidate}
{floor}

--- old_root
-- The rows of the policy's table that are old enough, each with the first guard that spares it (0: none).
SELECT {columns},
       pgsweep_g.pgsweep_guard,
       {label} AS pgsweep_label
  FROM {table} AS t
 CROSS JOIN LATERAL (
       SELECT CASE
                  {guards}
                  ELSE 0
              END AS pgsweep_guard
       OFFSET 0) AS pgsweep_g
 WHERE {old}
   AND {where}
{floor}

--- label
-- The label that a guard gives the row.
CASE
    {labels}
    ELSE NULL
END

--- floor
-- Returns no row, although the planner expects many: see going_root.
UNION ALL
(SELECT {columns}
   FROM {table} AS t
  WHERE (SELECT false)
  LIMIT {rows})

--- unspared_root
-- The old rows that no guard spares.
SELECT b.*
  FROM {old} AS b
 WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
   AND {unblocked}

--- blocked_root
-- A candidate to which a row that stays refers, if the candidate could only be deleted together
-- with that row.
SELECT {columns}
  FROM {old} AS b
 WHERE b.pgsweep_guard OPERATOR(pg_catalog.<) 1
   AND EXISTS (
       SELECT FROM {table} AS c
        WHERE {match}
          AND NOT EXISTS (
              SELECT FROM {old} AS g
               WHERE g.pgsweep_guard OPERATOR(pg_catalog.<) 1
                 AND g.pgsweep_row OPERATOR(pg_catalog.=) c.ctid
                 AND g.pgsweep_table OPERATOR(pg_catalog.=) c.tableoid))

--- by_reference
-- The rows of a table that refer, through one reference, to rows of a set.
SELECT {columns}
  FROM {table} AS d
 WHERE EXISTS (
       SELECT FROM {set} AS p
        WHERE {match})
   AND {last}

--- last
-- A row that may refer to several rows at once is deleted with the last of them.
NOT EXISTS (
    SELECT FROM {parent} AS p
     WHERE {match}
       AND {not_going})

--- next_level
-- The rows that those of the set refer to within their table, or that refer to them: level by level, by an index.
SELECT r.*
  FROM {set} AS c
 CROSS JOIN LATERAL (
       {lookups}
       OFFSET 0) AS r

--- next_level_without_index
-- The rows of the table that refer to rows of the set: level by level; without an index, one scan for each level.
SELECT {columns}
  FROM {set} AS c
  JOIN {table} AS d
    ON {match}

--- lookup
-- The row that c refers to, or the rows that refer to it.
SELECT {columns}
  FROM {table} AS {alias}
 WHERE {match}

--- by_link
-- The shared rows that rows of a set refer to.
SELECT {columns}
  FROM {table} AS b
 WHERE EXISTS (
       SELECT FROM {set} AS l
        WHERE {match})

--- kept_by
-- The shared rows that a row which stays refers to.
SELECT b.*
  FROM {linked} AS b
 WHERE EXISTS (
       SELECT FROM {table} AS u
        WHERE {match}
          AND {not_going}
       )

--- all_kept
-- The shared rows that are kept through one reference.
SELECT b.* FROM {set} AS b

--- unkept
-- The shared rows that lose their last reference.
SELECT b.*
  FROM {linked} AS b
 WHERE {not_kept}

--- is_not_in
-- The row is not in the set.
NOT EXISTS (
    SELECT FROM {set} AS g
     WHERE g.pgsweep_row OPERATOR(pg_catalog.=) {row}
       AND g.pgsweep_table OPERATOR(pg_catalog.=) {table})
