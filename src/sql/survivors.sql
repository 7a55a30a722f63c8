-- Which objects do rows that stay still name? The last look before objects are deleted.

--- snapshot
-- Every transaction before this one is over: rows that become visible from now on have a younger xmin.
SELECT (pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) OPERATOR(pg_catalog.%) 4294967296)::pg_catalog.text

--- look
-- The values of a column that may name one of the objects; what a value does name, the rules of the store say. Each value is
-- tried as it stands, and a URL by the end of its path too: as many segments as the keys have. Where the path has percent
-- escapes, only by what does not depend on them; who escapes even letters and digits is always looked at.
-- $1: what to look for, as an array.
SELECT DISTINCT v.c
  FROM (SELECT u.c,
               pg_catalog.unnest(CASE WHEN u.rest IS NULL THEN ARRAY[u.c]
                                      ELSE ARRAY[u.c, u.rest, {ends}] END) AS common
          FROM (SELECT s.c,
                       s.rest,
                       pg_catalog.string_to_array(
                           CASE WHEN s.escaped THEN pg_catalog.replace(pg_catalog.replace(s.path, '%2F', '/'), '%2f', '/')
                                ELSE s.path END, '/') AS parts,
                       s.escaped,
                       CASE WHEN s.escaped
                            THEN s.path OPERATOR(pg_catalog.~*) '%(3[0-9]|[46][1-9a-f]|[57][0-9a])' END AS all_escaped
                  FROM (SELECT r.c,
                               r.rest,
                               r.path,
                               pg_catalog.strpos(r.path, '%') OPERATOR(pg_catalog.>) 0 AS escaped
                          FROM (SELECT p.c,
                                       p.rest,
                                       pg_catalog.split_part(pg_catalog.split_part(p.rest, '?', 1), '#', 1) AS path
                                  FROM (SELECT t.c,
                                               CASE WHEN pg_catalog.strpos(t.c, '//') OPERATOR(pg_catalog.>) 0
                                                    THEN pg_catalog.substr(t.c, pg_catalog.strpos(t.c, '//') OPERATOR(pg_catalog.+) 3
                                                         OPERATOR(pg_catalog.+) pg_catalog.length(pg_catalog.split_part(t.c, '/', 3))) END AS rest
                                          FROM (
                                              {values}
                                          ) AS t(c)
                                         WHERE t.c IS NOT NULL
                                        OFFSET 0) AS p
                                OFFSET 0) AS r
                        OFFSET 0) AS s
                OFFSET 0) AS u) AS v
  JOIN (SELECT DISTINCT w.common COLLATE "C" AS common
          FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w(common)) AS wanted
    ON wanted.common OPERATOR(pg_catalog.=) v.common

--- end_of_path
-- The last segments of a path, in the form that values and keys are compared in.
CASE WHEN u.all_escaped THEN '%'
     WHEN u.escaped
     THEN pg_catalog.regexp_replace(
              pg_catalog.lower(pg_catalog.array_to_string(u.parts[pg_catalog.cardinality(u.parts) OPERATOR(pg_catalog.-) {less}:], '/')),
              '%[0-7][0-9a-f]|[\u0001-\u002f\u003a-\u0060\u007b-\u007f]', '', 'g')
     ELSE pg_catalog.array_to_string(u.parts[pg_catalog.cardinality(u.parts) OPERATOR(pg_catalog.-) {less}:], '/') END

--- text_values
-- The values of a column. Those of rows that became visible since a snapshot have a younger xmin.
SELECT t.{column}::pg_catalog.text COLLATE "C"
  FROM {table} AS t
 WHERE pg_catalog.age(t.xmin) OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age({since}))

--- set_values
-- The same for a column that holds several texts.
SELECT o.value COLLATE "C"
  FROM {table} AS t
 CROSS JOIN LATERAL {texts} AS o(value)
 WHERE pg_catalog.age(t.xmin) OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age({since}))
