-- References between tables, read from the catalog.

--- comparison
-- How the referred column p (of type pt) and the referencing column f (of type ft) are compared with the operator o:
-- its name, the casts that its operands need, the collation where the columns' differ, and whether "f = ANY (array
-- of p's type)" means the same. The collation is the one that PostgreSQL's own triggers use on deletion.
'OPERATOR(' || pg_catalog.quote_ident(os.nspname) || '.' || o.oprname || ')' AS operator,
CASE WHEN lt.typtype = 'p' OR lt.oid = p.atttypid THEN ''
     ELSE '::' || pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(lt.typname) END AS referred_cast,
CASE WHEN rt.typtype = 'p' OR rt.oid = f.atttypid THEN ''
     ELSE '::' || pg_catalog.quote_ident(rn.nspname) || '.' || pg_catalog.quote_ident(rt.typname) END AS column_cast,
CASE WHEN f.attcollation <> p.attcollation AND f.attcollation <> 0 AND p.attcollation <> 0
          AND (rt.typtype = 'p' OR rt.typcollation <> 0)
     THEN (SELECT 'COLLATE ' || pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(c.collname)
             FROM pg_catalog.pg_collation AS pc
             JOIN pg_catalog.pg_collation AS c
               ON c.oid = CASE WHEN pc.collisdeterministic THEN f.attcollation ELSE p.attcollation END
             JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.collnamespace
            WHERE pc.oid = p.attcollation) END AS collation,
coalesce(os.nspname = 'pg_catalog' AND o.oprname = '=' AND f.attcollation = p.attcollation
         AND CASE WHEN f.atttypid = p.atttypid
                  THEN o.oprleft = o.oprright
                       AND (o.oprleft = f.atttypid
                            OR o.oprleft = ft.typbasetype
                            OR (lt.typtype = 'p' AND lt.typname <> 'anyarray' AND ft.typtype <> 'd')
                            OR (lt.typname = 'text' AND ft.typname = 'varchar'))
                  ELSE o.oprleft = p.atttypid AND o.oprright = f.atttypid
                       AND EXISTS (SELECT FROM pg_catalog.pg_operator AS com
                                    WHERE com.oid = o.oprcom AND com.oprname = '='
                                      AND com.oprnamespace = o.oprnamespace) END, false) AS plain

--- foreign_keys
-- All foreign keys of the database, a row for each column pair; those that only repeat a partitioned table's for a
-- partition are left out. One look at the whole is cheaper than one for each table of a policy.
SELECT c.oid,
       c.conname,
       c.confdeltype,
       c.conrelid,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(k.relname) AS referencing,
       f.attname AS column,
       p.attname AS referred_column,
       f.attnotnull,
       c.confrelid,
       c.confdeltype NOT IN ('n', 'd')
       OR coalesce(nullif(pg_catalog.to_jsonb(c) -> 'confdelsetcols', 'null') @> pg_catalog.to_jsonb(u.attnum),
                   true) AS set_on_delete,
       c.confmatchtype,
       {comparison}
  FROM pg_catalog.pg_constraint AS c
  JOIN pg_catalog.pg_class AS k ON k.oid = c.conrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = k.relnamespace
 CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey),
                               pg_catalog.unnest(c.conpfeqop)) WITH ORDINALITY AS u(attnum, referred, operator, position)
  JOIN pg_catalog.pg_attribute AS f ON f.attrelid = c.conrelid AND f.attnum = u.attnum
  JOIN pg_catalog.pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = u.referred
  JOIN pg_catalog.pg_type AS ft ON ft.oid = f.atttypid
  JOIN pg_catalog.pg_operator AS o ON o.oid = u.operator
  JOIN pg_catalog.pg_namespace AS os ON os.oid = o.oprnamespace
  JOIN pg_catalog.pg_type AS lt ON lt.oid = o.oprleft
  JOIN pg_catalog.pg_namespace AS ln ON ln.oid = lt.typnamespace
  JOIN pg_catalog.pg_type AS rt ON rt.oid = o.oprright
  JOIN pg_catalog.pg_namespace AS rn ON rn.oid = rt.typnamespace
 WHERE c.contype = 'f' AND c.conparentid = 0
 ORDER BY n.nspname, k.relname, c.conname, c.oid, u.position

