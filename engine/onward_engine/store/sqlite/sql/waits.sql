-- name: columns
ord, key, wait, due_at_ms, child

-- name: wait
SELECT {columns} FROM wait WHERE ord = ? AND key = ?

-- name: waits_of
SELECT {columns} FROM wait WHERE ord = ? ORDER BY key

-- name: has_waits
SELECT 1 FROM wait WHERE ord = ? AND key >= ? LIMIT 1

-- name: put_wait
INSERT OR REPLACE INTO wait ({columns}, event, path, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: drop_wait
DELETE FROM wait WHERE ord = ? AND key = ?

-- name: wait_paths
WITH RECURSIVE found (path) AS (
    SELECT min(path) FROM wait WHERE event = :event
    UNION ALL
    SELECT (SELECT min(path) FROM wait WHERE event = :event AND path > found.path) FROM found WHERE found.path IS NOT NULL
)
SELECT path FROM found WHERE path IS NOT NULL

-- name: waits_at
SELECT {columns} FROM wait WHERE event = ? AND path = ? AND value = ? ORDER BY ord, key

-- name: waiter
SELECT run.id FROM wait CROSS JOIN run USING (ord) WHERE event = ? AND path = '' AND value = ? ORDER BY wait.ord, wait.key LIMIT 1

-- name: waits_due
SELECT {columns} FROM wait WHERE due_at_ms <= ? ORDER BY due_at_ms, ord, key LIMIT ?

-- name: next_wait_due
SELECT due_at_ms FROM wait WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1
