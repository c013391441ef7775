-- name: state
epoch, seq, pos, seen, generation, steps, state_bytes, started_at_ms, strikes, status, holder, cancel_reason, app_version, is_paused

-- name: static_columns
ord, id, function, flow_key, flow_limit, parent, parent_key, attempt, created_at_ms, origin, origins, flow

-- name: catalog
SELECT version, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM catalog

-- name: apps
SELECT version, (SELECT array_agg(manifest ORDER BY name) FROM app), (SELECT array_agg(name) FROM item WHERE owner = '' AND kind = 'pause'),
(SELECT array_agg(ROW(kind, owner, name, due_at_ms, body)) FROM item WHERE owner = '' AND kind = 'limit') FROM catalog

-- name: ids
SELECT {static_columns} FROM run WHERE id = ANY($1::text[])

-- name: statics
SELECT {static_columns} FROM run WHERE ord = ANY($1::bigint[])

-- name: live
SELECT ord, version, tail, {state} FROM live WHERE ord = ANY($1::bigint[])

-- name: ended
SELECT ord, tail, ended_at_ms, {state} FROM ended WHERE ord = ANY($1::bigint[])

-- name: queue_columns
queue.ord, queue.function, queue.rank, queue.state, queue.due_at_ms, queue.flow_key, queue.fair_key

-- name: queue
SELECT {queue_columns} FROM queue WHERE ord = ANY($1::bigint[])

-- name: places
SELECT flow_key, ord, function, is_taken, rank FROM place WHERE ord = ANY($1::bigint[])

-- name: taken
SELECT flow_key, function, is_taken, count(*) FROM place WHERE flow_key = ANY($1::text[]) GROUP BY flow_key, function, is_taken

-- name: offers
SELECT wanted.flow_key, wanted.function, place.rank, place.ord FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (flow_key, function, n)
CROSS JOIN LATERAL (
    SELECT rank, ord FROM place WHERE is_taken = 0 AND place.flow_key = wanted.flow_key AND place.function = wanted.function
    ORDER BY rank, ord LIMIT wanted.n
) AS place

-- name: in_line
SELECT first.ord FROM (
    WITH RECURSIVE found (function) AS (
        SELECT min(function) FROM queue WHERE state = 2 AND flow_key = wanted.flow_key
        UNION ALL
        SELECT (SELECT min(function) FROM queue WHERE state = 2 AND flow_key = wanted.flow_key AND function > found.function)
        FROM found WHERE found.function IS NOT NULL
    )
    SELECT function FROM found WHERE function IS NOT NULL
) AS found CROSS JOIN LATERAL (
    SELECT ord FROM queue WHERE state = 2 AND queue.flow_key = wanted.flow_key AND queue.function = found.function ORDER BY rank, ord LIMIT wanted.n
) AS first

-- name: run_columns
run.ord, run.id, run.function, run.flow_key, run.flow_limit, run.parent, run.parent_key, run.attempt, run.created_at_ms, run.origin, run.origins,
run.flow

-- name: line
SELECT {queue_columns}, {run_columns}, live.version, live.tail, {state}, ARRAY(SELECT flow_key FROM place WHERE place.ord = live.ord ORDER BY flow_key),
ARRAY(SELECT is_taken FROM place WHERE place.ord = live.ord ORDER BY flow_key),
ARRAY(SELECT rank FROM place WHERE place.ord = live.ord ORDER BY flow_key)
FROM unnest($1::text[], $2::bigint[]) AS wanted (flow_key, n) CROSS JOIN LATERAL ({in_line}) AS first
JOIN queue USING (ord) JOIN run USING (ord) JOIN live USING (ord)

-- name: front
SELECT {run_columns} FROM unnest($1::text[], $2::bigint[]) AS wanted (flow_key, n) CROSS JOIN LATERAL ({in_line}) AS first JOIN run USING (ord)

-- name: ahead
SELECT {run_columns} FROM unnest($1::text[], $2::bigint[]) AS wanted (function, n) CROSS JOIN LATERAL (
    SELECT ord FROM queue WHERE state = 0 AND queue.function = wanted.function ORDER BY rank, ord LIMIT wanted.n
) AS first JOIN run USING (ord)

