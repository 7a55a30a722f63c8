-- The state schema of pgsweep, version 2. Run by "pgsweep init"; may be run again at any time.
-- A dry run needs none of it.

CREATE SCHEMA IF NOT EXISTS pgsweep;

-- Objects that another role has created here are not adopted. (pgsweep checks more than this before
-- it runs the script.)
DO $$
BEGIN
    IF EXISTS (
        SELECT
          FROM pg_catalog.pg_namespace AS n
          LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
          LEFT JOIN pg_catalog.pg_proc AS p ON p.pronamespace OPERATOR(pg_catalog.=) n.oid
          JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) ANY (ARRAY[n.nspowner, c.relowner, p.proowner])
          JOIN pg_catalog.pg_roles AS me ON me.rolname OPERATOR(pg_catalog.=) current_user
         WHERE n.nspname OPERATOR(pg_catalog.=) 'pgsweep'
           AND NOT r.rolsuper
           AND (me.rolsuper OR NOT pg_catalog.pg_has_role(r.oid, 'USAGE')))
    THEN
        RAISE EXCEPTION 'schema pgsweep is there already, and something in it belongs to another role';
    END IF;
END
$$;

CREATE TABLE IF NOT EXISTS pgsweep.state (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    version    integer NOT NULL,
    changed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE pgsweep.state IS 'The version of this schema; pgsweep init brings it up to date.';

CREATE TABLE IF NOT EXISTS pgsweep.runs (
    run_id      pg_catalog.text PRIMARY KEY,
    policy      pg_catalog.text NOT NULL,
    mode        pg_catalog.text NOT NULL,
    outcome     pg_catalog.text NOT NULL,
    cutoff      pg_catalog.timestamptz NOT NULL,
    retain      pg_catalog.text NOT NULL,
    role        pg_catalog.text NOT NULL,
    os_user     pg_catalog.text,
    host        pg_catalog.text NOT NULL,
    pid         integer NOT NULL,
    version     pg_catalog.text NOT NULL,
    started     pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_chunk  pg_catalog.timestamptz,
    finished    pg_catalog.timestamptz,
    total       bigint,
    eligible    bigint,
    deleted     pg_catalog.jsonb NOT NULL DEFAULT '{}',
    spared      pg_catalog.jsonb NOT NULL DEFAULT '[]',
    failed      bigint NOT NULL DEFAULT 0,
    left_locked bigint NOT NULL DEFAULT 0,
    chunks      bigint NOT NULL DEFAULT 0,
    error       pg_catalog.text
);
-- Since version 2: a count that takes too long is given up, and the run goes on without it.
ALTER TABLE pgsweep.runs ALTER COLUMN eligible DROP NOT NULL;
-- Since version 2: the record has the text of the policy, and there are records of runs that were refused before they began.
CREATE OR REPLACE FUNCTION pgsweep.text_digest(value pg_catalog.text) RETURNS pg_catalog.text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(value, 'UTF8')), 'hex')$$;
ALTER TABLE pgsweep.runs
    ALTER COLUMN cutoff DROP NOT NULL,
    ALTER COLUMN retain DROP NOT NULL,
    ALTER COLUMN role SET DEFAULT session_user,
    ADD COLUMN IF NOT EXISTS policy_text   pg_catalog.text,
    ADD COLUMN IF NOT EXISTS policy_digest pg_catalog.text GENERATED ALWAYS AS (pgsweep.text_digest(policy_text)) STORED;
-- Since version 2: what the run cost and left.
ALTER TABLE pgsweep.runs
    ADD COLUMN IF NOT EXISTS wal_bytes bigint,
    ADD COLUMN IF NOT EXISTS wal_of    pg_catalog.text,
    ADD COLUMN IF NOT EXISTS dead_rows pg_catalog.jsonb;
COMMENT ON COLUMN pgsweep.runs.wal_bytes IS 'WAL written while the run was on, in bytes. NULL: not known, or nothing was deleted.';
COMMENT ON COLUMN pgsweep.runs.wal_of IS 'Whose wal_bytes are: run (of the session of the run alone; PostgreSQL 18), server (of all sessions: the run wrote at most that much).';
COMMENT ON COLUMN pgsweep.runs.dead_rows IS 'Rows that the run deleted or changed and VACUUM had not removed from the files when it ended, by table or partition. NULL: not known, or nothing was deleted.';
-- Since version 2: what became of the candidates that were counted, so that the numbers add up.
ALTER TABLE pgsweep.runs
    ADD COLUMN IF NOT EXISTS spared_late   bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS left_by_limit bigint,
    ADD COLUMN IF NOT EXISTS changed       bigint,
    ADD COLUMN IF NOT EXISTS arrived       bigint;
