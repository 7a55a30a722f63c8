-- What a session looks like before the first statement of a run, and what every command asks first.
-- A setting is pinned here when it could change what a statement means or which rows it returns, or could end the session;
-- settings that only choose between plans are the role's own. So are the search path, the locale and the text search
-- configuration: a policy's text means what it means in psql.

--- lift_timeout
-- Takes away the role's own time limit, which may be too short for the statements that follow.
SET statement_timeout = 0

--- probe
-- Reads who the session is to the server: a pooler or proxy in between has another address, and another number of the
-- process, than the connection that pgsweep has opened.
SELECT pg_catalog.pg_backend_pid(),
       pg_catalog.inet_client_port(),
       pg_catalog.current_setting('port')

--- read_defaults
-- Reads what the role has, as far as the session keeps it: the search path, with pg_catalog first, so that no object of
-- another schema takes the place of a built-in one, and temporary objects last; and what a commit waits for, which is at
-- least the local disk: what is reported as deleted must not come back with a crash of the server.
SELECT pg_catalog.array_to_string(
           ARRAY['pg_catalog']
           OPERATOR(pg_catalog.||)
           ARRAY(SELECT pg_catalog.quote_ident(s)
                   FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, n)
                  WHERE pg_catalog.left(s, 3) OPERATOR(pg_catalog.<>) 'pg_'
                  ORDER BY n)
           OPERATOR(pg_catalog.||)
           ARRAY['pg_temp'],
           ', ') AS search_path,
       CASE
           WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off' THEN 'local'
           ELSE pg_catalog.current_setting('synchronous_commit')
       END AS synchronous_commit

--- set_up
-- Pins the settings of the session, or of one transaction, whatever the role, the database, the server and PGOPTIONS say.
-- $1: search path; $2: application name; $3 to $5: time limits in milliseconds; $6: what a commit waits for;
-- $7: plan_cache_mode.
SELECT pg_catalog.set_config(s.name, s.value, {transaction})
  FROM (VALUES
           {shared}
           ('search_path', $1::pg_catalog.text, 0),
           ('application_name', $2::pg_catalog.text, 0),
           ('synchronous_commit', $6::pg_catalog.text, 0),
           -- How long anything may take. What would end the session in a pause of the run is switched off.
           -- Shorter than deadlock_timeout: in a circle of waiting sessions it is pgsweep that gives way.
           ('lock_timeout',
            least($3::pg_catalog.int8,
                  greatest((pg_catalog.date_part('epoch', pg_catalog.current_setting('deadlock_timeout')::pg_catalog.interval)
                            OPERATOR(pg_catalog.*) 500::pg_catalog.float8)::pg_catalog.int8, 1))::pg_catalog.text, 0),
           ('statement_timeout', $4::pg_catalog.text, 0),
           ('idle_in_transaction_session_timeout', $5::pg_catalog.text, 0),
           ('idle_session_timeout', '0', 140000),
           ('transaction_timeout', '0', 170000),
           ('exit_on_error', 'off', 0),
           -- How values are read and written.
           ('TimeZone', 'UTC', 0),
           ('DateStyle', 'ISO, YMD', 0),
           ('IntervalStyle', 'postgres', 0),
           ('bytea_output', 'hex', 0),
           ('extra_float_digits', '1', 0),
           ('array_nulls', 'on', 0),
           ('xmlbinary', 'base64', 0),
           ('xmloption', 'content', 0),
           ('quote_all_identifiers', 'off', 0),
           -- How the text of a policy is read: as its check reads it.
           ('standard_conforming_strings', 'on', 0),
           ('backslash_quote', 'safe_encoding', 0),
           ('transform_null_equals', 'off', 0),
           -- Transactions.
           ('default_transaction_isolation', 'read committed', 0),
           ('default_transaction_deferrable', 'off', 0),
           ('default_transaction_read_only', 'off', 0),
           -- Which rows a statement sees: all of them, or it fails.
           ('row_security', 'off', 0),
           ('gin_fuzzy_search_limit', '0', 0),
           -- Plans: with JIT, a generic keyset plan pays for it on every execution.
           ('jit', 'off', 0),
           ('plan_cache_mode', $7::pg_catalog.text, 0),
           ('client_min_messages', 'warning', 0)
       ) AS s(name, value, since)
 WHERE s.since OPERATOR(pg_catalog.<=) pg_catalog.current_setting('server_version_num')::pg_catalog.int4
   AND (s.name OPERATOR(pg_catalog.<>) 'session_replication_role'
        OR pg_catalog.current_setting(s.name) OPERATOR(pg_catalog.=) 'replica')

--- shared
-- What else other clients of a pooler may have changed in the session. Whose rights the statements have comes first.
('role', $8::pg_catalog.text, 0),
-- Only a superuser may change it, and the transaction fails for all others: see below.
('session_replication_role', 'origin', 0),
('default_text_search_config', $9::pg_catalog.text, 0),
('lc_monetary', $10::pg_catalog.text, 0),
('lc_numeric', $11::pg_catalog.text, 0),
('lc_time', $12::pg_catalog.text, 0),

--- shared_defaults
-- Reads these as the role has them.
SELECT pg_catalog.current_setting('role'),
       pg_catalog.current_setting('default_text_search_config'),
       pg_catalog.current_setting('lc_monetary'),
       pg_catalog.current_setting('lc_numeric'),
       pg_catalog.current_setting('lc_time')

