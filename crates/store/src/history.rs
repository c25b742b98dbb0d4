//! What was applied, by whom and when; and how much of it is kept.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Generation, HistoryRow, InstanceName, RouteId, RouteSpec, ServiceName, UnixMillis};
use rusqlite::{Connection, OptionalExtension};

use crate::form::{change_from_text, session_texts};
use crate::load::LoadError;
use crate::statements::Statements;

/// How much history is kept. The newest entry always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryBounds {
    /// Entries at most.
    pub entries_max: u64,
    /// Bytes at most, counting what was changed: one apply may change a hundred thousand routes.
    pub bytes_max: u64,
    /// Not older than this when a newer one is added.
    pub age_max: Duration,
}

impl HistoryBounds {
    /// Ten thousand entries, 64 MiB, ninety days.
    pub const USUAL: Self =
        Self { entries_max: 10_000, bytes_max: 64 << 20, age_max: Duration::from_hours(90 * 24) };
}

/// Entries that are kept without a database.
const RECENT_ENTRIES_MAX: usize = 1000;
/// Routes that they may hold together.
const RECENT_ROUTES_MAX: usize = 100_000;

/// One line of history, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The generation it made.
    pub generation: Generation,
    /// When.
    pub at: UnixMillis,
    /// Whose.
    pub service: ServiceName,
    /// Whose.
    pub instance: InstanceName,
    /// From where: the peer's address, or what caused it.
    pub origin: Box<str>,
    /// What was done.
    pub action: Box<str>,
    /// Routes that appeared or changed, as they were then.
    pub put: Vec<(RouteId, RouteSpec)>,
    /// Routes that went.
    pub removed: Vec<RouteId>,
}

impl HistoryEntry {
    pub(crate) fn of(row: &HistoryRow) -> Self {
        Self {
            generation: row.generation,
            at: row.at,
            service: row.service.clone(),
            instance: row.instance.clone(),
            origin: row.origin.clone(),
            action: row.action.into(),
            put: row.put.clone(),
            removed: row.removed.clone(),
        }
    }
}

/// History without a database: the newest entries, within bounds of its own.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    entries: VecDeque<HistoryEntry>,
    /// In all entries together.
    routes: usize,
}

impl Recent {
    pub(crate) fn add(&mut self, entry: HistoryEntry) {
        self.routes += entry.put.len() + entry.removed.len();
        self.entries.push_back(entry);
        while self.entries.len() > RECENT_ENTRIES_MAX
            || self.routes > RECENT_ROUTES_MAX && self.entries.len() > 1
        {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.routes -= oldest.put.len() + oldest.removed.len();
        }
    }

    pub(crate) fn newest(&self, limit: usize) -> Vec<HistoryEntry> {
        self.entries.iter().rev().take(limit).cloned().collect()
    }
}

/// Forgets the oldest entries until the bounds hold; `now` is when the newest was made.
pub(crate) fn prune(
    on: &mut Statements<'_>,
    bounds: &HistoryBounds,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    loop {
        let (entries, bytes): (u64, u64) =
            on.history_totals.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let oldest = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1).map(UnixMillis)?));
        let oldest: Option<(i64, UnixMillis)> =
            on.oldest_history.query_row([], oldest).optional()?;
        let Some((key, at)) = oldest.filter(|_| entries > 1) else { return Ok(()) };
        let too_many = entries > bounds.entries_max || bytes > bounds.bytes_max;
        if !too_many && now.since(at) <= bounds.age_max {
            return Ok(());
        }
        on.remove_history.execute([key])?;
    }
}

/// The newest entries, newest first.
pub(crate) fn newest(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<HistoryEntry>, LoadError> {
    let mut statement = connection.prepare(
        "SELECT generation, at, service, instance, origin, action, changes, key
         FROM history ORDER BY key DESC LIMIT ?1",
    )?;
    let mut rows = statement.query([limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let entry = || {
            let (put, removed) = change_from_text(text(6)?)?;
            Ok(HistoryEntry {
                generation: Generation(row.get(0)?),
                at: UnixMillis(row.get(1)?),
                service: session_texts::service(text(2)?)?,
                instance: session_texts::instance(text(3)?)?,
                origin: text(4)?.into(),
                action: text(5)?.into(),
                put,
                removed,
            })
        };
        entries.push(entry().map_err(LoadError::at("history", row, 7))?);
    }
    Ok(entries)
}
