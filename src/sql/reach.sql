-- Conditions that select the rows that are deleted or changed with others; src/plan/reach.c and
-- orphans.c combine them. A slot for conditions is filled with a list, one per line; every line but
-- the first starts with AND.

--- exists
-- A row of the table meets the conditions.
EXISTS (
    SELECT FROM {table} AS {alias}
     WHERE {conditions})

--- exists_row_by_row
-- The same, looked up row by row: OFFSET 0 keeps PostgreSQL from joining all rows at once.
EXISTS (
    SELECT FROM {table} AS {alias}
     WHERE {conditions}
    OFFSET 0)

--- in_array
-- The column has a value of these rows. PostgreSQL builds the array once per statement and can use
-- an index with it.
{column} OPERATOR(pg_catalog.=) ANY (ARRAY(
    SELECT {value}
      FROM {table} AS {alias}
     WHERE {conditions}))

--- in_query
-- The columns have the values of a row of the query.
{columns} {equal} ANY (
    {query})

--- in_query_by_column
-- The same if the columns' operators differ in name or schema, so that no row comparison can use
-- them.
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
-- Never run: the server reports whether it can compare rows by these columns, which following
-- references within a table needs.
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
-- The row is one of the first rows, or refers to one of them directly or through other rows of its
-- table.
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
-- The row, or one that it refers to directly or through other rows of its table, meets the
-- conditions.
EXISTS (
    WITH RECURSIVE {known} AS (
        SELECT {columns}
        UNION
        {next_level}
    )
    SELECT FROM {known} AS {row}
     WHERE {conditions})

--- keys
-- The keys of the locked rows, if they have several columns.
SELECT *
  FROM ROWS FROM (
       {arrays}) AS k
