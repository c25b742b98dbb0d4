//! Remembers the registry across restarts.
