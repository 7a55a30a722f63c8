-- The statements of a chunk. The comment of each says what it is for; src/sweep/statements.c and work.c fill the slots.

--- bound
-- Finds the end of the next chunk: the candidate that many rows further on. Only its values are
-- converted to text.
SELECT {cursor}
  FROM (SELECT {order}
          FROM {root} AS t
         WHERE {candidate}
           AND {after}
         ORDER BY {order}
        OFFSET {rows}::pg_catalog.int8 OPERATOR(pg_catalog.-) 1
         LIMIT 1) AS t

--- bound_age
-- Finds the end of the next chunk by the age alone, from the index: no row is read. Rows that a
-- condition keeps count too, so a chunk may become smaller. Only the found age is converted to
-- text.
SELECT {cursor}
  FROM (SELECT {order}
          FROM {root} AS t
         WHERE {old}
           AND {after}
         ORDER BY {order}
        OFFSET {rows}::pg_catalog.int8 OPERATOR(pg_catalog.-) 1
         LIMIT 1) AS t

--- range
-- Deletes the candidates of a range. The whole condition is part of the DELETE, so a row that was renewed meanwhile stays.
DELETE FROM {root} AS t
 WHERE {candidate}
   AND {after}
   AND {up_to}

--- range_recorded
-- Deletes the candidates of a range and adds them to the record of the run, in one statement: for a distant server, or to
-- log each key. The whole condition is part of the DELETE, so a row that was renewed meanwhile stays.
WITH gone AS (
    DELETE FROM {root} AS t
     WHERE {candidate}
       AND {after}
       AND {up_to}
    RETURNING {returning}
), noted AS (
    {record}
)
SELECT {result}
  FROM gone

--- range_unlocked
-- Deletes the candidates of a range that no other session has locked; the others are left for a later pass. Sent for a
-- range in which a locked row was met.
DELETE FROM {root} AS t
 WHERE {candidate}
   AND {after}
   AND {up_to}
   AND t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
       SELECT t.ctid
         FROM {root} AS t
        WHERE {candidate}
          AND {after}
          AND {up_to}
          FOR UPDATE OF t SKIP LOCKED))

--- lock_changed
-- Takes the locks of the tables whose rows the transaction changes, in their final mode and before it locks a row: a lock
-- that had to become stronger later could meet a migration that waits for the row. It does not wait: another session's
-- ALTER TABLE goes first, and pgsweep tries again later, with nothing locked meanwhile.
LOCK TABLE {tables} IN ROW EXCLUSIVE MODE NOWAIT

--- lock_read
-- The same for the other tables of the plan, whose rows the foreign keys read.
LOCK TABLE {tables} IN ACCESS SHARE MODE NOWAIT

--- lock
-- Locks the next candidates; rows that another session has locked are left for a later pass.
-- Returns how many there are, their keys as arrays, and the cursor of the last one, the only one
-- that is converted to text.
SELECT pg_catalog.count(*),
       {keys},
       {cursor}
  FROM (SELECT {order}
          FROM {root} AS t
         WHERE {candidate}
           AND {after}
         ORDER BY {order}
         LIMIT {rows}::pg_catalog.int8
           FOR UPDATE OF t SKIP LOCKED) AS t

--- list
-- Lists the next candidates; each is locked in a transaction of its own.
SELECT {cursor},
       {keys}
  FROM {root} AS t
 WHERE {candidate}
   AND {after}
 ORDER BY {order}
 LIMIT {rows}::pg_catalog.int8

--- lock_row
-- Locks the candidate. Fails if it is gone or if another session has locked it. (Casting a text
-- that is not a number is the simplest way to fail in SQL.)
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN 1
            ELSE pg_catalog.concat('locked ', pg_catalog.count(*))::pg_catalog.int4
       END
  FROM (SELECT
          FROM {root} AS t
         WHERE {keys}
           FOR UPDATE OF t SKIP LOCKED) AS locked

--- limit_waits
-- Limits how long the transaction waits for a row that another session has locked, because it holds
-- locks on rows itself.
SELECT pg_catalog.set_config('lock_timeout', '{milliseconds}ms', true)

--- find_locked
-- Finds the candidates with a row that another session has locked, and locks the rows of the
-- others. Returns the number of the locked row's table in the plan, or 0 for a candidate that can
-- be deleted now. The others are tried again at the end of the run.
SELECT {key},
       CASE
           {tables}
           ELSE 0
       END AS locked
  FROM {root} AS t
 WHERE {keys}

