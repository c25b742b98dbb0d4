-- Names of services, in lower case, that are or were known, so that DNS denies none of them. The
-- numbers grow with each that comes or leaves.

CREATE TABLE catalog_names (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;
