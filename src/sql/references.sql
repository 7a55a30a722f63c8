-- References between tables, read from the catalog.

--- comparison
-- How the referred column p (of type pt) and the referencing column f (of type ft) are compared with the operator o:
-- its name, the casts that its operands need, the collation where the columns' differ, and whether "f = ANY (array
-- of p's type)" means the same. An operand for any enum takes no domain over one, so a domain is cast to its base type where
-- there may be one (a foreign key cannot have such columns). The collation is the one that PostgreSQL's own triggers use on deletion.
CASE WHEN o.oid IS NOT NULL THEN pg_catalog.format('OPERATOR(%I.%s)', os.nspname, o.oprname) END AS operator,
CASE WHEN lt.typtype OPERATOR(pg_catalog.=) 'p' THEN {p_base}
     WHEN lt.oid OPERATOR(pg_catalog.=) p.atttypid THEN ''
     WHEN lt.oid IS NOT NULL THEN pg_catalog.format('::%I.%I', ln.nspname, lt.typname) END AS referred_cast,
CASE WHEN rt.typtype OPERATOR(pg_catalog.=) 'p' THEN {f_base}
     WHEN rt.oid OPERATOR(pg_catalog.=) f.atttypid THEN ''
     WHEN rt.oid IS NOT NULL THEN pg_catalog.format('::%I.%I', rn.nspname, rt.typname) END AS column_cast,
CASE WHEN f.attcollation OPERATOR(pg_catalog.<>) p.attcollation
          AND f.attcollation OPERATOR(pg_catalog.<>) 0
          AND p.attcollation OPERATOR(pg_catalog.<>) 0
          AND (rt.typtype OPERATOR(pg_catalog.=) 'p' OR rt.typcollation OPERATOR(pg_catalog.<>) 0)
     THEN (SELECT pg_catalog.format('COLLATE %I.%I', cn.nspname, c.collname)
             FROM pg_catalog.pg_collation AS pc
             JOIN pg_catalog.pg_collation AS c
               ON c.oid OPERATOR(pg_catalog.=) CASE WHEN pc.collisdeterministic THEN f.attcollation ELSE p.attcollation END
             JOIN pg_catalog.pg_namespace AS cn ON cn.oid OPERATOR(pg_catalog.=) c.collnamespace
            WHERE pc.oid OPERATOR(pg_catalog.=) p.attcollation) END AS collation,
coalesce(os.nspname OPERATOR(pg_catalog.=) 'pg_catalog'
         AND o.oprname OPERATOR(pg_catalog.=) '='
         AND f.attcollation OPERATOR(pg_catalog.=) p.attcollation
         AND CASE WHEN f.atttypid OPERATOR(pg_catalog.=) p.atttypid
                  THEN o.oprleft OPERATOR(pg_catalog.=) o.oprright
                       AND (o.oprleft OPERATOR(pg_catalog.=) f.atttypid
                            OR o.oprleft OPERATOR(pg_catalog.=) ft.typbasetype
                            OR (lt.typtype OPERATOR(pg_catalog.=) 'p'
                                AND lt.typname OPERATOR(pg_catalog.<>) 'anyarray'
                                AND ft.typtype OPERATOR(pg_catalog.<>) 'd')
                            OR (lt.typname OPERATOR(pg_catalog.=) 'text' AND ft.typname OPERATOR(pg_catalog.=) 'varchar'))
                  ELSE o.oprleft OPERATOR(pg_catalog.=) p.atttypid
                       AND o.oprright OPERATOR(pg_catalog.=) f.atttypid
                       AND EXISTS (SELECT FROM pg_catalog.pg_operator AS com
                                    WHERE com.oid OPERATOR(pg_catalog.=) o.oprcom
                                      AND com.oprname OPERATOR(pg_catalog.=) '='
                                      AND com.oprnamespace OPERATOR(pg_catalog.=) o.oprnamespace) END, false) AS plain

