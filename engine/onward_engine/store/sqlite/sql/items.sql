-- name: columns
kind, owner, name, due_at_ms, body

-- name: item
SELECT {columns} FROM item WHERE owner = ? AND kind = ? AND name = ?

-- name: items
SELECT {columns} FROM item WHERE owner = ? AND kind = ? ORDER BY name

-- name: page
SELECT {columns} FROM item WHERE owner = ? AND kind = ? AND (name > ?3 OR ?3 = '') ORDER BY name LIMIT ?4

-- name: items_due
SELECT {columns} FROM item WHERE due_at_ms <= ? ORDER BY due_at_ms, kind, owner, name LIMIT ?

-- name: next_item_due
SELECT due_at_ms FROM item WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1

-- name: put_item
INSERT OR REPLACE INTO item ({columns}) VALUES (?, ?, ?, ?, ?)

-- name: drop_item
DELETE FROM item WHERE owner = ? AND kind = ? AND name = ?

-- name: drop_items
DELETE FROM item WHERE owner = ?

-- name: paused
SELECT name FROM item WHERE owner = '' AND kind = ?
