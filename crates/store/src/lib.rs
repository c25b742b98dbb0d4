//! Remembers the registry across restarts.
//!
//! One SQLite file, written by one thread. The owner of the session machine hands in
//! [`model::Batch`]es and gets a [`Report`] for each: durable as a whole, or not at all and why.
//! Batches that wait together share one transaction and one flush of the disk.
//!
//! ```text
//!   Store::open -> Image                     at start, once
//!   Store::submit(batch) ---> writer thread: BEGIN, batch, batch, ..., COMMIT
//!   Store::reported()    <--- (seq, Ok | Err) for each
//!   Store::close                             whatever was handed in is on disk
//! ```
//!
//! Beside the registry it keeps what is known about certificate authorities, for whoever orders
//! certificates: [`Acme`]; and what the catalog remembers: [`CatalogRows`].
//!
//! It knows rows and no rules: what a record means is [`model::Image::apply`], and a store is right
//! when what it loads is what that function makes of the same records.

mod acme;
mod ask;
mod catalog;
mod database;
mod form;
mod history;
mod load;
mod lock;
mod schema;
mod statements;
mod store;
#[cfg(test)]
mod tests;
mod write;

pub use acme::{
    Acme, AcmeAccount, AcmeCertificate, AcmeChange, AcmeEntry, AcmeFate, AcmeOrder, AcmeRows,
};
pub use ask::AskError;
pub use catalog::CatalogRows;
pub use history::{HistoryBounds, HistoryEntry};
pub use schema::OpenError;
pub use store::{History, HistoryError, Report, Store, WAITING_MAX};
