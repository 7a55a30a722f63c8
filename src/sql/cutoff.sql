-- Points in time and intervals of a policy or of the command line, as the database reads them.

--- cutoff
-- The cutoff of a run, by the database's clock, and whether what was asked for makes sense.
-- Given as texts, so that the server's message about one speaks of its value and not of a parameter.
-- $1: retention (interval), $2: cutoff given by hand or NULL, $3: zone of a column without one.
SELECT v.cutoff,
       v.cutoff AT TIME ZONE $3::pg_catalog.text AS local_cutoff,
       (v.cutoff AT TIME ZONE $3::pg_catalog.text)::pg_catalog.date AS local_date,
       (v.retain OPERATOR(pg_catalog.>) '0'::pg_catalog.interval)
       AND (v.youngest OPERATOR(pg_catalog.<) pg_catalog.now()) AS positive,
       v.cutoff OPERATOR(pg_catalog.>) pg_catalog.now() AS in_future,
       v.cutoff OPERATOR(pg_catalog.>) v.youngest AS too_young,
       pg_catalog.isfinite(v.cutoff) AS finite,
       pg_catalog.date_trunc('second', v.youngest) AS youngest
  FROM (SELECT r.retain,
               pg_catalog.now() OPERATOR(pg_catalog.-) r.retain AS youngest,
               coalesce($2::pg_catalog.text::pg_catalog.timestamptz,
                        pg_catalog.now() OPERATOR(pg_catalog.-) r.retain) AS cutoff
          FROM (SELECT $1::pg_catalog.text::pg_catalog.interval AS retain) AS r) AS v

--- by_hand
-- Fails where the text is no point in time. $1: the text.
SELECT $1::pg_catalog.text::pg_catalog.timestamptz

--- milliseconds
-- The length of an interval in milliseconds, rounded up; a very long one is cut off. $1: the interval.
SELECT least(pg_catalog.ceil(extract(epoch FROM $1::pg_catalog.text::pg_catalog.interval) OPERATOR(pg_catalog.*) 1000),
             1e15)::pg_catalog.int8
