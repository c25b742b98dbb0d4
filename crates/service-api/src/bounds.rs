//! How much there may be, and how long it may take.

use std::time::Duration;

/// Connections at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// Of these, from one address; loopback is exempt.
pub const CONNECTIONS_PER_PEER_MAX: usize = 256;
/// Handshakes, of TLS and WebSocket together, under way at once: a thousand clients come back
/// together, and those who never finish leave places for others.
pub const HANDSHAKES_MAX: usize = 2048;
/// Of these, from one address; loopback is exempt.
pub const HANDSHAKES_PER_PEER_MAX: usize = 64;
/// For both handshakes, from the connection to their end.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest message of a client, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// For one message to be taken by its reader.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that says nothing for this long is asked whether it is there.
pub const PING_EVERY: Duration = Duration::from_secs(30);
/// Questions without any word in between after which it counts as gone.
pub const PINGS_UNANSWERED_MAX: u32 = 2;
/// Deployments that one connection may wait for at once.
pub const DEPLOYMENTS_MAX: usize = 4;
/// Steps of deployments that are kept for those who listen.
pub const PROGRESS_KEPT: usize = 256;
/// Networks are read again so long after the first word of the system about a change, together
/// with whatever else changes until then.
pub const TOPOLOGY_DEBOUNCE: Duration = Duration::from_millis(200);

/// For connections to take their leave when the listener ends.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);
/// For a peer that is cut off to hear why.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// What is read at once. Most connections listen and say little.
pub(crate) const READ_BYTES: usize = 4 << 10;
/// Deployments that wait for whoever carries them out.
pub(crate) const DEPLOYMENTS_WAITING_MAX: usize = 16;
