-- What a run looks at between two chunks, outside any transaction, at most about once a second: whether it has to wait, or to end.

--- look
-- Whether the run has to wait or to end: a row for each reason that holds now, with what it is. Only what the policy asks for is looked
-- at. $1: replica_lag in milliseconds, $2: in bytes, $3: slot_wal, $4: ignore_replicas, $5: active_sessions, $6: snapshot_age in
-- milliseconds, $7: in transactions, $8: tables of the plan, $9: start of the window, $10: its end, $11: its time zone.
WITH RECURSIVE given AS (
    SELECT $1::pg_catalog.int8 AS lag_ms,
           $2::pg_catalog.int8 AS lag_bytes,
           $3::pg_catalog.int8 AS slot_bytes,
           $4::pg_catalog.text[] AS ignored,
           $5::pg_catalog.int8 AS sessions,
           $6::pg_catalog.int8 AS snapshot_ms,
           $7::pg_catalog.int8 AS snapshot_xids,
           $9::pg_catalog.text::pg_catalog.time AS opens,
           $10::pg_catalog.text::pg_catalog.time AS closes,
           $11::pg_catalog.text AS zone,
           (SELECT d.oid
              FROM pg_catalog.pg_database AS d
             WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AS database
), tables AS (
    SELECT o AS oid
      FROM pg_catalog.unnest($8::pg_catalog.oid[]) AS o
     UNION
    SELECT i.inhrelid
      FROM tables
      JOIN pg_catalog.pg_inherits AS i ON i.inhparent OPERATOR(pg_catalog.=) tables.oid
)
{parts}

--- replica_lag
-- The standby that is furthest behind in replaying, of those that are connected. One that has nothing left to replay is not behind.
SELECT 'replica_lag'::pg_catalog.text AS reason,
       pg_catalog.format('standby %s replays %s late, %s behind', r.application_name,
                         coalesce(pg_catalog.date_trunc('milliseconds', r.replay_lag)::pg_catalog.text, 'nothing yet'),
                         pg_catalog.pg_size_pretty(r.behind)) AS what,
       0::pg_catalog.int8 AS requested, 0::pg_catalog.int8 AS written, 0::pg_catalog.int8 AS done
  FROM given AS g
 CROSS JOIN (SELECT s.application_name, s.replay_lag,
                    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.replay_lsn) AS behind
               FROM pg_catalog.pg_stat_replication AS s) AS r
 WHERE r.behind OPERATOR(pg_catalog.>) 0::pg_catalog.numeric
   AND (pg_catalog.date_part('epoch', r.replay_lag) OPERATOR(pg_catalog.*) 1000::pg_catalog.float8
        OPERATOR(pg_catalog.>) g.lag_ms::pg_catalog.float8
        OR r.behind OPERATOR(pg_catalog.>) g.lag_bytes::pg_catalog.numeric)
   AND r.application_name OPERATOR(pg_catalog.<>) ALL (g.ignored)
 ORDER BY r.behind DESC
 LIMIT 1

--- slot_wal
-- The replication slot that keeps the most WAL, of those that keep too much, or that are about to be lost for it.
SELECT 'slot_wal'::pg_catalog.text,
       pg_catalog.format('slot %s keeps %s of WAL', s.slot_name, pg_catalog.pg_size_pretty(s.kept)),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM given AS g
 CROSS JOIN (SELECT r.slot_name::pg_catalog.text AS slot_name,
                    {status} AS status,
                    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), r.restart_lsn) AS kept
               FROM pg_catalog.pg_replication_slots AS r) AS s
 WHERE coalesce(s.status OPERATOR(pg_catalog.<>) 'lost', true)
   AND (s.kept OPERATOR(pg_catalog.>) g.slot_bytes::pg_catalog.numeric
        OR s.status OPERATOR(pg_catalog.=) 'unreserved')
   AND s.slot_name OPERATOR(pg_catalog.<>) ALL (g.ignored)
 ORDER BY s.kept DESC
 LIMIT 1

--- lock_waiters
-- Somebody queues for a lock on a table of the plan, or on a partition of one, that a deletion would have to queue behind.
SELECT 'lock_waiters'::pg_catalog.text,
       pg_catalog.format('server process %s waits for %s on %s', l.pid, l.mode, l.relation::pg_catalog.regclass),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM given AS g
 CROSS JOIN tables AS t
  JOIN pg_catalog.pg_locks AS l ON l.relation OPERATOR(pg_catalog.=) t.oid
                               AND l.database OPERATOR(pg_catalog.=) g.database
 WHERE NOT l.granted
   AND l.locktype OPERATOR(pg_catalog.=) 'relation'
   AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                                                'AccessExclusiveLock']::pg_catalog.text[])
   AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
 LIMIT 1

--- active_sessions
-- How many other clients are at work, in all databases of the server.
SELECT 'active_sessions'::pg_catalog.text,
       pg_catalog.format('%s other sessions are active', pg_catalog.count(*)),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.state OPERATOR(pg_catalog.=) 'active'
   AND a.backend_type OPERATOR(pg_catalog.=) 'client backend'
   AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) (SELECT g.sessions FROM given AS g)

