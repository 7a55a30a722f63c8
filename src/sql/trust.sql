-- Whose code a run executes. PostgreSQL runs functions, operators and triggers with the rights of whoever uses them, so a name
-- that is looked up where another role may put something is that role's way into the run.

--- members
-- Roles that may act as one that is trusted, and so can do what that one can.
SELECT m.member
  FROM trusted AS t
  JOIN pg_catalog.pg_auth_members AS m ON m.roleid OPERATOR(pg_catalog.=) t.oid
 WHERE m.admin_option
    OR coalesce((pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'inherit_option')::pg_catalog.bool, true)
    OR coalesce((pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'set_option')::pg_catalog.bool, true)

--- path
-- What is wrong with the path that the names in a policy's text are looked up in: schemas that a role without trust owns ("owner") or
-- may create objects in ("create"), and what such a role has in one of them ("object"). Trusted are superusers, the role that
-- runs, the owners of the database and of the policy's table ($1), and the members of these. A table counts only where it hides
-- one of the same name in a later schema: no table stands for another otherwise. The row types of tables are no functions.
-- There is at least one row, which says who is who: the role that runs, whether it is a superuser, and the two owners.
WITH RECURSIVE trusted AS (
    SELECT r.oid
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolsuper
        OR r.oid OPERATOR(pg_catalog.=) 10::pg_catalog.oid
        OR r.rolname OPERATOR(pg_catalog.=) ANY (ARRAY[session_user, current_user, 'pg_database_owner']::pg_catalog.name[])
        OR r.oid OPERATOR(pg_catalog.=) (SELECT d.datdba
                                           FROM pg_catalog.pg_database AS d
                                          WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
        OR r.oid OPERATOR(pg_catalog.=) (SELECT c.relowner
                                           FROM pg_catalog.pg_class AS c
                                          WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid)
     UNION
    {members}
), path AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl, u.place
      FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(name, place)
      JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) u.name
     WHERE NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
), object AS (
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, p.oid, p.proowner AS owner, path.place
      FROM path
      JOIN pg_catalog.pg_proc AS p ON p.pronamespace OPERATOR(pg_catalog.=) path.oid
     UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprowner, path.place
      FROM path
      JOIN pg_catalog.pg_operator AS o ON o.oprnamespace OPERATOR(pg_catalog.=) path.oid
     UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, y.typowner, path.place
      FROM path
      JOIN pg_catalog.pg_type AS y ON y.typnamespace OPERATOR(pg_catalog.=) path.oid
     WHERE y.typrelid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
       AND NOT (y.typtype OPERATOR(pg_catalog.=) 'b' AND y.typcategory OPERATOR(pg_catalog.=) 'A')
     UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relowner, path.place
      FROM path
      JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) path.oid
     WHERE c.relkind OPERATOR(pg_catalog.=) 'v'
        OR (c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'm', 'f']::pg_catalog."char"[])
            AND EXISTS (SELECT
                          FROM path AS later
                          JOIN pg_catalog.pg_class AS hidden ON hidden.relnamespace OPERATOR(pg_catalog.=) later.oid
                         WHERE later.place OPERATOR(pg_catalog.>) path.place
                           AND hidden.relname OPERATOR(pg_catalog.=) c.relname
                           AND hidden.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'm', 'f']::pg_catalog."char"[])))
), who AS (
    SELECT pg_catalog.quote_ident(current_user) AS role,
           (SELECT pg_catalog.bool_or(r.rolsuper)
              FROM pg_catalog.pg_roles AS r
             WHERE r.rolname OPERATOR(pg_catalog.=) ANY (ARRAY[session_user, current_user]::pg_catalog.name[])) AS super,
           (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.datdba))
              FROM pg_catalog.pg_database AS d
             WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AS database_owner,
           (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner))
              FROM pg_catalog.pg_class AS c
             WHERE c.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid) AS table_owner
), found AS (
    SELECT 1 AS rank, 'owner' AS kind, path.place, pg_catalog.quote_ident(path.nspname) AS what, path.nspowner AS role,
           NULL::pg_catalog.oid AS grantor, false AS grantable
      FROM path
     WHERE NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) path.nspowner)
     UNION ALL
    SELECT 2, 'create', path.place, pg_catalog.quote_ident(path.nspname), a.grantee,
           CASE WHEN a.grantor OPERATOR(pg_catalog.<>) path.nspowner THEN a.grantor END, a.is_grantable
      FROM path
     CROSS JOIN LATERAL pg_catalog.aclexplode(path.nspacl) AS a
     WHERE a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
       AND a.grantee OPERATOR(pg_catalog.<>) path.nspowner
       AND NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) a.grantee)
       -- What one without trust has granted goes with that one's own privilege.
       AND (a.grantor OPERATOR(pg_catalog.=) path.nspowner
            OR EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) a.grantor))
     UNION ALL
    SELECT 3, 'object', o.place, i.type OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) i.identity, o.owner, NULL, false
      FROM object AS o
     CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.class, o.oid, 0) AS i
     WHERE NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) o.owner)
)
SELECT f.kind,
       f.what,
       CASE WHEN f.role OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(f.role)) END AS role,
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(f.grantor)) AS grantor,
       w.role AS running,
       w.super,
       w.database_owner,
       w.table_owner,
       f.grantable,
       pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgsweep')::pg_catalog.oid, 'USAGE')
       AND EXISTS (
           {state}) AS untrusted_state
  FROM who AS w
  LEFT JOIN found AS f ON true
 ORDER BY f.rank, f.place, f.what, 3

