//! What is remembered across restarts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::UnixMillis;

use crate::{Facts, Identity, Source, State};

/// What a source said, with what the catalog added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// About whom.
    pub identity: Identity,
    /// Who said it.
    pub source: Source,
    /// A UUID, for dialects that name entries by one.
    pub id: Box<str>,
    /// What was said.
    pub facts: Arc<Facts>,
    /// What it did last.
    pub state: State,
    /// Since when.
    pub state_since: UnixMillis,
    /// When it was said first.
    pub registered_at: UnixMillis,
    /// When it was said last.
    pub updated_at: UnixMillis,
    /// When it was heard of last, or pinged.
    pub last_seen: Option<UnixMillis>,
    /// What was handed out for it.
    pub given: Option<Given>,
}

/// What the heartbeat port hands out for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Who asked for it.
    pub peer: IpAddr,
    /// The virtual address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// Whose heartbeats ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Who.
    pub identity: Identity,
    /// What was handed out, and is free again.
    pub given: Option<Given>,
    /// When the last one came.
    pub last_seen: Option<UnixMillis>,
}

/// One change of what is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// In place of what the source said before.
    Put(StoredEntry),
    /// The source says nothing about it any more.
    Remove(Identity, Source),
    /// An address of a configured subnet belongs to a service.
    PutAllocation(Box<str>, Ipv4Addr),
    /// It no longer does.
    RemoveAllocation(Box<str>),
    /// A service has this name, in lower case, or had it. The number grows with each that comes or
    /// leaves.
    PutName(Box<str>, u64),
    /// A name of so long ago that it is forgotten.
    RemoveName(Box<str>),
}

/// What a record is about: of two about the same, nothing is left of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About<'a> {
    /// What a source says of an identity.
    Entry(&'a Identity, Source),
    /// The address of a service.
    Allocation(&'a str),
    /// A name.
    Name(&'a str),
}

impl Record {
    /// What it is about.
    pub fn about(&self) -> About<'_> {
        match self {
            Self::Put(entry) => About::Entry(&entry.identity, entry.source),
            Self::Remove(identity, source) => About::Entry(identity, *source),
            Self::PutAllocation(service, _) | Self::RemoveAllocation(service) => {
                About::Allocation(service)
            }
            Self::PutName(name, _) | Self::RemoveName(name) => About::Name(name),
        }
    }
}

/// Everything that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// One for each identity and source.
    pub entries: Vec<StoredEntry>,
    /// One for each service that has an address.
    pub allocations: Vec<(Box<str>, Ipv4Addr)>,
    /// Names of services that are or were known, in lower case; those that came or left last have
    /// the highest numbers, and come last.
    pub names: Vec<(Box<str>, u64)>,
}

impl Image {
    /// Carries out one record: the plain reading, against which stores are tested.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Put(entry) => {
                self.remove(&entry.identity, entry.source);
                self.entries.push(entry.clone());
            }
            Record::Remove(identity, source) => self.remove(identity, *source),
            Record::PutAllocation(service, address) => {
                self.allocations.retain(|(held, _)| held != service);
                self.allocations.push((service.clone(), *address));
            }
            Record::RemoveAllocation(service) => {
                self.allocations.retain(|(held, _)| held != service);
            }
            Record::PutName(name, number) => {
                self.names.retain(|(held, _)| held != name);
                self.names.push((name.clone(), *number));
            }
            Record::RemoveName(name) => self.names.retain(|(held, _)| held != name),
        }
    }

    fn remove(&mut self, identity: &Identity, source: Source) {
        self.entries.retain(|held| (&held.identity, held.source) != (identity, source));
    }
}
