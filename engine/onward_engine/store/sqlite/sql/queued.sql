-- name: row
SELECT {queue.columns} FROM queue WHERE ord = (SELECT ord FROM run WHERE id = ?)

-- name: ahead_ready
SELECT count(*) FROM (
    SELECT 1 FROM queue WHERE state = 0 AND function = :function AND (rank, ord) < (:rank, :ord) LIMIT :most
)

-- name: ahead_limited
SELECT count(*) FROM (
    SELECT 1 FROM queue WHERE state = 2 AND flow_key = :flow_key AND function = :function AND (rank, ord) < (:rank, :ord) LIMIT :most
)

-- name: holders
SELECT run.id FROM place CROSS JOIN run USING (ord) WHERE place.flow_key = ? AND place.is_taken = 1 ORDER BY place.ord LIMIT ?

-- name: places
SELECT count(*), total(is_taken) FROM place WHERE flow_key = ?

-- name: waits
SELECT {waits.columns} FROM wait WHERE ord = (SELECT ord FROM run WHERE id = ?) ORDER BY key LIMIT ?

-- name: count_ready
SELECT count(*), min(ord) FROM (SELECT ord FROM queue WHERE state = 0 AND function = ? LIMIT ?)

-- name: count_waiting
SELECT count(*), min(ord) FROM (SELECT ord FROM queue WHERE state >= 2 AND state = ? AND function = ? LIMIT ?)

-- name: count_later
SELECT function, count(*), min(ord) FROM (SELECT function, ord FROM queue WHERE state = 1 LIMIT ?) GROUP BY function

-- name: ready_since
SELECT due_at_ms FROM queue WHERE ord = ?

-- name: made_at
SELECT created_at_ms FROM run WHERE ord = ?

-- name: in_line
SELECT count(*) FROM (SELECT 1 FROM queue WHERE state = 2 AND flow_key = ? AND function = ? LIMIT ?)

-- name: fair_keys
WITH RECURSIVE found (fair_key, n) AS (
    SELECT (SELECT fair_key FROM queue WHERE fair_key <> '' AND function = :function AND fair_key > :after ORDER BY fair_key LIMIT 1), 1
    UNION ALL
    SELECT (SELECT fair_key FROM queue WHERE fair_key <> '' AND function = :function AND fair_key > found.fair_key ORDER BY fair_key LIMIT 1),
    n + 1 FROM found WHERE found.fair_key IS NOT NULL AND n < :limit
)
SELECT fair_key FROM found WHERE fair_key IS NOT NULL

-- name: in_turn
SELECT count(*) FROM (SELECT 1 FROM queue WHERE fair_key <> '' AND function = ? AND fair_key = ? LIMIT ?)
