-- Foreign keys that refer to a table or to one of its partitions or children, a row for each column
-- pair. $1: the oid of the table referred to.
WITH RECURSIVE referred AS (
    SELECT $1::pg_catalog.oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN referred AS r ON i.inhparent = r.oid)
SELECT c.oid,
       c.conname,
       c.confdeltype,
       c.conrelid,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(k.relname) AS referring,
       f.attname AS column,
       p.attname AS referred_column,
       f.attnotnull,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
                  AND i.indkey[0] = ANY (c.conkey)) AS indexed,
       k.relpages
  FROM pg_catalog.pg_constraint AS c
  JOIN referred AS r ON r.oid = c.confrelid
  JOIN pg_catalog.pg_class AS k ON k.oid = c.conrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = k.relnamespace
 CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) WITH ORDINALITY AS u(attnum, position)
  JOIN pg_catalog.pg_attribute AS f ON f.attrelid = c.conrelid AND f.attnum = u.attnum
  JOIN pg_catalog.pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = c.confkey[u.position]
 WHERE c.contype = 'f' AND c.conparentid = 0
 ORDER BY n.nspname, k.relname, c.conname, c.oid, u.position
