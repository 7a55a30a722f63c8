-- Questions about a policy's conditions, and the guards that the plan adds to them.

--- letters_readable
-- Whether this role may read dead letters: a dry run considers them only then, because it needs no
-- state schema.
SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgsweep')::pg_catalog.oid, 'USAGE'), false)
       AND coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgsweep.dead_letters')::pg_catalog.oid,
                                                   'SELECT'), false)
       AND pg_catalog.to_regprocedure('pgsweep.key_digest(text[])') IS NOT NULL

--- probe
-- Never run: the server parses it and reports whether the condition fits the schema, and the types
-- of its parameters.
SELECT FROM {root} AS t
 WHERE {condition} IS FALSE

--- probe_text
-- The same for an expression that is shown as text.
SELECT FROM {root} AS t
 WHERE {condition}::pg_catalog.text IS NULL

--- letters_any
-- Whether the policy has parked or discarded dead letters. Usually it has none, and then no row is
-- looked up. Each transaction checks that this is still so (check_plan). $1: the policy.
SELECT EXISTS (
       SELECT
         FROM pgsweep.dead_letters AS l
        WHERE l.policy OPERATOR(pg_catalog.=) $1::pg_catalog.text
          AND l.kind OPERATOR(pg_catalog.=) 'row'
          AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']))

--- letter_guard
-- The row has a dead letter that is parked or discarded. All of them are read once per statement:
-- the planner would consider a look-up for each row so expensive that it would read whole indexes
-- to get fewer rows.
({digest} OPERATOR(pg_catalog.=) ANY (
 SELECT pgsweep.key_digest(l.key)
   FROM pgsweep.dead_letters AS l
  WHERE l.policy OPERATOR(pg_catalog.=) {policy}
    AND l.kind OPERATOR(pg_catalog.=) 'row'
    AND l.state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded'])))

--- look
-- Makes PostgreSQL show how it understands a condition: views and simple SQL functions are replaced
-- by their definitions, and attribute notation and operators become calls. The row t comes from a
-- function, so that its table is read (and locked) only if the condition itself reads it; because
-- one row is expected, subqueries look rows up for it.
EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
SELECT {condition}
  FROM pg_catalog.json_populate_recordset(NULL::{root}, '[]') AS t
 WHERE t.{key} IS NULL

--- look_at_table
-- The same for a condition on system columns, which only rows of a table have.
EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON)
SELECT {condition}
  FROM {root} AS t
 WHERE t.{key} IS NULL

--- tables_read
-- The tables that the preceding EXPLAIN in the same transaction locked: those that the condition
-- reads.
SELECT c.oid,
       c.relkind OPERATOR(pg_catalog.=) 'f' AS elsewhere
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) l.relation
 WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
   AND l.locktype OPERATOR(pg_catalog.=) 'relation'
   AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'f']::pg_catalog."char"[])
   AND c.relnamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace

--- opaque
-- Whether one of these names belongs to something that may read any table. A function outside
-- pg_catalog may, unless it is a C function declared immutable (like those of data types). So may a
-- cast with such a function, which no text shows. IS DISTINCT FROM, NULLIF and the like do not show
-- their operators, so these always count.
-- $1: names that are called as PostgreSQL shows the condition, $2: as the policy writes it, $3:
-- operators, $4: all words.
WITH opaque AS (
    SELECT p.oid, p.proname, l.lanname
      FROM pg_catalog.pg_proc AS p
      JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
     WHERE p.pronamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
       AND NOT (l.lanname OPERATOR(pg_catalog.=) ANY (ARRAY['internal', 'c']::pg_catalog.name[])
                AND p.provolatile OPERATOR(pg_catalog.=) 'i')
)
SELECT EXISTS (SELECT FROM opaque AS o
                WHERE o.proname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])
                   OR (o.proname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[])
                       AND o.lanname OPERATOR(pg_catalog.<>) 'sql'))
    OR EXISTS (SELECT FROM pg_catalog.unnest($1::pg_catalog.text[] OPERATOR(pg_catalog.||) $2::pg_catalog.text[]) AS n
                WHERE n OPERATOR(pg_catalog.~) '_to_xml|^ts_stat$|^ts_rewrite$|^lo_')
    OR EXISTS (SELECT FROM pg_catalog.pg_operator AS p
                 JOIN opaque AS o ON o.oid OPERATOR(pg_catalog.=) p.oprcode
                WHERE p.oprname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.name[] OPERATOR(pg_catalog.||)
                                                            ARRAY['=', '<', '>']::pg_catalog.name[]))
    OR EXISTS (SELECT FROM pg_catalog.pg_cast AS c
                 JOIN opaque AS o ON o.oid OPERATOR(pg_catalog.=) c.castfunc)
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint AS c
                 JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) c.contypid
                 JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass
                                               AND d.objid OPERATOR(pg_catalog.=) c.oid
                 JOIN opaque AS o ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                                 AND d.refobjid OPERATOR(pg_catalog.=) o.oid
                                  OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
                                 AND o.oid OPERATOR(pg_catalog.=) (SELECT p.oprcode
                                                                     FROM pg_catalog.pg_operator AS p
                                                                    WHERE p.oid OPERATOR(pg_catalog.=) d.refobjid)
                WHERE y.typname OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.name[]))

