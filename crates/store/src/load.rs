//! The database into an [`Image`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{
    Draft, DrainRow, Generation, Image, RouteId, SessionRow, Settings, SettingsEdits, StagedRoute,
    StoredSession, UnixMillis, Version,
};
use rusqlite::{Connection, Row};

use crate::form::{
    Setting, SpecForm, Unreadable, edits_from, from_json, orders, read_spec, session_texts, trial,
};

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// SQLite's.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A row holds what we would never have written.
    #[error("{table} {row}: {what}")]
    Row { table: &'static str, row: String, what: String },
}

/// What is wrong with one row, before it is known which.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl LoadError {
    /// For `map_err`: names the row of `table` by its integer in `column`.
    pub(crate) fn at(
        table: &'static str,
        row: &Row<'_>,
        column: usize,
    ) -> impl FnOnce(RowError) -> Self {
        let row = row.get::<_, i64>(column).map_or_else(|_| "?".to_owned(), |key| key.to_string());
        move |error| Self::Row { table, row, what: error.to_string() }
    }
}

/// Reads everything.
pub(crate) fn image(connection: &Connection) -> Result<Image, LoadError> {
    let mut sessions = Sessions::default();
    load_sessions(connection, &mut sessions)?;
    let failing = load_routes(connection, &mut sessions)?;
    load_settings(connection, "settings", &mut sessions, |held, edits| {
        held.settings.apply(&edits)
    })?;
    load_settings(connection, "staged_settings", &mut sessions, |held, edits| {
        held.draft.settings = edits;
    })?;
    load_staged_routes(connection, &mut sessions)?;
    load_orders(connection, &mut sessions)?;
    let (last_route, generation) =
        connection.query_row("SELECT last_route, generation FROM counters", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (generation, sessions) = (Generation(generation), sessions.list);
    Ok(Image { last_route, generation, sessions, failing })
}

/// Sessions in order, and where the one of each key stands.
#[derive(Default)]
struct Sessions {
    list: Vec<StoredSession>,
    places: BTreeMap<i64, usize>,
}

impl Sessions {
    fn get(&mut self, key: i64) -> Result<&mut StoredSession, Unreadable> {
        let place = self.places.get(&key).copied();
        place.and_then(|place| self.list.get_mut(place)).ok_or(Unreadable("session"))
    }
}

/// Runs `read` on each row; the row's session stands in its first column, and `at` is the column
/// that names the row in an error.
fn each(
    connection: &Connection,
    table: &'static str,
    at: usize,
    sql: &str,
    mut read: impl FnMut(&Row<'_>) -> Result<(), RowError>,
) -> Result<(), LoadError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        read(row).map_err(LoadError::at(table, row, at))?;
    }
    Ok(())
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str()?)
}

fn text_or_null<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, rusqlite::Error> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

fn load_sessions(connection: &Connection, sessions: &mut Sessions) -> Result<(), LoadError> {
    let sql = "SELECT key, id, service, instance, version, maintenance_port, metadata,
                   registered_at, last_apply, generation, subscriptions, replaced_by, pinned,
                   credential
               FROM sessions ORDER BY key";
    each(connection, "sessions", 0, sql, |row| {
        let version = match row.get::<_, i64>(4)? {
            1 => Version::V1,
            2 => Version::V2,
            _ => return Err(Unreadable("version").into()),
        };
        let row_of = SessionRow {
            session: session_texts::session(text(row, 1)?)?,
            service: session_texts::service(text(row, 2)?)?,
            instance: session_texts::instance(text(row, 3)?)?,
            version,
            maintenance_port: row.get(5)?,
            metadata: text_or_null(row, 6)?.map(Into::into),
            registered_at: UnixMillis(row.get(7)?),
            last_apply: row.get::<_, Option<u64>>(8)?.map(UnixMillis),
            generation: row.get::<_, Option<u64>>(9)?.map(Generation),
            subscriptions: session_texts::read_subscriptions(text(row, 10)?)?,
            replaced_by: text_or_null(row, 11)?.map(session_texts::session).transpose()?,
            pinned: row.get(12)?,
            credential: text_or_null(row, 13)?.map(Into::into),
        };
        sessions.places.insert(row.get(0)?, sessions.list.len());
        sessions.list.push(StoredSession {
            row: row_of,
            routes: Vec::new(),
            settings: Settings::default(),
            draft: Draft::default(),
            drain: None,
            maintenance: Vec::new(),
            trial: None,
        });
        Ok(())
    })
}

