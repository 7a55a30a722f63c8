-- The advisory lock of a policy: one run at a time, on any host.

--- holder
-- Finds the session that holds the lock, as far as the role may see it, with the record of its run where there is one.
-- $1: the key of the lock.
SELECT l.pid,
       coalesce(a.application_name, '') AS application_name,
       coalesce(r.started, a.backend_start)::pg_catalog.timestamptz(0)::pg_catalog.text AS started,
       coalesce(r.host, a.client_hostname, pg_catalog.host(a.client_addr), 'the database server') AS host,
       coalesce(r.role, a.usename::pg_catalog.text, '') AS role
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid OPERATOR(pg_catalog.=) l.pid
  LEFT JOIN pgsweep.runs AS r
         ON pg_catalog.split_part(a.application_name, '/', 1) OPERATOR(pg_catalog.=) 'pgsweep'
        AND pg_catalog.split_part(a.application_name, '/', 3) OPERATOR(pg_catalog.=) r.run_id
 WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'
   AND l.granted
   AND l.objsubid OPERATOR(pg_catalog.=) 1
   AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid
                                            FROM pg_catalog.pg_database AS d
                                           WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
   AND l.classid OPERATOR(pg_catalog.=) ($1::pg_catalog.int8 OPERATOR(pg_catalog.>>) 32)::pg_catalog.oid
   AND l.objid OPERATOR(pg_catalog.=) ($1::pg_catalog.int8 OPERATOR(pg_catalog.&) 4294967295)::pg_catalog.oid

--- end_session
-- Ends the session that this run lost and that the server still has. $1: its server process.
SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)
