-- name: mark
INSERT INTO writer (id, batch) VALUES ($1::text, $2::bigint) ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, written_at = now() RETURNING 1

-- name: marked
INSERT INTO writer (id, batch) VALUES ($1::text, 0) ON CONFLICT (id) DO UPDATE SET batch = writer.batch RETURNING batch

-- name: forget_writers
DELETE FROM writer WHERE written_at < now() - interval '7 days'

-- name: add_runs
INSERT INTO run (ord, id, function, parent, parent_key, attempt, created_at_ms, events, input, cause, origin, origins, flow, flow_key, flow_limit)
SELECT ord, id, function, parent, parent_key, attempt, created_at_ms, events::text[], input, cause, origin, origins, flow, '', 0
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::text[], $9::bytea[], $10::bytea[],
$11::text[], $12::text[], $13::bytea[])
AS row (ord, id, function, parent, parent_key, attempt, created_at_ms, events, input, cause, origin, origins, flow)
ON CONFLICT DO NOTHING RETURNING 1

-- name: put_run_events
UPDATE run SET events = row.events::text[] FROM unnest($1::bigint[], $2::text[]) AS row (ord, events) WHERE run.ord = row.ord RETURNING 1

-- name: state_types
$4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[],
$14::text[], $15::text[], $16::text[], $17::bigint[]

-- name: state
epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, strikes, status, holder, cancel_reason, app_version, is_paused

-- name: add_live
INSERT INTO live (ord, version, tail, {state})
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], {state_types}) RETURNING 1

-- name: put_live
UPDATE live SET version = row.version + 1, tail = row.tail, epoch = row.epoch, seq = row.seq, pos = row.pos, seen = row.seen,
generation = row.generation, steps = row.steps, state_bytes = row.state_bytes, started_at_ms = row.started_at_ms, strikes = row.strikes,
status = row.status, holder = row.holder, cancel_reason = row.cancel_reason, app_version = row.app_version, is_paused = row.is_paused
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], {state_types}) AS row (ord, version, tail, {state})
WHERE live.ord = row.ord AND live.version = row.version RETURNING 1

-- name: drop_live
DELETE FROM live USING unnest($1::bigint[], $2::bigint[]) AS row (ord, version)
WHERE live.ord = row.ord AND live.version = row.version RETURNING 1

-- name: add_ended
INSERT INTO ended (ord, tail, ended_at_ms, {state}, output, failure)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], {state_types}, $18::bytea[], $19::bytea[]) RETURNING 1

-- name: put_ended
UPDATE ended SET tail = row.tail FROM unnest($1::bigint[], $2::bigint[]) AS row (ord, tail) WHERE ended.ord = row.ord RETURNING 1

-- name: drop_ended
DELETE FROM ended WHERE ord = ANY($1::bigint[]) RETURNING 1

-- name: drop_runs
DELETE FROM run WHERE ord = ANY($1::bigint[]) RETURNING 1

-- name: add_lines
INSERT INTO journal (run, n, epoch, seq, data)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) RETURNING 1

-- name: drop_lines
DELETE FROM journal USING unnest($1::bigint[], $2::bigint[]) AS row (run, tail) WHERE journal.run = row.run AND journal.n > row.tail RETURNING 1

-- name: put_queue
INSERT INTO queue (ord, function, rank, state, due_at_ms, flow_key, fair_key)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
ON CONFLICT (ord) DO UPDATE SET function = excluded.function, rank = excluded.rank, state = excluded.state, due_at_ms = excluded.due_at_ms,
flow_key = excluded.flow_key, fair_key = excluded.fair_key RETURNING 1

-- name: drop_queue
DELETE FROM queue WHERE ord = ANY($1::bigint[]) RETURNING 1

-- name: put_places
INSERT INTO place (flow_key, ord, function, is_taken, rank)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[])
ON CONFLICT (flow_key, ord) DO UPDATE SET function = excluded.function, is_taken = excluded.is_taken, rank = excluded.rank RETURNING 1

-- name: drop_places
DELETE FROM place USING unnest($1::text[], $2::bigint[]) AS row (flow_key, ord)
WHERE place.flow_key = row.flow_key AND place.ord = row.ord RETURNING 1

-- name: put_waits
INSERT INTO wait (ord, key, wait, due_at_ms, child, event, path, value)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bytea[])
ON CONFLICT (ord, key) DO UPDATE SET wait = excluded.wait, due_at_ms = excluded.due_at_ms, child = excluded.child, event = excluded.event,
path = excluded.path, value = excluded.value RETURNING 1

-- name: drop_waits
DELETE FROM wait USING unnest($1::bigint[], $2::text[]) AS row (ord, key) WHERE wait.ord = row.ord AND wait.key = row.key RETURNING 1