-- name: lines
SELECT wanted.function, wanted.after, keys.flow_key FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (function, after, n) CROSS JOIN LATERAL (
    WITH RECURSIVE found (flow_key, i) AS (
        SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = wanted.function AND flow_key > wanted.after
            ORDER BY flow_key LIMIT 1), 1::bigint
        UNION ALL
        SELECT (SELECT flow_key FROM queue WHERE state >= 2 AND state = 2 AND function = wanted.function AND queue.flow_key > found.flow_key
            ORDER BY flow_key LIMIT 1), i + 1
        FROM found WHERE found.flow_key IS NOT NULL AND i < wanted.n
    )
    SELECT flow_key FROM found WHERE flow_key IS NOT NULL
) AS keys

-- name: last_ranks
SELECT wanted.function, wanted.fair_key, queue.rank, queue.ord FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (function, fair_key, n)
CROSS JOIN LATERAL (
    SELECT rank, ord FROM queue WHERE queue.function = wanted.function AND queue.fair_key = wanted.fair_key AND fair_key <> ''
    ORDER BY rank DESC LIMIT wanted.n
) AS queue

-- name: first_ranks
SELECT wanted.function, queue.rank, queue.ord FROM unnest($1::text[], $2::bigint[]) AS wanted (function, n) CROSS JOIN LATERAL (
    SELECT rank, ord FROM queue WHERE queue.function = wanted.function AND rank >= 2 AND state IN (0, 2) ORDER BY rank LIMIT wanted.n
) AS queue

-- name: paths
SELECT wanted.event, found.path FROM unnest($1::text[]) AS wanted (event) CROSS JOIN LATERAL (
    WITH RECURSIVE found (path) AS (
        SELECT min(path) FROM wait WHERE event = wanted.event
        UNION ALL
        SELECT (SELECT min(path) FROM wait WHERE event = wanted.event AND path > found.path) FROM found WHERE found.path IS NOT NULL
    )
    SELECT path FROM found WHERE path IS NOT NULL
) AS found

-- name: wait_columns
wait.ord, wait.key, wait.wait, wait.due_at_ms, wait.child

-- name: at
SELECT {wait_columns} FROM unnest($1::text[], $2::text[], $3::bytea[]) AS wanted (event, path, value) JOIN wait USING (event, path, value)

-- name: wait
SELECT {wait_columns} FROM unnest($1::bigint[], $2::text[]) AS wanted (ord, key) JOIN wait USING (ord, key)

-- name: waits
SELECT {wait_columns} FROM wait WHERE ord = ANY($1::bigint[])

-- name: some_wait
SELECT found.* FROM unnest($1::bigint[]) AS wanted (ord) CROSS JOIN LATERAL (
    SELECT {wait_columns} FROM wait WHERE wait.ord = wanted.ord AND wait.key <> '' AND left(wait.key, 1) <> chr(1) LIMIT 1
) AS found

-- name: due
SELECT {wait_columns} FROM wait WHERE due_at_ms <= $1::bigint ORDER BY due_at_ms, ord, key LIMIT $2::bigint

-- name: next_waits
SELECT due_at_ms, ord, key FROM wait WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms, ord, key LIMIT $1::bigint

-- name: later
SELECT due_at_ms, ord FROM queue WHERE state = 1 AND due_at_ms <= $1::bigint ORDER BY due_at_ms, ord LIMIT $2::bigint

-- name: next_rows
SELECT due_at_ms, ord FROM queue WHERE state = 1 ORDER BY due_at_ms, ord LIMIT $1::bigint

-- name: item_columns
item.kind, item.owner, item.name, item.due_at_ms, item.body

-- name: item
SELECT {item_columns} FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (kind, owner, name) JOIN item USING (owner, kind, name)

-- name: items
SELECT {item_columns} FROM unnest($1::text[], $2::text[]) AS wanted (kind, owner) JOIN item USING (owner, kind)

-- name: ripe
SELECT {item_columns} FROM item WHERE due_at_ms <= $1::bigint ORDER BY due_at_ms, kind, owner, name LIMIT $2::bigint

-- name: next_items
SELECT due_at_ms, kind, owner, name FROM item WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms, kind, owner, name LIMIT $1::bigint

-- name: heads
SELECT wanted.function, queue.rank, queue.ord FROM unnest($1::text[], $2::bigint[]) AS wanted (function, n) CROSS JOIN LATERAL (
    SELECT rank, ord FROM queue WHERE state = 0 AND queue.function = wanted.function ORDER BY rank, ord LIMIT wanted.n
) AS queue

