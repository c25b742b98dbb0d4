//! What is remembered of the catalog.
//!
//! Not a part of [`model::Image`]: sessions are there, and this is what other dialects said.
//! Whoever owns the catalog reads it once and writes each change before it shows it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use catalog::{Given, Identity, Image, Record, Source, State, StoredEntry};
use model::{InstanceName, ServiceName, UnixMillis};
use rusqlite::{Connection, Row, Transaction};

use crate::ask::{AskError, Asking};
use crate::form::{FactsForm, Unreadable, from_json, to_json};

/// Reads and writes what is remembered of the catalog. Cheap to clone; does not keep the store
/// open.
#[derive(Clone, Debug)]
pub struct CatalogRows(pub(crate) Asking);

/// Why a row is not taken, or not written.
#[derive(Debug, thiserror::Error)]
enum RowError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("catalog_entries {0}: {1}: restore a backup, or remove that row with sqlite3")]
    Unreadable(String, Unreadable),
    #[error("{0}: {1} could not be read again: register it in another way")]
    Unwritable(Identity, Unreadable),
    #[error("catalog_allocations {0}: no address: restore a backup, or remove that row")]
    Address(String),
}

impl CatalogRows {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// [`AskError`], naming the row that cannot be read.
    pub async fn load(&self) -> Result<Image, AskError> {
        Ok(self.0.ask(load).await?.unwrap_or_default())
    }

    /// Writes all of these or none. What was answered is on the disk.
    ///
    /// # Errors
    ///
    /// [`AskError`]; nothing changed.
    pub async fn write(&self, records: Vec<Record>) -> Result<(), AskError> {
        self.0
            .ask(move |connection| write(connection, &records))
            .await
            .map(Option::unwrap_or_default)
    }
}

fn load(connection: &Connection) -> Result<Image, RowError> {
    let mut image = Image::default();
    let mut statement = connection.prepare(
        "SELECT service, instance, source, id, facts, state, registered_at, updated_at, last_seen,
                peer, address, port, state_since
         FROM catalog_entries ORDER BY service, instance, source",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = || -> rusqlite::Result<String> {
            Ok(format!("{}/{}", row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        };
        let name = name()?;
        let entry = read(row)?.map_err(|error| RowError::Unreadable(name, error))?;
        image.entries.push(entry);
    }
    let mut statement =
        connection.prepare("SELECT service, address FROM catalog_allocations ORDER BY service")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (service, address): (Box<str>, String) = (row.get(0)?, row.get(1)?);
        let address = address.parse().map_err(|_| RowError::Address(service.to_string()))?;
        image.allocations.push((service, address));
    }
    let mut statement =
        connection.prepare("SELECT name, number FROM catalog_names ORDER BY number")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        image.names.push((row.get(0)?, row.get(1)?));
    }
    Ok(image)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<StoredEntry, Unreadable>> {
    let text = |at| row.get::<_, String>(at);
    let (service, instance, source, facts) = (text(0)?, text(1)?, text(2)?, text(4)?);
    let (state, id) = (text(5)?, row.get(3)?);
    let (registered_at, updated_at) = (UnixMillis(row.get(6)?), UnixMillis(row.get(7)?));
    let last_seen = row.get::<_, Option<u64>>(8)?.map(UnixMillis);
    let peer: Option<String> = row.get(9)?;
    let address: Option<String> = row.get(10)?;
    let port: Option<u16> = row.get(11)?;
    let state_since = UnixMillis(row.get(12)?);
    let entry = || {
        let given = match (peer, address, port) {
            (Some(peer), Some(address), Some(port)) => Some(Given {
                peer: peer.parse().map_err(|_| Unreadable("peer"))?,
                address: address.parse::<Ipv4Addr>().map_err(|_| Unreadable("address"))?,
                port,
            }),
            (None, None, None) => None,
            _ => return Err(Unreadable("what was handed out")),
        };
        Ok(StoredEntry {
            identity: Identity {
                service: ServiceName::parse(&service).map_err(|_| Unreadable("service"))?,
                instance: InstanceName::parse(&instance).map_err(|_| Unreadable("instance"))?,
            },
            source: Source::parse(&source).ok_or(Unreadable("source"))?,
            id,
            facts: Arc::new(from_json::<FactsForm>(&facts, "facts")?.read()?),
            state: State::parse(&state).ok_or(Unreadable("state"))?,
            state_since,
            registered_at,
            updated_at,
            last_seen,
            given,
        })
    };
    Ok(entry())
}

