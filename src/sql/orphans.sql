-- Shared rows: those that a transaction has in hand are kept, as arrays of their keys, in settings that end with it.

--- array_in_hand
-- One column of their keys; empty where nothing was put there in this transaction.
CASE WHEN pg_catalog.current_setting({setting}, true) OPERATOR(pg_catalog.<>) ''
     THEN pg_catalog.current_setting({setting}, true)
     ELSE '{}'
END::{type}[]

--- in_hand
-- The row is one of those in hand. The subquery has the setting read and parsed once, not for each row.
{key} {equal} ANY ((
    SELECT {array}){cast})

--- all_in_hand
-- The keys of the rows in hand, of several columns.
SELECT *
  FROM ROWS FROM (
       {arrays}) AS k

--- linked
-- Rows that lose a link, and what they refer to within their table.
linked AS (
    SELECT {columns}
      FROM {table} AS b
     WHERE {conditions}
    UNION
    {referred}
)

--- blocked
-- Rows that a row outside uses, and what those refer to.
blocked AS (
    SELECT {columns}
      FROM {table} AS b
     WHERE {conditions}
    UNION
    {referred}
)

--- referred
-- The rows that those of the set refer to within their table.
SELECT {columns}
  FROM {set}
  JOIN {table} AS c
    ON {same}
  JOIN {table} AS p
    ON {match}

--- all_linked
-- The rows that lose a link.
{sets}
SELECT *
  FROM linked

--- all_unblocked
-- The rows that lose a link, and that nothing outside needs.
{sets}
SELECT *
  FROM linked
EXCEPT
SELECT *
  FROM blocked

--- all_blocked
-- The rows that something outside needs.
{sets}
SELECT *
  FROM blocked

--- collect
-- Locks shared rows and remembers them; in the order of the key, so that two sweeps cannot wait for each other in a circle.
SELECT pg_catalog.count(*),
       {settings}
  FROM (SELECT {columns}
          FROM {table} AS s
         WHERE {conditions}
         ORDER BY {order}
           FOR UPDATE OF s) AS shared

--- narrow
-- Remembers those of the rows in hand that go.
SELECT pg_catalog.count(*),
       {settings}
  FROM (SELECT {columns}
          FROM {table} AS s
         WHERE {conditions}) AS shared
