-- Valid btree indexes that lead with a column and hold every row where it is not null.
-- $1: the table's oid, $2: the column's name. The ones with most columns come first.
SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text AS index,
       i.indnkeyatts,
       coalesce((SELECT (s.most_common_freqs)[1] * greatest(c.reltuples, 0)
                   FROM pg_catalog.pg_stats AS s
                   JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
                   JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                  WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
                  LIMIT 1), 0)::pg_catalog.int8 AS most_common_rows,
       EXISTS (SELECT FROM pg_catalog.pg_stats AS s
                 JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname) AS known
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_am AS m ON m.oid = x.relam AND m.amname = 'btree'
 WHERE i.indrelid = $1::pg_catalog.oid
   AND a.attname = $2::pg_catalog.text
   AND i.indisvalid
   AND (i.indpred IS NULL
        OR pg_catalog.pg_get_expr(i.indpred, i.indrelid) = '(' || pg_catalog.quote_ident(a.attname) || ' IS NOT NULL)')
 ORDER BY i.indnkeyatts DESC, 1