-- name: put_items
INSERT INTO item (kind, owner, name, due_at_ms, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
ON CONFLICT (owner, kind, name) DO UPDATE SET due_at_ms = excluded.due_at_ms, body = excluded.body RETURNING 1

-- name: drop_item
DELETE FROM item USING unnest($1::text[], $2::text[], $3::text[]) AS row (kind, owner, name)
WHERE item.owner = row.owner AND item.kind = row.kind AND item.name = row.name RETURNING 1

-- name: drop_items
DELETE FROM item WHERE owner = ANY($1::text[]) RETURNING 1

-- name: put_tags
INSERT INTO tag (ord, key, value) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])
ON CONFLICT (ord, key) DO UPDATE SET value = excluded.value RETURNING 1

-- name: drop_tags
DELETE FROM tag WHERE ord = ANY($1::bigint[]) RETURNING 1

-- name: add_events
INSERT INTO event (ord, id, name, key, ts_ms, received_at_ms, runs, joined, meta, data)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[], $9::bytea[], $10::bytea[])
ON CONFLICT DO NOTHING RETURNING 1

-- name: count_runs
UPDATE event SET runs = greatest(0, event.runs + row.change), joined = event.joined || row.joined
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS row (id, change, joined)
WHERE event.id = row.id RETURNING 1

-- name: drop_events
DELETE FROM event USING unnest($1::text[], $2::bigint[]) AS row (id, runs) WHERE event.id = row.id AND event.runs = row.runs RETURNING 1

-- name: put_answers
INSERT INTO answer (event, expires_at_ms, body, answer)
SELECT event, expires_at_ms, body, answer FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[]) AS row (event, expires_at_ms, body, answer)
ON CONFLICT (event) DO UPDATE SET expires_at_ms = excluded.expires_at_ms, body = excluded.body, answer = excluded.answer
WHERE answer.expires_at_ms = ANY($5::bigint[]) RETURNING 1

-- name: forget_answers
DELETE FROM answer WHERE event IN (
    SELECT event FROM answer WHERE expires_at_ms <= $1::bigint AND NOT event = ANY($3::text[]) ORDER BY expires_at_ms LIMIT $2::bigint
    FOR UPDATE SKIP LOCKED
) RETURNING 1

-- name: put_apps
INSERT INTO app (name, manifest) SELECT * FROM unnest($1::text[], $2::bytea[])
ON CONFLICT (name) DO UPDATE SET manifest = excluded.manifest RETURNING 1

-- name: new_catalog
UPDATE catalog SET version = version + 1 RETURNING 1

-- name: put_sessions
INSERT INTO session (instance, secret, generation, confirmed, replica, seen_at_ms, guarded_until_ms)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[])
ON CONFLICT (instance) DO UPDATE SET secret = excluded.secret, generation = excluded.generation, confirmed = excluded.confirmed,
replica = excluded.replica, seen_at_ms = excluded.seen_at_ms, guarded_until_ms = excluded.guarded_until_ms RETURNING 1

-- name: forget_sessions
DELETE FROM session WHERE instance IN (
    SELECT instance FROM session WHERE replica = '' AND seen_at_ms < $1::bigint AND NOT instance = ANY($3::text[])
    ORDER BY seen_at_ms, instance LIMIT $2::bigint FOR UPDATE SKIP LOCKED
) RETURNING 1

-- name: release_sessions
UPDATE session SET replica = '' WHERE replica <> '' AND NOT instance = ANY($1::text[]) RETURNING 1

-- name: put_replicas
INSERT INTO replica (id, beat_at_ms, since_at_ms, is_given_up)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[])
ON CONFLICT (id) DO UPDATE SET beat_at_ms = excluded.beat_at_ms, since_at_ms = excluded.since_at_ms, is_given_up = excluded.is_given_up RETURNING 1

-- name: drop_replicas
DELETE FROM replica WHERE id = ANY($1::text[]) RETURNING 1

-- name: put_duties
INSERT INTO duty (name, replica, epoch, until_ms) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (name) DO UPDATE SET replica = excluded.replica, epoch = excluded.epoch, until_ms = excluded.until_ms RETURNING 1

-- name: progress
WITH moved AS (
    UPDATE live SET version = row.version + 1, tail = row.tail, seq = row.seq, seen = row.seen, steps = row.steps,
    state_bytes = row.state_bytes, strikes = row.strikes
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[])
    AS row (ord, version, tail, seq, seen, steps, state_bytes, strikes, n, line_epoch, line_seq, data)
    WHERE live.ord = row.ord AND live.version = row.version
    RETURNING row.ord, row.n, row.line_epoch, row.line_seq, row.data
), first AS (
    INSERT INTO journal (run, n, epoch, seq, data) SELECT ord, n, line_epoch, line_seq, data FROM moved
), others AS (
    INSERT INTO journal (run, n, epoch, seq, data)
    SELECT line.* FROM unnest($13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bytea[]) AS line (run, n, epoch, seq, data)
    WHERE EXISTS (SELECT FROM moved WHERE moved.ord = line.run)
)
SELECT ord FROM moved
