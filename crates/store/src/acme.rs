//! What is remembered about certificate authorities.
//!
//! Not a part of [`model::Image`]: no session owns it, and nothing of it is published. Whoever
//! orders certificates reads it once and writes what changed, each time as a whole and to the disk
//! before it goes on.

use std::fmt;

use model::UnixMillis;
use rusqlite::{Connection, Row, Transaction};

use crate::ask::{AskError, Asking};

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeRows {
    /// One for each authority.
    pub accounts: Vec<AcmeAccount>,
    /// One for each name.
    pub certificates: Vec<AcmeCertificate>,
    /// Oldest first.
    pub ledger: Vec<AcmeEntry>,
    /// One for each name.
    pub orders: Vec<AcmeOrder>,
}

/// Who we are to an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// The authority.
    pub directory: Box<str>,
    /// The private key of the account.
    pub key: Box<str>,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeCertificate {
    /// For whom.
    pub name: Box<str>,
    /// Who gave it.
    pub directory: Box<str>,
    /// PEM, the server's own certificate first.
    pub chain: Box<str>,
    /// PEM.
    pub key: Box<str>,
    /// Valid until then.
    pub not_after: UnixMillis,
}

/// An order that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeEntry {
    /// Larger than those of earlier ones.
    pub number: u64,
    /// With whom.
    pub directory: Box<str>,
    /// For whom.
    pub name: Box<str>,
    /// When.
    pub at: UnixMillis,
    /// What became of it.
    pub fate: AcmeFate,
    /// No other one before.
    pub until: UnixMillis,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeFate {
    /// Unknown.
    Open,
    /// No certificate.
    Failed,
    /// A certificate.
    Issued,
}

/// An order that is placed and not finished.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeOrder {
    /// For whom.
    pub name: Box<str>,
    /// Its entry.
    pub number: u64,
    /// With whom.
    pub directory: Box<str>,
    /// Where it can be asked about.
    pub url: Box<str>,
    /// PEM: the private key that the certificate will be for.
    pub key: Box<str>,
    /// When.
    pub at: UnixMillis,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcmeChange {
    /// In place of the one there.
    PutAccount(AcmeAccount),
    /// In place of the one for the name.
    PutCertificate(AcmeCertificate),
    /// In place of the one with the number.
    PutEntry(AcmeEntry),
    /// In place of the one for the name.
    PutOrder(AcmeOrder),
    /// The one for the name.
    RemoveOrder(Box<str>),
    /// Entries made before this time.
    ForgetEntries(UnixMillis),
    /// Certificates that were valid until before this time.
    ForgetCertificates(UnixMillis),
}

/// Reads and writes what is remembered about authorities. Cheap to clone; does not keep the store
/// open.
#[derive(Clone, Debug)]
pub struct Acme(pub(crate) Asking);

impl Acme {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub async fn load(&self) -> Result<AcmeRows, AskError> {
        // A store that forgets everything has forgotten everything.
        Ok(self.0.ask(load).await?.unwrap_or_default())
    }

    /// Writes all of these or none. What was answered is on the disk.
    ///
    /// # Errors
    ///
    /// [`AskError`]; nothing changed.
    pub async fn write(&self, changes: Vec<AcmeChange>) -> Result<(), AskError> {
        self.0
            .ask(move |connection| write(connection, &changes))
            .await
            .map(Option::unwrap_or_default)
    }
}

fn load(connection: &Connection) -> rusqlite::Result<AcmeRows> {
    fn rows<T>(
        connection: &Connection,
        sql: &str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        connection.prepare(sql)?.query_map([], read)?.collect()
    }
    Ok(AcmeRows {
        accounts: rows(connection, "SELECT directory, key FROM acme_accounts", |row| {
            Ok(AcmeAccount { directory: row.get(0)?, key: row.get(1)? })
        })?,
        certificates: rows(
            connection,
            "SELECT name, directory, chain, key, not_after FROM acme_certificates ORDER BY name",
            |row| {
                Ok(AcmeCertificate {
                    name: row.get(0)?,
                    directory: row.get(1)?,
                    chain: row.get(2)?,
                    key: row.get(3)?,
                    not_after: UnixMillis(row.get(4)?),
                })
            },
        )?,
        ledger: rows(
            connection,
            "SELECT number, directory, name, at, fate, until FROM acme_ledger ORDER BY number",
            |row| {
                Ok(AcmeEntry {
                    number: row.get(0)?,
                    directory: row.get(1)?,
                    name: row.get(2)?,
                    at: UnixMillis(row.get(3)?),
                    fate: AcmeFate::of(&row.get::<_, String>(4)?),
                    until: UnixMillis(row.get(5)?),
                })
            },
        )?,
        orders: rows(
            connection,
            "SELECT name, number, directory, url, key, at FROM acme_orders ORDER BY name",
            |row| {
                Ok(AcmeOrder {
                    name: row.get(0)?,
                    number: row.get(1)?,
                    directory: row.get(2)?,
                    url: row.get(3)?,
                    key: row.get(4)?,
                    at: UnixMillis(row.get(5)?),
                })
            },
        )?,
    })
}

/// The writer has no transaction open between two groups of batches.
fn write(connection: &Connection, changes: &[AcmeChange]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    changes.iter().try_for_each(|change| write_one(&transaction, change))?;
    transaction.commit()
}

