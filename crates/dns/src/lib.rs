//! Every catalogued service by name: a DNS server that answers from the catalog's snapshot.
//!
//! [`Zone`] says under which name, [`respond`] is the whole of answering as a function of bytes,
//! zone and snapshot, and [`Server`] puts it on a UDP and a TCP socket of one number. What a name
//! means is in `names`, what is said about it in `answer`, how it is written in `message`.
//!
//! Messages, names and records are those of `hickory-proto`. `hickory-server` was measured first
//! and left out, not for its speed, which would do (130 000 answers per second of CPU time, of one
//! that was fixed; 153 000 here, from the catalog): its listeners start a task for every datagram
//! and take any number of TCP connections, and neither can be bounded from outside; and it logs
//! two lines for each answer. The loops here answer without a task, read datagrams until there are
//! none, and hold every bound in `bounds`.

mod answer;
mod bind;
mod bounds;
pub mod fuzz;
mod message;
mod names;
mod outcome;
mod records;
mod server;
mod tcp;
mod udp;
mod zone;

pub use bind::BindError;
pub use message::{Transport, respond};
pub use outcome::Became;
pub use server::{Server, Settings};
pub use zone::{Zone, ZoneError};

#[cfg(test)]
mod tests;
