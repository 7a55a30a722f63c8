-- Tables and columns, read from the catalog.

--- tables
-- The tables of the names that a policy gives, a row for each name that there is a table of.
-- $1: the names, as SQL would read them.
SELECT u.name AS asked,
       c.oid,
       n.nspname,
       pg_catalog.format('%I.%I', n.nspname, c.relname) AS label,
       c.relname,
       c.relkind,
       greatest(c.reltuples, 0)::pg_catalog.int8 AS estimated_rows,
       c.relkind OPERATOR(pg_catalog.=) 'r'
       AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                    WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid) AS has_children,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_select,
       pg_catalog.has_table_privilege(c.oid, 'UPDATE') AS may_update,
       pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete
  FROM pg_catalog.unnest($1::pg_catalog.text[]) AS u(name)
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(u.name)
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace

--- columns
-- The columns of tables, those of one table after each other. Keys are compared as their index compares them: with the
-- operators of its operator class (below, at_most, equal, at_least, above), which may be of any schema; where these are not
-- PostgreSQL's own, their operands are cast to the type that they are declared for, so that no other operator fits better.
-- $1: the tables.
SELECT a.attrelid,
       a.attname,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull,
       b.oid AS base_type,
       coalesce(k.position, 0) AS key_position,
       CASE WHEN t.typcategory OPERATOR(pg_catalog.=) 'S' THEN 'text'
            WHEN b.oid OPERATOR(pg_catalog.=) ANY (ARRAY['pg_catalog.json', 'pg_catalog.jsonb']::pg_catalog.regtype[])
            THEN 'json'
            WHEN t.typcategory OPERATOR(pg_catalog.=) 'A'
             AND (SELECT e.typcategory OPERATOR(pg_catalog.=) 'S'
                    FROM pg_catalog.pg_type AS e
                   WHERE e.oid OPERATOR(pg_catalog.=) b.typelem) THEN 'list'
       END AS object_shape,
       pg_catalog.format('%I.%I', n.nspname, b.typname) AS value_type,
       o.below,
       o.at_most,
       o.equal,
       o.at_least,
       o.above,
       o.operand
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
 CROSS JOIN LATERAL (
       WITH RECURSIVE domains AS (
           SELECT t.oid, t.typtype, t.typbasetype
            UNION ALL
           SELECT y.oid, y.typtype, y.typbasetype
             FROM domains AS d
             JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) d.typbasetype
            WHERE d.typtype OPERATOR(pg_catalog.=) 'd')
       SELECT y.oid, y.typname, y.typnamespace, y.typelem
         FROM domains AS d
         JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) d.oid
        WHERE d.typtype OPERATOR(pg_catalog.<>) 'd') AS b
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) b.typnamespace
  LEFT JOIN LATERAL (
       SELECT i.indclass,
              pg_catalog.array_position(c.conkey, a.attnum) AS position
         FROM pg_catalog.pg_constraint AS c
         JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) c.conindid
        WHERE c.conrelid OPERATOR(pg_catalog.=) a.attrelid
          AND c.contype OPERATOR(pg_catalog.=) 'p') AS k ON true
  LEFT JOIN LATERAL (
       SELECT pg_catalog.min(w.written) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 1) AS below,
              pg_catalog.min(w.written) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 2) AS at_most,
              pg_catalog.min(w.written) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 3) AS equal,
              pg_catalog.min(w.written) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 4) AS at_least,
              pg_catalog.min(w.written) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 5) AS above,
              pg_catalog.min(pg_catalog.format('::%I.%I', yn.nspname, y.typname))
              FILTER (WHERE s.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'
                        AND y.typtype OPERATOR(pg_catalog.<>) 'p'
                        AND y.oid OPERATOR(pg_catalog.<>) t.oid) AS operand
         FROM pg_catalog.pg_opclass AS oc
         JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) oc.opcintype
         JOIN pg_catalog.pg_namespace AS yn ON yn.oid OPERATOR(pg_catalog.=) y.typnamespace
         JOIN pg_catalog.pg_amop AS m ON m.amopfamily OPERATOR(pg_catalog.=) oc.opcfamily
                                     AND m.amoplefttype OPERATOR(pg_catalog.=) oc.opcintype
                                     AND m.amoprighttype OPERATOR(pg_catalog.=) oc.opcintype
         JOIN pg_catalog.pg_operator AS p ON p.oid OPERATOR(pg_catalog.=) m.amopopr
         JOIN pg_catalog.pg_namespace AS s ON s.oid OPERATOR(pg_catalog.=) p.oprnamespace
        CROSS JOIN LATERAL (SELECT pg_catalog.format('OPERATOR(%I.%s)', s.nspname, p.oprname)) AS w(written)
        WHERE oc.oid OPERATOR(pg_catalog.=) k.indclass[k.position OPERATOR(pg_catalog.-) 1]) AS o ON true
 WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
   AND a.attnum OPERATOR(pg_catalog.>) 0
   AND NOT a.attisdropped
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
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE pg_catalog.lower(c.relname::pg_catalog.text) OPERATOR(pg_catalog.=)
       pg_catalog.lower(pg_catalog.replace($1::pg_catalog.text, '"', ''))
   AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[])
   AND n.nspname OPERATOR(pg_catalog.!~~) 'pg\_%'
 ORDER BY 1
 LIMIT 3
