-- Finds the objects that remaining rows still name: the last check before objects are deleted.

--- snapshot
-- The xmin of the current snapshot: rows that become visible from now on have an xmin that is not
-- below it.
SELECT (pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) OPERATOR(pg_catalog.%) 4294967296)::pg_catalog.text

--- look
-- The values of a column that may name one of the objects; the rules of the store decide what a
-- value names. A first hash join selects the values that end like one of the keys, and those with
-- percent escapes; it is cheap and leaves few values. Each of these is compared as a whole, and a
-- URL also by the end of its path, with as many segments as the keys have. A path with percent
-- escapes is compared only by the parts that do not depend on them; a value that escapes even
-- letters and digits is always selected.
-- $1: what to look for, $2: the keys alone, as arrays.
SELECT DISTINCT v.c
  FROM (SELECT p.c,
               pg_catalog.unnest(CASE
                                 WHEN p.form OPERATOR(pg_catalog.=) 'key' THEN ARRAY[p.c]
                                 WHEN p.form OPERATOR(pg_catalog.=) 's3' THEN ARRAY[p.c, pg_catalog.array_to_string(p.parts[4:], '/')]
                                 WHEN p.form OPERATOR(pg_catalog.=) 'all escaped' THEN ARRAY['%']
                                 WHEN p.form OPERATOR(pg_catalog.=) 'escaped' THEN ARRAY[p.c, {escaped_ends}]
                                 ELSE ARRAY[p.c, {ends}] END) AS common
          FROM (SELECT u.c,
                       u.form,
                       CASE
                       WHEN u.form OPERATOR(pg_catalog.=) 'key' THEN NULL
                       WHEN u.form OPERATOR(pg_catalog.=) 'escaped'
                       THEN pg_catalog.string_to_array(pg_catalog.replace(pg_catalog.replace(u.cut, '%2F', '/'), '%2f', '/'), '/')
                       ELSE pg_catalog.string_to_array(u.cut, '/') END AS parts
                  FROM (SELECT f.c,
                               CASE WHEN f.form OPERATOR(pg_catalog.=) 's3' THEN f.c ELSE f.cut END AS cut,
                               CASE WHEN f.form OPERATOR(pg_catalog.<>) 'url' OR pg_catalog.strpos(f.cut, '%') OPERATOR(pg_catalog.=) 0
                                    THEN f.form
                                    WHEN f.cut OPERATOR(pg_catalog.~*) '%(3[0-9]|[46][1-9a-f]|[57][0-9a])' THEN 'all escaped'
                                    ELSE 'escaped' END AS form
                          FROM (SELECT t.c,
                                       pg_catalog.split_part(pg_catalog.split_part(t.c, '?', 1), '#', 1) AS cut,
                                       CASE WHEN pg_catalog.strpos(t.c, '//') OPERATOR(pg_catalog.=) 0 THEN 'key'
                                            WHEN pg_catalog.lower(pg_catalog.left(t.c, 5)) OPERATOR(pg_catalog.=) 's3://' THEN 's3'
                                            ELSE 'url' END AS form
                                  FROM (
                                      {values}
                                  ) AS t(c)
                                  JOIN (SELECT '%' COLLATE pg_catalog."C" AS tail
                                         UNION
                                        SELECT pg_catalog.right(pg_catalog.split_part(pg_catalog.split_part(k.key, '?', 1), '#', 1), {tail})
                                               COLLATE pg_catalog."C"
                                          FROM pg_catalog.unnest($2::pg_catalog.text[]) AS k(key)) AS tails
                                    ON tails.tail OPERATOR(pg_catalog.=)
                                       CASE WHEN pg_catalog.strpos(t.c, '%') OPERATOR(pg_catalog.>) 0 THEN '%'
                                            ELSE pg_catalog.right(pg_catalog.split_part(pg_catalog.split_part(t.c, '?', 1), '#', 1), {tail})
                                       END
                                OFFSET 0) AS f
                        OFFSET 0) AS u
                OFFSET 0) AS p) AS v
  JOIN (SELECT DISTINCT w.common COLLATE pg_catalog."C" AS common
          FROM pg_catalog.unnest($1::pg_catalog.text[]) AS w(common)) AS wanted
    ON wanted.common OPERATOR(pg_catalog.=) v.common

--- end_of_path
-- The last segments of a path.
pg_catalog.array_to_string(p.parts[pg_catalog.cardinality(p.parts) OPERATOR(pg_catalog.-) {less}:], '/')

--- escaped_end_of_path
-- The same without the characters that a URL may escape.
pg_catalog.regexp_replace(
    pg_catalog.lower(pg_catalog.array_to_string(p.parts[pg_catalog.cardinality(p.parts) OPERATOR(pg_catalog.-) {less}:], '/')),
    '%[0-7][0-9a-f]|[\u0001-\u002f\u003a-\u0060\u007b-\u007f]', '', 'g')

--- text_values
-- The values of a column. Those of rows that became visible since a snapshot have a younger xmin.
SELECT t.{column}::pg_catalog.text COLLATE pg_catalog."C"
  FROM {table} AS t
 WHERE pg_catalog.age(t.xmin) OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age({since}))

--- set_values
-- The same for a column that holds several texts.
SELECT o.value COLLATE pg_catalog."C"
  FROM {table} AS t
 CROSS JOIN LATERAL {texts} AS o(value)
 WHERE pg_catalog.age(t.xmin) OPERATOR(pg_catalog.<=) (SELECT pg_catalog.age({since}))
