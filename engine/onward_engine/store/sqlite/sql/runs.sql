-- name: columns
run.id, run.ord, run.function, run.flow_key, run.flow_limit, run.parent, run.parent_key, run.attempt, run.created_at_ms,
coalesce(live.status, ended.status), coalesce(live.epoch, ended.epoch), coalesce(live.seq, ended.seq), coalesce(live.pos, ended.pos),
coalesce(live.seen, ended.seen), coalesce(live.generation, ended.generation), coalesce(live.steps, ended.steps),
coalesce(live.state_bytes, ended.state_bytes), coalesce(live.started_at_ms, ended.started_at_ms), coalesce(live.tail, ended.tail),
coalesce(live.holder, ended.holder), coalesce(live.cancel_reason, ended.cancel_reason), coalesce(ended.ended_at_ms, 0),
coalesce(live.strikes, ended.strikes), run.origin, run.origins, coalesce(live.app_version, ended.app_version),
coalesce(live.is_paused, ended.is_paused), run.flow

-- name: by_id
SELECT {columns} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = ?

-- name: by_ord
SELECT {columns} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.ord = ?

-- name: payloads
SELECT run.events, run.input, run.cause, ended.output, ended.failure FROM run LEFT JOIN ended USING (ord) WHERE run.ord = ?

-- name: carried
SELECT ord, events, input, cause FROM json_each(?) CROSS JOIN run ON ord = value

-- name: going
SELECT run.id, run.ord, run.function, run.flow_key, run.flow_limit, run.parent, run.parent_key, run.attempt, run.created_at_ms,
live.status, live.epoch, live.seq, live.pos, live.seen, live.generation, live.steps, live.state_bytes, live.started_at_ms, live.tail,
live.holder, live.cancel_reason, 0, live.strikes, run.origin, run.origins, live.app_version, live.is_paused, run.flow, run.events, run.input, run.cause, EXISTS (SELECT 1 FROM wait WHERE wait.ord = run.ord)
FROM json_each(?) CROSS JOIN run ON run.ord = value CROSS JOIN live USING (ord)

-- name: fresh
SELECT run.id, run.ord, run.function, run.parent, run.parent_key, run.attempt, run.created_at_ms, live.state_bytes,
run.origin, run.origins, run.flow, run.flow_key, run.flow_limit, run.events, run.input, run.cause,
EXISTS (SELECT 1 FROM wait WHERE wait.ord = run.ord)
FROM json_each(?) CROSS JOIN run ON run.ord = value CROSS JOIN live USING (ord)
WHERE live.epoch = 0 AND live.tail = 0 AND live.status = 'queued' AND live.holder = '' AND live.app_version = '' AND NOT live.is_paused
AND live.cancel_reason IS NULL

-- name: held_by
SELECT ord FROM live WHERE holder = ? AND holder <> '' ORDER BY ord

-- name: held
SELECT ord FROM live WHERE holder <> '' ORDER BY ord

-- name: add_run
INSERT INTO run (ord, id, function, parent, parent_key, attempt, created_at_ms, events, input, cause, origin, origins, flow, flow_key, flow_limit)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0)

-- name: put_events
UPDATE run SET events = ? WHERE ord = ?

-- name: add_live
INSERT INTO live (status, epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, tail, holder, cancel_reason, strikes,
app_version, is_paused, ord) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: put_live
UPDATE live SET status = ?, epoch = ?, seq = ?, pos = ?, seen = ?, generation = ?, steps = ?, state_bytes = ?, started_at_ms = ?, tail = ?,
holder = ?, cancel_reason = ?, strikes = ?, app_version = ?, is_paused = ? WHERE ord = ?

-- name: put_progress
UPDATE live SET seq = ?, pos = ?, seen = ?, steps = ?, state_bytes = ?, tail = ? WHERE ord = ?

-- name: drop_live
DELETE FROM live WHERE ord = ?

-- name: add_ended
INSERT INTO ended (status, epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, tail, holder, cancel_reason, strikes,
app_version, is_paused, ord, ended_at_ms, output, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_journal
INSERT INTO journal (id, prev, run, epoch, seq, data) VALUES (?, ?, ?, ?, ?, ?)

-- name: last_journal
SELECT coalesce(max(id), 0) FROM journal

-- name: add_mark
INSERT INTO mark (run, id) VALUES (?, ?)

-- name: next_mark
SELECT id FROM mark WHERE run = ? AND id > ? ORDER BY id LIMIT 1

-- name: tail
SELECT run.ord, coalesce(live.tail, ended.tail) FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = ?

-- name: stretch
WITH RECURSIVE chain (id, prev) AS (
    SELECT id, prev FROM journal WHERE id = :last
    UNION ALL
    SELECT journal.id, journal.prev FROM chain CROSS JOIN journal ON journal.id = chain.prev WHERE chain.prev > :after
)
SELECT journal.id, journal.epoch, journal.seq, journal.data FROM chain CROSS JOIN journal ON journal.id = chain.id

-- name: entries_after
WITH RECURSIVE chain (id, prev, epoch, seq) AS (
    SELECT id, prev, epoch, seq FROM journal WHERE id = :tail
    UNION ALL
    SELECT journal.id, journal.prev, journal.epoch, journal.seq FROM chain CROSS JOIN journal ON journal.id = chain.prev
    WHERE chain.epoch <> 0 OR chain.seq > :pos + 1
)
SELECT journal.data FROM chain CROSS JOIN journal ON journal.id = chain.id WHERE chain.epoch = 0 AND chain.seq > :pos
