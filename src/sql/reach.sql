-- Conditions that say which rows go with others: src/plan/reach.c and orphans.c put them together. What stands for
-- conditions is a list of them, one per line, and each further line starts with AND.

--- exists
-- Some row of the table meets the conditions.
EXISTS (
    SELECT FROM {table} AS {alias}
     WHERE {conditions})

--- exists_row_by_row
-- The same, looked up for single rows: OFFSET 0 keeps PostgreSQL from making one join of all rows.
EXISTS (
    SELECT FROM {table} AS {alias}
     WHERE {conditions}
    OFFSET 0)

--- in_array
-- The column has a value of these rows. PostgreSQL makes the array once for the statement and takes it to an index.
{column} OPERATOR(pg_catalog.=) ANY (ARRAY(
    SELECT {value}
      FROM {table} AS {alias}
     WHERE {conditions}))

--- in_query
-- The columns have the values of one of the rows of a query.
{columns} {equal} ANY (
    {query})

--- in_query_by_column
-- The same where the columns' operators are not all of one name and schema, so that no comparison of rows has them.
EXISTS (
    SELECT FROM (
           {query}) AS k({names})
     WHERE {match})

--- select
-- Columns of the rows that meet the conditions.
SELECT {columns}
  FROM {table} AS {alias}
 WHERE {conditions}

--- next_level
-- The rows that those found before refer to, or that refer to them: level by level, each by its index.
SELECT {row}.*
  FROM {known} AS a
 CROSS JOIN LATERAL (
       {level}
       OFFSET 0) AS {row}

--- can_hash
-- Is never run: the server says whether it can tell rows apart by these columns, as references within a table are followed.
EXPLAIN
WITH RECURSIVE known AS (
    SELECT {columns}
      FROM {table} AS a
    UNION
    SELECT {columns}
      FROM known AS a
)
SELECT
  FROM known

--- down_in_array
-- The row is one of the first ones, or refers to one of them over other rows of its table.
{key} {equal} ANY (ARRAY(
    {all_down}){cast})

--- all_down
-- The keys of these rows.
WITH RECURSIVE {known} AS (
    {first}
    UNION
    {next_level}
)
SELECT {columns}
  FROM {known}

--- up
-- The row, or one that it refers to over other rows of its table, meets the conditions.
EXISTS (
    WITH RECURSIVE {known} AS (
        SELECT {columns}
        UNION
        {next_level}
    )
    SELECT FROM {known} AS {row}
     WHERE {conditions})

--- keys
-- The keys of the rows in hand, of several columns.
SELECT *
  FROM ROWS FROM (
       {arrays}) AS k
