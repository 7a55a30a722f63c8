-- Working directories: which of the queued ones a row that stays still names.

--- still_named
-- Those of the names that a column has, as text; two that only a collation takes for the same are two. $1: the names, as an
-- array.
SELECT DISTINCT {column}::pg_catalog.text COLLATE pg_catalog."C"
  FROM {table}
 WHERE {column}{cast} OPERATOR(pg_catalog.=) ANY ({names})

--- texts
-- The names, for a column that is compared as text.
$1::pg_catalog.text[]

--- integers
-- The names that are integers, as such, so that the index of the column is used; NULL for the others.
ARRAY(SELECT CASE WHEN v OPERATOR(pg_catalog.~) '^-?[0-9]{1,19}$' THEN
                  CASE WHEN v::pg_catalog.numeric OPERATOR(pg_catalog.>=) (-9223372036854775808)
                        AND v::pg_catalog.numeric OPERATOR(pg_catalog.<=) 9223372036854775807
                       THEN v::pg_catalog.int8 END END
        FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v)

--- uuids
-- The names that are UUIDs, as such; NULL for the others.
ARRAY(SELECT CASE WHEN v OPERATOR(pg_catalog.~*) '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN v::pg_catalog.uuid END
        FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v)
