-- Schema version 1. Released scripts are never edited; a change is a further script in migrations.py.
-- Instances have a small integer key that grows with time: everything below clusters by it, and the
-- text id stands in one unique index only (half to a third of the throughput otherwise).

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
    node_id      TEXT NOT NULL PRIMARY KEY,
    incarnation  TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    heartbeat    INTEGER NOT NULL,
    state        TEXT NOT NULL,
    app_id       TEXT NOT NULL,
    address      TEXT NOT NULL,
    hosted_types TEXT NOT NULL,   -- a JSON list
    pid          INTEGER NOT NULL,
    started      INTEGER NOT NULL,
    boot_id      TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE slots (
    app_id           TEXT NOT NULL,
    slot             INTEGER NOT NULL,
    owner            TEXT NOT NULL,
    owner_generation INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    PRIMARY KEY (app_id, slot)
) WITHOUT ROWID;

CREATE TABLE workflows (
    key              INTEGER PRIMARY KEY,
    app_id           TEXT NOT NULL,
    instance_id      TEXT NOT NULL,
    slot             INTEGER NOT NULL,
    name             TEXT NOT NULL,
    created_us       INTEGER NOT NULL,
    execution        INTEGER NOT NULL,
    version          TEXT,
    start_requests    TEXT,
    parent_key       INTEGER,
    parent_id        TEXT,
    parent_execution INTEGER,
    parent_task      INTEGER,
    run_checksum     INTEGER NOT NULL,   -- CRC-32 of what stands above
    status           INTEGER NOT NULL,
    updated_us       INTEGER NOT NULL,
    next_seq         INTEGER NOT NULL,
    has_work         INTEGER NOT NULL,
    custom_status    TEXT,
    output           TEXT,
    failure          BLOB,
    stalled          TEXT,
    turn_checksum    INTEGER NOT NULL,   -- CRC-32 of key, execution and what stands below run_checksum
    attempts         INTEGER NOT NULL
);
CREATE UNIQUE INDEX workflows_by_id ON workflows (app_id, instance_id);
-- The integer key follows in every index by itself, so these are in key order within an app.
CREATE INDEX workflows_with_work ON workflows (app_id) WHERE has_work = 1;
CREATE INDEX workflows_stalled ON workflows (app_id) WHERE status = 8;
CREATE INDEX workflows_by_parent ON workflows (parent_key) WHERE parent_key IS NOT NULL;

CREATE TABLE history (
    key       INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    turn      BLOB NOT NULL,
    PRIMARY KEY (key, execution, seq)
) WITHOUT ROWID;

-- Keyed by text: the addressee of a message need not exist yet. Rows are few and short-lived.
CREATE TABLE inbox (
    n          INTEGER PRIMARY KEY,
    app_id     TEXT NOT NULL,
    type       TEXT NOT NULL,
    id         TEXT NOT NULL,
    slot       INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    body       BLOB NOT NULL,
    checksum   INTEGER NOT NULL,   -- CRC-32 of body
    UNIQUE (app_id, type, id, message_id)
);

CREATE TABLE reminders (
    key    INTEGER NOT NULL,
    name   TEXT NOT NULL,
    due_us INTEGER NOT NULL,
    slot   INTEGER NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE INDEX reminders_by_due ON reminders (due_us);
