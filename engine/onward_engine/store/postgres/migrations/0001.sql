-- Narrow hot tables, few indexes, no cascades. `ord` is a run's or an event's number in the order of acceptance. Texts are compared byte by byte,
-- so that they stand in the same order as in the engine, whatever the database's language is.

CREATE SEQUENCE ord CACHE 1;

CREATE TABLE meta (
    key text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- One row for each engine process: the number of its last general batch, so that after a lost connection it can tell whether that was committed.
CREATE TABLE writer (
    id text COLLATE "C" PRIMARY KEY,
    batch bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE TABLE app (
    name text COLLATE "C" PRIMARY KEY,
    manifest bytea NOT NULL
);

-- Rises with every change of `app`: each batch looks at it, and reads the manifests only when they are new.
CREATE TABLE catalog (
    version bigint NOT NULL
);
INSERT INTO catalog (version) VALUES (0);

-- What never changes about a run.
CREATE TABLE run (
    ord bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    function text COLLATE "C" NOT NULL,
    flow_key text COLLATE "C" NOT NULL,
    flow_limit bigint NOT NULL,
    parent text COLLATE "C" NOT NULL,
    parent_key text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    created_at_ms bigint NOT NULL,
    events text[] COLLATE "C" NOT NULL,
    input bytea NOT NULL,
    cause bytea
);
CREATE INDEX run_function ON run (function, ord);

-- What changes about a run that is not over. Room is left in each page, so that a new version of a row stands beside the old one and no index is
-- touched. `version` rises with every write: whoever wrote a row last may write it again without reading it. `tail` counts the journal's rows.
CREATE TABLE live (
    ord bigint PRIMARY KEY,
    version bigint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    pos bigint NOT NULL,
    seen bigint NOT NULL,
    generation bigint NOT NULL,
    steps bigint NOT NULL,
    state_bytes bigint NOT NULL,
    started_at_ms bigint NOT NULL,
    tail bigint NOT NULL,
    strikes bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    cancel_reason text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX live_holder ON live (holder, ord) WHERE holder <> '';

-- What a run was when it ended.
CREATE TABLE ended (
    ord bigint PRIMARY KEY,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    pos bigint NOT NULL,
    seen bigint NOT NULL,
    generation bigint NOT NULL,
    steps bigint NOT NULL,
    state_bytes bigint NOT NULL,
    started_at_ms bigint NOT NULL,
    tail bigint NOT NULL,
    strikes bigint NOT NULL,
    ended_at_ms bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    cancel_reason text,
    output bytea NOT NULL,
    failure bytea
);
CREATE INDEX ended_badly ON ended (status, ord) WHERE status IN ('failed', 'cancelled');

-- All journals in one: a row per frame (epoch > 0) or engine entry (epoch 0, seq = pos). `n` counts the rows of a run, from 1 without gaps.
CREATE TABLE journal (
    run bigint NOT NULL,
    n bigint NOT NULL,
    epoch bigint NOT NULL,
    seq bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (run, n)
);
CREATE INDEX journal_entry ON journal (run, seq) WHERE epoch = 0;

-- `runs`: how many runs that are still kept are made of it.
CREATE TABLE event (
    ord bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    ts_ms bigint NOT NULL,
    received_at_ms bigint NOT NULL,
    runs bigint NOT NULL,
    meta bytea NOT NULL,
    data bytea NOT NULL
);
CREATE INDEX event_name ON event (name, ord);

-- The first answers to event ids that senders chose.
CREATE TABLE answer (
    event text COLLATE "C" PRIMARY KEY,
    expires_at_ms bigint NOT NULL,
    body bytea NOT NULL,
    answer bytea NOT NULL
);
CREATE INDEX answer_expires ON answer (expires_at_ms);

-- state: 0 may be claimed, 1 may be claimed from due_at_ms on, 2 in line for a place of flow_key. Each has an index that holds nothing else.
CREATE TABLE queue (
    ord bigint PRIMARY KEY,
    rank bigint NOT NULL,
    state bigint NOT NULL,
    due_at_ms bigint NOT NULL,
    function text COLLATE "C" NOT NULL,
    flow_key text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX queue_open ON queue (function, rank, ord) WHERE state = 0;
CREATE INDEX queue_later ON queue (due_at_ms, ord) WHERE state = 1;
CREATE INDEX queue_line ON queue (flow_key, rank, ord) WHERE state = 2;

CREATE TABLE place (
    flow_key text COLLATE "C" NOT NULL,
    ord bigint NOT NULL,
    PRIMARY KEY (flow_key, ord)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE TABLE wait (
    ord bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    due_at_ms bigint,
    event text COLLATE "C",
    path text COLLATE "C",
    value bytea,
    child text COLLATE "C" NOT NULL,
    wait bytea NOT NULL,
    PRIMARY KEY (ord, key)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX wait_due ON wait (due_at_ms, ord, key) WHERE due_at_ms IS NOT NULL;
CREATE INDEX wait_event ON wait (event, path, value, ord, key) WHERE event IS NOT NULL;

-- What one replica at a time does for all of them, under a lease.
CREATE TABLE duty (
    name text COLLATE "C" PRIMARY KEY,
    replica text NOT NULL,
    epoch bigint NOT NULL,
    until_ms bigint NOT NULL
);

-- Worker processes, and which engine has the newest connection of each ('': none has).
CREATE TABLE session (
    instance text COLLATE "C" PRIMARY KEY,
    secret text NOT NULL,
    generation bigint NOT NULL,
    confirmed bigint NOT NULL,
    replica text COLLATE "C" NOT NULL,
    seen_at_ms bigint NOT NULL,
    guarded_until_ms bigint NOT NULL
);
CREATE INDEX session_at ON session (replica, instance) WHERE replica <> '';
CREATE INDEX session_idle ON session (seen_at_ms, instance) WHERE replica = '';

CREATE TABLE replica (
    id text COLLATE "C" PRIMARY KEY,
    beat_at_ms bigint NOT NULL,
    since_at_ms bigint NOT NULL,
    is_given_up boolean NOT NULL
);
