-- name: columns
instance, secret, generation, confirmed, replica, seen_at_ms, guarded_until_ms

-- name: session
SELECT {columns} FROM session WHERE instance = ?

-- name: put_session
INSERT OR REPLACE INTO session ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: sessions_at
SELECT {columns} FROM session WHERE replica = ? AND replica <> '' ORDER BY instance LIMIT ?

-- name: release_sessions
UPDATE session SET replica = '', guarded_until_ms = 0 WHERE replica <> '' OR guarded_until_ms <> 0

-- name: forget_sessions
DELETE FROM session WHERE instance IN
(SELECT instance FROM session WHERE replica = '' AND seen_at_ms < ? ORDER BY seen_at_ms, instance LIMIT ?)

-- name: replica
SELECT id, beat_at_ms, since_at_ms, is_given_up FROM replica WHERE id = ?

-- name: replicas
SELECT id, beat_at_ms, since_at_ms, is_given_up FROM replica ORDER BY id

-- name: put_replica
INSERT OR REPLACE INTO replica (id, beat_at_ms, since_at_ms, is_given_up) VALUES (?, ?, ?, ?)

-- name: drop_replica
DELETE FROM replica WHERE id = ?