--- find_locked_rows
-- Some of the rows that would be deleted or changed with the candidate are locked by another session.
WHEN (SELECT pg_catalog.count(*)
        FROM {table} AS d
       WHERE {rows})
     OPERATOR(pg_catalog.>)
     (SELECT pg_catalog.count(*)
        FROM (SELECT
                FROM {table} AS d
               WHERE {rows}
                 {lock} OF d SKIP LOCKED) AS l) THEN {number}

--- lock_dependents
-- Locks the dependent rows that a condition may have read, before it is evaluated again.
{statement}

--- verify
-- Evaluates the conditions again now that the rows are locked: returns how many are still
-- candidates, and their keys as arrays.
SELECT pg_catalog.count(*),
       {key_arrays}
  FROM {root} AS t
 WHERE {keys}
   AND {candidate}

--- verify_row
-- Evaluates the conditions again now that the row is locked: fails if it is not a candidate any
-- more.
SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 1 THEN 1
            ELSE pg_catalog.concat('candidates ', pg_catalog.count(*))::pg_catalog.int4
       END
  FROM {root} AS t
 WHERE {keys}
   AND {candidate}

--- collect
-- Locks the shared rows that the deleted rows refer to, and remembers them.
{statement}

--- narrow
-- Reduces the remembered shared rows to those that nothing else refers to.
{statement}

--- queue
-- Puts the names of stored objects into the queue, before their rows are deleted.
{statement}

--- queue_directories
-- Puts the names of working directories into the queue, before their rows are deleted.
{statement}

--- lock_rows
-- Locks dependent rows before anything reads them: nothing can refer to them or change them before they are deleted.
{statement}

--- look_left
-- Fails if a dependent row that should have been deleted or changed is left: a trigger or rule has
-- kept it, or another session has added it meanwhile.
SELECT CASE WHEN NOT EXISTS (
            SELECT FROM {table} AS d
             WHERE {rows}) THEN 0
            ELSE pg_catalog.concat('left ', pg_catalog.now())::pg_catalog.int4
       END

--- remember
-- Remembers the values by which other rows may refer to these rows, or these to others: for the
-- last check before COMMIT.
SELECT pg_catalog.set_config('pgsweep.{setting}',
                             coalesce(pg_catalog.jsonb_agg(DISTINCT pg_catalog.jsonb_build_array({values}))::pg_catalog.text,
                                      '[]'), true)
  FROM {table} AS {row}
 WHERE {rows}

--- look_added
-- Fails if another session has added a row that refers to a deleted row or still needs it. No
-- constraint enforces this reference, so nothing else would notice.
SELECT CASE WHEN NOT EXISTS (
            SELECT FROM pg_catalog.jsonb_array_elements(
                            pg_catalog.current_setting('pgsweep.{setting}')::pg_catalog.jsonb) AS r(v)
              JOIN {table} AS a
                ON {match}) THEN 0
            ELSE pg_catalog.concat('added ', pg_catalog.now())::pg_catalog.int4
       END

--- assert_locked
-- Fails if more rows were deleted than the transaction had locked before: another session has added
-- rows meanwhile.
{statement}

--- check_plan
-- Fails if the tables of the plan are not what they were when it was made.
{statement}

--- count
-- Counts rows that lose a reference, each once: it may lose several, or be deleted later.
{statement}

--- change
-- Deletes or changes dependent rows.
{statement}

--- delete_orphans
-- Deletes the shared rows that nothing refers to any more.
{statement}

--- note_counters
-- Notes how many rows the session has deleted so far from the tables whose rows ON DELETE CASCADE deletes with the
-- candidates: no statement of pgsweep deletes these rows.
{statement}

--- count_cascaded
-- Counts the rows that the foreign key has deleted with the candidates (ON DELETE CASCADE), by the
-- session's own counter. Fails if the session has not counted the candidates.
{statement}

--- delete_root
-- Deletes the candidates.
DELETE FROM {root} AS t
 WHERE {keys}

--- assert
-- Fails unless all candidates of the transaction were deleted: a trigger or rule may have kept one.
{statement}

--- record
-- Adds the transaction and what its statements counted to the record of the run.
{statement}
