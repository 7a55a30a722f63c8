-- Foreign keys that refer to a table, to one of its partitions or children, or to the whole that it is a
-- partition of, a row for each column pair. $1: the oid of the table referred to.
WITH RECURSIVE below AS (
    SELECT $1::pg_catalog.oid AS oid
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN below AS r ON i.inhparent = r.oid),
above AS (
    SELECT $1::pg_catalog.oid AS oid
    UNION
    SELECT i.inhparent FROM pg_catalog.pg_inherits AS i JOIN above AS r ON i.inhrelid = r.oid
      JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid AND k.relispartition),
referred AS (SELECT oid FROM below UNION SELECT oid FROM above)
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