--- inheritance
-- Which tables are partitions or children of which. A partition that is being detached is no part any more.
SELECT i.inhrelid,
       i.inhparent,
       k.relispartition,
       k.relkind,
       pg_catalog.quote_ident(kn.nspname) || '.' || pg_catalog.quote_ident(k.relname) AS child,
       pg_catalog.quote_ident(pn.nspname) || '.' || pg_catalog.quote_ident(p.relname) AS parent
  FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace AS kn ON kn.oid = k.relnamespace
  JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
  JOIN pg_catalog.pg_namespace AS pn ON pn.oid = p.relnamespace
 WHERE k.relkind IN ('r', 'p', 'f')
   AND coalesce((pg_catalog.to_jsonb(i) ->> 'inhdetachpending')::pg_catalog.bool, false) IS FALSE
 ORDER BY kn.nspname, k.relname

--- stated
-- A reference that a policy states, a row for each column pair. Its columns are compared as "=" of their types' own
-- operator class compares them, else with that of one type where the other can become it by itself.
-- $1: the number of the reference, $2: the referencing table, $3: the table referred to (both as SQL would read them),
-- $4, $5: their columns; one element for each column pair.
SELECT u.number,
       a.oid AS referencing_oid,
       b.oid AS referred_oid,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(a.relname) AS referencing,
       u.from_column,
       u.to_column,
       f.attnum IS NOT NULL AS from_exists,
       p.attnum IS NOT NULL AS to_exists,
       coalesce(f.attnotnull, false) AS attnotnull,
       coalesce(ft.typcategory = 'S', false) AS is_text,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid = b.oid AND i.indisvalid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) AS g(n)
                                    JOIN pg_catalog.pg_attribute AS x ON x.attrelid = b.oid AND x.attnum = i.indkey[g.n]
                                   WHERE x.attname <> ALL (u.to_columns))) AS is_unique,
       {comparison}
  FROM (SELECT v.*, pg_catalog.array_agg(v.to_column) OVER (PARTITION BY v.number) AS to_columns
          FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int4[]), pg_catalog.unnest($2::pg_catalog.text[]),
                          pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]),
                          pg_catalog.unnest($5::pg_catalog.text[]))
               WITH ORDINALITY AS v(number, from_table, to_table, from_column, to_column, position)) AS u
  JOIN pg_catalog.pg_class AS a ON a.oid = pg_catalog.to_regclass(u.from_table)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = a.relnamespace
  JOIN pg_catalog.pg_class AS b ON b.oid = pg_catalog.to_regclass(u.to_table)
  LEFT JOIN pg_catalog.pg_attribute AS f ON f.attrelid = a.oid AND f.attname = u.from_column AND f.attnum > 0 AND NOT f.attisdropped
  LEFT JOIN pg_catalog.pg_attribute AS p ON p.attrelid = b.oid AND p.attname = u.to_column AND p.attnum > 0 AND NOT p.attisdropped
  LEFT JOIN pg_catalog.pg_type AS ft ON ft.oid = f.atttypid
  LEFT JOIN pg_catalog.pg_type AS pt ON pt.oid = p.atttypid
  LEFT JOIN LATERAL (
       SELECT q.*
         FROM (SELECT CASE WHEN pt.typtype = 'd' THEN pt.typbasetype ELSE pt.oid END AS p_type,
                      CASE WHEN ft.typtype = 'd' THEN ft.typbasetype ELSE ft.oid END AS f_type) AS base
         JOIN pg_catalog.pg_opclass AS oc ON oc.opcdefault
         JOIN pg_catalog.pg_am AS am ON am.oid = oc.opcmethod AND am.amname IN ('btree', 'hash')
         JOIN pg_catalog.pg_amop AS ao ON ao.amopfamily = oc.opcfamily
                                      AND ao.amopstrategy = CASE am.amname WHEN 'btree' THEN 3 ELSE 1 END
         JOIN pg_catalog.pg_operator AS q ON q.oid = ao.amopopr
        CROSS JOIN LATERAL {p_fit} AS l(fit)
        CROSS JOIN LATERAL {f_fit} AS r(fit)
         JOIN pg_catalog.pg_type AS y ON y.oid = q.oprleft
        WHERE l.fit IS NOT NULL AND r.fit IS NOT NULL
        ORDER BY l.fit = 0 AND r.fit = 0 DESC, l.fit = 0 OR r.fit = 0 DESC, y.typispreferred DESC, l.fit + r.fit,
                 am.amname, q.oid
        LIMIT 1) AS o ON true
  LEFT JOIN pg_catalog.pg_namespace AS os ON os.oid = o.oprnamespace
  LEFT JOIN pg_catalog.pg_type AS lt ON lt.oid = o.oprleft
  LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid = lt.typnamespace
  LEFT JOIN pg_catalog.pg_type AS rt ON rt.oid = o.oprright
  LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid = rt.typnamespace
 ORDER BY u.number, u.position