fn write_one(to: &Transaction<'_>, change: &AcmeChange) -> rusqlite::Result<()> {
    match change {
        AcmeChange::PutAccount(AcmeAccount { directory, key }) => to.execute(
            "INSERT OR REPLACE INTO acme_accounts (directory, key) VALUES (?, ?)",
            (directory, key),
        ),
        AcmeChange::PutCertificate(row) => to.execute(
            "INSERT OR REPLACE INTO acme_certificates (name, directory, chain, key, not_after)
             VALUES (?, ?, ?, ?, ?)",
            (&row.name, &row.directory, &row.chain, &row.key, row.not_after.0),
        ),
        AcmeChange::PutEntry(row) => to.execute(
            "INSERT OR REPLACE INTO acme_ledger (number, directory, name, at, fate, until)
             VALUES (?, ?, ?, ?, ?, ?)",
            (row.number, &row.directory, &row.name, row.at.0, row.fate.text(), row.until.0),
        ),
        AcmeChange::PutOrder(row) => to.execute(
            "INSERT OR REPLACE INTO acme_orders (name, number, directory, url, key, at)
             VALUES (?, ?, ?, ?, ?, ?)",
            (&row.name, row.number, &row.directory, &row.url, &row.key, row.at.0),
        ),
        AcmeChange::RemoveOrder(name) => {
            to.execute("DELETE FROM acme_orders WHERE name = ?", [name])
        }
        AcmeChange::ForgetEntries(before) => {
            to.execute("DELETE FROM acme_ledger WHERE at < ?", [before.0])
        }
        AcmeChange::ForgetCertificates(before) => {
            to.execute("DELETE FROM acme_certificates WHERE not_after < ?", [before.0])
        }
    }
    .map(drop)
}

impl AcmeFate {
    fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Failed => "failed",
            Self::Issued => "issued",
        }
    }

    /// The table takes no other texts; of one that is there all the same nobody knows.
    fn of(text: &str) -> Self {
        match text {
            "failed" => Self::Failed,
            "issued" => Self::Issued,
            _ => Self::Open,
        }
    }
}

/// Says nothing about the key, nor do the others that hold one.
impl fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcmeAccount").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl fmt::Debug for AcmeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AcmeCertificate");
        shown.field("name", &self.name).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl fmt::Debug for AcmeOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AcmeOrder");
        shown.field("name", &self.name).field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HistoryBounds, Store};

    fn entry(number: u64, at: u64, fate: AcmeFate) -> AcmeEntry {
        let (directory, name) = ("https://ca.test/d".into(), "a.test".into());
        AcmeEntry { number, directory, name, at: UnixMillis(at), fate, until: UnixMillis(at + 1) }
    }

    fn certificate(name: &str, not_after: u64) -> AcmeCertificate {
        AcmeCertificate {
            name: name.into(),
            directory: "https://ca.test/d".into(),
            chain: "chain".into(),
            key: "a secret".into(),
            not_after: UnixMillis(not_after),
        }
    }

    fn order(number: u64) -> AcmeOrder {
        AcmeOrder {
            name: "a.test".into(),
            number,
            directory: "https://ca.test/d".into(),
            url: "https://ca.test/o/1".into(),
            key: "a secret".into(),
            at: UnixMillis(7),
        }
    }

    #[tokio::test]
    async fn what_was_answered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let account =
            |key: &str| AcmeAccount { directory: "https://ca.test/d".into(), key: key.into() };
        let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
        let acme = store.acme();
        let first = vec![
            AcmeChange::PutAccount(account("old")),
            AcmeChange::PutEntry(entry(1, 10, AcmeFate::Open)),
            AcmeChange::PutEntry(entry(2, 20, AcmeFate::Failed)),
            AcmeChange::PutOrder(order(2)),
            AcmeChange::PutCertificate(certificate("old.test", 5)),
            AcmeChange::PutCertificate(certificate("a.test", 50)),
        ];
        acme.write(first).await.unwrap();
        let second = vec![
            AcmeChange::PutAccount(account("new")),
            AcmeChange::PutEntry(entry(2, 20, AcmeFate::Issued)),
            AcmeChange::PutOrder(order(3)),
            AcmeChange::ForgetEntries(UnixMillis(20)),
            AcmeChange::ForgetCertificates(UnixMillis(6)),
        ];
        acme.write(second).await.unwrap();
        store.close().unwrap();
        assert_eq!(acme.load().await, Err(AskError::Closed));

        let (store, _) = Store::open(&path, HistoryBounds::USUAL).unwrap();
        let mut expected = AcmeRows {
            accounts: vec![account("new")],
            certificates: vec![certificate("a.test", 50)],
            ledger: vec![entry(2, 20, AcmeFate::Issued)],
            orders: vec![order(3)],
        };
        assert_eq!(store.acme().load().await.unwrap(), expected);
        assert!(!format!("{expected:?}").contains("secret"));
        store.acme().write(vec![AcmeChange::RemoveOrder("a.test".into())]).await.unwrap();
        expected.orders.clear();
        assert_eq!(store.acme().load().await.unwrap(), expected);
        store.close().unwrap();
    }

    #[tokio::test]
    async fn all_of_a_change_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&folder.path().join("db"), HistoryBounds::USUAL).unwrap();
        // SQLite counts to i64::MAX.
        let changes = vec![
            AcmeChange::PutEntry(entry(1, 10, AcmeFate::Open)),
            AcmeChange::PutEntry(entry(u64::MAX, 10, AcmeFate::Open)),
        ];
        assert!(matches!(store.acme().write(changes).await, Err(AskError::Failed(_))));
        assert_eq!(store.acme().load().await.unwrap(), AcmeRows::default());
        store.close().unwrap();
    }

    #[tokio::test]
    async fn a_store_in_memory_forgets() {
        let acme = Store::memory().acme();
        acme.write(vec![AcmeChange::PutOrder(order(1))]).await.unwrap();
        assert_eq!(acme.load().await.unwrap(), AcmeRows::default());
    }
}
