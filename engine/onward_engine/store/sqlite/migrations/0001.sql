-- Narrow hot tables, few indexes, no cascades. `ord` is a run's or an event's number in the order of acceptance: small, and new rows stand side by side.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE app (
    name TEXT PRIMARY KEY,
    manifest BLOB NOT NULL
) WITHOUT ROWID;

-- What never changes about a run. Its payloads may be large, and are not rewritten with each checkpoint.
CREATE TABLE run (
    ord INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    function TEXT NOT NULL,
    flow_key TEXT NOT NULL,
    flow_limit INTEGER NOT NULL,
    parent TEXT NOT NULL,
    parent_key TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    events BLOB NOT NULL,
    input BLOB NOT NULL,
    cause BLOB
);
CREATE INDEX run_function ON run (function, ord);

-- What changes about a run that is not over: as many rows as there are such runs, however many have been.
CREATE TABLE live (
    ord INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    state_bytes INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    tail INTEGER NOT NULL,
    holder TEXT NOT NULL,
    cancel_reason TEXT
);
CREATE INDEX live_holder ON live (holder, ord) WHERE holder <> '';

-- What a run was when it ended.
CREATE TABLE ended (
    ord INTEGER PRIMARY KEY,
    status TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    pos INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    state_bytes INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    tail INTEGER NOT NULL,
    holder TEXT NOT NULL,
    cancel_reason TEXT,
    ended_at_ms INTEGER NOT NULL,
    output BLOB NOT NULL,
    failure BLOB
);
CREATE INDEX ended_badly ON ended (status, ord) WHERE status IN ('failed', 'cancelled');

-- All journals in one: a row per frame (epoch > 0) or engine entry (epoch 0, seq = pos), appended at the end. `prev` leads to the run's row before
-- it, `tail` of the run to its last one. With an index over (run, epoch, seq) instead, each frame of a commit dirtied a page of its own: 80 pages
-- instead of 6 for 64 frames, and half the throughput.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    prev INTEGER NOT NULL,
    run INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    data BLOB NOT NULL
);

-- The chain leads only backwards. A mark stands at a row about every 32 KiB of a journal, so that reading can begin anywhere and go forwards.
CREATE TABLE mark (
    run INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (run, id)
) WITHOUT ROWID;

CREATE TABLE event (
    ord INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    ts_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    meta BLOB NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX event_name ON event (name, ord);

-- The first answers to event ids that senders chose.
CREATE TABLE answer (
    event TEXT PRIMARY KEY,
    expires_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL,
    answer BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX answer_expires ON answer (expires_at_ms);

-- state: 0 may be claimed, 1 may be claimed from due_at_ms on, 2 in line for a place of flow_key. Each has an index that holds nothing else.
CREATE TABLE queue (
    ord INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    function TEXT NOT NULL,
    flow_key TEXT NOT NULL
);
CREATE INDEX queue_open ON queue (function, rank, ord) WHERE state = 0;
CREATE INDEX queue_later ON queue (due_at_ms, ord) WHERE state = 1;
CREATE INDEX queue_line ON queue (flow_key, rank, ord) WHERE state = 2;

CREATE TABLE place (
    flow_key TEXT NOT NULL,
    ord INTEGER NOT NULL,
    PRIMARY KEY (flow_key, ord)
) WITHOUT ROWID;

CREATE TABLE wait (
    ord INTEGER NOT NULL,
    key TEXT NOT NULL,
    due_at_ms INTEGER,
    event TEXT,
    path TEXT,
    value BLOB,
    child TEXT NOT NULL,
    wait BLOB NOT NULL,
    PRIMARY KEY (ord, key)
) WITHOUT ROWID;
CREATE INDEX wait_due ON wait (due_at_ms, ord, key) WHERE due_at_ms IS NOT NULL;
CREATE INDEX wait_event ON wait (event, path, value, ord, key) WHERE event IS NOT NULL;
