-- The name of the credential that a session was registered with: only that one may reconnect to it.
ALTER TABLE sessions ADD COLUMN credential TEXT;
