-- name: window_all
SELECT ord FROM run WHERE ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_function
SELECT ord FROM run WHERE function = :function AND ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_live
SELECT ord FROM live WHERE ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_ended
SELECT ord FROM ended WHERE ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_badly
SELECT ord FROM ended WHERE status = :badly AND status <> 'completed' AND ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_prefix
SELECT ord FROM run WHERE id >= :prefix AND id < :prefix_end AND ord < :before ORDER BY ord DESC LIMIT :scan

-- name: window_ids
SELECT run.ord FROM json_each(:ids) CROSS JOIN run ON run.id = value WHERE run.ord < :before ORDER BY run.ord DESC LIMIT :scan

-- name: window_tag
SELECT ord FROM tag WHERE key = :tag_key AND value = :tag_value AND ord < :before ORDER BY ord DESC LIMIT :scan

-- name: untagged
SELECT 1 FROM json_each(:tags) AS wanted
LEFT JOIN tag ON tag.ord = run.ord AND tag.key = json_extract(wanted.value, '$[0]') AND tag.value = json_extract(wanted.value, '$[1]')
WHERE tag.ord IS NULL

-- name: wanted
(:function = '' OR run.function = :function)
AND (:statuses = '[]' OR coalesce(live.status, ended.status) IN (SELECT value FROM json_each(:statuses)))
AND substr(run.id, 1, length(:prefix)) = :prefix
AND (:tags = '[]' OR NOT EXISTS ({untagged}))
AND (:created_from_ms IS NULL OR run.created_at_ms >= :created_from_ms)
AND (:created_until_ms IS NULL OR run.created_at_ms < :created_until_ms)
AND (:ended_from_ms IS NULL OR ended.ended_at_ms >= :ended_from_ms)
AND (:ended_until_ms IS NULL OR ended.ended_at_ms < :ended_until_ms)

-- name: joined
CROSS JOIN run USING (ord) LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE {wanted} LIMIT :limit

-- name: page_all
SELECT {reads.columns} FROM ({window_all}) AS found {joined}

-- name: page_function
SELECT {reads.columns} FROM ({window_function}) AS found {joined}

-- name: page_live
SELECT {reads.columns} FROM ({window_live}) AS found {joined}

-- name: page_ended
SELECT {reads.columns} FROM ({window_ended}) AS found {joined}

-- name: page_badly
SELECT {reads.columns} FROM ({window_badly}) AS found {joined}

-- name: page_prefix
SELECT {reads.columns} FROM ({window_prefix}) AS found {joined}

-- name: page_ids
SELECT {reads.columns} FROM ({window_ids}) AS found {joined}

-- name: page_tag
SELECT {reads.columns} FROM ({window_tag}) AS found {joined}

-- name: end_tag
SELECT min(ord), count(*) FROM ({window_tag})

-- name: end_all
SELECT min(ord), count(*) FROM ({window_all})

-- name: end_function
SELECT min(ord), count(*) FROM ({window_function})

-- name: end_live
SELECT min(ord), count(*) FROM ({window_live})

-- name: end_ended
SELECT min(ord), count(*) FROM ({window_ended})

-- name: end_badly
SELECT min(ord), count(*) FROM ({window_badly})

-- name: end_prefix
SELECT min(ord), count(*) FROM ({window_prefix})

-- name: end_ids
SELECT min(ord), count(*) FROM ({window_ids})

-- name: events_all
SELECT ord FROM event WHERE ord < :before ORDER BY ord DESC LIMIT :scan

-- name: events_named
SELECT ord FROM event WHERE name = :name AND ord < :before ORDER BY ord DESC LIMIT :scan

-- name: wanted_event
(:name = '' OR event.name = :name) AND (:key = '' OR event.key = :key)
AND substr(event.name, 1, length(:name_prefix)) = :name_prefix
AND (:received_from_ms IS NULL OR event.received_at_ms >= :received_from_ms)
AND (:received_until_ms IS NULL OR event.received_at_ms < :received_until_ms)

-- name: event_page_all
SELECT {events.columns}, event.received_at_ms, event.runs FROM ({events_all}) AS found CROSS JOIN event USING (ord)
WHERE {wanted_event} LIMIT :limit

-- name: event_page_named
SELECT {events.columns}, event.received_at_ms, event.runs FROM ({events_named}) AS found CROSS JOIN event USING (ord)
WHERE {wanted_event} LIMIT :limit

-- name: event_end_all
SELECT min(ord), count(*) FROM ({events_all})

-- name: event_end_named
SELECT min(ord), count(*) FROM ({events_named})
