-- name: places_taken
SELECT count(*) FROM place WHERE flow_key = ? AND is_taken = 1

-- name: places_offered
SELECT count(*) FROM place WHERE flow_key = ? AND function = ? AND is_taken = 0

-- name: offers_before
SELECT count(*) FROM place WHERE flow_key = ? AND function = ? AND is_taken = 0 AND (rank, ord) < (?, ?)

-- name: place
SELECT function, is_taken, rank FROM place WHERE flow_key = ? AND ord = ?

-- name: put_place
INSERT OR REPLACE INTO place (flow_key, ord, function, is_taken, rank) VALUES (?, ?, ?, ?, ?)

-- name: drop_place
DELETE FROM place WHERE flow_key = ? AND ord = ?
