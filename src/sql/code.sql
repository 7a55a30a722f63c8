-- Code of users that fires while a run deletes and updates rows.

--- fires
-- Triggers and rules that fire, which of them can keep a row from going without an error (obstacle), and functions of users in
-- indexes, constraints and generated columns of updated tables, and functions of roles without trust that convert values of a column by
-- themselves or from a text, with the owners of function and table. Of a partition only triggers for
-- each row fire; one that a partition has from its whole is told once.
-- $1: tables, $2: what happens to their rows, "d" (deleted) or "u" (updated), $3: a column that is set, or NULL; one element for
-- each column.
WITH RECURSIVE act AS (
    SELECT u.oid, u.event, pg_catalog.array_agg(u.name) FILTER (WHERE u.name IS NOT NULL) AS names
      FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]),
                      pg_catalog.unnest($3::pg_catalog.text[])) AS u(oid, event, name)
     GROUP BY u.oid, u.event
), r AS (
    SELECT a.oid AS root, a.oid, a.event, a.names
      FROM act AS a
     UNION
    SELECT r.root, i.inhrelid, r.event, r.names
      FROM r
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) r.oid
), trusted AS (
    SELECT o.oid
      FROM pg_catalog.pg_roles AS o
     WHERE o.rolsuper
        OR o.rolname OPERATOR(pg_catalog.=) ANY (ARRAY[session_user, current_user]::pg_catalog.name[])
), fires AS (
    SELECT r.root, r.event, r.oid, 'trigger' AS kind, g.tgname AS name, g.tgfoid AS function,
           (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 3) OPERATOR(pg_catalog.=) 3 AS obstacle,
           pg_catalog.concat_ws(' ',
               CASE WHEN (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 2) OPERATOR(pg_catalog.<>) 0 THEN 'before' ELSE 'after' END,
               CASE WHEN r.event OPERATOR(pg_catalog.=) 'd' THEN 'delete' ELSE 'update' END,
               CASE WHEN (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 1) OPERATOR(pg_catalog.<>) 0 THEN 'for each row'
                    ELSE 'for each statement' END) AS fires_when
      FROM r
      JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) r.oid
     WHERE NOT g.tgisinternal
       AND g.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[])
       AND (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) CASE WHEN r.event OPERATOR(pg_catalog.=) 'd' THEN 8 ELSE 16 END)
           OPERATOR(pg_catalog.<>) 0
       AND (r.oid OPERATOR(pg_catalog.=) r.root
            OR (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 1) OPERATOR(pg_catalog.<>) 0)
       AND (r.event OPERATOR(pg_catalog.=) 'd'
            OR g.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) ''
            OR EXISTS (SELECT
                         FROM pg_catalog.pg_attribute AS a
                        WHERE a.attrelid OPERATOR(pg_catalog.=) r.oid
                          AND a.attnum OPERATOR(pg_catalog.=) ANY (g.tgattr::pg_catalog.int2[])
                          AND a.attname OPERATOR(pg_catalog.=) ANY (r.names::pg_catalog.name[])))
     UNION ALL
    SELECT r.root, r.event, r.oid, 'rule', w.rulename, NULL, true,
           CASE WHEN r.event OPERATOR(pg_catalog.=) 'd' THEN 'on delete' ELSE 'on update' END
      FROM r
      JOIN pg_catalog.pg_rewrite AS w ON w.ev_class OPERATOR(pg_catalog.=) r.oid
     WHERE w.ev_enabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[])
       AND w.ev_type OPERATOR(pg_catalog.=) CASE WHEN r.event OPERATOR(pg_catalog.=) 'd' THEN '4' ELSE '2' END::pg_catalog."char"
     UNION ALL
    SELECT r.root, r.event, r.oid, p.kind, p.name, f.oid, false, 'on update'
      FROM r
     CROSS JOIN LATERAL (
           SELECT 'index' AS kind, c.relname AS name, 'pg_catalog.pg_class'::pg_catalog.regclass AS class, x.indexrelid AS oid, 0 AS part
             FROM pg_catalog.pg_index AS x
             JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) x.indexrelid
            WHERE x.indrelid OPERATOR(pg_catalog.=) r.oid
            UNION ALL
           SELECT 'constraint', k.conname, 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0
             FROM pg_catalog.pg_constraint AS k
            WHERE k.conrelid OPERATOR(pg_catalog.=) r.oid
              AND k.contype OPERATOR(pg_catalog.=) 'c'
            UNION ALL
           SELECT 'column', a.attname, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0
             FROM pg_catalog.pg_attrdef AS d
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) d.adrelid
                                              AND a.attnum OPERATOR(pg_catalog.=) d.adnum
            WHERE d.adrelid OPERATOR(pg_catalog.=) r.oid
              AND (a.attgenerated OPERATOR(pg_catalog.<>) ''
                   OR a.attname OPERATOR(pg_catalog.=) ANY (r.names::pg_catalog.name[]))
            UNION ALL
           SELECT 'column', a.attname, 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum
             FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) r.oid
              AND a.attgenerated OPERATOR(pg_catalog.<>) ''
              AND NOT a.attisdropped) AS p
      JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) p.class
                                    AND d.objid OPERATOR(pg_catalog.=) p.oid
                                    AND d.objsubid OPERATOR(pg_catalog.=) p.part
      LEFT JOIN pg_catalog.pg_operator AS o ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
                                           AND o.oid OPERATOR(pg_catalog.=) d.refobjid
      JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=)
                                      CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                                           THEN d.refobjid ELSE o.oprcode END
     WHERE r.event OPERATOR(pg_catalog.=) 'u'
     UNION ALL
    SELECT r.root, r.event, r.oid, 'cast', a.attname, f.oid, false, 'when its value is converted'
      FROM r
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) r.oid
      JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
      JOIN pg_catalog.pg_cast AS c
        ON CASE WHEN c.castsource OPERATOR(pg_catalog.=) 'pg_catalog.text'::pg_catalog.regtype
                THEN c.casttarget OPERATOR(pg_catalog.=) ANY (ARRAY[t.oid, t.typbasetype, t.typarray])
                ELSE c.castcontext OPERATOR(pg_catalog.=) 'i'
                     AND c.castsource OPERATOR(pg_catalog.=) ANY (ARRAY[t.oid, t.typbasetype]) END
      JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=) c.castfunc
     WHERE a.attnum OPERATOR(pg_catalog.>) 0
       AND NOT EXISTS (SELECT FROM trusted AS o WHERE o.oid OPERATOR(pg_catalog.=) f.proowner)
)
SELECT f.root,
       f.event,
       f.obstacle,
       pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) pg_catalog.quote_ident(c.relname) AS label,
       f.kind,
       pg_catalog.quote_ident(f.name) AS name,
       f.fires_when,
       (pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, f.function, 0)).identity AS function,
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(p.proowner)) AS owner,
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) AS table_owner,
       EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) c.relowner)
       AND (p.oid IS NULL OR EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) p.proowner)) AS trusted,
       f.oid OPERATOR(pg_catalog.<>) f.root
       AND EXISTS (SELECT
                     FROM fires AS whole
                    WHERE whole.oid OPERATOR(pg_catalog.=) f.root
                      AND whole.root OPERATOR(pg_catalog.=) f.root
                      AND whole.kind OPERATOR(pg_catalog.=) f.kind
                      AND whole.name OPERATOR(pg_catalog.=) f.name
                      AND whole.function OPERATOR(pg_catalog.=) f.function) AS repeated
  FROM fires AS f
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) f.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) f.function
 ORDER BY n.nspname, c.relname, f.kind DESC, f.name, f.event
