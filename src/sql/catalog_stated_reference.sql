-- A reference that a policy states. $1: the referring table, $2: the table referred to (both as SQL
-- would read them), $3, $4: their columns, as arrays of the same length. One row for each pair.
SELECT a.oid AS referring_oid,
       b.oid AS referred_oid,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(a.relname) AS referring,
       u.from_column,
       u.to_column,
       f.attnum IS NOT NULL AS from_exists,
       p.attnum IS NOT NULL AS to_exists,
       coalesce(f.attnotnull, false) AS attnotnull,
       coalesce((SELECT t.typcategory = 'S' FROM pg_catalog.pg_type AS t WHERE t.oid = f.atttypid), false) AS is_text,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = a.oid AND i.indisvalid AND i.indpred IS NULL
                  AND i.indkey[0] IN (SELECT x.attnum FROM pg_catalog.pg_attribute AS x
                                       WHERE x.attrelid = a.oid AND x.attname = ANY ($3::pg_catalog.text[]))) AS indexed,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = b.oid AND i.indisvalid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS g(n)
                                    JOIN pg_catalog.pg_attribute AS x ON x.attrelid = b.oid AND x.attnum = i.indkey[g.n]
                                   WHERE x.attname <> ALL ($4::pg_catalog.text[]))) AS is_unique,
       a.relpages
  FROM pg_catalog.pg_class AS a
  JOIN pg_catalog.pg_namespace AS n ON n.oid = a.relnamespace
 CROSS JOIN pg_catalog.pg_class AS b
 CROSS JOIN ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[])) WITH ORDINALITY AS u(from_column, to_column, position)
  LEFT JOIN pg_catalog.pg_attribute AS f ON f.attrelid = a.oid AND f.attname = u.from_column AND f.attnum > 0 AND NOT f.attisdropped
  LEFT JOIN pg_catalog.pg_attribute AS p ON p.attrelid = b.oid AND p.attname = u.to_column AND p.attnum > 0 AND NOT p.attisdropped
 WHERE a.oid = pg_catalog.to_regclass($1::pg_catalog.text)
   AND b.oid = pg_catalog.to_regclass($2::pg_catalog.text)
 ORDER BY u.position
