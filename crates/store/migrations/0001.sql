-- The first schema.
--
-- Texts that the protocol has a spelling for (hosts, paths, URLs, route domains joined by commas)
-- are kept in that spelling; the rest is JSON. Times are milliseconds since the Unix epoch,
-- durations nanoseconds.

CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_route INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    history_entries INTEGER NOT NULL,
    history_bytes INTEGER NOT NULL
) STRICT;

INSERT INTO counters (one, last_route, generation, history_entries, history_bytes)
VALUES (1, 0, 0, 0, 0);

-- `key` grows in the order of registration.
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version IN (1, 2)),
    maintenance_port INTEGER NOT NULL,
    metadata TEXT,
    registered_at INTEGER NOT NULL,
    last_apply INTEGER,
    generation INTEGER,
    subscriptions TEXT NOT NULL,
    replaced_by TEXT,
    pinned INTEGER NOT NULL CHECK (pinned IN (0, 1))
) STRICT;

CREATE TABLE routes (
    route INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
    domains TEXT NOT NULL,
    path TEXT NOT NULL,
    backend TEXT NOT NULL,
    priority INTEGER NOT NULL,
    since INTEGER NOT NULL
) STRICT;

CREATE INDEX routes_by_session ON routes (session);

-- `target` is a route, or -1 for all routes of the session.
CREATE TABLE settings (
    session INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    target INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (session, kind, target, name)
) STRICT, WITHOUT ROWID;

-- Without a value: to be taken away.
CREATE TABLE staged_settings (
    session INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    target INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (session, kind, target, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE staged_routes (
    session INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
    route INTEGER NOT NULL,
    change TEXT NOT NULL CHECK (change IN ('added', 'updated', 'removed', 'taken_over')),
    spec TEXT,
    from_route INTEGER,
    PRIMARY KEY (session, route)
) STRICT, WITHOUT ROWID;

CREATE TABLE drains (
    session INTEGER PRIMARY KEY REFERENCES sessions (key) ON DELETE CASCADE,
    started_at INTEGER NOT NULL,
    duration INTEGER NOT NULL,
    from_percent INTEGER NOT NULL
) STRICT;

CREATE TABLE maintenance (
    session INTEGER NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    target TEXT NOT NULL,
    page TEXT,
    entered_at INTEGER NOT NULL,
    PRIMARY KEY (session, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE tries (
    session INTEGER PRIMARY KEY REFERENCES sessions (key) ON DELETE CASCADE,
    deadline INTEGER NOT NULL,
    undo TEXT NOT NULL
) STRICT;

-- `key` grows with time; `bytes` is how long `changes` is, and stands before it so that it can be
-- read without it.
CREATE TABLE history (
    key INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    at INTEGER NOT NULL,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    origin TEXT NOT NULL,
    action TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    changes TEXT NOT NULL
) STRICT;

CREATE TRIGGER history_added AFTER INSERT ON history BEGIN
    UPDATE counters
    SET history_entries = history_entries + 1, history_bytes = history_bytes + new.bytes;
END;

CREATE TRIGGER history_removed AFTER DELETE ON history BEGIN
    UPDATE counters
    SET history_entries = history_entries - 1, history_bytes = history_bytes - old.bytes;
END;
