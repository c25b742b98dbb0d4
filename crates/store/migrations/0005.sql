-- What the catalog remembers: what each source says about each instance, if nobody else keeps it,
-- and the addresses that services were given. Times are milliseconds since the Unix epoch.

CREATE TABLE catalog_entries (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('api', 'heartbeat', 'manual')),
    id TEXT NOT NULL,
    facts TEXT NOT NULL,
    state TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_seen INTEGER,
    -- What the heartbeat port handed out, and to whom.
    peer TEXT,
    address TEXT,
    port INTEGER,
    PRIMARY KEY (service, instance, source)
) STRICT;

CREATE TABLE catalog_allocations (
    service TEXT PRIMARY KEY,
    address TEXT NOT NULL UNIQUE
) STRICT;
