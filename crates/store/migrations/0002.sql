-- What health checks learned: whether the backend failed when it was checked last.
ALTER TABLE routes ADD COLUMN failing INTEGER NOT NULL DEFAULT 0 CHECK (failing IN (0, 1));