COMMENT ON COLUMN pgsweep.runs.spared_late IS 'Candidates that were none any more when they were locked.';
COMMENT ON COLUMN pgsweep.runs.left_by_limit IS 'Candidates that a limit left. NULL: not counted.';
COMMENT ON COLUMN pgsweep.runs.changed IS 'Candidates that others renewed, deleted or made a condition spare between the count and their turn: eligible less the deleted rows of the policy''s own table, spared_late, failed, left_locked and left_by_limit. NULL: not known.';
COMMENT ON COLUMN pgsweep.runs.arrived IS 'The same difference where it is negative: rows that became eligible after the count. NULL: not known.';
-- Since version 2: how long the run waited between chunks, and why.
ALTER TABLE pgsweep.runs
    ADD COLUMN IF NOT EXISTS waited_ms bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS waited    pg_catalog.jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN pgsweep.runs.waited IS 'Milliseconds waited between chunks, by the key of "throttle" that said so; several may have done so at a time.';
COMMENT ON COLUMN pgsweep.runs.policy_text IS 'The policy as it was used, with what options and environment override, as "pgsweep show" prints it. NULL: it could not be read.';
COMMENT ON COLUMN pgsweep.runs.policy_digest IS 'SHA-256 of policy_text in UTF-8.';

-- A record is open while its run is on. Whoever runs pgsweep cannot change it after that, nor make one up that is closed.
CREATE OR REPLACE FUNCTION pgsweep.keep_records() RETURNS pg_catalog.trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$BEGIN
        RAISE EXCEPTION USING
            ERRCODE = 'insufficient_privilege',
            MESSAGE = pg_catalog.format('the record of run %s is closed', NEW.run_id),
            HINT = 'Records of pgsweep.runs are added by the run itself and not changed once it is over.';
    END$$;
DROP TRIGGER IF EXISTS keep_records ON pgsweep.runs;
CREATE TRIGGER keep_records BEFORE UPDATE ON pgsweep.runs FOR EACH ROW
    WHEN (OLD.outcome OPERATOR(pg_catalog.<>) 'running')
    EXECUTE FUNCTION pgsweep.keep_records();
DROP TRIGGER IF EXISTS begin_records ON pgsweep.runs;
CREATE TRIGGER begin_records BEFORE INSERT ON pgsweep.runs FOR EACH ROW
    WHEN (NEW.outcome OPERATOR(pg_catalog.<>) ALL (ARRAY['running', 'refused']::pg_catalog.text[]))
    EXECUTE FUNCTION pgsweep.keep_records();
COMMENT ON COLUMN pgsweep.runs.eligible IS 'Candidates when the run started; NULL: the count took longer than count_timeout.';
COMMENT ON TABLE pgsweep.runs IS 'One row for each live run, also for one that was refused. deleted and chunks are updated in the transaction of each chunk: after a crash they say how far the run came.';
COMMENT ON COLUMN pgsweep.runs.outcome IS 'running, done, partial, limit, stopped, error; interrupted: found unfinished by a later run; refused: did not begin, error says why.';
COMMENT ON COLUMN pgsweep.runs.deleted IS 'Rows deleted or detached, by table.';
COMMENT ON COLUMN pgsweep.runs.spared IS 'Candidates spared, by guard and label.';

CREATE INDEX IF NOT EXISTS runs_policy_started ON pgsweep.runs (policy, started);

CREATE TABLE IF NOT EXISTS pgsweep.object_queue (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         pg_catalog.text NOT NULL DEFAULT 'object' CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['object', 'directory'])),
    policy       pg_catalog.text NOT NULL,
    run_id       pg_catalog.text NOT NULL,
    source       pg_catalog.text NOT NULL,
    value        pg_catalog.text NOT NULL,
    root         pg_catalog.text,
    rules        pg_catalog.text,
    endpoint     pg_catalog.text,
    bucket       pg_catalog.text,
    state        pg_catalog.text NOT NULL DEFAULT 'queued' CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'foreign'])),
    attempts     integer NOT NULL DEFAULT 0,
    created      pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    next_attempt pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_error   pg_catalog.text
);
COMMENT ON TABLE pgsweep.object_queue IS 'Stored objects and directories whose rows are gone, entered in the transaction that deleted them, until they are gone too.';

-- Since version 2.
ALTER TABLE pgsweep.object_queue
    ADD COLUMN IF NOT EXISTS rules    pg_catalog.text,
    ADD COLUMN IF NOT EXISTS endpoint pg_catalog.text,
    ADD COLUMN IF NOT EXISTS bucket   pg_catalog.text,
    ADD COLUMN IF NOT EXISTS prefixes pg_catalog.text[];