fn write(connection: &Connection, records: &[Record]) -> Result<(), RowError> {
    let transaction = connection.unchecked_transaction()?;
    records.iter().try_for_each(|record| write_one(&transaction, record))?;
    Ok(transaction.commit()?)
}

fn write_one(to: &Transaction<'_>, record: &Record) -> Result<(), RowError> {
    match record {
        Record::Put(entry) => {
            let facts = FactsForm::checked(&entry.facts)
                .map_err(|error| RowError::Unwritable(entry.identity.clone(), error))?;
            to.prepare(
                "INSERT OR REPLACE INTO catalog_entries (service, instance, source, id, facts,
                    state, registered_at, updated_at, last_seen, peer, address, port, state_since)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute((
                entry.identity.service.as_str(),
                entry.identity.instance.as_str(),
                entry.source.as_str(),
                &entry.id,
                to_json(&facts),
                entry.state.as_str(),
                entry.registered_at.0,
                entry.updated_at.0,
                entry.last_seen.map(|at| at.0),
                entry.given.map(|given| given.peer.to_string()),
                entry.given.map(|given| given.address.to_string()),
                entry.given.map(|given| given.port),
                entry.state_since.0,
            ))?;
        }
        Record::Remove(identity, source) => {
            to.prepare(
                "DELETE FROM catalog_entries WHERE service = ? AND instance = ? AND source = ?",
            )?
            .execute((
                identity.service.as_str(),
                identity.instance.as_str(),
                source.as_str(),
            ))?;
        }
        Record::PutAllocation(service, address) => {
            to.execute(
                "INSERT OR REPLACE INTO catalog_allocations (service, address) VALUES (?, ?)",
                (service, address.to_string()),
            )?;
        }
        Record::RemoveAllocation(service) => {
            to.execute("DELETE FROM catalog_allocations WHERE service = ?", [service])?;
        }
        Record::PutName(name, number) => {
            to.prepare("INSERT OR REPLACE INTO catalog_names (name, number) VALUES (?, ?)")?
                .execute((name, number))?;
        }
        Record::RemoveName(name) => {
            to.prepare("DELETE FROM catalog_names WHERE name = ?")?.execute([name])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use catalog::{Endpoint, Execution, Facts, Location, Protocol};
    use model::{BackendHost, Scheme};

    use super::*;
    use crate::{HistoryBounds, Store};

    fn identity(service: &str) -> Identity {
        Identity::alone(service).unwrap()
    }

    fn entry(service: &str, source: Source, facts: Facts) -> StoredEntry {
        StoredEntry {
            identity: identity(service),
            source,
            id: "7d444840-9dc0-4d5b-8a4e-0a3c2b0f6f5e".into(),
            facts: Arc::new(facts),
            state: State::Stopped,
            state_since: UnixMillis(4),
            registered_at: UnixMillis(1),
            updated_at: UnixMillis(2),
            last_seen: Some(UnixMillis(3)),
            given: None,
        }
    }

    /// With every field in use.
    fn full(execution: Execution) -> Facts {
        let mut named =
            Endpoint::new("b", BackendHost::Name("b.test".into()), 2, Protocol::Url(Scheme::Wss));
        named.metadata = vec![("k".into(), "v|\"".into()), ("a".into(), String::new().into())];
        let ip = BackendHost::Ip("fd00::1".parse().unwrap());
        Facts {
            endpoints: vec![named, Endpoint::new("a", ip, 1, Protocol::Other("amqp".into()))],
            version: Some("1.0".into()),
            description: Some("für alle".into()),
            namespace: Some("n".into()),
            metadata: Some(r#"{"a":[1,null]}"#.into()),
            depends_on: vec![ServiceName::parse("db").unwrap()],
            execution: Some(execution),
            location: Location::Remote {
                host: "h".into(),
                ssh_user: "deploy".into(),
                ssh_port: 2222,
            },
            is_draining: false,
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let text = |text: &str| Box::<str>::from(text);
        let executions = [
            Execution::ManagedProcess {
                pid: Some(7),
                command: text("/bin/x"),
                args: vec![text("-a")],
            },
            Execution::DockerContainer { container_id: None, image: text("i"), name: text("n") },
            Execution::SystemdService { unit_name: text("x.service") },
            Execution::SystemdPortable { image_name: text("i"), unit_name: text("u") },
        ];
        let given =
            Given { peer: "::1".parse().unwrap(), address: [10, 0, 0, 100].into(), port: 9000 };
        let mut records: Vec<_> = executions
            .into_iter()
            .zip(["a", "b", "c", "d"])
            .map(|(execution, name)| Record::Put(entry(name, Source::Api, full(execution))))
            .collect();
        records.extend([
            Record::Put(entry("a", Source::Manual, Facts::default())),
            Record::Put(StoredEntry {
                given: Some(given),
                ..entry("h", Source::Heartbeat, Facts::default())
            }),
            Record::PutAllocation("a".into(), [10, 42, 0, 2].into()),
            Record::PutAllocation("b".into(), [10, 42, 0, 3].into()),
            Record::PutName("a".into(), 1),
            Record::PutName("b".into(), 2),
            Record::PutName("c".into(), 3),
        ]);
        let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
        store.catalog().write(records.clone()).await.unwrap();
        let later = vec![
            Record::Remove(identity("d"), Source::Api),
            Record::Put(StoredEntry {
                last_seen: None,
                ..entry("c", Source::Api, Facts::default())
            }),
            Record::RemoveAllocation("b".into()),
            Record::PutName("a".into(), 4),
            Record::RemoveName("c".into()),
        ];
        store.catalog().write(later.clone()).await.unwrap();
        store.close().unwrap();

        let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
        let mut expected = Image::default();
        records.iter().chain(&later).for_each(|record| expected.apply(record));
        let by_key = |entry: &StoredEntry| (entry.identity.clone(), entry.source.as_str());
        expected.entries.sort_by_key(by_key);
        assert_eq!(store.catalog().load().await.unwrap(), expected);
        store.close().unwrap();
    }

    #[tokio::test]
    async fn a_row_that_was_tampered_with_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        #[rustfmt::skip]
        let table = [
            ("facts = 'x'",                "facts"),
            ("facts = '{\"x\":1}'",        "facts"),
            ("facts = '{\"endpoints\":[{\"name\":\"a\",\"host\":\"a b\",\"port\":1,\"protocol\":\"tcp\"}]}'", "host"),
            ("state = 'up'",               "state"),
            ("peer = 'x'",                 "what was handed out"),
            ("service = ''",               "service"),
        ];
        for (change, what) in table {
            let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
            let put = Record::Put(entry("web", Source::Manual, Facts::default()));
            store.catalog().write(vec![put]).await.unwrap();
            let rows = store.catalog();
            let done = rows.0.ask(move |connection| {
                connection.execute(&format!("UPDATE catalog_entries SET {change}"), [])
            });
            done.await.unwrap();
            let error = store.catalog().load().await.unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("catalog_entries"), "{error}");
            let swept =
                rows.0.ask(|connection| connection.execute("DELETE FROM catalog_entries", []));
            swept.await.unwrap();
            store.close().unwrap();
        }
    }
}
