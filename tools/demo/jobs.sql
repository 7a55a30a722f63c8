-- A render queue as it looks after a month: 20,000 jobs of the last 30 days, most of them finished,
-- some stuck in work for weeks; three log lines each. The same at each run, relative to now(). None turns 7 days
-- old within the next day: what a run finds does not depend on how long the commands before it took.
BEGIN;
SELECT setseed(0.42);
INSERT INTO jobs (status, created_at, payload)
SELECT CASE
           WHEN i % 50 = 7 THEN 'rendering'
           WHEN i % 80 = 9 THEN 'queued'
           WHEN i % 400 = 11 THEN 'processing'
           WHEN i % 1000 = 13 THEN NULL
           WHEN i % 25 = 3 THEN 'failed'
           WHEN i % 60 = 5 THEN 'cancelled'
           ELSE 'finished'
       END::job_status,
       date_trunc('minute', now()) - CASE WHEN age BETWEEN interval '6 days' AND interval '7 days'
                                          THEN age + interval '1 day' ELSE age END,
       jsonb_build_object('scene', 'scene-' || i % 700, 'frames', 24 * (1 + i % 40))
FROM (SELECT i, interval '30 days' * random() AS age FROM generate_series(1, 20000) AS i) AS jobs;
INSERT INTO job_logs (job_id, line)
SELECT id, line
FROM jobs, unnest(ARRAY['assigned to a worker', 'frames rendered', 'output uploaded']) AS line;
COMMIT;
ANALYZE jobs, job_logs;
