-- name: ended_after
SELECT ord, run.id, run.created_at_ms, ended.ended_at_ms FROM ended CROSS JOIN run USING (ord) WHERE ended.ord > ? ORDER BY ended.ord LIMIT ?

-- name: ended_tail
SELECT tail FROM ended WHERE ord = ?

-- name: newest
WITH RECURSIVE chain (id, prev) AS (
    SELECT id, prev FROM journal WHERE id = :tail
    UNION ALL
    SELECT journal.id, journal.prev FROM chain CROSS JOIN journal ON journal.id = chain.prev
    LIMIT :limit
)
SELECT id, prev FROM chain

-- name: drop_journal
DELETE FROM journal WHERE id = ?

-- name: drop_marks
DELETE FROM mark WHERE run = ? AND id > ?

-- name: put_ended_tail
UPDATE ended SET tail = ? WHERE ord = ?

-- name: events_of
SELECT events FROM run WHERE ord = ?

-- name: drop_ended
DELETE FROM ended WHERE ord = ?

-- name: drop_run
DELETE FROM run WHERE ord = ?

-- name: accepted_after
SELECT ord, id, received_at_ms, runs FROM event WHERE ord > ? ORDER BY ord LIMIT ?

-- name: accepted
SELECT ord, id, received_at_ms, runs FROM event WHERE id = ?

-- name: count_runs
UPDATE event SET runs = max(0, runs + ?) WHERE id = ?

-- name: drop_event
DELETE FROM event WHERE ord = ?

-- name: duty
SELECT name, replica, epoch, until_ms FROM duty WHERE name = ?

-- name: put_duty
INSERT OR REPLACE INTO duty (name, replica, epoch, until_ms) VALUES (?, ?, ?, ?)
