//! How much there may be of everything that [`Config`](crate::Config) does not set.

use std::time::Duration;

/// Staged changes of one session, in bytes as they would be written.
pub const STAGED_BYTES_MAX: usize = 32 << 20;
/// Staged changes of all sessions, in bytes.
pub const STAGED_BYTES_TOTAL_MAX: usize = 256 << 20;
/// Header settings of one route, or of `ALL`, in one session.
pub const HEADERS_PER_TARGET_MAX: usize = 100;
/// Things named by all maintenance orders of one session.
pub const MAINTENANCE_ITEMS_MAX: usize = 4096;
/// Offers of routes to other services by one session.
pub const OFFERS_PER_SESSION_MAX: usize = 64;
/// Keys without routes that are still known (SPEC 12, "Applying").
pub const TOMBSTONES_MAX: usize = 10_000;
/// Commands that wait while their session has an operation under way.
pub const WAITING_MAX: usize = 64;
/// Sessions that one operator's connection watches.
pub const WATCHES_PER_CONNECTION_MAX: usize = 1024;

/// A command is answered within this time (SPEC 2.1).
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Maintenance is reported as live after this time, whatever still runs (SPEC 4).
pub(crate) const LIVE_WITHIN: Duration = Duration::from_secs(3);
/// The answer of a v1 MAINT_* comes this long after the command at the latest: before it would be
/// an error.
pub(crate) const LIVE_ANSWER_WITHIN: Duration = Duration::from_millis(3800);
/// A connection without a session is closed after this time (SPEC 2.1).
pub(crate) const IDLE: Duration = Duration::from_secs(300);
/// A session that used to ping may be silent for this time (SPEC 2.1).
pub(crate) const SILENCE: Duration = Duration::from_secs(300);
/// From this many pings on, silence means something (SPEC 2.1).
pub(crate) const PINGS_MIN: u32 = 3;
/// Silence of this many of its own intervals means something (SPEC 2.1).
pub(crate) const SILENT_INTERVALS: u32 = 5;
/// `config_expiring` is sent this long before.
pub(crate) const EXPIRY_WARNING: Duration = Duration::from_secs(60);
/// An offer of a handover lasts this long.
pub(crate) const OFFER_LASTS: Duration = Duration::from_secs(600);
/// A key without routes is known this long (SPEC 3).
pub(crate) const TOMBSTONE_LASTS: Duration = Duration::from_secs(600);
/// Route ids that are remembered as taken before staging gives them out.
pub(crate) const ROUTE_ID_BLOCK: u64 = 1000;
/// Entries of one page of ROUTE_LIST: more never fit.
pub(crate) const PAGE_ENTRIES_MAX: usize = 1024;
/// Sessions in one answer; the rest are counted.
pub(crate) const SESSIONS_SHOWN_MAX: usize = 200;
/// Routes named in one event.
pub(crate) const EVENT_ROUTES_MAX: usize = 1000;
/// Faults named in one answer; the rest are counted.
pub(crate) const FAULTS_SHOWN_MAX: usize = 20;
/// Routes told to the log one by one when many are applied together.
pub(crate) const ROUTES_NOTED_MAX: usize = 100;
