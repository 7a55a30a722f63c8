-- Working directories: finds which of the queued ones are still named by a row.

--- still_named
-- Those of the names that a column has, as text; two that only a collation takes for the same are two. $1: the names, as an
-- array.
SELECT DISTINCT {column}::pg_catalog.text COLLATE pg_catalog."C"
  FROM {table}
 WHERE {column}{cast} OPERATOR(pg_catalog.=) ANY ({names})

--- still_named_printed
-- The same where users have casts to text: these would run their functions, the output function of the type does not. A name is
-- found with and without the blanks that char(n) has at its end: more names than the column has would keep directories, fewer would
-- delete them.
SELECT DISTINCT v.name COLLATE pg_catalog."C"
  FROM {table}
 CROSS JOIN LATERAL (
       SELECT pg_catalog.format('%s', {column}) AS name
        UNION ALL
       SELECT pg_catalog.rtrim(pg_catalog.format('%s', {column}))) AS v
 WHERE v.name OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])

--- texts
-- The names, for a column that is compared as text.
$1::pg_catalog.text[]

--- integers
-- The names that are integers, as integers, so that the index of the column is used; NULL for the
-- others.
ARRAY(SELECT CASE WHEN v OPERATOR(pg_catalog.~) '^-?[0-9]{1,19}$' THEN
                  CASE WHEN v::pg_catalog.numeric OPERATOR(pg_catalog.>=) (-9223372036854775808)
                        AND v::pg_catalog.numeric OPERATOR(pg_catalog.<=) 9223372036854775807
                       THEN v::pg_catalog.int8 END END
        FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v)

--- uuids
-- The names that are UUIDs, as UUIDs; NULL for the others.
ARRAY(SELECT CASE WHEN v OPERATOR(pg_catalog.~*) '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN v::pg_catalog.uuid END
        FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v)
