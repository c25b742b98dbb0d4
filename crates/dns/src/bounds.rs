//! Bounds that are no settings.

use std::time::Duration;

use door::Bounds;

/// Most records of one kind in an answer. Which of more are named turns with each question.
pub(crate) const RECORDS_MAX: usize = 64;
/// Most texts of one TXT record, and their bytes in all.
pub(crate) const TEXTS_MAX: usize = 32;
pub(crate) const TEXT_BYTES_MAX: usize = 1024;
/// A record without its data, whose name is that of the question: a pointer, type, class, time to
/// live and length (RFC 1035, 4.1).
pub(crate) const RECORD_BYTES: usize = 12;
/// TXT records of one answer, in bytes, so that it fits a message over TCP, which has 65 535: the
/// rest is for the head, the longest question and EDNS. Instances that do not fit whole are left out.
pub(crate) const TEXT_ANSWER_BYTES_MAX: usize = 65_000;
/// The longest text that DNS has.
pub(crate) const ONE_TEXT_BYTES_MAX: usize = 255;

/// The largest question that is read; none that makes sense comes near it.
pub(crate) const QUESTION_BYTES_MAX: usize = 4096;
/// Records that may follow a question: EDNS, and a signature that nobody checks.
pub(crate) const QUESTION_ADDITIONAL_MAX: u16 = 4;
/// An answer over UDP to who says nothing about sizes (RFC 1035, 4.2.1).
pub(crate) const PLAIN_BYTES_MAX: u16 = 512;
/// The largest answer over UDP whatever is asked for: it is not cut into fragments on the way
/// (DNS flag day 2020).
pub(crate) const UDP_BYTES_MAX: u16 = 1232;

/// Questions answered in one go before other tasks have their turn.
pub(crate) const BATCH_MAX: usize = 64;
/// Datagrams that wait in the kernel, in bytes.
pub(crate) const DATAGRAM_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// TCP connections, all and of one peer; loopback counts for all only.
pub(crate) const CONNECTIONS: Bounds =
    Bounds { connections_max: 512, connections_per_peer_max: 16 };
/// A connection without a question is closed after this, and may take this long for a question or
/// an answer.
pub(crate) const TCP_IDLE: Duration = Duration::from_secs(10);
pub(crate) const TCP_STEP: Duration = Duration::from_secs(5);

/// Clients whose rate is remembered. Those that come when there is no room share one account.
pub(crate) const PACED_CLIENTS_MAX: usize = 10_000;
/// How often accounts that are full again are thrown away.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Names that an answer leads through, from service to service.
pub(crate) const ALIASES_MAX: usize = 8;