--- patient
-- Takes away the role's own time limits, for this transaction.
SELECT pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)

--- in_transaction
-- Whether this is the transaction whose first statement has made it one that only reads, in one state of the database.
SELECT pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'repeatable read'
   AND pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on'

--- role_default
-- Undoes, for this transaction, what another client of the pooler has set.
SET LOCAL {setting} TO DEFAULT

--- watch_network
-- Has the server's end of the connection notice within two minutes that this end is gone, so that the run's lock does not outlive
-- the run; where nobody has chosen otherwise for the role, the database or the server. Times in seconds, one in milliseconds.
SELECT pg_catalog.set_config(w.name, w.value, false)
  FROM (VALUES
           ('tcp_keepalives_idle', '60'),
           ('tcp_keepalives_interval', '10'),
           ('tcp_keepalives_count', '6'),
           ('tcp_user_timeout', '120000')
       ) AS w(name, value)
  JOIN pg_catalog.pg_settings AS s ON s.name OPERATOR(pg_catalog.=) w.name
 WHERE s.source OPERATOR(pg_catalog.=) 'default'

--- watch_client
-- Has the server notice during a long statement that this end has closed the connection (PostgreSQL 14 and later, where the
-- server's system can); where nobody has chosen otherwise.
SELECT pg_catalog.set_config('client_connection_check_interval', '10000', false)
  FROM pg_catalog.pg_settings AS s
 WHERE s.name OPERATOR(pg_catalog.=) 'client_connection_check_interval'
   AND s.source OPERATOR(pg_catalog.=) 'default'

--- replication_role
-- Whether foreign keys and triggers act in this session. Under "replica" they do not: a deletion would leave orphans.
SELECT pg_catalog.current_setting('session_replication_role')

--- set_replication_role
-- Lets foreign keys and triggers act. Only a superuser, or a role with SET on this parameter, may say so.
SET session_replication_role = 'origin'

--- set_search_path
-- Changes where names without a schema are looked up. $1: a value of search_path.
SELECT pg_catalog.set_config('search_path', $1, false)

--- set_application_name
-- Changes the name under which pg_stat_activity shows the session. $1: the name.
SELECT pg_catalog.set_config('application_name', $1, false)

--- set_synchronous_commit
-- Changes what a commit waits for. $1: a value of synchronous_commit.
SELECT pg_catalog.set_config('synchronous_commit', $1, false)

--- limit_transaction
-- Limits the statements that follow in the same transaction, which does not have its snapshot yet.
SET LOCAL statement_timeout = {milliseconds}

--- set_plan_cache_mode
-- Changes how prepared statements are planned. $1: a value of plan_cache_mode.
SELECT pg_catalog.set_config('plan_cache_mode', $1, false)

--- forget_statements
-- Forgets all prepared statements.
DEALLOCATE ALL

--- try_lock
-- Takes an advisory lock for as long as the session lasts, if no other session holds it. $1: its key.
SELECT pg_catalog.pg_try_advisory_lock($1::pg_catalog.int8)

--- unlock
-- Gives an advisory lock back. $1: its key.
SELECT pg_catalog.pg_advisory_unlock($1::pg_catalog.int8)

--- watch
-- Cancels the statement of a server process as soon as somebody waits for it, and says so first. Ends when the statement ends.
-- The notices tell the program that somebody looks, and that the statement is cancelled.
DO $watch$
BEGIN
    RAISE INFO SQLSTATE 'PGS02';
    LOOP
        PERFORM pg_catalog.pg_stat_clear_snapshot();
        IF NOT EXISTS (SELECT
                         FROM pg_catalog.pg_stat_activity AS a
                        WHERE {who}
                          AND a.state OPERATOR(pg_catalog.=) 'active') THEN
            RETURN;
        END IF;
        IF EXISTS (SELECT
                     FROM pg_catalog.pg_stat_activity AS a
                     JOIN pg_catalog.pg_locks AS l
                          ON NOT l.granted
                         AND l.locktype OPERATOR(pg_catalog.=) 'relation'
                         AND a.pid OPERATOR(pg_catalog.=) ANY (pg_catalog.pg_blocking_pids(l.pid))
                    WHERE {who}) THEN
            RAISE INFO SQLSTATE 'PGS01';
            PERFORM pg_catalog.pg_cancel_backend(a.pid)
               FROM pg_catalog.pg_stat_activity AS a
              WHERE {who}
                AND a.state OPERATOR(pg_catalog.=) 'active';
            RETURN;
        END IF;
        PERFORM pg_catalog.pg_sleep(0.1);
    END LOOP;
END
$watch$

--- watch_process
-- The server process of a session that is ours alone.
a.pid OPERATOR(pg_catalog.=) {pid}

--- watch_run
-- Behind a pooler the process is known by the name of the run, which no other session has.
a.application_name OPERATOR(pg_catalog.=) {name}
AND a.backend_type OPERATOR(pg_catalog.=) 'client backend'
--- in_recovery
-- Whether the server is a standby, or not promoted yet.
SELECT pg_catalog.pg_is_in_recovery()

--- server_state
-- The database's clock at the start of a run, and whether the server is a standby; the clock also in milliseconds since 1970, to
-- be compared with the host's.
SELECT pg_catalog.now(),
       pg_catalog.pg_is_in_recovery(),
       pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())
                        OPERATOR(pg_catalog.*) 1000::pg_catalog.float8)::pg_catalog.int8
