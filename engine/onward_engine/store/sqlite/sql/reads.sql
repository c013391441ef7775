-- name: tags
(SELECT json_group_object(key, value) FROM tag WHERE tag.ord = run.ord)

-- name: columns
{runs.columns}, {tags}, run.events, run.cause, ended.failure

-- name: whole
SELECT {runs.columns}, {tags}, run.events, run.input, run.cause, ended.output, ended.failure
FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord) WHERE run.id = ?
