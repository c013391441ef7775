-- name: tags
SELECT key, value FROM tag WHERE ord = ? ORDER BY key

-- name: put_tag
INSERT OR REPLACE INTO tag (ord, key, value) VALUES (?, ?, ?)

-- name: drop_tags
DELETE FROM tag WHERE ord = ?