--- fit
-- How well a type fits an operand of the operator: 0 it is the operand's, 1 the same bytes or any of a kind, 3 by an
-- implicit cast; NULL: not at all.
(SELECT CASE WHEN {operand} = {type} THEN 0
             WHEN EXISTS (SELECT FROM pg_catalog.pg_type AS y
                           WHERE y.oid = {type}
                             AND {operand} = CASE WHEN y.typtype = 'e' THEN 'pg_catalog.anyenum'::pg_catalog.regtype
                                                  WHEN y.typtype = 'r' THEN 'pg_catalog.anyrange'::pg_catalog.regtype
                                                  WHEN y.typtype = 'c' THEN 'pg_catalog.record'::pg_catalog.regtype
                                                  WHEN y.typelem <> 0 AND y.typlen = -1 THEN 'pg_catalog.anyarray'::pg_catalog.regtype END)
             THEN 1
             ELSE (SELECT CASE x.castmethod WHEN 'b' THEN 1 ELSE 3 END
                     FROM pg_catalog.pg_cast AS x
                    WHERE x.castsource = {type} AND x.casttarget = {operand} AND x.castcontext = 'i') END)

--- indexes
-- Whether indexes serve the look-up of rows by their references, and the size of the partitions where none does. All
-- columns of a reference must lead the index, or a unique index must need no others: one that merely starts with one of
-- several columns may find a great part of the table (all rows of a tenant).
-- $1: a number for each reference, $2: its table, $3: one of its columns; one element for each column.
WITH RECURSIVE part AS (
    SELECT u.number, u.oid, pg_catalog.array_agg(u.name) AS names
      FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int4[]), pg_catalog.unnest($2::pg_catalog.oid[]),
                      pg_catalog.unnest($3::pg_catalog.text[])) AS u(number, oid, name)
     GROUP BY u.number, u.oid
     UNION ALL
    SELECT p.number, i.inhrelid, p.names
      FROM part AS p
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid),
leaf AS (
    SELECT p.number,
           p.oid,
           p.names,
           (SELECT pg_catalog.array_agg(a.attnum::pg_catalog.int4)
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = p.oid AND a.attname = ANY (p.names)) AS columns
      FROM part AS p
      JOIN pg_catalog.pg_class AS c ON c.oid = p.oid AND c.relkind = 'r'),
looked_at AS (
    SELECT l.number,
           l.oid,
           EXISTS (SELECT FROM pg_catalog.pg_index AS i
                     JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
                     JOIN pg_catalog.pg_am AS m ON m.oid = x.relam AND m.amname IN ('btree', 'hash')
                    CROSS JOIN LATERAL (SELECT i.indkey::pg_catalog.int4[] AS columns) AS k
                    WHERE i.indrelid = l.oid
                      AND i.indisvalid
                      AND i.indkey[0] = ANY (l.columns)
                      AND (i.indpred IS NULL
                           OR EXISTS (SELECT FROM pg_catalog.unnest(l.names) AS n(name)
                                       WHERE pg_catalog.pg_get_expr(i.indpred, i.indrelid)
                                             = '(' || pg_catalog.quote_ident(n.name) || ' IS NOT NULL)'))
                      AND (k.columns[0:least(pg_catalog.cardinality(l.columns), i.indnkeyatts) - 1] @> l.columns
                           OR (i.indisunique AND k.columns[0:i.indnkeyatts - 1] <@ l.columns))) AS served
      FROM leaf AS l)
SELECT l.number,
       pg_catalog.bool_and(l.served) AS indexed,
       (coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(l.oid)) FILTER (WHERE NOT l.served), 0) / 8192)::pg_catalog.int8 AS pages
  FROM looked_at AS l
 GROUP BY l.number

--- comparable
-- Is never run: the server says whether the columns of a stated reference can be compared.
SELECT FROM {table} AS a, {parent} AS b
 WHERE {match}

--- uncovered
-- Counts the rows of a partition without the foreign key that its siblings have which refer to rows that go. $1: cutoff.
SELECT pg_catalog.count(*)
  FROM {partition} AS d
 WHERE {goes}