COMMENT ON COLUMN pgsweep.object_queue.prefixes IS 'The policy stated, when the entry was queued, that only keys that begin with one of these may be deleted. NULL: it stated nothing.';
COMMENT ON COLUMN pgsweep.object_queue.rules IS 'Of a directory: which files in it stay, by the rules of the run that queued it. NULL: the defaults.';
COMMENT ON COLUMN pgsweep.object_queue.endpoint IS 'The store that was configured when the entry was queued, without credentials. NULL: none was; the next run of the policy that has one decides.';
COMMENT ON COLUMN pgsweep.object_queue.bucket IS 'The bucket of a value that names none itself.';

CREATE INDEX IF NOT EXISTS object_queue_next ON pgsweep.object_queue (kind, state, next_attempt, id);

CREATE TABLE IF NOT EXISTS pgsweep.object_sources (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    policy       pg_catalog.text NOT NULL,
    kind         pg_catalog.text NOT NULL DEFAULT 'object' CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['object', 'directory'])),
    table_ident  pg_catalog.text NOT NULL,
    column_ident pg_catalog.text NOT NULL,
    path         pg_catalog.text NOT NULL DEFAULT '',
    table_oid    pg_catalog.oid,
    attnum       smallint,
    endpoint     pg_catalog.text,
    bucket       pg_catalog.text
);
-- Since version 2. PostgreSQL 12 would give the identity a further sequence where the column is there already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid OPERATOR(pg_catalog.=) 'pgsweep.object_sources'::pg_catalog.regclass
                      AND a.attname OPERATOR(pg_catalog.=) 'id') THEN
        ALTER TABLE pgsweep.object_sources ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
    END IF;
END
$$;
ALTER TABLE pgsweep.object_sources
    ADD COLUMN IF NOT EXISTS path      pg_catalog.text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS table_oid pg_catalog.oid,
    ADD COLUMN IF NOT EXISTS attnum    smallint,
    ADD COLUMN IF NOT EXISTS endpoint  pg_catalog.text,
    ADD COLUMN IF NOT EXISTS bucket    pg_catalog.text,
    ADD COLUMN IF NOT EXISTS prefixes  pg_catalog.text[],
    DROP CONSTRAINT IF EXISTS object_sources_pkey;
CREATE UNIQUE INDEX IF NOT EXISTS object_sources_id ON pgsweep.object_sources (id);
CREATE UNIQUE INDEX IF NOT EXISTS object_sources_named
    ON pgsweep.object_sources (policy, kind, table_ident, column_ident, path);
UPDATE pgsweep.object_sources AS o
   SET table_oid = a.attrelid,
       attnum = a.attnum
  FROM pg_catalog.pg_attribute AS a
  JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE o.table_oid IS NULL
   AND a.attnum OPERATOR(pg_catalog.>) 0
   AND NOT a.attisdropped
   AND o.table_ident OPERATOR(pg_catalog.=)
       pg_catalog.concat('"', pg_catalog.replace(n.nspname::pg_catalog.text, '"', '""'), '"."',
                         pg_catalog.replace(c.relname::pg_catalog.text, '"', '""'), '"')
   AND o.column_ident OPERATOR(pg_catalog.=)
       pg_catalog.concat('"', pg_catalog.replace(a.attname::pg_catalog.text, '"', '""'), '"');
COMMENT ON TABLE pgsweep.object_sources IS 'Columns that name stored objects or directories: looked at again before one is deleted.';
COMMENT ON COLUMN pgsweep.object_sources.attnum IS 'With table_oid: finds the column again after it or its table was renamed. A table that is not there any more is looked for by its name.';
COMMENT ON COLUMN pgsweep.object_sources.prefixes IS 'What keys of this column must begin with, as the policy stated in its latest run. NULL: it stated nothing.';
COMMENT ON COLUMN pgsweep.object_sources.bucket IS 'With endpoint: where a bare key of this column lives.';

CREATE TABLE IF NOT EXISTS pgsweep.dead_letters (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy   pg_catalog.text NOT NULL,
    kind     pg_catalog.text NOT NULL DEFAULT 'row' CHECK (kind OPERATOR(pg_catalog.=) ANY (ARRAY['row', 'object', 'directory'])),
    key      pg_catalog.text[] NOT NULL,
    root     pg_catalog.text,
    rules    pg_catalog.text,
    state    pg_catalog.text NOT NULL DEFAULT 'waiting' CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY['waiting', 'parked', 'discarded', 'closed'])),
    attempts integer NOT NULL DEFAULT 1,
    error    pg_catalog.text NOT NULL,
    sqlstate pg_catalog.text,
    detail   pg_catalog.text,
    hint     pg_catalog.text,
    run_id   pg_catalog.text NOT NULL,
    first_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_at  pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
