-- name: columns
{runs.columns}, run.events, run.cause, ended.failure

-- name: whole
SELECT {runs.columns}, run.events, run.input, run.cause, ended.output, ended.failure
FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = ?

-- name: page_all
SELECT {columns} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
WHERE run.ord < :before ORDER BY run.ord DESC LIMIT :limit

-- name: page_of_function
SELECT {columns} FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
WHERE run.function = :function AND run.ord < :before ORDER BY run.ord DESC LIMIT :limit

-- name: page_live
SELECT {columns} FROM live CROSS JOIN run USING (ord) LEFT JOIN ended USING (ord)
WHERE live.status = :status AND live.ord < :before AND (:function = '' OR run.function = :function) ORDER BY live.ord DESC LIMIT :limit

-- name: page_completed
SELECT {columns} FROM ended CROSS JOIN run USING (ord) LEFT JOIN live USING (ord)
WHERE ended.status = :status AND ended.ord < :before AND (:function = '' OR run.function = :function) ORDER BY ended.ord DESC LIMIT :limit

-- name: page_ended_badly
SELECT {columns} FROM ended CROSS JOIN run USING (ord) LEFT JOIN live USING (ord)
WHERE ended.status IN ('failed', 'cancelled') AND ended.status = :status AND ended.ord < :before
AND (:function = '' OR run.function = :function) ORDER BY ended.ord DESC LIMIT :limit