/// Gives those whose backends failed.
fn load_routes(
    connection: &Connection,
    sessions: &mut Sessions,
) -> Result<BTreeSet<RouteId>, LoadError> {
    let mut failing = BTreeSet::new();
    let sql = "SELECT session, route, domains, path, backend, priority, since, failing
               FROM routes ORDER BY route";
    each(connection, "routes", 1, sql, |row| {
        let spec = read_spec(text(row, 2)?, text(row, 3)?, text(row, 4)?, row.get(5)?)?;
        let route = (RouteId(row.get(1)?), spec, Generation(row.get(6)?));
        if row.get(7)? {
            failing.insert(route.0);
        }
        sessions.get(row.get(0)?)?.routes.push(route);
        Ok(())
    })?;
    Ok(failing)
}

/// Gathers the rows of one session, then hands them over.
fn load_settings(
    connection: &Connection,
    table: &'static str,
    sessions: &mut Sessions,
    give: impl Fn(&mut StoredSession, SettingsEdits),
) -> Result<(), LoadError> {
    let mut gathered: BTreeMap<i64, Vec<Setting>> = BTreeMap::new();
    let sql = format!("SELECT session, kind, target, name, value FROM {table}");
    each(connection, table, 0, &sql, |row| {
        let setting = Setting {
            kind: row.get(1)?,
            target: row.get(2)?,
            name: row.get(3)?,
            value: row.get(4)?,
        };
        gathered.entry(row.get(0)?).or_default().push(setting);
        Ok(())
    })?;
    for (key, rows) in gathered {
        let wrong = |error: Unreadable| LoadError::Row {
            table,
            row: format!("of session {key}"),
            what: error.to_string(),
        };
        let edits = edits_from(&rows).map_err(wrong)?;
        let held = sessions.get(key).map_err(wrong)?;
        give(held, edits);
    }
    Ok(())
}

fn load_staged_routes(connection: &Connection, sessions: &mut Sessions) -> Result<(), LoadError> {
    let sql = "SELECT session, route, change, spec, from_route FROM staged_routes";
    each(connection, "staged_routes", 1, sql, |row| {
        let spec = || {
            let form = text_or_null(row, 3)?.ok_or(Unreadable("route"))?;
            let form: SpecForm = from_json(form, "route")?;
            Ok::<_, RowError>(form.read()?)
        };
        let staged = match text(row, 2)? {
            "added" => StagedRoute::Added(spec()?),
            "updated" => StagedRoute::Updated(spec()?),
            "removed" => StagedRoute::Removed,
            "taken_over" => StagedRoute::TakenOver { spec: spec()?, from: RouteId(row.get(4)?) },
            _ => return Err(Unreadable("change").into()),
        };
        sessions.get(row.get(0)?)?.draft.routes.insert(RouteId(row.get(1)?), staged);
        Ok(())
    })
}

fn load_orders(connection: &Connection, sessions: &mut Sessions) -> Result<(), LoadError> {
    let sql = "SELECT session, started_at, duration, from_percent FROM drains";
    each(connection, "drains", 0, sql, |row| {
        let drain = DrainRow {
            started_at: UnixMillis(row.get(1)?),
            duration: Duration::from_nanos(row.get(2)?),
            from_percent: row.get(3)?,
        };
        sessions.get(row.get(0)?)?.drain = Some(drain);
        Ok(())
    })?;
    let sql = "SELECT session, target, page, entered_at FROM maintenance
               ORDER BY session, position";
    each(connection, "maintenance", 0, sql, |row| {
        let order = orders::read(text(row, 1)?, text_or_null(row, 2)?, UnixMillis(row.get(3)?))?;
        sessions.get(row.get(0)?)?.maintenance.push(order);
        Ok(())
    })?;
    each(connection, "tries", 0, "SELECT session, deadline, undo FROM tries", |row| {
        let undo = trial::read(text(row, 2)?, UnixMillis(row.get(1)?))?;
        sessions.get(row.get(0)?)?.trial = Some(undo);
        Ok(())
    })
}
