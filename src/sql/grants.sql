-- Finds the privileges that a role of its own needs for a policy.

--- begin
-- Begins a transaction that is never committed: its view shows what the conditions read, and
-- disappears with it.
BEGIN READ WRITE

--- view
-- A view of the policy's conditions: PostgreSQL notes which tables, functions and operators it depends on.
CREATE TEMPORARY VIEW pgsweep_conditions AS
SELECT {condition} AS condition
  FROM {root} AS t

--- read
-- The objects that the view depends on: tables and views that must be readable, functions that not
-- everybody may call, and the schemas of all of them.
SELECT DISTINCT
       CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass THEN 'table'
            WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
             AND NOT pg_catalog.has_function_privilege('public', d.refobjid, 'EXECUTE') THEN 'function' END AS kind,
       (pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0)).identity,
       (pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0)).schema,
       d.refobjid
  FROM pg_catalog.pg_rewrite AS w
  JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                                AND d.objid OPERATOR(pg_catalog.=) w.oid
 WHERE w.ev_class OPERATOR(pg_catalog.=) 'pg_temp.pgsweep_conditions'::pg_catalog.regclass
   AND d.deptype OPERATOR(pg_catalog.=) 'n'
   AND NOT (d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
            AND d.refobjid OPERATOR(pg_catalog.=) w.ev_class)
 ORDER BY 1, 2

--- tables
-- The names of the tables, and whether row security hides rows from ordinary roles; then, without a
-- table, the schemas of the tables and of the types of their columns. $1: tables.
SELECT c.oid,
       pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) pg_catalog.quote_ident(c.relname) AS ident,
       c.relrowsecurity,
       NULL::pg_catalog.text AS schema
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
 UNION
SELECT NULL, NULL, NULL, pg_catalog.quote_ident(n.nspname)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
  JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) ANY (ARRAY[c.relnamespace, y.typnamespace])
 WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
   AND NOT a.attisdropped
 ORDER BY 2, 4

--- state
-- Whether this role may read which columns name stored objects.
SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgsweep')::pg_catalog.oid, 'USAGE')
                AND pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgsweep.object_sources')::pg_catalog.oid, 'SELECT'),
                false)

--- sources
-- Tables whose columns name stored objects or directories of any policy: they are read before an
-- object is deleted.
SELECT DISTINCT pg_catalog.to_regclass(o.table_ident)::pg_catalog.oid
  FROM pgsweep.object_sources AS o
 WHERE pg_catalog.to_regclass(o.table_ident) IS NOT NULL