--- snapshot_age
-- The oldest transaction that keeps dead rows from being removed here: of a session, of a standby that sends feedback, a prepared
-- one, or one that a slot keeps. What VACUUM itself does keeps none.
SELECT 'snapshot_age'::pg_catalog.text,
       pg_catalog.format('%s keeps dead rows: %s old, %s transactions', o.who,
                         coalesce(pg_catalog.date_trunc('second', pg_catalog.clock_timestamp()
                                                                  OPERATOR(pg_catalog.-) o.since)::pg_catalog.text,
                                  'of unknown age'),
                         coalesce(o.xids::pg_catalog.text, '?')),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM given AS g
 CROSS JOIN LATERAL (
       SELECT pg_catalog.format('server process %s', a.pid) AS who,
              a.xact_start AS since,
              greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) AS xids
         FROM pg_catalog.pg_stat_activity AS a
        WHERE (a.datid OPERATOR(pg_catalog.=) g.database OR a.datid IS NULL)
          AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
          AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
          AND NOT EXISTS (SELECT
                            FROM pg_catalog.pg_stat_progress_vacuum AS v
                           WHERE v.pid OPERATOR(pg_catalog.=) a.pid)
        UNION ALL
       SELECT pg_catalog.format('prepared transaction %s', p.gid), p.prepared, pg_catalog.age(p.transaction)
         FROM pg_catalog.pg_prepared_xacts AS p
        WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()
        UNION ALL
       SELECT pg_catalog.format('slot %s', s.slot_name), NULL, pg_catalog.age(s.xmin)
         FROM pg_catalog.pg_replication_slots AS s
        WHERE s.xmin IS NOT NULL
          AND s.slot_name::pg_catalog.text OPERATOR(pg_catalog.<>) ALL (g.ignored)) AS o
 WHERE o.xids OPERATOR(pg_catalog.>) g.snapshot_xids
    OR pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) o.since)
       OPERATOR(pg_catalog.*) 1000::pg_catalog.float8 OPERATOR(pg_catalog.>) g.snapshot_ms::pg_catalog.float8
 ORDER BY o.since, o.xids DESC
 LIMIT 1

--- autovacuum
-- VACUUM, by autovacuum or by hand, works on a table of the plan. The view hides the table from roles without rights; the locks of
-- the session do not.
SELECT 'autovacuum'::pg_catalog.text,
       pg_catalog.format('server process %s vacuums %s', v.pid, l.relation::pg_catalog.regclass),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM given AS g
 CROSS JOIN tables AS t
  JOIN pg_catalog.pg_locks AS l ON l.relation OPERATOR(pg_catalog.=) t.oid
                               AND l.database OPERATOR(pg_catalog.=) g.database
  JOIN pg_catalog.pg_stat_progress_vacuum AS v ON v.pid OPERATOR(pg_catalog.=) l.pid
 WHERE l.granted
   AND l.locktype OPERATOR(pg_catalog.=) 'relation'
   AND l.mode OPERATOR(pg_catalog.=) ANY (ARRAY['ShareUpdateExclusiveLock', 'AccessExclusiveLock']::pg_catalog.text[])
 LIMIT 1

--- checkpoints
-- Checkpoints that were asked for, by WAL that is written too fast or by hand; buffers written for checkpoints; the time that those
-- took that are done. What has changed since the last look tells whether one is under way.
SELECT 'checkpoints'::pg_catalog.text, NULL,
       {requested},
       {written},
       ({write_time} OPERATOR(pg_catalog.+) {sync_time})::pg_catalog.int8
  FROM {view} AS c

--- window
-- The window is closed.
SELECT 'window'::pg_catalog.text,
       pg_catalog.format('it is %s in %s', pg_catalog.to_char(n.clock, 'HH24:MI'), g.zone),
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
  FROM given AS g
 CROSS JOIN LATERAL (SELECT pg_catalog.clock_timestamp() AT TIME ZONE g.zone AS clock) AS n
 WHERE NOT CASE WHEN g.opens OPERATOR(pg_catalog.<) g.closes
                THEN n.clock::pg_catalog.time OPERATOR(pg_catalog.>=) g.opens
                     AND n.clock::pg_catalog.time OPERATOR(pg_catalog.<) g.closes
                ELSE n.clock::pg_catalog.time OPERATOR(pg_catalog.>=) g.opens
                     OR n.clock::pg_catalog.time OPERATOR(pg_catalog.<) g.closes
           END

--- hidden_replicas
-- There are standbys, and this role may not see how far behind they are.
SELECT 'hidden'::pg_catalog.text, 'how far standbys are behind (replica_lag)',
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
 WHERE EXISTS (SELECT
                 FROM pg_catalog.pg_stat_replication AS r
                WHERE r.state IS NULL)

--- hidden_sessions
-- This role may not see what the sessions of others do.
SELECT 'hidden'::pg_catalog.text, 'what other sessions do ({key})',
       0::pg_catalog.int8, 0::pg_catalog.int8, 0::pg_catalog.int8
 WHERE NOT pg_catalog.pg_has_role('pg_read_all_stats'::pg_catalog.name, 'USAGE'::pg_catalog.text)

--- own
-- The policy's own condition for waiting (wait_while), in a read-only transaction with a time limit.
SELECT {condition} IS TRUE
