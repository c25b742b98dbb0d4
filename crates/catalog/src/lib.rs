//! Who exists, said by which source, on which lease (SPEC 1, 7).
//!
//! Every way of registering feeds one [`Catalog`], and every way of asking reads one [`View`] of
//! it. Identity is service and instance. Several sources may speak about one identity: the one
//! with the highest precedence is believed, and what it says is shown once. When it falls silent,
//! the next one is believed.
//!
//! ```
//! use proxyd_catalog::{Catalog, Config, Endpoint, Facts, Identity, Protocol, Source};
//! use model::{BackendHost, Now};
//!
//! let mut catalog = Catalog::new(Config::default(), [7; 32]);
//! let dev = Identity::alone("dev").unwrap();
//! let here = BackendHost::Ip([127, 0, 0, 1].into());
//! let facts = |port| Facts {
//!     endpoints: vec![Endpoint::new("dev", here.clone(), port, Protocol::Tcp)],
//!     ..Facts::default()
//! };
//! catalog.put(&dev, Source::File, facts(1), Now::default()).unwrap();
//! catalog.put(&dev, Source::Manual, facts(2), Now::default()).unwrap();
//! let shown = catalog.view().service("dev").unwrap();
//! assert_eq!(shown.endpoints()[0].endpoint.port, 2);
//! assert_eq!(catalog.view().len(), 1);
//! ```

mod catalog;
mod change;
mod departed;
mod entry;
mod health;
mod id;
mod names;
mod pool;
mod record;
mod seat;
mod state;
mod topology;
mod view;

pub use catalog::{Catalog, Config, Refusal};
pub use change::{CHANGES_MAX, Change, What};
pub use entry::{
    ENDPOINTS_MAX, Endpoint, Execution, Facts, FactsError, Identity, Location, Protocol, Source,
    TEXT_BYTES_MAX,
};
pub use health::{Check, Finding, Health, Place};
pub use pool::{ADDRESSES_MAX, AddressPool, PoolError, PortPool, SubnetError, check_subnet};
pub use record::{About, Expired, Given, Image, Record, StoredEntry};
pub use state::{State, TransitionError};
pub use topology::{INTERFACES_MAX, Interface, NetworkKind, Topology};
pub use view::{Instance, Lease, Reachable, Service, Standing, View};
