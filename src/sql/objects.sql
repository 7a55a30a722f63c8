-- Columns that name stored objects: what the server knows of their types.

--- shape
-- How a column of this type holds texts: one ("text"), an array of them ("list"), or json and jsonb ("json"); NULL: in none
-- of these ways. A domain is what it is made of.
(WITH RECURSIVE base AS (
     SELECT t.oid, t.typtype, t.typbasetype, t.typcategory, t.typelem
       FROM pg_catalog.pg_type AS t
      WHERE t.oid OPERATOR(pg_catalog.=) {type}
      UNION ALL
     SELECT t.oid, t.typtype, t.typbasetype, t.typcategory, t.typelem
       FROM base AS b
       JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) b.typbasetype
      WHERE b.typtype OPERATOR(pg_catalog.=) 'd')
 SELECT CASE WHEN b.typcategory OPERATOR(pg_catalog.=) 'S' THEN 'text'
             WHEN b.oid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.json', 'pg_catalog.jsonb']::pg_catalog.regtype[]) THEN 'json'
             WHEN b.typcategory OPERATOR(pg_catalog.=) 'A'
              AND (SELECT e.typcategory OPERATOR(pg_catalog.=) 'S' FROM pg_catalog.pg_type AS e
                    WHERE e.oid OPERATOR(pg_catalog.=) b.typelem) THEN 'list' END
   FROM base AS b
  WHERE b.typtype OPERATOR(pg_catalog.<>) 'd')

--- column_shape
-- The shape of a column. $1: the oid of its table, $2: its name.
SELECT {shape},
       pg_catalog.format_type(a.atttypid, a.atttypmod)
  FROM pg_catalog.pg_attribute AS a
 WHERE a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.name

--- check_path
-- Fails where the text is no SQL/JSON path. $1: the path.
SELECT $1::pg_catalog.jsonpath IS NULL

--- json_texts
-- The texts that a path finds in a value of json or jsonb. What it finds and is no text is left out.
(SELECT j OPERATOR(pg_catalog.#>>) '{}'
   FROM pg_catalog.jsonb_path_query({column}::pg_catalog.jsonb, {path}::pg_catalog.jsonpath) AS j
  WHERE pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.=) 'string')

--- json_texts_strict
-- The same, but what the path finds and is neither text nor null is an error: it might be the name of an object.
(SELECT CASE WHEN pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.=) 'string' THEN j OPERATOR(pg_catalog.#>>) '{}'
             ELSE pg_catalog.concat('no name of an object: ', pg_catalog.left(j::pg_catalog.text, 100))::pg_catalog.int4::pg_catalog.text END
   FROM pg_catalog.jsonb_path_query({column}::pg_catalog.jsonb, {path}::pg_catalog.jsonpath) AS j
  WHERE pg_catalog.jsonb_typeof(j) OPERATOR(pg_catalog.<>) 'null')

--- text_values
-- The values of a column that holds one text, of the rows in hand.
SELECT {row}.{column}::pg_catalog.text AS value
  FROM {table} AS {row}
 WHERE {row}.{column}::pg_catalog.text OPERATOR(pg_catalog.<>) ''
   AND {rows}

--- set_values
-- The values of a column that holds several texts, of the rows in hand.
SELECT o.value
  FROM {table} AS {row}
 CROSS JOIN LATERAL {texts} AS o(value)
 WHERE o.value OPERATOR(pg_catalog.<>) ''
   AND {rows}
