//! Every statement that changes something, prepared once.
//!
//! What names a session does so by its id and finds its key in the same statement: a session that
//! is not there is no error and changes nothing, as [`model::Image::apply`] has it.

use rusqlite::{Connection, Result, Statement};

macro_rules! statements {
    ($($name:ident: $sql:expr;)*) => {
        /// One field a statement.
        pub(crate) struct Statements<'c> {
            $(pub(crate) $name: Statement<'c>,)*
        }

        impl<'c> Statements<'c> {
            pub(crate) fn prepare(connection: &'c Connection) -> Result<Self> {
                Ok(Self { $($name: connection.prepare($sql)?,)* })
            }
        }
    };
}

statements! {
    begin: "BEGIN IMMEDIATE";
    commit: "COMMIT";
    rollback: "ROLLBACK";
    batch_begin: "SAVEPOINT batch";
    batch_done: "RELEASE batch";
    batch_undo: "ROLLBACK TO batch";

    put_session:
        "INSERT INTO sessions (id, service, instance, version, maintenance_port, metadata,
             registered_at, last_apply, generation, subscriptions, replaced_by, pinned,
             credential)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET service = ?2, instance = ?3, version = ?4,
             maintenance_port = ?5, metadata = ?6, registered_at = ?7, last_apply = ?8,
             generation = ?9, subscriptions = ?10, replaced_by = ?11, pinned = ?12,
             credential = ?13";
    remove_session: "DELETE FROM sessions WHERE id = ?1";

    put_route:
        "INSERT INTO routes (session, route, domains, path, backend, priority, since)
         SELECT key, ?2, ?3, ?4, ?5, ?6, ?7 FROM sessions WHERE id = ?1
         ON CONFLICT (route) DO UPDATE SET session = excluded.session, domains = ?3, path = ?4,
             backend = ?5, priority = ?6, since = ?7,
             failing = failing AND backend = excluded.backend";
    remove_route: "DELETE FROM routes WHERE route = ?1";
    put_health: "UPDATE routes SET failing = NOT ?2 WHERE route = ?1";

    put_setting:
        "INSERT OR REPLACE INTO settings (session, kind, target, name, value)
         SELECT key, ?2, ?3, ?4, ?5 FROM sessions WHERE id = ?1";
    remove_setting:
        "DELETE FROM settings WHERE session = (SELECT key FROM sessions WHERE id = ?1)
         AND kind = ?2 AND target = ?3 AND name = ?4";

    stage_route:
        "INSERT OR REPLACE INTO staged_routes (session, route, change, spec, from_route)
         SELECT key, ?2, ?3, ?4, ?5 FROM sessions WHERE id = ?1";
    unstage_route:
        "DELETE FROM staged_routes WHERE session = (SELECT key FROM sessions WHERE id = ?1)
         AND route = ?2";
    drop_staged_routes:
        "DELETE FROM staged_routes WHERE session = (SELECT key FROM sessions WHERE id = ?1)";
    stage_setting:
        "INSERT OR REPLACE INTO staged_settings (session, kind, target, name, value)
         SELECT key, ?2, ?3, ?4, ?5 FROM sessions WHERE id = ?1";
    drop_staged_settings:
        "DELETE FROM staged_settings WHERE session = (SELECT key FROM sessions WHERE id = ?1)";

    put_drain:
        "INSERT OR REPLACE INTO drains (session, started_at, duration, from_percent)
         SELECT key, ?2, ?3, ?4 FROM sessions WHERE id = ?1";
    remove_drain: "DELETE FROM drains WHERE session = (SELECT key FROM sessions WHERE id = ?1)";
    put_maintenance:
        "INSERT INTO maintenance (session, position, target, page, entered_at)
         SELECT key, ?2, ?3, ?4, ?5 FROM sessions WHERE id = ?1";
    remove_maintenance:
        "DELETE FROM maintenance WHERE session = (SELECT key FROM sessions WHERE id = ?1)";
    put_try:
        "INSERT OR REPLACE INTO tries (session, deadline, undo)
         SELECT key, ?2, ?3 FROM sessions WHERE id = ?1";
    remove_try: "DELETE FROM tries WHERE session = (SELECT key FROM sessions WHERE id = ?1)";

    put_counters: "UPDATE counters SET last_route = ?1, generation = ?2";

    add_history:
        "INSERT INTO history (generation, at, service, instance, origin, action, bytes, changes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    history_totals: "SELECT history_entries, history_bytes FROM counters";
    oldest_history: "SELECT key, at FROM history ORDER BY key LIMIT 1";
    remove_history: "DELETE FROM history WHERE key = ?1";
}