-- Since version 2: a key may be longer than an entry of an index can be.
CREATE OR REPLACE FUNCTION pgsweep.key_digest(key pg_catalog.text[]) RETURNS pg_catalog.bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$SELECT pg_catalog.sha256(pg_catalog.convert_to(key::pg_catalog.text, pg_catalog.getdatabaseencoding()))$$;
ALTER TABLE pgsweep.dead_letters
    ADD COLUMN IF NOT EXISTS rules pg_catalog.text,
    ADD COLUMN IF NOT EXISTS detail pg_catalog.text,
    ADD COLUMN IF NOT EXISTS hint pg_catalog.text,
    DROP CONSTRAINT IF EXISTS dead_letters_policy_kind_key_key;
CREATE UNIQUE INDEX IF NOT EXISTS dead_letters_key ON pgsweep.dead_letters (policy, kind, pgsweep.key_digest(key));
COMMENT ON COLUMN pgsweep.dead_letters.key IS 'Of a row: the values of its primary key. Of a directory: its name and root. Of an object: its value; then bucket and endpoint, where they are known.';
COMMENT ON COLUMN pgsweep.dead_letters.rules IS 'Of a directory: as in object_queue.';
COMMENT ON COLUMN pgsweep.dead_letters.detail IS 'What PostgreSQL or a trigger said besides; never a whole row.';
COMMENT ON TABLE pgsweep.dead_letters IS 'What could not go. waiting: later runs try again; parked: tried often enough, a person decides; discarded: a person decided that it stays; closed: settled.';

-- Every chunk asks whether there are such letters.
CREATE INDEX IF NOT EXISTS dead_letters_obeyed ON pgsweep.dead_letters (policy)
    WHERE kind OPERATOR(pg_catalog.=) 'row' AND state OPERATOR(pg_catalog.=) ANY (ARRAY['parked', 'discarded']);

CREATE TABLE IF NOT EXISTS pgsweep.spared (
    run_id pg_catalog.text NOT NULL,
    digest pg_catalog.bytea NOT NULL,
    PRIMARY KEY (run_id, digest)
);
COMMENT ON TABLE pgsweep.spared IS 'While a run is on: digests of the keys that it spares, where its own deletions could make them candidates.';

-- Since version 2.
CREATE TABLE IF NOT EXISTS pgsweep.locks (
    lock_name   pg_catalog.text PRIMARY KEY,
    holder      pg_catalog.text NOT NULL,
    application pg_catalog.text NOT NULL,
    host        pg_catalog.text NOT NULL,
    role        pg_catalog.text NOT NULL DEFAULT session_user,
    since       pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires     pg_catalog.timestamptz NOT NULL
);
COMMENT ON TABLE pgsweep.locks IS 'Who holds the lock of a policy, or of a queue. Through a connection pooler this row is the lock.';
COMMENT ON COLUMN pgsweep.locks.holder IS 'A token of the run; empty: nobody holds the lock.';
COMMENT ON COLUMN pgsweep.locks.expires IS 'Another run may take the lock over from then on; each transaction of the holder puts it off. -infinity: the holder is a session with an advisory lock, and holds it as long as it has that.';
CREATE OR REPLACE FUNCTION pgsweep.keep_locks(token pg_catalog.text, names pg_catalog.text[], lease pg_catalog.interval)
    RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$DECLARE
        kept bigint;
    BEGIN
        WITH renewed AS (
            UPDATE pgsweep.locks AS k
               SET expires = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) lease
             WHERE k.holder OPERATOR(pg_catalog.=) token
               AND k.lock_name OPERATOR(pg_catalog.=) ANY (names)
            RETURNING 1
        )
        SELECT pg_catalog.count(*) FROM renewed INTO kept;
        IF kept OPERATOR(pg_catalog.<>) pg_catalog.cardinality(names) THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS001',
                MESSAGE = pg_catalog.format('another run has taken over the lock of %s',
                                            pg_catalog.array_to_string(names, ', '));
        END IF;
    END$$;

INSERT INTO pgsweep.state (version) VALUES (2)
    ON CONFLICT (one) DO UPDATE SET version = excluded.version, changed_at = pg_catalog.now()
     WHERE pgsweep.state.version OPERATOR(pg_catalog.<) excluded.version;
