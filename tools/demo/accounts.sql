-- An app that lets people try it without registering: 5,000 users of the last 90 days, half of them
-- anonymous. One anonymous user in eight of those who came long ago was active last week.
-- No user and no session turns 30 days old within the next day.
BEGIN;
SELECT setseed(0.42);
INSERT INTO "user" (id, name, email, is_anonymous, created_at, updated_at)
SELECT 'u' || i, CASE WHEN i % 2 = 0 THEN 'Anonymous' ELSE 'User ' || i END, 'u' || i || '@example.org',
       i % 2 = 0, t, t
FROM (SELECT i, date_trunc('minute', now() AT TIME ZONE 'UTC')
                - CASE WHEN age BETWEEN interval '29 days' AND interval '30 days 1 hour'
                       THEN age + interval '2 days' ELSE age END AS t
      FROM (SELECT i, interval '90 days' * random() AS age FROM generate_series(1, 5000) AS i) AS ages) AS users;
-- The session that each user came with...
INSERT INTO session (id, user_id, token, created_at, updated_at, expires_at)
SELECT 's' || id, id, md5(id), created_at, created_at + interval '20 minutes', created_at + interval '7 days'
FROM "user";
-- ...and, of those who come back, one that was used a few days ago.
INSERT INTO session (id, user_id, token, created_at, updated_at, expires_at)
SELECT 'r' || id, id, md5('r' || id), greatest(created_at, now() AT TIME ZONE 'UTC' - interval '40 days'),
       now() AT TIME ZONE 'UTC' - interval '3 days', now() AT TIME ZONE 'UTC' + interval '4 days'
FROM "user" WHERE substr(id, 2)::int % 16 = 0;
INSERT INTO account (id, user_id, provider_id, created_at, updated_at)
SELECT 'a' || id, id, CASE WHEN is_anonymous THEN 'anonymous' ELSE 'email' END, created_at, created_at
FROM "user";
COMMIT;
ANALYZE "user", session, account;
