//! A catalog of one's own, in one's own process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use catalog::{Config, Image};
use discovery::{Changes, Feed, Handle};
use model::ServiceName;
use runtime::Clock;
use store::{HistoryBounds, Store};

use crate::api::{self, Allocation};
use crate::entry::ServiceEntry;
use crate::error::Error;
use crate::fault::Fault;

/// Services, as they register. Cheap to clone; the file is closed with the last one, and nothing
/// that was answered is lost if it never is.
#[derive(Clone, Debug)]
pub struct Registry {
    handle: Handle,
    clock: Clock,
    _kept: Arc<Kept>,
}

/// A registry that was opened, or why it was not: what a server is started with, so that one line
/// may open it and the next one say that it failed.
#[derive(Debug)]
pub struct Opened(pub(crate) Result<Registry, Error>);

impl From<Registry> for Opened {
    fn from(registry: Registry) -> Self {
        Self(Ok(registry))
    }
}

impl From<Result<Registry, Error>> for Opened {
    fn from(opened: Result<Registry, Error>) -> Self {
        Self(opened)
    }
}

/// Closes the file, which waits for what is being written.
#[derive(Debug)]
struct Kept(Option<Store>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(Store::close) {
            tracing::error!(%error, "the registry's file was not closed");
        }
    }
}

impl Registry {
    /// Remembers what registers in this file, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], saying what to do.
    pub async fn with_persistence(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open(path, Config::default()).await
    }

    /// The same, with bounds and subnets.
    ///
    /// # Errors
    ///
    /// As [`Registry::with_persistence`].
    pub async fn open(path: impl AsRef<Path>, config: Config) -> Result<Self, Error> {
        let path: PathBuf = path.as_ref().to_owned();
        let opening = move || Store::open(&path, HistoryBounds::USUAL);
        let opened = tokio::task::spawn_blocking(opening).await;
        let opened = opened.map_err(|error| Error::Store(error.to_string()))?;
        let (store, _) = opened.map_err(|error| Error::Store(error.to_string()))?;
        let image = store.catalog().load().await;
        let image = image.map_err(|error| Error::Store(error.to_string()))?;
        Self::start(store, image, config)
    }

    /// Forgets everything with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], if the system has no randomness.
    pub fn in_memory(config: Config) -> Result<Self, Error> {
        Self::start(Store::memory(), Image::default(), config)
    }

    fn start(store: Store, image: Image, config: Config) -> Result<Self, Error> {
        let (seed, clock) = (runtime::entropy::seed()?, Clock::system());
        let rows = store.catalog();
        let (handle, _) = discovery::start(config, seed, image, rows, Feed::default(), clock);
        Ok(Self { handle, clock, _kept: Arc::new(Kept(Some(store))) })
    }

    /// The catalog itself, for all that this crate does not know.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Every service, by name.
    pub fn list_services(&self) -> Vec<ServiceEntry> {
        api::all_services(&self.handle.view())
    }

    /// One service.
    pub fn get_service(&self, name: &str) -> Option<ServiceEntry> {
        let view = self.handle.view();
        view.service(name).and_then(|service| ServiceEntry::of(service, &view, None))
    }

    /// Registers a service, in place of what was registered before; gives it as it is shown now.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn register_service(&self, entry: &ServiceEntry) -> Result<ServiceEntry, Error> {
        Ok(api::register(&self.handle, entry, None).await.map_err(Fault::from)?)
    }

    /// Takes a service back, or one of its instances.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn deregister_service(
        &self,
        name: &str,
        instance: Option<&str>,
    ) -> Result<(), Error> {
        let taken = api::deregister(&self.handle, name, instance).await;
        Ok(taken.map(drop).map_err(Fault::from)?)
    }

    /// An address in one of the configured subnets; the same service gets the same one again.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: no subnets, or all are full.
    pub async fn allocate_ip(&self, service: &str) -> Result<Allocation, Error> {
        Ok(api::allocate(&self.handle, named(service)?).await.map_err(Fault::from)?)
    }

    /// Frees the address of a service.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: it has none.
    pub async fn release_ip(&self, service: &str) -> Result<Allocation, Error> {
        Ok(api::release(&self.handle, named(service)?).await?)
    }

    /// What happens from now on.
    pub fn changes(&self) -> Changes {
        self.handle.changes()
    }
}

fn named(service: &str) -> Result<ServiceName, Fault> {
    ServiceName::parse(service).map_err(|why| Fault::new(format!("service {why}")))
}
