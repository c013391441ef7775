-- Each statement finds rows that break a promise of the engine: a run that nobody will ever move, or something that belongs to no run.

-- name: nobody_will_claim
SELECT run.id, live.status FROM live JOIN run USING (ord) LEFT JOIN queue USING (ord)
WHERE live.status IN ('queued', 'orphaned', 'ready') AND queue.ord IS NULL ORDER BY live.ord LIMIT 20

-- name: assigned_to_nobody
SELECT run.id, live.status FROM live JOIN run USING (ord) WHERE live.status = 'assigned' AND live.holder = '' ORDER BY live.ord LIMIT 20

-- name: parked_without_a_wait
SELECT run.id, live.status FROM live JOIN run USING (ord)
WHERE live.status = 'parked' AND NOT EXISTS (SELECT 1 FROM wait WHERE wait.ord = live.ord) ORDER BY live.ord LIMIT 20

-- name: neither_alive_nor_over
SELECT run.id, '' FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
WHERE live.ord IS NULL AND ended.ord IS NULL ORDER BY run.ord LIMIT 20

-- name: alive_and_over
SELECT run.id, live.status FROM run JOIN live USING (ord) JOIN ended USING (ord) ORDER BY run.ord LIMIT 20

-- name: queued_without_being_alive
SELECT CAST(queue.ord AS TEXT), queue.function FROM queue LEFT JOIN live USING (ord) WHERE live.ord IS NULL ORDER BY queue.ord LIMIT 20

-- name: waiting_without_being_alive
SELECT CAST(wait.ord AS TEXT), wait.key FROM wait LEFT JOIN live USING (ord) WHERE live.ord IS NULL ORDER BY wait.ord LIMIT 20

-- name: place_of_nobody
SELECT CAST(place.ord AS TEXT), place.flow_key FROM place LEFT JOIN live USING (ord) WHERE live.ord IS NULL ORDER BY place.ord LIMIT 20

-- name: in_line_for_nothing
SELECT run.id, queue.flow_key FROM queue JOIN run USING (ord) WHERE queue.state = 2
AND NOT EXISTS (SELECT 1 FROM place WHERE place.flow_key = queue.flow_key)
AND NOT EXISTS (SELECT 1 FROM item WHERE item.owner = queue.flow_key AND item.kind IN ('throttle', 'line') AND item.due_at_ms IS NOT NULL)
AND NOT EXISTS (SELECT 1 FROM item WHERE item.owner = queue.function AND item.kind = 'relimit' AND item.due_at_ms IS NOT NULL)
AND NOT EXISTS (
    SELECT 1 FROM queue AS other WHERE other.state = 2 AND other.function = queue.function AND other.flow_key <> queue.flow_key
)
ORDER BY queue.ord LIMIT 20

-- name: gathering_without_an_end
SELECT run.id, queue.flow_key FROM queue JOIN run USING (ord) WHERE queue.state = 4
AND NOT EXISTS (SELECT 1 FROM item WHERE item.owner = queue.flow_key AND item.due_at_ms IS NOT NULL) ORDER BY queue.ord LIMIT 20