--- foreign_keys
-- All foreign keys of the database, a row for each column pair; those that only repeat a partitioned table's for a
-- partition are left out. One look at the whole is cheaper than one for each table of a policy.
SELECT c.oid,
       c.conname,
       c.confdeltype,
       c.conrelid,
       pg_catalog.format('%I.%I', n.nspname, k.relname) AS referencing,
       f.attname AS column,
       p.attname AS referred_column,
       f.attnotnull,
       c.confrelid,
       c.confdeltype OPERATOR(pg_catalog.<>) ALL (ARRAY['n', 'd']::pg_catalog."char"[])
       OR coalesce(pg_catalog.jsonb_typeof(w.columns), 'null') OPERATOR(pg_catalog.=) 'null'
       OR w.columns OPERATOR(pg_catalog.@>) pg_catalog.to_jsonb(u.attnum) AS set_on_delete,
       c.confmatchtype,
       {comparison}
  FROM pg_catalog.pg_constraint AS c
  JOIN pg_catalog.pg_class AS k ON k.oid OPERATOR(pg_catalog.=) c.conrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) k.relnamespace
 CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey),
                               pg_catalog.unnest(c.conpfeqop)) WITH ORDINALITY AS u(attnum, referred, operator, position)
 CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.->) 'confdelsetcols') AS w(columns)
  JOIN pg_catalog.pg_attribute AS f ON f.attrelid OPERATOR(pg_catalog.=) c.conrelid
                                   AND f.attnum OPERATOR(pg_catalog.=) u.attnum
  JOIN pg_catalog.pg_attribute AS p ON p.attrelid OPERATOR(pg_catalog.=) c.confrelid
                                   AND p.attnum OPERATOR(pg_catalog.=) u.referred
  JOIN pg_catalog.pg_type AS ft ON ft.oid OPERATOR(pg_catalog.=) f.atttypid
  JOIN pg_catalog.pg_operator AS o ON o.oid OPERATOR(pg_catalog.=) u.operator
  JOIN pg_catalog.pg_namespace AS os ON os.oid OPERATOR(pg_catalog.=) o.oprnamespace
  JOIN pg_catalog.pg_type AS lt ON lt.oid OPERATOR(pg_catalog.=) o.oprleft
  JOIN pg_catalog.pg_namespace AS ln ON ln.oid OPERATOR(pg_catalog.=) lt.typnamespace
  JOIN pg_catalog.pg_type AS rt ON rt.oid OPERATOR(pg_catalog.=) o.oprright
  JOIN pg_catalog.pg_namespace AS rn ON rn.oid OPERATOR(pg_catalog.=) rt.typnamespace
 WHERE c.contype OPERATOR(pg_catalog.=) 'f' AND c.conparentid OPERATOR(pg_catalog.=) 0
 ORDER BY n.nspname, k.relname, c.conname, c.oid, u.position

--- inheritance
-- Which tables are partitions or children of which. A partition that is being detached is no part any more.
SELECT i.inhrelid,
       i.inhparent,
       k.relispartition,
       k.relkind,
       pg_catalog.format('%I.%I', kn.nspname, k.relname) AS child,
       pg_catalog.format('%I.%I', pn.nspname, p.relname) AS parent
  FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_class AS k ON k.oid OPERATOR(pg_catalog.=) i.inhrelid
  JOIN pg_catalog.pg_namespace AS kn ON kn.oid OPERATOR(pg_catalog.=) k.relnamespace
  JOIN pg_catalog.pg_class AS p ON p.oid OPERATOR(pg_catalog.=) i.inhparent
  JOIN pg_catalog.pg_namespace AS pn ON pn.oid OPERATOR(pg_catalog.=) p.relnamespace
 WHERE k.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'f']::pg_catalog."char"[])
   AND coalesce((pg_catalog.to_jsonb(i) OPERATOR(pg_catalog.->>) 'inhdetachpending')::pg_catalog.bool, false) IS FALSE
 ORDER BY kn.nspname, k.relname

