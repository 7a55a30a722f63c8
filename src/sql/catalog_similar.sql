-- Tables whose names differ from a policy's only in case, in any schema. $1: the name without quotes.
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE pg_catalog.lower(c.relname) = pg_catalog.lower(pg_catalog.replace($1::pg_catalog.text, '"', ''))
   AND c.relkind IN ('r', 'p')
   AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY 1
 LIMIT 3
