-- name: static
run.ord, run.id, run.function, run.flow_key, run.flow_limit, run.parent, run.parent_key, run.attempt, run.created_at_ms

-- name: state
coalesce(live.epoch, ended.epoch), coalesce(live.seq, ended.seq), coalesce(live.pos, ended.pos), coalesce(live.seen, ended.seen),
coalesce(live.generation, ended.generation), coalesce(live.steps, ended.steps), coalesce(live.state_bytes, ended.state_bytes),
coalesce(live.started_at_ms, ended.started_at_ms), coalesce(live.strikes, ended.strikes), coalesce(live.status, ended.status),
coalesce(live.holder, ended.holder), coalesce(live.cancel_reason, ended.cancel_reason)

-- name: listed
coalesce(ended.ended_at_ms, 0), run.events, run.cause, ended.failure

-- name: whole
SELECT {static}, {state}, {listed}, run.input, ended.output FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = $1::text

-- name: page_all
SELECT {static}, {state}, {listed} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
WHERE run.ord < $1::bigint ORDER BY run.ord DESC LIMIT $2::bigint

-- name: page_of_function
SELECT {static}, {state}, {listed} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
WHERE run.ord < $1::bigint AND run.function = $3::text ORDER BY run.ord DESC LIMIT $2::bigint

-- name: page_live
SELECT {static}, {state}, {listed} FROM live JOIN run USING (ord) LEFT JOIN ended USING (ord)
WHERE live.ord < $1::bigint AND ($3::text = '' OR run.function = $3::text) AND live.status = $4::text ORDER BY live.ord DESC LIMIT $2::bigint

-- name: page_completed
SELECT {static}, {state}, {listed} FROM ended JOIN run USING (ord) LEFT JOIN live USING (ord)
WHERE ended.ord < $1::bigint AND ($3::text = '' OR run.function = $3::text) AND ended.status = $4::text ORDER BY ended.ord DESC LIMIT $2::bigint

-- name: page_ended_badly
SELECT {static}, {state}, {listed} FROM ended JOIN run USING (ord) LEFT JOIN live USING (ord)
WHERE ended.status IN ('failed', 'cancelled') AND ended.ord < $1::bigint AND ($3::text = '' OR run.function = $3::text)
AND ended.status = $4::text ORDER BY ended.ord DESC LIMIT $2::bigint

-- name: lines
SELECT n, epoch, seq, data FROM (
    SELECT journal.n, journal.epoch, journal.seq, journal.data,
    sum(octet_length(journal.data)) OVER (ORDER BY journal.n) - octet_length(journal.data) AS before
    FROM journal WHERE journal.run = (SELECT ord FROM run WHERE id = $1::text) AND journal.n > $2::bigint ORDER BY journal.n LIMIT $3::bigint
) AS line WHERE before <= $4::bigint ORDER BY n

-- name: event
SELECT id, name, data, ts_ms, ord, key, meta FROM event WHERE id = $1::text

-- name: apps
SELECT manifest FROM app ORDER BY name
