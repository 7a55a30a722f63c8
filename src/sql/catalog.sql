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
       pg_catalog.has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
       pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete,
       pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS may_lock
  FROM pg_catalog.unnest($1::pg_catalog.text[]) AS u(name)
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(u.name)
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace

--- columns
-- The columns of tables, those of one table after each other. Keys are compared as their index compares them: with the
-- operators of its operator class (below, at_most, equal, at_least, above), which may be of any schema; where these are not
-- PostgreSQL's own, their operands are cast to the type that they are declared for, so that no other operator fits better. An
-- operator for any enum takes no domain over one: there domains are cast to their base type.
-- $1: the tables.
WITH RECURSIVE domains AS (
    SELECT t.oid AS type, t.typbasetype AS base
      FROM pg_catalog.pg_type AS t
     WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
     UNION ALL
    SELECT d.type, t.typbasetype
      FROM domains AS d
      JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) d.base
     WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
), compared AS (
    SELECT c.oid AS class,
           pg_catalog.min(w.operator) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 1) AS below,
           pg_catalog.min(w.operator) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 2) AS at_most,
           pg_catalog.min(w.operator) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 3) AS equal,
           pg_catalog.min(w.operator) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 4) AS at_least,
           pg_catalog.min(w.operator) FILTER (WHERE m.amopstrategy OPERATOR(pg_catalog.=) 5) AS above,
           c.opcintype AS operand,
           pg_catalog.bool_or(t.typtype OPERATOR(pg_catalog.=) 'p') AS of_a_kind,
           pg_catalog.min(w.type) FILTER (WHERE s.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'
                                            AND t.typtype OPERATOR(pg_catalog.<>) 'p') AS operand_cast
      FROM pg_catalog.pg_opclass AS c
      JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) c.opcintype
      JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
      JOIN pg_catalog.pg_amop AS m ON m.amopfamily OPERATOR(pg_catalog.=) c.opcfamily
                                  AND m.amoplefttype OPERATOR(pg_catalog.=) c.opcintype
                                  AND m.amoprighttype OPERATOR(pg_catalog.=) c.opcintype
      JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) m.amopopr
      JOIN pg_catalog.pg_namespace AS s ON s.oid OPERATOR(pg_catalog.=) o.oprnamespace
     CROSS JOIN LATERAL (
           SELECT pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname),
                  pg_catalog.format('::%I.%I', n.nspname, t.typname)) AS w(operator, type)
     WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(
           SELECT pg_catalog.unnest(i.indclass::pg_catalog.oid[])
             FROM pg_catalog.pg_index AS i
            WHERE i.indrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
              AND i.indisprimary))
     GROUP BY c.oid, c.opcintype
), text_casts AS (
    SELECT c.castsource
      FROM pg_catalog.pg_cast AS c
     WHERE c.casttarget OPERATOR(pg_catalog.=) 'pg_catalog.text'::pg_catalog.regtype
       AND c.castfunc OPERATOR(pg_catalog.>=) 16384
), keys AS (
    SELECT i.indrelid,
           k.attnum,
           k.position,
           i.indclass[k.position OPERATOR(pg_catalog.-) 1] AS class
      FROM pg_catalog.pg_index AS i
     CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, position)
     WHERE i.indrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
       AND i.indisprimary
       AND k.position OPERATOR(pg_catalog.<=) i.indnkeyatts
)
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
       c.below,
       c.at_most,
       c.equal,
       c.at_least,
       c.above,
       CASE WHEN c.of_a_kind AND t.typtype OPERATOR(pg_catalog.=) 'd' THEN pg_catalog.format('::%I.%I', n.nspname, b.typname)
            WHEN c.operand OPERATOR(pg_catalog.<>) t.oid THEN c.operand_cast END AS operand,
       pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update,
       (SELECT pg_catalog.format('%I.%I', fn.nspname, f.proname)
          FROM pg_catalog.pg_proc AS f
          JOIN pg_catalog.pg_namespace AS fn ON fn.oid OPERATOR(pg_catalog.=) f.pronamespace
         WHERE f.oid OPERATOR(pg_catalog.=) b.typoutput
           AND b.oid OPERATOR(pg_catalog.=) ANY (SELECT castsource FROM text_casts)) AS output,
       EXISTS (SELECT FROM text_casts) AS text_casts,
       b.typarray OPERATOR(pg_catalog.=) 0 AS lacks_arrays
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
  JOIN pg_catalog.pg_type AS b
    ON b.oid OPERATOR(pg_catalog.=)
       CASE WHEN t.typtype OPERATOR(pg_catalog.<>) 'd' THEN t.oid
            ELSE (SELECT d.base
                    FROM domains AS d
                    JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) d.base
                   WHERE d.type OPERATOR(pg_catalog.=) t.oid
                     AND y.typtype OPERATOR(pg_catalog.<>) 'd') END
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) b.typnamespace
  LEFT JOIN keys AS k ON k.indrelid OPERATOR(pg_catalog.=) a.attrelid
                     AND k.attnum OPERATOR(pg_catalog.=) a.attnum
  LEFT JOIN compared AS c ON c.class OPERATOR(pg_catalog.=) k.class
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
