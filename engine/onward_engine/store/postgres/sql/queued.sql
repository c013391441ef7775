-- name: row
SELECT queue.ord, queue.function, queue.rank, queue.state, queue.due_at_ms, queue.flow_key FROM queue
WHERE ord = (SELECT ord FROM run WHERE id = $1::text)

-- name: ahead_ready
SELECT count(*) FROM (
    SELECT 1 FROM queue WHERE state = 0 AND function = $1::text AND (rank, ord) < ($3::bigint, $4::bigint) AND $2::text IS NOT NULL LIMIT $5::bigint
) AS better

-- name: ahead_limited
SELECT count(*) FROM (
    SELECT 1 FROM queue WHERE state = 2 AND flow_key = $2::text AND function = $1::text AND (rank, ord) < ($3::bigint, $4::bigint) LIMIT $5::bigint
) AS better

-- name: holders
SELECT run.id FROM place JOIN run USING (ord) WHERE place.flow_key = $1::text AND place.is_taken = 1 ORDER BY place.ord LIMIT $2::bigint

-- name: places
SELECT count(*) FILTER (WHERE is_taken = 1), count(*) FILTER (WHERE is_taken = 0) FROM place WHERE flow_key = $1::text

-- name: waits
SELECT ord, key, wait, due_at_ms, child FROM wait WHERE ord = (SELECT ord FROM run WHERE id = $1::text) ORDER BY key LIMIT $2::bigint

-- name: count_later
SELECT function, 1, count(*), min(ord) FROM (SELECT function, ord FROM queue WHERE state = 1 LIMIT $2::bigint) AS later
WHERE function = ANY ($1::text[]) GROUP BY function

-- name: count_ready
SELECT wanted.function, 0, found.count, found.ord FROM unnest($1::text[]) AS wanted (function) CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(ord) AS ord FROM (
        SELECT ord FROM queue WHERE state = 0 AND queue.function = wanted.function LIMIT $2::bigint
    ) AS one
) AS found WHERE found.count > 0

-- name: count_waiting
SELECT wanted.function, states.state, found.count, found.ord
FROM unnest($1::text[]) AS wanted (function) CROSS JOIN (VALUES (2), (3), (4)) AS states (state) CROSS JOIN LATERAL (
    SELECT count(*) AS count, min(ord) AS ord FROM (
        SELECT ord FROM queue WHERE queue.state >= 2 AND queue.state = states.state AND queue.function = wanted.function LIMIT $2::bigint
    ) AS one
) AS found WHERE found.count > 0

-- name: backlog
SELECT counted.function, counted.state, counted.count, CASE WHEN counted.state = 0 THEN queue.due_at_ms ELSE run.created_at_ms END
FROM ({count_ready} UNION ALL {count_later} UNION ALL {count_waiting}) AS counted (function, state, count, ord)
JOIN queue USING (ord) JOIN run USING (ord) ORDER BY counted.function, counted.state

-- name: line_keys
WITH RECURSIVE found (flow_key, n) AS (
    SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = $1::text AND flow_key > $2::text
        ORDER BY flow_key LIMIT 1), 1::bigint
    UNION ALL
    SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = $1::text AND queue.flow_key > found.flow_key
        ORDER BY flow_key LIMIT 1), n + 1
    FROM found WHERE found.flow_key IS NOT NULL AND n < $3::bigint
)
SELECT flow_key FROM found WHERE flow_key IS NOT NULL

-- name: lines
SELECT keys.flow_key, line.count FROM ({line_keys}) AS keys CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (
        SELECT 1 FROM queue WHERE state = 2 AND queue.flow_key = keys.flow_key AND queue.function = $1::text LIMIT $4::bigint
    ) AS one
) AS line ORDER BY keys.flow_key

-- name: fair_keys
WITH RECURSIVE found (fair_key, n) AS (
    SELECT (SELECT fair_key FROM queue WHERE fair_key <> '' AND function = $1::text AND fair_key > $2::text ORDER BY fair_key LIMIT 1), 1::bigint
    UNION ALL
    SELECT (SELECT fair_key FROM queue WHERE fair_key <> '' AND function = $1::text AND queue.fair_key > found.fair_key ORDER BY fair_key LIMIT 1),
    n + 1 FROM found WHERE found.fair_key IS NOT NULL AND n < $3::bigint
)
SELECT fair_key FROM found WHERE fair_key IS NOT NULL

-- name: shares
SELECT keys.fair_key, turn.count FROM ({fair_keys}) AS keys CROSS JOIN LATERAL (
    SELECT count(*) AS count FROM (
        SELECT 1 FROM queue WHERE queue.fair_key <> '' AND queue.fair_key = keys.fair_key AND queue.function = $1::text LIMIT $4::bigint
    ) AS one
) AS turn ORDER BY keys.fair_key
