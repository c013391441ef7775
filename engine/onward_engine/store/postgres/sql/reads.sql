-- name: static
run.ord, run.id, run.function, run.flow_key, run.flow_limit, run.parent, run.parent_key, run.attempt, run.created_at_ms,
run.origin, run.origins, run.flow

-- name: state
coalesce(live.epoch, ended.epoch), coalesce(live.seq, ended.seq), coalesce(live.pos, ended.pos), coalesce(live.seen, ended.seen),
coalesce(live.generation, ended.generation), coalesce(live.steps, ended.steps), coalesce(live.state_bytes, ended.state_bytes),
coalesce(live.started_at_ms, ended.started_at_ms), coalesce(live.strikes, ended.strikes), coalesce(live.status, ended.status),
coalesce(live.holder, ended.holder), coalesce(live.cancel_reason, ended.cancel_reason), coalesce(live.app_version, ended.app_version),
coalesce(live.is_paused, ended.is_paused)

-- name: listed
coalesce(ended.ended_at_ms, 0), (SELECT json_object_agg(key, value)::text FROM tag WHERE tag.ord = run.ord), run.events, run.cause, ended.failure

-- name: whole
SELECT {static}, {state}, {listed}, run.input, ended.output FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = $1::text

-- name: lines
SELECT n, epoch, seq, data FROM (
    SELECT journal.n, journal.epoch, journal.seq, journal.data,
    sum(octet_length(journal.data)) OVER (ORDER BY journal.n) - octet_length(journal.data) AS before
    FROM journal WHERE journal.run = (SELECT ord FROM run WHERE id = $1::text) AND journal.n > $2::bigint ORDER BY journal.n LIMIT $3::bigint
) AS line WHERE before <= $4::bigint ORDER BY n

-- name: waiter
SELECT run.id FROM run WHERE ord = (
    SELECT ord FROM wait WHERE event = $1::text AND path = '' AND value = $2::bytea ORDER BY event, path, value, ord, key LIMIT 1
)

-- name: event
SELECT id, name, data, ts_ms, ord, key, meta FROM event WHERE id = $1::text

-- name: events
SELECT id, name, data, ts_ms, ord, key, meta FROM event WHERE id = ANY ($1::text[])

-- name: joined
SELECT joined FROM event WHERE id = $1::text

-- name: items
SELECT kind, owner, name, due_at_ms, body FROM item
WHERE owner = $2::text AND kind = $1::text AND (name > $3::text OR $3::text = '') ORDER BY name LIMIT $4::bigint

-- name: apps
SELECT manifest FROM app ORDER BY name