--- families
-- Tables and the tables of which they are partitions or children: a row of one may be a row of the
-- other. $1: oids.
WITH RECURSIVE up AS (
    SELECT o AS member, o AS ancestor
      FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS o
     UNION
    SELECT up.member, i.inhparent
      FROM up
      JOIN pg_catalog.pg_inherits AS i ON i.inhrelid OPERATOR(pg_catalog.=) up.ancestor
)
SELECT member, ancestor
  FROM up

--- triggers
-- The tables that a trigger or rule may change when rows are deleted ($1: oids of tables) or
-- updated ($2): those whose names are in the source of its function or of one that it calls; any
-- table if the source does not tell. Foreign keys do not matter here, because they are in the plan.
-- C functions do not count: the common ones change the row itself.
WITH RECURSIVE down AS (
    SELECT o AS oid, true AS goes
      FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS o
     UNION
    SELECT o, false
      FROM pg_catalog.unnest($2::pg_catalog.oid[]) AS o
     UNION
    SELECT i.inhrelid, down.goes
      FROM down
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) down.oid
), called AS (
    SELECT g.tgfoid AS oid
      FROM down
      JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) down.oid
     WHERE NOT g.tgisinternal
       AND g.tgenabled OPERATOR(pg_catalog.=) ANY (ARRAY['O', 'A']::pg_catalog."char"[])
       AND (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) CASE WHEN down.goes THEN 8 ELSE 16 END)
           OPERATOR(pg_catalog.<>) 0
     UNION
    SELECT other.oid
      FROM called
      JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) called.oid
      JOIN pg_catalog.pg_proc AS other
           ON other.pronamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
          AND pg_catalog.lower(other.proname::pg_catalog.text) OPERATOR(pg_catalog.=)
              ANY (pg_catalog.regexp_split_to_array(pg_catalog.lower(p.prosrc), '[^a-z0-9_$\u0080-\uffff]+'))
), source AS (
    SELECT pg_catalog.regexp_split_to_array(pg_catalog.lower(p.prosrc), '[^a-z0-9_$\u0080-\uffff]+') AS words,
           l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['sql', 'plpgsql']::pg_catalog.name[])
           OR p.prosrc OPERATOR(pg_catalog.=) '' OR p.prosrc OPERATOR(pg_catalog.~*) '\mexecute\M' AS opaque
      FROM called
      JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) called.oid
      JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
     WHERE l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['internal', 'c']::pg_catalog.name[])
)
SELECT NULL::pg_catalog.oid AS oid
  FROM source
 WHERE opaque
 UNION
SELECT NULL
  FROM down
  JOIN pg_catalog.pg_rewrite AS r ON r.ev_class OPERATOR(pg_catalog.=) down.oid
 WHERE r.ev_type OPERATOR(pg_catalog.=) CASE WHEN down.goes THEN '4' ELSE '2' END::pg_catalog."char"
 UNION
SELECT CASE WHEN c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[]) THEN c.oid END
  FROM source
  JOIN pg_catalog.pg_class AS c ON pg_catalog.lower(c.relname::pg_catalog.text) OPERATOR(pg_catalog.=) ANY (source.words)
 WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'f']::pg_catalog."char"[])
   AND c.relnamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
