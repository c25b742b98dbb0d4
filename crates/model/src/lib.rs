//! The words all crates share.
//!
//! Names and identities, what a route is and what may be set on it, and the one language that
//! every front door translates into: [`Request`], [`Reply`], [`Event`]. Types here cannot hold
//! nonsense: a [`HostPattern`] was parsed, a [`BackendUrl`] has a host. Nothing here knows how a
//! word is spelled on a wire, on disk or in a file, and nothing here does anything.

mod calendar;
mod config;
mod event;
mod header;
mod host;
mod id;
mod image;
mod option;
mod path;
mod record;
mod refusal;
mod reply;
mod request;
mod spec;
mod time;
mod url;

pub use config::{Draft, HeaderSetting, RouteConfig, Settings, SettingsEdits, StagedRoute};
pub use event::{Event, EventKind, Push};
pub use header::{HeaderAction, HeaderError, HeaderKey, HeaderRule, HeaderSide};
pub use host::{HostError, HostPattern, normalize_authority};
pub use id::{
    ConnId, Generation, IdError, InstanceName, RouteId, ServiceName, SessionId, TxnId, Version,
};
pub use option::{Balance, FailureClass, OptionKey, OptionValue, RouteOptions};
pub use path::{MatchKind, NormalPath, PathError, RoutePath, name_segment, normalize_path};
pub use record::{
    Batch, DrainRow, HistoryRow, Image, MaintenanceRow, Record, SessionRow, StoredSession, TryRow,
};
pub use refusal::{Reason, Refusal};
pub use reply::{
    Answer, BackendReport, CircuitReport, DiffReport, DrainReport, ExplainCandidate,
    ExplainEndpoint, ExplainReport, MaintenanceEntry, MaintenanceReport, Reply, RouteListEntry,
    RouteListing, RouteStatus, SessionListEntry, SessionListing, SessionReport, SessionState,
    StagedFields, StatsReport,
};
pub use request::{
    Guard, Line, MaintenanceTarget, Registration, Request, RouteUpdate, Scope, Scopes, TargetItem,
};
pub use spec::{BreakerSpec, HealthProbe, HealthSpec, LimitSpec, RouteSpec, Target};
pub use time::{Instant, Now, UnixMillis};
pub use url::{BackendHost, BackendUrl, Scheme, UrlError};