--- stated
-- A reference that a policy states, a row for each column pair. Its columns are compared as "=" of their types' own
-- operator class compares them, else with that of one type where the other can become it by itself.
-- $1: the number of the reference, $2: the referencing table, $3: the table referred to (both as SQL would read them),
-- $4, $5: their columns; one element for each column pair.
WITH RECURSIVE domains AS (
    SELECT t.oid AS type, t.typbasetype AS base
      FROM pg_catalog.pg_type AS t
     WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
     UNION ALL
    SELECT d.type, t.typbasetype
      FROM domains AS d
      JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) d.base
     WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
), bases AS (
    SELECT d.type, d.base, pg_catalog.format('::%I.%I', n.nspname, t.typname) AS own_cast
      FROM domains AS d
      JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) d.base
      JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
     WHERE t.typtype OPERATOR(pg_catalog.<>) 'd'
)
SELECT u.number,
       a.oid AS referencing_oid,
       b.oid AS referred_oid,
       pg_catalog.format('%I.%I', n.nspname, a.relname) AS referencing,
       u.from_column,
       u.to_column,
       f.attnum IS NOT NULL AS from_exists,
       p.attnum IS NOT NULL AS to_exists,
       coalesce(f.attnotnull, false) AS attnotnull,
       coalesce(ft.typcategory OPERATOR(pg_catalog.=) 'S', false) AS is_text,
       EXISTS (SELECT FROM pg_catalog.pg_index AS i
                WHERE i.indrelid OPERATOR(pg_catalog.=) b.oid
                  AND i.indisvalid
                  AND i.indisunique
                  AND i.indpred IS NULL
                  AND i.indexprs IS NULL
                  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k(attnum, n)
                                    JOIN pg_catalog.pg_attribute AS x ON x.attrelid OPERATOR(pg_catalog.=) b.oid
                                                                     AND x.attnum OPERATOR(pg_catalog.=) k.attnum
                                   WHERE k.n OPERATOR(pg_catalog.<=) i.indnkeyatts
                                     AND x.attname OPERATOR(pg_catalog.<>) ALL (u.to_columns))) AS is_unique,
       {comparison}
  FROM (SELECT v.*, pg_catalog.array_agg(v.to_column) OVER (PARTITION BY v.number) AS to_columns
          FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int4[]), pg_catalog.unnest($2::pg_catalog.text[]),
                          pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]),
                          pg_catalog.unnest($5::pg_catalog.text[]))
               WITH ORDINALITY AS v(number, from_table, to_table, from_column, to_column, position)) AS u
  JOIN pg_catalog.pg_class AS a ON a.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(u.from_table)
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) a.relnamespace
  JOIN pg_catalog.pg_class AS b ON b.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(u.to_table)
  LEFT JOIN pg_catalog.pg_attribute AS f ON f.attrelid OPERATOR(pg_catalog.=) a.oid
                                        AND f.attname OPERATOR(pg_catalog.=) u.from_column
                                        AND f.attnum OPERATOR(pg_catalog.>) 0
                                        AND NOT f.attisdropped
  LEFT JOIN pg_catalog.pg_attribute AS p ON p.attrelid OPERATOR(pg_catalog.=) b.oid
                                        AND p.attname OPERATOR(pg_catalog.=) u.to_column
                                        AND p.attnum OPERATOR(pg_catalog.>) 0
                                        AND NOT p.attisdropped
  LEFT JOIN pg_catalog.pg_type AS ft ON ft.oid OPERATOR(pg_catalog.=) f.atttypid
  LEFT JOIN pg_catalog.pg_type AS pt ON pt.oid OPERATOR(pg_catalog.=) p.atttypid
  LEFT JOIN bases AS pd ON pd.type OPERATOR(pg_catalog.=) pt.oid
  LEFT JOIN bases AS fd ON fd.type OPERATOR(pg_catalog.=) ft.oid
  LEFT JOIN LATERAL (
       SELECT q.*
         FROM (SELECT coalesce(pd.base, pt.oid) AS p_type,
                      coalesce(fd.base, ft.oid) AS f_type) AS base
         JOIN pg_catalog.pg_opclass AS oc ON oc.opcdefault
         JOIN pg_catalog.pg_am AS am ON am.oid OPERATOR(pg_catalog.=) oc.opcmethod
                                    AND am.amname OPERATOR(pg_catalog.=) ANY (ARRAY['btree', 'hash']::pg_catalog.name[])
         JOIN pg_catalog.pg_amop AS ao ON ao.amopfamily OPERATOR(pg_catalog.=) oc.opcfamily
                                      AND ao.amopstrategy OPERATOR(pg_catalog.=)
                                          CASE WHEN am.amname OPERATOR(pg_catalog.=) 'btree' THEN 3 ELSE 1 END
         JOIN pg_catalog.pg_operator AS q ON q.oid OPERATOR(pg_catalog.=) ao.amopopr
        CROSS JOIN LATERAL {p_fit} AS l(fit)
        CROSS JOIN LATERAL {f_fit} AS r(fit)
         JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) q.oprleft
        WHERE l.fit IS NOT NULL AND r.fit IS NOT NULL
        ORDER BY l.fit OPERATOR(pg_catalog.=) 0 AND r.fit OPERATOR(pg_catalog.=) 0 DESC,
                 l.fit OPERATOR(pg_catalog.=) 0 OR r.fit OPERATOR(pg_catalog.=) 0 DESC,
                 y.typispreferred DESC,
                 l.fit OPERATOR(pg_catalog.+) r.fit,
                 am.amname, q.oid
        LIMIT 1) AS o ON true
  LEFT JOIN pg_catalog.pg_namespace AS os ON os.oid OPERATOR(pg_catalog.=) o.oprnamespace
  LEFT JOIN pg_catalog.pg_type AS lt ON lt.oid OPERATOR(pg_catalog.=) o.oprleft
  LEFT JOIN pg_catalog.pg_namespace AS ln ON ln.oid OPERATOR(pg_catalog.=) lt.typnamespace
  LEFT JOIN pg_catalog.pg_type AS rt ON rt.oid OPERATOR(pg_catalog.=) o.oprright
  LEFT JOIN pg_catalog.pg_namespace AS rn ON rn.oid OPERATOR(pg_catalog.=) rt.typnamespace
 ORDER BY u.number, u.position

