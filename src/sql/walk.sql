-- What the plan asks to find the index that the sweep walks along.

--- age_indexes
-- Valid btree indexes that lead with the age column, the most useful first: those that hold every row where it is not null, then
-- partial ones, which may or may not hold every candidate. $1: the table's oid, $2: the column's name.
SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text AS index,
       i.indnkeyatts,
       coalesce((SELECT (s.most_common_freqs)[1] OPERATOR(pg_catalog.*) greatest(c.reltuples, 0)
                   FROM pg_catalog.pg_stats AS s
                   JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indrelid
                   JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                  WHERE s.schemaname OPERATOR(pg_catalog.=) n.nspname
                    AND s.tablename OPERATOR(pg_catalog.=) c.relname
                    AND s.attname OPERATOR(pg_catalog.=) a.attname
                  LIMIT 1), 0)::pg_catalog.int8 AS most_common_rows,
       (SELECT greatest(c.reltuples, 0)
          FROM pg_catalog.pg_class AS c
         WHERE c.oid OPERATOR(pg_catalog.=) i.indrelid)::pg_catalog.int8 AS rows,
       EXISTS (SELECT FROM pg_catalog.pg_stats AS s
                 JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                WHERE s.schemaname OPERATOR(pg_catalog.=) n.nspname
                  AND s.tablename OPERATOR(pg_catalog.=) c.relname
                  AND s.attname OPERATOR(pg_catalog.=) a.attname) AS known,
       p.partial
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
                                   AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
  JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) x.relam
                            AND m.amname OPERATOR(pg_catalog.=) 'btree'
 CROSS JOIN LATERAL (
       SELECT coalesce(pg_catalog.pg_get_expr(i.indpred, i.indrelid) OPERATOR(pg_catalog.<>)
                       pg_catalog.format('(%I IS NOT NULL)', a.attname), false)) AS p(partial)
 WHERE i.indrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
   AND a.attname OPERATOR(pg_catalog.=) $2::pg_catalog.text
   AND i.indisvalid
 ORDER BY p.partial, i.indnkeyatts DESC, 1

--- leaves
-- The names of the index and its table, or of those of the partitions. $1: the index.
SELECT pg_catalog.quote_ident(x.relname) AS index,
       pg_catalog.quote_ident(c.relname) AS table
  FROM (SELECT $1::pg_catalog.regclass
         UNION
        SELECT p.relid
          FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass) AS p) AS l(oid)
  JOIN pg_catalog.pg_index AS i ON i.indexrelid OPERATOR(pg_catalog.=) l.oid
  JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) i.indrelid
 WHERE x.relkind OPERATOR(pg_catalog.=) 'i'

--- settings
-- Whether PostgreSQL can use an index for the statement, not whether it finds that worth the cost at this moment; and for any cutoff.
SELECT pg_catalog.set_config('enable_seqscan', 'off', true),
       pg_catalog.set_config('enable_bitmapscan', 'off', true),
       pg_catalog.set_config('enable_sort', 'off', true),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true)

--- prepare
-- The walk in short: the next candidate, by age.
PREPARE pgsweep_walk ({type}) AS
SELECT
  FROM {root} AS t
 WHERE {candidate}
 ORDER BY {order}
 LIMIT 1

--- explain
-- The server's word that a partial index holds every candidate: it uses one only where the condition implies that.
EXPLAIN (COSTS OFF) EXECUTE pgsweep_walk ({cutoff})

--- prepared
-- Where to go back to, should the explanation fail.
SAVEPOINT pgsweep_walk

--- explained
-- A statement that is prepared outlives its transaction, which therefore must not have failed.
ROLLBACK TO SAVEPOINT pgsweep_walk

--- forget
-- Forgets it.
DEALLOCATE pgsweep_walk
