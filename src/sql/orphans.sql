-- Shared rows: a transaction remembers those that it is about to delete as arrays of their keys, in
-- settings that end with it.

--- array_in_hand
-- One column of the remembered keys; empty if none were remembered in this transaction.
CASE WHEN pg_catalog.current_setting({setting}, true) OPERATOR(pg_catalog.<>) ''
     THEN pg_catalog.current_setting({setting}, true)
     ELSE '{}'
END::{type}[]

--- in_hand
-- The row is one of those remembered. The subquery makes PostgreSQL read and parse the setting once
-- and not for each row.
{key} {equal} ANY ((
    SELECT {array}){cast})

--- all_in_hand
-- The keys of the remembered rows, if they have several columns.
SELECT *
  FROM ROWS FROM (
       {arrays}) AS k

--- linked
-- Rows that lose a reference, and the rows of their table that they refer to.
linked AS (
    SELECT {columns}
      FROM {table} AS b
     WHERE {conditions}
    UNION
    {referred}
)

--- blocked
-- Rows to which a row that stays refers, and the rows of their table that those refer to.
blocked AS (
    SELECT {columns}
      FROM {table} AS b
     WHERE {conditions}
    UNION
    {referred}
)

--- referred
-- The rows to which rows of the set refer within their table.
SELECT {columns}
  FROM {set}
  JOIN {table} AS c
    ON {same}
  JOIN {table} AS p
    ON {match}

--- all_linked
-- The rows that lose a reference.
{sets}
SELECT *
  FROM linked

--- all_unblocked
-- The rows that lose a reference and to which no row that stays refers.
{sets}
SELECT *
  FROM linked
EXCEPT
SELECT *
  FROM blocked

--- all_blocked
-- The rows to which a row that stays refers.
{sets}
SELECT *
  FROM blocked

--- collect
-- Locks shared rows in the order of the key, so that two sweeps cannot deadlock, and remembers
-- them.
SELECT pg_catalog.count(*),
       {settings}
  FROM (SELECT {columns}
          FROM {table} AS s
         WHERE {conditions}
         ORDER BY {order}
           FOR UPDATE OF s) AS shared

--- narrow
-- Keeps those of the remembered rows that will be deleted.
SELECT pg_catalog.count(*),
       {settings}
  FROM (SELECT {columns}
          FROM {table} AS s
         WHERE {conditions}) AS shared
