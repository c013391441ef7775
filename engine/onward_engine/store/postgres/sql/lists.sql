-- name: window_all
SELECT ord FROM run WHERE ord < $1::bigint AND $3::text IS NOT NULL ORDER BY ord DESC LIMIT $2::bigint

-- name: window_function
SELECT ord FROM run WHERE function = $3::text AND ord < $1::bigint ORDER BY ord DESC LIMIT $2::bigint

-- name: window_live
SELECT ord FROM live WHERE ord < $1::bigint AND $3::text IS NOT NULL ORDER BY ord DESC LIMIT $2::bigint

-- name: window_ended
SELECT ord FROM ended WHERE ord < $1::bigint AND $3::text IS NOT NULL ORDER BY ord DESC LIMIT $2::bigint

-- name: window_badly
SELECT ord FROM ended WHERE status <> 'completed' AND status = $3::text AND ord < $1::bigint ORDER BY ord DESC LIMIT $2::bigint

-- name: window_prefix
SELECT ord FROM run WHERE id >= $3::text AND id < $3::text || chr(127) AND ord < $1::bigint ORDER BY ord DESC LIMIT $2::bigint

-- name: window_ids
SELECT run.ord FROM unnest($3::text[]) AS wanted (id) JOIN run ON run.id = wanted.id WHERE run.ord < $1::bigint
ORDER BY run.ord DESC LIMIT $2::bigint

-- name: window_tag
SELECT ord FROM tag WHERE key = ($3::text[])[1] AND value = ($3::text[])[2] AND ord < $1::bigint ORDER BY ord DESC LIMIT $2::bigint

-- name: untagged
SELECT 1 FROM unnest($12::text[], $13::text[]) AS wanted (key, value)
WHERE NOT EXISTS (SELECT 1 FROM tag WHERE tag.ord = run.ord AND tag.key = wanted.key AND tag.value = wanted.value)

-- name: wanted
($5::text = '' OR run.function = $5::text)
AND ($6::text[] = '{}' OR coalesce(live.status, ended.status) = ANY ($6::text[]))
AND starts_with(run.id, $7::text)
AND ($12::text[] = '{}' OR NOT EXISTS ({untagged}))
AND ($8::bigint IS NULL OR run.created_at_ms >= $8::bigint)
AND ($9::bigint IS NULL OR run.created_at_ms < $9::bigint)
AND ($10::bigint IS NULL OR ended.ended_at_ms >= $10::bigint)
AND ($11::bigint IS NULL OR ended.ended_at_ms < $11::bigint)

-- name: joined
JOIN run USING (ord) LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE {wanted} ORDER BY found.ord DESC LIMIT $4::bigint

-- name: page_all
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_all}) AS found {joined}

-- name: page_function
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_function}) AS found {joined}

-- name: page_live
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_live}) AS found {joined}

-- name: page_ended
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_ended}) AS found {joined}

-- name: page_badly
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_badly}) AS found {joined}

-- name: page_prefix
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_prefix}) AS found {joined}

-- name: page_ids
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_ids}) AS found {joined}

-- name: page_tag
SELECT {reads.static}, {reads.state}, {reads.listed} FROM ({window_tag}) AS found {joined}

-- name: end_tag
SELECT min(ord), count(*) FROM ({window_tag}) AS found

-- name: end_all
SELECT min(ord), count(*) FROM ({window_all}) AS found

-- name: end_function
SELECT min(ord), count(*) FROM ({window_function}) AS found

-- name: end_live
SELECT min(ord), count(*) FROM ({window_live}) AS found

-- name: end_ended
SELECT min(ord), count(*) FROM ({window_ended}) AS found

-- name: end_badly
SELECT min(ord), count(*) FROM ({window_badly}) AS found

-- name: end_prefix
SELECT min(ord), count(*) FROM ({window_prefix}) AS found

-- name: end_ids
SELECT min(ord), count(*) FROM ({window_ids}) AS found

-- name: events_all
SELECT ord FROM event WHERE ord < $1::bigint AND $3::text IS NOT NULL ORDER BY ord DESC LIMIT $2::bigint

-- name: events_named
SELECT ord FROM event WHERE name = $3::text AND ord < $1::bigint ORDER BY ord DESC LIMIT $2::bigint

-- name: event_joined
JOIN event USING (ord) WHERE ($5::text = '' OR event.key = $5::text)
AND starts_with(event.name, $8::text)
AND ($6::bigint IS NULL OR event.received_at_ms >= $6::bigint) AND ($7::bigint IS NULL OR event.received_at_ms < $7::bigint)
ORDER BY found.ord DESC LIMIT $4::bigint

-- name: event_columns
event.id, event.name, event.data, event.ts_ms, event.ord, event.key, event.meta, event.received_at_ms, event.runs

-- name: event_page_all
SELECT {event_columns} FROM ({events_all}) AS found {event_joined}

-- name: event_page_named
SELECT {event_columns} FROM ({events_named}) AS found {event_joined}

-- name: event_end_all
SELECT min(ord), count(*) FROM ({events_all}) AS found

-- name: event_end_named
SELECT min(ord), count(*) FROM ({events_named}) AS found
