-- What is known about certificate authorities: our keys with them, the certificates they gave, and
-- every order that still counts. Times are milliseconds since the Unix epoch.

CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    key TEXT NOT NULL
) STRICT;

CREATE TABLE acme_certificates (
    name TEXT PRIMARY KEY,
    directory TEXT NOT NULL,
    chain TEXT NOT NULL,
    key TEXT NOT NULL,
    not_after INTEGER NOT NULL
) STRICT;

-- Written before an order is placed; `until` is when the name may be ordered there again.
CREATE TABLE acme_ledger (
    number INTEGER PRIMARY KEY,
    directory TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    fate TEXT NOT NULL CHECK (fate IN ('open', 'failed', 'issued')),
    until INTEGER NOT NULL
) STRICT;

-- Orders that are placed and not finished, with the key that the certificate will be for.
CREATE TABLE acme_orders (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    directory TEXT NOT NULL,
    url TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
