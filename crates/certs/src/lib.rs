//! Which certificate for which name (SPEC 6).
//!
//! [`Pair`] is a certificate and its key, parsed and found to belong together; [`Certificates`] is
//! an immutable set of them, looked up by name. [`Resolver`] answers handshakes from the latest
//! set that was published, over TCP and over QUIC, so that swapping one pointer renews both and no
//! handshake waits. [`Watcher`] reads pairs from files, and again when they change.
//!
//! ```text
//!   files -> Watcher -> pairs -> Certificates -> runtime::Snapshot -> Resolver -> handshakes
//! ```
//!
//! [`Challenges`] are answers to certificate authorities that want to see whether a name leads here.
//!
//! [`Fault`] is why a handshake came to nothing.
//!
//! Nothing here knows a route or opens a socket. Who asks for certificates, and who is told that
//! one was renewed, is decided elsewhere.

mod certificates;
mod challenge;
mod client_files;
mod client_name;
mod fault;
mod files;
mod leaf;
mod pair;
mod resolver;
mod self_signed;
mod server;
mod watch;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod handshake_tests;
#[cfg(test)]
mod pair_tests;

pub use certificates::{Certificates, Covered};
pub use challenge::{Answered, Challenge, ChallengeError, Challenges};
pub use client_files::ClientFilesError;
pub use client_name::ClientName;
pub use fault::{Fault, HANDSHAKE_RECORD};
pub use files::{LoadError, PairPaths};
pub use pair::{Fingerprint, Pair, PairError, Validity};
pub use resolver::Resolver;
pub use rustls::ServerConfig;
pub use rustls::pki_types::CertificateDer;
pub use self_signed::{SelfSigned, SelfSignedError, self_signed};
pub use server::{ClientRoots, Clients, RootsError, ServerError, ServerOptions};
pub use watch::{Reloaded, Watcher};
