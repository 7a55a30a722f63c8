-- The columns of a table. $1: its oid.
SELECT a.attname,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull,
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END AS base_type,
       coalesce(k.position, 0) AS key_position
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN LATERAL (
       SELECT u.position
         FROM pg_catalog.pg_constraint AS c,
              pg_catalog.unnest(c.conkey) WITH ORDINALITY AS u(attnum, position)
        WHERE c.conrelid = a.attrelid AND c.contype = 'p' AND u.attnum = a.attnum) AS k ON true
 WHERE a.attrelid = $1::pg_catalog.oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
