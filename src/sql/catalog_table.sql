-- One table by the name that a policy gives. $1: the name, as SQL would read it.
SELECT c.oid,
       n.nspname,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS label,
       c.relname,
       c.relkind,
       greatest(c.reltuples, 0)::pg_catalog.int8 AS estimated_rows,
       c.relpages,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid) AS has_children,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_select,
       pg_catalog.has_table_privilege(c.oid, 'UPDATE') AS may_update,
       pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass($1::pg_catalog.text)
