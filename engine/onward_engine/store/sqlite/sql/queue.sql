-- name: columns
ord, function, rank, state, due_at_ms, flow_key

-- name: queue_row
SELECT {columns} FROM queue WHERE ord = ?

-- name: put_queue_row
INSERT OR REPLACE INTO queue ({columns}) VALUES (?, ?, ?, ?, ?, ?)

-- name: drop_queue_row
DELETE FROM queue WHERE ord = ?

-- name: heads
SELECT {columns} FROM queue WHERE state = 0 AND function = ? ORDER BY rank, ord LIMIT ?

-- name: rows_due
SELECT {columns} FROM queue WHERE state = 1 AND due_at_ms <= ? ORDER BY due_at_ms, ord LIMIT ?

-- name: next_row_due
SELECT due_at_ms FROM queue WHERE state = 1 ORDER BY due_at_ms LIMIT 1

-- name: line_head
SELECT {columns} FROM queue WHERE state = 2 AND flow_key = ? ORDER BY rank, ord LIMIT 1

-- name: places_taken
SELECT count(*) FROM place WHERE flow_key = ?

-- name: has_place
SELECT 1 FROM place WHERE flow_key = ? AND ord = ?

-- name: add_place
INSERT INTO place (flow_key, ord) VALUES (?, ?)

-- name: drop_place
DELETE FROM place WHERE flow_key = ? AND ord = ?
