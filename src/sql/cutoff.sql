-- The cutoff of a run, by the database's clock, and whether what was asked for makes sense.
-- Given as texts, so that the server's message about one speaks of its value and not of a parameter.
-- $1: retention (interval), $2: cutoff given by hand or NULL, $3: zone of a column without one.
SELECT v.cutoff,
       v.cutoff AT TIME ZONE $3::pg_catalog.text AS local_cutoff,
       (v.cutoff AT TIME ZONE $3::pg_catalog.text)::pg_catalog.date AS local_date,
       v.retain > interval '0' AND pg_catalog.now() - v.retain < pg_catalog.now() AS positive,
       v.cutoff > pg_catalog.now() AS in_future,
       v.cutoff > v.youngest AS too_young,
       pg_catalog.isfinite(v.cutoff) AS finite,
       pg_catalog.date_trunc('second', v.youngest) AS youngest
  FROM (SELECT r.retain,
               pg_catalog.now() - r.retain AS youngest,
               coalesce($2::pg_catalog.text::pg_catalog.timestamptz, pg_catalog.now() - r.retain) AS cutoff
          FROM (SELECT $1::pg_catalog.text::pg_catalog.interval AS retain) AS r) AS v
