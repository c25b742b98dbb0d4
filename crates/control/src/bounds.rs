//! How much there may be, and how long it may take.

use std::time::Duration;

/// Connections at once, those of operators excepted (SPEC 12).
pub const CONNECTIONS_MAX: usize = 50_000;
/// Of these, from one address; loopback is exempt (SPEC 12).
pub const CONNECTIONS_PER_PEER_MAX: usize = 10_000;
/// New connections per second from one address, in the long run; loopback is exempt.
pub const CONNECTS_PER_SECOND_MAX: u32 = 100;
/// New connections from one address at once: all instances of a machine come back together.
pub const CONNECTS_AT_ONCE_MAX: u32 = 2_000;
/// Connections of operators at once: they get in when everything else is full.
pub const OPERATORS_MAX: usize = 64;
/// Lines nobody asked for that wait for one connection. One more cuts it off (SPEC 10).
pub const PUSHES_WAITING_MAX: usize = 256;
/// From the first byte of a line to its line feed (SPEC 2.1).
pub const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// TLS handshakes under way at once.
pub const HANDSHAKES_MAX: usize = 512;
/// Of these, from one address; loopback is exempt.
pub const HANDSHAKES_PER_PEER_MAX: usize = 128;
/// For a TLS handshake, from the connection to its end.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For what is written at once to be taken by its reader.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses whose pace is watched one by one; all further ones share one account.
pub(crate) const PACED_PEERS_MAX: usize = 16_384;
/// Addresses that have not come for a while are forgotten this often.
pub(crate) const PACE_SWEEP: Duration = Duration::from_secs(10);

/// A peer silent for this long is probed (SPEC 2.1).
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(30);
/// Wrong tokens until the connection is closed.
pub(crate) const AUTH_FAILURES_MAX: u32 = 3;
/// Commands that wait for the machine, of all connections.
pub(crate) const LINES_WAITING_MAX: usize = 4096;
/// What happened in the world that waits for the machine.
pub(crate) const ORDERS_WAITING_MAX: usize = 1024;
/// Inputs of one kind that are taken before it is the turn of the others.
pub(crate) const TURN: usize = 64;
/// Answers are written together up to about so many bytes.
pub(crate) const FLUSH_BYTES: usize = 64 << 10;
/// Answers that are ready wait so long for the next one, in case it is ready as well.
pub(crate) const COALESCE: Duration = Duration::from_millis(1);
/// After the system refused a socket for want of descriptors or memory.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// What is read at once.
pub(crate) const READ_BYTES: usize = 16 << 10;
/// For a peer to take the last words and close as well.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Of what such a peer still sends.
pub(crate) const LINGER_BYTES_MAX: usize = 1 << 20;