-- name: held
SELECT ord FROM live WHERE holder = ANY($1::text[]) AND holder <> ''

-- name: held_by_any
SELECT ord FROM live WHERE holder <> ''

-- name: entries
SELECT journal.run, journal.seq, journal.data FROM unnest($1::bigint[], $2::bigint[]) AS wanted (ord, pos) JOIN live USING (ord)
JOIN journal ON journal.run = wanted.ord AND journal.epoch = 0
AND journal.seq > (CASE WHEN wanted.pos < 0 THEN live.seen ELSE wanted.pos END) WHERE live.pos > live.seen OR wanted.pos >= 0
ORDER BY journal.run, journal.seq

-- name: journals
SELECT journal.run, journal.n, journal.epoch, journal.seq, journal.data
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (ord, bytes_max) JOIN live USING (ord) JOIN journal ON journal.run = wanted.ord
WHERE live.tail > 0 AND live.state_bytes <= wanted.bytes_max ORDER BY journal.run, journal.n

-- name: payloads
SELECT run.ord, run.events, run.input, run.cause, ended.output, ended.failure FROM run LEFT JOIN ended USING (ord) WHERE run.ord = ANY($1::bigint[])

-- name: made_of
SELECT ord, events FROM run WHERE ord = ANY($1::bigint[])

-- name: payload_events
SELECT {event_columns} FROM run CROSS JOIN LATERAL unnest(run.events) AS wanted (id) JOIN event ON event.id = wanted.id
WHERE run.ord = ANY($1::bigint[])

-- name: event_columns
event.id, event.name, event.data, event.ts_ms, event.ord, event.key, event.meta

-- name: tags
SELECT ord, key, value FROM tag WHERE ord = ANY($1::bigint[])

-- name: events
SELECT {event_columns} FROM event WHERE id = ANY($1::text[])

-- name: accepted
SELECT ord, id, received_at_ms, runs FROM event WHERE id = ANY($1::text[])

-- name: joined
SELECT id, joined FROM event WHERE id = ANY($1::text[])

-- name: back
SELECT wanted.i, event.* FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) AS wanted (i, name, after, since, n)
CROSS JOIN LATERAL (
    SELECT {event_columns} FROM event WHERE event.name = wanted.name AND event.ord > wanted.after AND event.received_at_ms >= wanted.since
    ORDER BY event.ord LIMIT wanted.n
) AS event

-- name: answers
SELECT event, body, answer, expires_at_ms FROM answer WHERE event = ANY($1::text[])

-- name: session_columns
instance, secret, generation, confirmed, replica, seen_at_ms, guarded_until_ms

-- name: sessions
SELECT {session_columns} FROM session WHERE instance = ANY($1::text[])

-- name: sessions_at
SELECT {session_columns} FROM session WHERE replica = $1::text AND replica <> '' ORDER BY instance LIMIT $2::bigint

-- name: replica_columns
id, beat_at_ms, since_at_ms, is_given_up

-- name: replicas
SELECT {replica_columns} FROM replica WHERE id = ANY($1::text[])

-- name: all_replicas
SELECT {replica_columns} FROM replica

-- name: duties
SELECT name, replica, epoch, until_ms FROM duty WHERE name = ANY($1::text[])

-- name: ended_after
SELECT run.ord, run.id, run.created_at_ms, ended.ended_at_ms FROM ended JOIN run USING (ord) WHERE ended.ord > $1::bigint ORDER BY ended.ord LIMIT $2::bigint

-- name: kept_after
SELECT ord, id, received_at_ms, runs FROM event WHERE ord > $1::bigint ORDER BY ord LIMIT $2::bigint

-- name: numbers
SELECT nextval('ord') FROM generate_series(1, $1::bigint)

-- name: lock_heads
SELECT head.ord FROM unnest($1::text[], $2::bigint[]) AS wanted (function, n) CROSS JOIN LATERAL (
    SELECT live.ord FROM queue JOIN live USING (ord) WHERE queue.state = 0 AND queue.function = wanted.function
    ORDER BY queue.rank, queue.ord LIMIT wanted.n FOR UPDATE OF live SKIP LOCKED
) AS head

-- name: lock_runs
SELECT ord FROM live WHERE ord = ANY($1::bigint[]) ORDER BY ord FOR UPDATE SKIP LOCKED
