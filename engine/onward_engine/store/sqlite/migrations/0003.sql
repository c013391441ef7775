-- What is kept by name: delayed events, paused functions, schedules, signals that nobody waits for yet, the progress of runs.
CREATE TABLE item (
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    due_at_ms INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (owner, kind, name)
) WITHOUT ROWID;
CREATE INDEX item_due ON item (due_at_ms, kind, owner, name) WHERE due_at_ms IS NOT NULL;

-- Runs that repeat or fork others, and those whose entries a fork's journal begins with, separated by spaces.
ALTER TABLE run ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN origins TEXT NOT NULL DEFAULT '';

-- The version of the App on which a run began, and whether it is held until somebody resumes it.
ALTER TABLE live ADD COLUMN app_version TEXT NOT NULL DEFAULT '';
ALTER TABLE live ADD COLUMN is_paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ended ADD COLUMN app_version TEXT NOT NULL DEFAULT '';
ALTER TABLE ended ADD COLUMN is_paused INTEGER NOT NULL DEFAULT 0;

-- The words by which people find runs. `ord` is the run's.
CREATE TABLE tag (
    ord INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (ord, key)
) WITHOUT ROWID;
CREATE INDEX tag_found ON tag (key, value, ord);
