-- The limits that a run stands under. Rows written before have flow_key and flow_limit instead.
ALTER TABLE run ADD COLUMN flow bytea NOT NULL DEFAULT '';

-- Whose turn a run in the queue takes. Lines are by key and function, so that one function's first is found without those of the others; new
-- runs with an order of their own are found by their rank, and by whose turn they take. What cannot be claimed is counted by function and key.
ALTER TABLE queue ADD COLUMN fair_key text COLLATE "C" NOT NULL DEFAULT '';
UPDATE queue SET flow_key = 'concurrency ' || flow_key WHERE state = 2;
DROP INDEX queue_line;
CREATE INDEX queue_line ON queue (flow_key, function, rank, ord) WHERE state = 2;
CREATE INDEX queue_waiting ON queue (function, state, flow_key, rank, ord) WHERE state >= 2;
CREATE INDEX queue_fair ON queue (function, fair_key, rank) WHERE fair_key <> '';
CREATE INDEX queue_ranked ON queue (function, rank) WHERE rank >= 2 AND state IN (0, 2);

-- A place is taken, or only offered to a run of this rank that may be claimed.
ALTER TABLE place ADD COLUMN function text COLLATE "C" NOT NULL DEFAULT '', ADD COLUMN is_taken bigint NOT NULL DEFAULT 1,
ADD COLUMN rank bigint NOT NULL DEFAULT 1;
UPDATE place SET function = run.function, flow_key = 'concurrency ' || place.flow_key FROM run WHERE run.ord = place.ord;
CREATE INDEX place_run ON place (ord);
CREATE INDEX place_offered ON place (flow_key, function, rank, ord) WHERE is_taken = 0;

-- The runs that an event joined, without having started them, separated by spaces.
ALTER TABLE event ADD COLUMN joined text NOT NULL DEFAULT '';

DROP INDEX ended_badly;
CREATE INDEX ended_badly ON ended (status, ord) WHERE status <> 'completed';
