//! An immutable routing table, and the decision for one request.
//!
//! A [`Table`] is a value: the routes of all services at one generation. [`Table::with`] makes the
//! next one and shares with it whatever did not change, so that one more route costs the same in
//! a table of ten and of a hundred thousand. [`decide`] says where a request goes, and
//! [`explain`] how it came to that.
//!
//! ```text
//! host:  exact name  >  *.suffix  >  **.suffix, longest first  >  *
//! path:  highest priority, then exact before prefix and raw, then the longest
//! pool:  every instance of the service that owns the key
//! pick:  connected endpoints, then those that lost their connection, then new ones, then those
//!        that drain to nothing, then those that failed
//! ```
//!
//! Less specific hosts are asked only when no path of the more specific ones matches. Two keys
//! never tie: of one host pattern, one kind and one length only one path can match.
//!
//! Nothing here knows a socket, a clock or a random source. What is known about endpoints comes
//! in through [`Live`], under ids that survive every apply that does not change the endpoint.

mod balance;
mod change;
mod decide;
mod endpoints;
mod entry;
mod explain;
mod hash;
mod host;
mod hosts;
mod live;
mod paths;
mod pool;
mod table;
mod tombstones;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod naive;

pub use balance::choose;
pub use decide::{Choice, Decision, Head, Sticky, Unavailable, decide};
pub use entry::{Conflict, Edit, Entry, RouteKey, keys};
pub use explain::explain;
pub use hash::{Fixed, Folding};
pub use live::{EndpointHealth, EndpointId, EndpointView, Live};
pub use pool::{Member, Pool};
pub use table::{Changed, RouteChange, Table};
