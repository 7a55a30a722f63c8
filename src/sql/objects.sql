-- Columns that name stored objects: questions about their types.

--- shape
-- How a column of this type holds texts: one ("text"), an array of them ("list"), or json and jsonb
-- ("json"); NULL: none of these. A domain counts as its base type.
(SELECT CASE WHEN o.typcategory OPERATOR(pg_catalog.=) 'S' THEN 'text'
             WHEN CASE WHEN o.typtype OPERATOR(pg_catalog.=) 'd' THEN o.typbasetype ELSE o.oid END OPERATOR(pg_catalog.=)
                  ANY (ARRAY['pg_catalog.json', 'pg_catalog.jsonb']::pg_catalog.regtype[]) THEN 'json'
             WHEN o.typcategory OPERATOR(pg_catalog.=) 'A'
              AND (SELECT e.typcategory OPERATOR(pg_catalog.=) 'S'
                     FROM pg_catalog.pg_type AS b
                     JOIN pg_catalog.pg_type AS e ON e.oid OPERATOR(pg_catalog.=) b.typelem
                    WHERE b.oid OPERATOR(pg_catalog.=)
                          CASE WHEN o.typtype OPERATOR(pg_catalog.=) 'd' THEN o.typbasetype ELSE o.oid END) THEN 'list' END
   FROM pg_catalog.pg_type AS o
  WHERE o.oid OPERATOR(pg_catalog.=) {type})

--- check_path
-- Fails if the text is not a valid SQL/JSON path. $1: the path.
SELECT $1::pg_catalog.jsonpath IS NULL

--- json_texts
-- The texts that a path finds in a value of json or jsonb. Values of other types are left out.
(SELECT j OPERATOR(pg_catalog.#>>) '{}'
   FROM pg_catalog.jsonb_path_query({column}::pg_catalog.jsonb, {path}::pg_catalog.jsonpath) AS j
  WHERE pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.=) 'string')

--- json_texts_strict
-- The same, but it is an error if the path finds a value that is neither text nor null: it might be
-- the name of an object.
(SELECT CASE WHEN pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.=) 'string' THEN j OPERATOR(pg_catalog.#>>) '{}'
             ELSE pg_catalog.concat('no name of an object: ', pg_catalog.left(j::pg_catalog.text, 100))::pg_catalog.int4::pg_catalog.text END
   FROM pg_catalog.jsonb_path_query({column}::pg_catalog.jsonb, {path}::pg_catalog.jsonpath) AS j
  WHERE pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.<>) 'null')

--- text_values
-- The values of a column that holds one text, for the rows that are deleted.
SELECT {row}.{column}::pg_catalog.text AS value
  FROM {table} AS {row}
 WHERE {row}.{column}::pg_catalog.text OPERATOR(pg_catalog.<>) ''
   AND {rows}

--- set_values
-- The values of a column that holds several texts, for the rows that are deleted.
SELECT o.value
  FROM {table} AS {row}
 CROSS JOIN LATERAL {texts} AS o(value)
 WHERE o.value OPERATOR(pg_catalog.<>) ''
   AND {rows}
