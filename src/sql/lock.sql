-- Locks that one run holds at a time, on any host: those of policies, and of the queues. See src/state/lease.c.

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
-- Ends the sessions that this run lost and that the server still has. $1: the application name of the run.
SELECT pg_catalog.pg_terminate_backend(a.pid)
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.application_name OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
   AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()

--- enter
-- Makes the row of the lock, held by nobody, where there is none. $1: its name.
INSERT INTO pgsweep.locks (lock_name, holder, application, host, expires)
VALUES ($1::pg_catalog.text, '', '', '', '-infinity')
ON CONFLICT (lock_name) DO NOTHING

--- row
-- Locks that row. A run that is in a transaction has it locked.
SELECT
  FROM pgsweep.locks
 WHERE lock_name OPERATOR(pg_catalog.=) $1::pg_catalog.text
   FOR UPDATE NOWAIT

--- look
-- Who holds the lock, by the clock of the server; whether a transaction of that run is under way; and whether another
-- session has the advisory lock. $1: name, $2: key of the advisory lock.
SELECT k.holder,
       k.application,
       k.host,
       k.role,
       k.since::pg_catalog.timestamptz(0)::pg_catalog.text,
       k.expires::pg_catalog.text,
       k.expires OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.timestamptz AS leased,
       CASE WHEN k.expires OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
            THEN pg_catalog.ceil(pg_catalog.date_part(
                     'epoch', k.expires OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp())
                 OPERATOR(pg_catalog.*) 1000::pg_catalog.float8)::pg_catalog.int8
            ELSE 0
       END AS ends_in_ms,
       EXISTS (SELECT
                 FROM pg_catalog.pg_stat_activity AS a
                WHERE a.application_name OPERATOR(pg_catalog.=) k.application
                  AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                  AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()) AS at_work,
       EXISTS (SELECT
                 FROM pg_catalog.pg_locks AS l
                WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'
                  AND l.granted
                  AND l.objsubid OPERATOR(pg_catalog.=) 1
                  AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
                  AND l.database OPERATOR(pg_catalog.=) (
                          SELECT d.oid
                            FROM pg_catalog.pg_database AS d
                           WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
                  AND l.classid OPERATOR(pg_catalog.=)
                      ($2::pg_catalog.int8 OPERATOR(pg_catalog.>>) 32)::pg_catalog.oid
                  AND l.objid OPERATOR(pg_catalog.=)
                      ($2::pg_catalog.int8 OPERATOR(pg_catalog.&) 4294967295)::pg_catalog.oid) AS session
  FROM pgsweep.locks AS k
 WHERE k.lock_name OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- occupy
-- Takes the lock, whose row is locked. $1: name, $2: token of the holder, $3: host, $4: how long the lease lasts (NULL: a
-- session holds it, by its advisory lock).
UPDATE pgsweep.locks
   SET holder = $2::pg_catalog.text,
       application = pg_catalog.current_setting('application_name'),
       host = $3::pg_catalog.text,
       role = session_user,
       since = pg_catalog.clock_timestamp(),
       expires = coalesce(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $4::pg_catalog.interval, '-infinity')
 WHERE lock_name OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- occupy_own
-- Takes the lock, whose advisory lock the session has, unless the lease of another run is still on. $1: name, $2: token of
-- the holder, $3: host, $4, $5: token and
-- application name that it had before. No row: it is.
INSERT INTO pgsweep.locks AS k (lock_name, holder, application, host, expires)
VALUES ($1::pg_catalog.text, $2::pg_catalog.text, pg_catalog.current_setting('application_name'),
        $3::pg_catalog.text, '-infinity')
ON CONFLICT (lock_name) DO UPDATE
   SET holder = excluded.holder,
       application = excluded.application,
       host = excluded.host,
       role = excluded.role,
       since = pg_catalog.clock_timestamp(),
       expires = excluded.expires
 WHERE k.holder OPERATOR(pg_catalog.=) $4::pg_catalog.text
    OR k.application OPERATOR(pg_catalog.=) $5::pg_catalog.text
    OR k.expires OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
       AND (k.expires OPERATOR(pg_catalog.=) '-infinity'::pg_catalog.timestamptz
            OR NOT EXISTS (SELECT
                             FROM pg_catalog.pg_stat_activity AS a
                            WHERE a.application_name OPERATOR(pg_catalog.=) k.application
                              AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                              AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()))
RETURNING 1

--- keep
-- Fails if another run has taken over one of the locks; renews the lease, and keeps the rows locked up to the end of the
-- transaction. $1: token of the holder, $2: names, $3: how long the lease lasts.
SELECT pgsweep.keep_locks($1::pg_catalog.text, $2::pg_catalog.text[], $3::pg_catalog.interval)

--- release
-- Gives back all locks of a holder. $1: its token.
UPDATE pgsweep.locks
   SET holder = '',
       expires = '-infinity'
 WHERE holder OPERATOR(pg_catalog.=) $1::pg_catalog.text

--- release_one
-- Gives a lock back. $1: token of the holder, $2: name.
UPDATE pgsweep.locks
   SET holder = '',
       expires = '-infinity'
 WHERE holder OPERATOR(pg_catalog.=) $1::pg_catalog.text
   AND lock_name OPERATOR(pg_catalog.=) $2::pg_catalog.text
