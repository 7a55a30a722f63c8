-- The parts of the catalog that a plan depends on, as a few numbers: they change when somebody
-- adds, changes or removes a foreign key or another trigger, the function of a trigger, a rule, a
-- partition, an index, a column or an owner of one of its tables.

--- fingerprint
-- The numbers, of the tables in {tables} or of the whole database. Foreign keys are rows of pg_trigger. The columns of a partition
-- are those of its parent.
pg_catalog.concat_ws('/',
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(c.xmin::pg_catalog.text::pg_catalog.int8))
       FROM pg_catalog.pg_class AS c
      WHERE c.relpersistence OPERATOR(pg_catalog.<>) 't'
        AND c.oid OPERATOR(pg_catalog.=) ANY ({tables})
    ),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(g.oid::pg_catalog.int8),
                                      pg_catalog.sum(g.xmin::pg_catalog.text::pg_catalog.int8))
       FROM pg_catalog.pg_trigger AS g
      WHERE g.oid IS NOT NULL
        AND g.tgrelid OPERATOR(pg_catalog.=) ANY ({tables})
    ),
    (SELECT pg_catalog.sum(f.xmin::pg_catalog.text::pg_catalog.int8)
       FROM pg_catalog.pg_trigger AS g
       JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) g.tgfoid
      WHERE NOT g.tgisinternal
        AND g.tgrelid OPERATOR(pg_catalog.=) ANY ({tables})
    ),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(r.oid::pg_catalog.int8),
                                      pg_catalog.sum(r.xmin::pg_catalog.text::pg_catalog.int8))
       FROM pg_catalog.pg_rewrite AS r
      WHERE r.rulename OPERATOR(pg_catalog.<>) '_RETURN'
        AND r.ev_class OPERATOR(pg_catalog.=) ANY ({tables})
    ),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(i.inhrelid::pg_catalog.int8))
       FROM pg_catalog.pg_inherits AS i
      WHERE i.inhseqno OPERATOR(pg_catalog.>) 0
        AND i.inhparent OPERATOR(pg_catalog.=) ANY ({tables})
    ),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(x.indexrelid::pg_catalog.int8))
       FROM pg_catalog.pg_index AS x
      WHERE x.indisvalid
        AND x.indrelid OPERATOR(pg_catalog.=) ANY ({of_plan})
    ),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(a.xmin::pg_catalog.text::pg_catalog.int8))
       FROM pg_catalog.pg_attribute AS a
      WHERE a.attnum OPERATOR(pg_catalog.>) 0
        AND a.attrelid OPERATOR(pg_catalog.=) ANY ({own})
    ))

--- read
-- Reads the plan's tables with (behind them) their partitions and inheriting tables, whether one is partitioned, the fingerprint of these
-- tables, and the one of the database at the same moment. $1: the tables.
WITH RECURSIVE r AS (
    SELECT t.oid
      FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t(oid)
     UNION
    SELECT i.inhrelid
      FROM r
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) r.oid
)
SELECT (SELECT pg_catalog.array_agg(r.oid ORDER BY r.oid OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[]), r.oid)::pg_catalog.text
          FROM r) AS relations,
       EXISTS (SELECT FROM r
                 JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) r.oid
                WHERE c.relkind OPERATOR(pg_catalog.=) 'p') AS partitioned,
       {of_plan},
       {of_database}

--- read_database
-- Reads the fingerprint of the database, before the catalog is read for a plan.
SELECT {of_database}

--- check
-- Fails if a foreign key, trigger, rule, partition, index, column or owner of a table of the plan
-- has changed since the plan was made, or if the policy has got its first parked or discarded dead
-- letter, or has lost its last one. The transaction has locked the tables before, so nothing can be
-- added until it ends.
SELECT CASE WHEN {fingerprint} OPERATOR(pg_catalog.=) $2::pg_catalog.text
             AND {not}EXISTS (
                 SELECT
                   FROM pgsweep.dead_letters AS l
                  WHERE l.policy OPERATOR(pg_catalog.=) '{policy}'
                    AND l.kind OPERATOR(pg_catalog.=) 'row'
                    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))
            THEN 0
            ELSE pg_catalog.concat('changed ', pg_catalog.now())::pg_catalog.int4
       END

