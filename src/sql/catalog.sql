-- Tables and columns, read from the catalog.

--- tables
-- The tables of the names that a policy gives, a row for each name that there is a table of.
-- $1: the names, as SQL would read them.
SELECT u.name AS asked,
       c.oid,
       n.nspname,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS label,
       c.relname,
       c.relkind,
       greatest(c.reltuples, 0)::pg_catalog.int8 AS estimated_rows,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_select,
       pg_catalog.has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
       pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete
  FROM pg_catalog.unnest($1::pg_catalog.text[]) AS u(name)
  JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(u.name)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace

--- columns
-- The columns of tables, those of one table after each other. $1: the tables.
SELECT a.attrelid,
       a.attname,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END AS base_type,
       coalesce(pg_catalog.array_position(k.conkey, a.attnum), 0) AS key_position,
       CASE WHEN t.typcategory = 'S' THEN 'text'
            WHEN CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
                 = ANY (ARRAY['pg_catalog.json', 'pg_catalog.jsonb']::pg_catalog.regtype[]) THEN 'json'
            WHEN t.typcategory = 'A'
             AND (SELECT e.typcategory = 'S' FROM pg_catalog.pg_type AS b JOIN pg_catalog.pg_type AS e ON e.oid = b.typelem
                   WHERE b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END) THEN 'list'
       END AS object_shape,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_constraint AS k ON k.conrelid = a.attrelid AND k.contype = 'p'
 WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum

--- fits
-- Has PostgreSQL convert a value as an UPDATE would when it assigns it, and touches no row: what does not fit fails.
-- Without a type of its own the parameter takes the column's, and the conversion is done while the statement is planned.
-- $1: the value.
EXPLAIN UPDATE {table} SET {column} = $1 WHERE false

--- is_there
-- Whether the row is there that others are reassigned to. $1: its key, which fits the referencing column.
SELECT EXISTS (
       SELECT FROM {table} AS p
        WHERE p.{column}{column_cast} {operator} {value}{value_cast} {collation})

--- similar
-- Tables whose names differ from a policy's only in case, in any schema. $1: the name without quotes.
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE pg_catalog.lower(c.relname) = pg_catalog.lower(pg_catalog.replace($1::pg_catalog.text, '"', ''))
   AND c.relkind IN ('r', 'p')
   AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY 1
 LIMIT 3