--- fit
-- How well a type fits an operand of the operator: 0 it is the operand's, 1 the same bytes or any of a kind, 3 by an
-- implicit cast; NULL: not at all.
(SELECT CASE WHEN {operand} OPERATOR(pg_catalog.=) {type} THEN 0
             WHEN EXISTS (SELECT FROM pg_catalog.pg_type AS y
                           WHERE y.oid OPERATOR(pg_catalog.=) {type}
                             AND {operand} OPERATOR(pg_catalog.=)
                                 CASE WHEN y.typtype OPERATOR(pg_catalog.=) 'e' THEN 'pg_catalog.anyenum'
                                      WHEN y.typtype OPERATOR(pg_catalog.=) 'r' THEN 'pg_catalog.anyrange'
                                      WHEN y.typtype OPERATOR(pg_catalog.=) 'c' THEN 'pg_catalog.record'
                                      WHEN y.typelem OPERATOR(pg_catalog.<>) 0
                                       AND y.typlen OPERATOR(pg_catalog.=) -1 THEN 'pg_catalog.anyarray'
                                 END::pg_catalog.regtype)
             THEN 1
             ELSE (SELECT CASE WHEN x.castmethod OPERATOR(pg_catalog.=) 'b' THEN 1 ELSE 3 END
                     FROM pg_catalog.pg_cast AS x
                    WHERE x.castsource OPERATOR(pg_catalog.=) {type}
                      AND x.casttarget OPERATOR(pg_catalog.=) {operand}
                      AND x.castcontext OPERATOR(pg_catalog.=) 'i') END)

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
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) p.oid),
leaf AS (
    SELECT p.number,
           p.oid,
           p.names,
           (SELECT pg_catalog.array_agg(a.attnum::pg_catalog.int4)
              FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid OPERATOR(pg_catalog.=) p.oid AND a.attname OPERATOR(pg_catalog.=) ANY (p.names)) AS columns
      FROM part AS p
      JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.oid AND c.relkind OPERATOR(pg_catalog.=) 'r'),
looked_at AS (
    SELECT l.number,
           l.oid,
           EXISTS (SELECT FROM pg_catalog.pg_index AS i
                     JOIN pg_catalog.pg_class AS x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
                     JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) x.relam
                                               AND m.amname OPERATOR(pg_catalog.=) ANY (ARRAY['btree', 'hash']::pg_catalog.name[])
                    CROSS JOIN LATERAL (SELECT i.indkey::pg_catalog.int4[] AS columns,
                                               least(pg_catalog.cardinality(l.columns), i.indnkeyatts) AS width) AS k
                    WHERE i.indrelid OPERATOR(pg_catalog.=) l.oid
                      AND i.indisvalid
                      AND i.indkey[0] OPERATOR(pg_catalog.=) ANY (l.columns)
                      AND (i.indpred IS NULL
                           OR EXISTS (SELECT FROM pg_catalog.unnest(l.names) AS n(name)
                                       WHERE pg_catalog.pg_get_expr(i.indpred, i.indrelid) OPERATOR(pg_catalog.=)
                                             pg_catalog.format('(%I IS NOT NULL)', n.name)))
                      AND (k.columns[0:k.width OPERATOR(pg_catalog.-) 1] OPERATOR(pg_catalog.@>) l.columns
                           OR (i.indisunique
                               AND k.columns[0:i.indnkeyatts OPERATOR(pg_catalog.-) 1] OPERATOR(pg_catalog.<@) l.columns)))
           AS served
      FROM leaf AS l)
SELECT l.number,
       pg_catalog.bool_and(l.served) AS indexed,
       (coalesce(pg_catalog.sum(pg_catalog.pg_relation_size(l.oid)) FILTER (WHERE NOT l.served), 0)
        OPERATOR(pg_catalog./) 8192)::pg_catalog.int8 AS pages
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
