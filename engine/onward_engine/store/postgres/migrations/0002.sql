-- What is kept by name: delayed events, paused functions, schedules, signals that nobody waits for yet, the progress of runs.
CREATE TABLE item (
    kind text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    due_at_ms bigint,
    body bytea NOT NULL,
    PRIMARY KEY (owner, kind, name)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX item_due ON item (due_at_ms, kind, owner, name) WHERE due_at_ms IS NOT NULL;

-- Runs that repeat or fork others, and those whose entries a fork's journal begins with, separated by spaces.
ALTER TABLE run ADD COLUMN origin text NOT NULL DEFAULT '', ADD COLUMN origins text NOT NULL DEFAULT '';

-- The version of the App on which a run began, and whether it is held until somebody resumes it.
ALTER TABLE live ADD COLUMN app_version text NOT NULL DEFAULT '', ADD COLUMN is_paused bigint NOT NULL DEFAULT 0;
ALTER TABLE ended ADD COLUMN app_version text NOT NULL DEFAULT '', ADD COLUMN is_paused bigint NOT NULL DEFAULT 0;

-- The words by which people find runs. `ord` is the run's.
CREATE TABLE tag (
    ord bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (ord, key)
);
CREATE INDEX tag_found ON tag (key, value, ord);
