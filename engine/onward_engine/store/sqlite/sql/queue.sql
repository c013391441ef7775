-- name: columns
ord, function, rank, state, due_at_ms, flow_key, fair_key

-- name: queue_row
SELECT {columns} FROM queue WHERE ord = ?

-- name: put_queue_row
INSERT OR REPLACE INTO queue ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: drop_queue_row
DELETE FROM queue WHERE ord = ?

-- name: heads
SELECT {columns} FROM queue WHERE state = 0 AND function = ? ORDER BY rank, ord LIMIT ?

-- name: rows_due
SELECT {columns} FROM queue WHERE state = 1 AND due_at_ms <= ? ORDER BY due_at_ms, ord LIMIT ?

-- name: next_row_due
SELECT due_at_ms FROM queue WHERE state = 1 ORDER BY due_at_ms LIMIT 1

-- name: next_line_head
SELECT {columns} FROM queue WHERE state = 2 AND flow_key = ? AND function > ? ORDER BY function, rank, ord LIMIT 1

-- name: line_keys
WITH RECURSIVE found (flow_key, n) AS (
    SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = :function AND flow_key > :after ORDER BY flow_key LIMIT 1), 1
    UNION ALL
    SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = :function AND flow_key > found.flow_key ORDER BY flow_key LIMIT 1),
    n + 1 FROM found WHERE found.flow_key IS NOT NULL AND n < :limit
)
SELECT flow_key FROM found WHERE flow_key IS NOT NULL

-- name: last_rank
SELECT max(rank) FROM queue WHERE function = ? AND fair_key = ? AND fair_key <> ''

-- name: first_rank
SELECT min(rank) FROM queue WHERE function = ? AND rank >= 2 AND state IN (0, 2)
