-- Shared rows: those that a transaction has in hand are kept, as arrays of their keys, in settings that end with it.

--- in_hand
-- The row is one of those in hand. The subquery has the setting read and parsed once, not for each row.
{key} = ANY ((
    SELECT {array})::{type}[])

--- in_hand_of_many
-- The same with a key of several columns.
{key} IN (
    SELECT *
      FROM ROWS FROM (
           {arrays}) AS k)

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

--- in_linked
-- The row is one of those that lose a link.
{key} IN (
    {sets}
    SELECT *
      FROM linked)

--- in_linked_unblocked
-- The row is one of those that lose a link, and nothing outside needs it.
{key} IN (
    {sets}
    SELECT *
      FROM linked
    EXCEPT
    SELECT *
      FROM blocked)

--- not_blocked
-- Nothing outside needs the row.
{key} NOT IN (
    {sets}
    SELECT *
      FROM blocked)

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
