//! Who is registered, what they have staged and applied: the registry as a machine.
//!
//! A service holds a *session* over one connection. In it, it stages changes of its routes, which
//! touch nothing, and applies them, all or nothing. When the connection breaks, session and routes
//! live on for a while, so that a service that comes back in time never drops a request.
//!
//! ```text
//!   REGISTER -> held <------ Lost / RECONNECT ------> away --- resume window over ---> lapsed
//!                |                                     |                                 |
//!                |  same identity registers again      v                                 |
//!                +-----------> replaced ----- route grace over, or its successor's apply +-> ended
//!                |                                                                       ^
//!                +---------------- SHUTDOWN, CLIENT_SHUTDOWN ----------------------------+
//! ```
//!
//! It knows no socket, no clock, no disk and not how a command was spelled. What must be durable
//! before it is answered leaves as [`Output::Persist`], and state, table and answer move only when
//! [`Input::Persisted`] comes back. Operations of different sessions overlap on their way to the
//! disk; they take effect in the order in which they were sent there. Whoever has one under way
//! waits with the next.
//!
//! # Driving it
//!
//! After every call of [`Registry::handle`] and [`Registry::handle_timeout`], and after
//! [`Registry::new`], empty [`Registry::poll_output`] and carry out what it says, in order. Then
//! sleep until [`Registry::poll_timeout`] or the next input, whichever comes first. Every
//! [`Input::Line`] but a bare `ACK` is answered by exactly one [`Output::Answer`], within 4 s if
//! [`Registry::handle_timeout`] is called in time; send the next line of that connection after it.

mod answering;
mod api;
mod apply;
mod away;
mod bounds;
mod check;
mod claims;
mod commit;
mod configure;
mod connection;
mod deadline;
mod diff;
mod dispatch;
mod draft;
mod drain;
mod effects;
mod ending;
mod events;
mod flight;
mod grants;
mod handover;
mod health;
mod ids;
mod image;
mod immediate;
mod list;
mod live;
mod maintenance;
mod note;
mod overlay;
mod peers;
mod permission;
mod plan;
mod presence;
mod query;
mod reconnect;
mod register;
mod registry;
mod released;
mod restore;
mod settings;
mod staged_routes;
mod staging;
mod state;
mod tombstones;
mod trial;

pub mod fuzz;

pub use api::{
    Config, Effects, Input, MEMBER_BACKENDS_MAX, Member, Mode, Output, Peer, Query, QueryId,
};
pub use bounds::{
    HEADERS_PER_TARGET_MAX, MAINTENANCE_ITEMS_MAX, OFFERS_PER_SESSION_MAX, STAGED_BYTES_MAX,
    STAGED_BYTES_TOTAL_MAX, TOMBSTONES_MAX, WAITING_MAX, WATCHES_PER_CONNECTION_MAX,
};
pub use grants::{Credential, Grants, NotGranted, ServicePattern};
pub use note::Note;
pub use registry::Registry;
