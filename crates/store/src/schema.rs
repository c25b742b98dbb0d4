//! Whether a file is ours, whole, and of a version we know; and how an older one becomes so.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};

/// `prxd`, where SQLite files say whose they are.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"prxd");

/// The first makes version 1 of an empty file, each further one the next version. Never edited
/// once released: a file remembers only how many it has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
    include_str!("../migrations/0007.sql"),
];

/// Why a store cannot be used. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error("{0} is in use by another proxyd: stop that one, or set another [store] path")]
    InUse(PathBuf),
    /// The file system's.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The store.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a database, or another program's.
    #[error("{0} is no store of proxyd: set another [store] path")]
    Foreign(PathBuf),
    /// From the future.
    #[error(
        "{path} was written by a newer proxyd (version {found}, this one knows {known}): \
         run that one, or set another [store] path"
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: usize,
    },
    /// It fails SQLite's own check.
    #[error("{path} is damaged ({what}): restore a backup, or set another [store] path")]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The first thing wrong.
        what: String,
    },
    /// A row holds what we would never have written.
    #[error(
        "{table} {row}: {what}: restore a backup, or remove that row with sqlite3 while proxyd is \
         stopped"
    )]
    Row {
        /// The table.
        table: &'static str,
        /// Which.
        row: String,
        /// What is wrong.
        what: String,
    },
    /// SQLite's.
    #[error("cannot read {path}: {source}")]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The writer cannot be started.
    #[error("cannot start the writer of the store: {0}")]
    Thread(io::Error),
}

/// Checks a file and brings it to our version. Writes nothing to a file that is not ours.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    check(connection, path)?;
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    // FULL: the log is flushed at each commit, so what was acknowledged survives a power failure.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;
             PRAGMA busy_timeout = 2000;",
        )
        .map_err(sqlite)?;
    migrate(connection, MIGRATIONS).map_err(sqlite)
}

fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(path.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path: path.to_owned(), what: source.to_string() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    };
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let id = number("PRAGMA application_id").map_err(failed)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(failed)?;
    let version = number("PRAGMA user_version").map_err(failed)?;
    let empty = id == 0 && tables == 0 && version == 0;
    if id != i64::from(APPLICATION_ID) && !empty {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let known = MIGRATIONS.len();
    if usize::try_from(version).is_ok_and(|version| version > known) {
        return Err(OpenError::Newer { path: path.to_owned(), found: version, known });
    }
    let health: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if health == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), what: health })
}

/// Each step with its version number in one transaction: a crash in between leaves a whole
/// version.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let step = connection.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.pragma_update(None, "user_version", index + 1)?;
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_done() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (2)", "INSERT INTO a VALUES (3)"];
        migrate(&mut connection, &steps[..1]).unwrap();
        connection.execute_batch("INSERT INTO a VALUES (1)").unwrap();
        for _ in 0..2 {
            migrate(&mut connection, &steps).unwrap();
        }
        assert_eq!(rows(&connection), [1, 2, 3]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)"];
        assert!(migrate(&mut connection, &steps).is_err());
        assert_eq!(rows(&connection), Vec::<i64>::new());
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 1);
    }

    fn rows(connection: &Connection) -> Vec<i64> {
        let mut statement = connection.prepare("SELECT x FROM a ORDER BY x").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}
