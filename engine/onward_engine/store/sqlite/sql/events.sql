-- name: columns
event.id, event.name, event.data, event.ts_ms, event.ord, event.key, event.meta

-- name: add_event
INSERT INTO event (ord, id, name, key, ts_ms, received_at_ms, meta, data, runs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: event
SELECT {columns} FROM event WHERE id = ?

-- name: events
SELECT {columns} FROM json_each(?) CROSS JOIN event ON event.id = json_each.value

-- name: events_after
SELECT {columns} FROM event WHERE name = ? AND ord > ? AND received_at_ms >= ? ORDER BY ord

-- name: join_event
UPDATE event SET joined = joined || ? || ' ' WHERE id = ?

-- name: joined
SELECT joined FROM event WHERE id = ?

-- name: remembered
SELECT body, answer, expires_at_ms FROM answer WHERE event = ?

-- name: all_remembered
SELECT event, body, answer, expires_at_ms FROM json_each(?) CROSS JOIN answer ON answer.event = json_each.value

-- name: remember
INSERT OR REPLACE INTO answer (event, expires_at_ms, body, answer) VALUES (?, ?, ?, ?)

-- name: forget_answers
DELETE FROM answer WHERE event IN (SELECT event FROM answer WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)

-- name: apps
SELECT manifest FROM app ORDER BY name

-- name: put_app
INSERT OR REPLACE INTO app (name, manifest) VALUES (?, ?)

-- name: meta
SELECT value FROM meta WHERE key = ?

-- name: put_meta
INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)
