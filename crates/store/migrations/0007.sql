-- Since when an instance does what it does. Of older entries it is not known: who never did anything
-- does nothing since it registered, and of others the last word is the nearest there is.

ALTER TABLE catalog_entries ADD COLUMN state_since INTEGER NOT NULL DEFAULT 0;

UPDATE catalog_entries
SET state_since = CASE state WHEN 'registered' THEN registered_at ELSE updated_at END;