--- schemas
-- The schemas that a path may name, and whether the role may use them.
SELECT n.nspname,
       pg_catalog.quote_ident(n.nspname) AS quoted,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS usable
  FROM pg_catalog.pg_namespace AS n
 WHERE NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_')
    OR n.nspname OPERATOR(pg_catalog.=) 'pg_catalog'
 ORDER BY n.nspname

--- state
-- What in the state schema could run code of a role without trust, or is a role's without trust. A superuser trusts superusers alone. Any
-- other role trusts these, itself, the roles that it is a member of, the owner of the database, and their members. Rules, row
-- policies and children of its tables are none of pgsweep's: they count whosever they are.
WITH RECURSIVE me AS (
    SELECT pg_catalog.bool_or(r.rolsuper) AS super
      FROM pg_catalog.pg_roles AS r
     WHERE r.rolname OPERATOR(pg_catalog.=) ANY (ARRAY[session_user, current_user]::pg_catalog.name[])
), trusted AS (
    SELECT r.oid
      FROM me
     CROSS JOIN pg_catalog.pg_roles AS r
     WHERE r.rolsuper
        OR r.oid OPERATOR(pg_catalog.=) 10::pg_catalog.oid
        OR (NOT me.super
            AND (r.rolname OPERATOR(pg_catalog.=) 'pg_database_owner'
                 OR pg_catalog.pg_has_role(r.oid, 'MEMBER')
                 OR r.oid OPERATOR(pg_catalog.=) (SELECT d.datdba
                                                    FROM pg_catalog.pg_database AS d
                                                   WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())))
     UNION
    {members}
), relation AS (
    SELECT c.oid
      FROM pg_catalog.pg_class AS c
     WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('pgsweep')
       AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'v', 'm', 'f', 'S']::pg_catalog."char"[])
     UNION
    SELECT i.inhrelid
      FROM relation
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) relation.oid
), owned AS (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass AS class, n.oid, n.nspowner AS owner
      FROM pg_catalog.pg_namespace AS n
     WHERE n.oid OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('pgsweep')
     UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relowner
      FROM relation
      JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.proowner
      FROM pg_catalog.pg_proc AS p
     WHERE p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('pgsweep')
     UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprowner
      FROM pg_catalog.pg_operator AS o
     WHERE o.oprnamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('pgsweep')
     UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, y.typowner
      FROM relation
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) relation.oid
      JOIN pg_catalog.pg_type AS y ON y.oid OPERATOR(pg_catalog.=) a.atttypid
), part AS (
    SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass AS class, g.oid, false AS not_ours
      FROM relation
      JOIN pg_catalog.pg_trigger AS g ON g.tgrelid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, false
      FROM relation
      JOIN pg_catalog.pg_attrdef AS d ON d.adrelid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, false
      FROM relation
      JOIN pg_catalog.pg_constraint AS k ON k.conrelid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, x.indexrelid, false
      FROM relation
      JOIN pg_catalog.pg_index AS x ON x.indrelid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, w.rulename OPERATOR(pg_catalog.<>) '_RETURN'
      FROM relation
      JOIN pg_catalog.pg_rewrite AS w ON w.ev_class OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, true
      FROM relation
      JOIN pg_catalog.pg_policy AS p ON p.polrelid OPERATOR(pg_catalog.=) relation.oid
     UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.inhrelid, true
      FROM relation
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) relation.oid
), found AS (
    SELECT o.class, o.oid, o.owner
      FROM owned AS o
     WHERE NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) o.owner)
     UNION
    SELECT p.class, p.oid, NULL
      FROM part AS p
     WHERE p.not_ours
     UNION
    SELECT p.class, p.oid, f.proowner
      FROM part AS p
      JOIN pg_catalog.pg_depend AS d ON d.classid OPERATOR(pg_catalog.=) p.class
                                    AND d.objid OPERATOR(pg_catalog.=) p.oid
      LEFT JOIN pg_catalog.pg_operator AS o ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass
                                           AND o.oid OPERATOR(pg_catalog.=) d.refobjid
      JOIN pg_catalog.pg_proc AS f ON f.oid OPERATOR(pg_catalog.=)
                                      CASE WHEN d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
                                           THEN d.refobjid ELSE o.oprcode END
     WHERE NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) f.proowner)
     UNION
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, a.grantee
      FROM pg_catalog.pg_namespace AS n
     CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS a
     WHERE n.oid OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('pgsweep')
       AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'
       AND NOT EXISTS (SELECT FROM trusted AS t WHERE t.oid OPERATOR(pg_catalog.=) a.grantee)
)
SELECT i.type OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) i.identity AS what,
       CASE WHEN f.owner OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(f.owner)) END AS role,
       pg_catalog.quote_ident(current_user) AS running,
       (SELECT me.super FROM me) AS super
  FROM found AS f
 CROSS JOIN LATERAL pg_catalog.pg_identify_object(f.class, f.oid, 0) AS i
 ORDER BY f.class OPERATOR(pg_catalog.<>) 'pg_catalog.pg_namespace'::pg_catalog.regclass, 1, 2
