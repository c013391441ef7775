-- How many runs that are still kept are made of an event. Of events accepted before, nobody has counted: they stay as if there were one.
ALTER TABLE event ADD COLUMN runs INTEGER NOT NULL DEFAULT 1;

-- What one replica at a time does for all of them, under a lease.
CREATE TABLE duty (
    name TEXT PRIMARY KEY,
    replica TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Workers that were lost under a run, one after the other, without progress.
ALTER TABLE live ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ended ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;

-- Worker processes, and which engine has the newest connection of each ('' : none has).
CREATE TABLE session (
    instance TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    generation INTEGER NOT NULL,
    confirmed INTEGER NOT NULL,
    replica TEXT NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    guarded_until_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_at ON session (replica, instance) WHERE replica <> '';
CREATE INDEX session_idle ON session (seen_at_ms, instance) WHERE replica = '';

CREATE TABLE replica (
    id TEXT PRIMARY KEY,
    beat_at_ms INTEGER NOT NULL,
    since_at_ms INTEGER NOT NULL,
    is_given_up INTEGER NOT NULL
) WITHOUT ROWID;
