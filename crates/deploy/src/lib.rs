//! Brings a service package to a host over SSH, and takes it back if it is not well there.
//!
//! ```text
//!   check -> connect -> requires -> upload -> unpack -> stop_old -> switch -> start -> health -> clean
//!                                                          \___________________________/
//!                                                            |  whatever fails in here
//!                                                         rollback: stop the new, switch back, start the old
//! ```
//!
//! Everything up to `unpack` leaves what runs alone. From `stop_old` on, one script on the host does
//! the rest: it tells us its steps, but it needs neither us nor the connection to come to its end, so
//! that a proxy that is killed in the middle leaves a host with the new version well or the old one
//! running. After a broken connection we ask the host how it ended.
//!
//! `<root>/<name>-<version>` holds a version, the link `<root>/<name>` leads to the one that runs,
//! and changes by one rename. A folder or link that no deployment made is never touched.
//!
//! # Why the system's `ssh`
//!
//! A client in this process would bring about seventy crates, several of them before their first
//! release, into every build, for a thing that is off until hosts are named. The program is there
//! wherever somebody deploys over SSH, gets its security updates from the system, and reads every
//! kind of key. It gets nothing from the user's configuration: no agent, no shared connections, no
//! known hosts but the one key that is pinned. The price is that an image without a system needs the
//! package `openssh-client`; [`Deployer::new`] says so.
//!
//! # Parts
//!
//! The plan is a value: which scripts, in which order, with what bound in time. Words of a manifest get
//! into scripts as quoted variables only. What the host says is read line by line into
//! [`Progress`], bounded and without control characters.

mod deployer;
mod failed;
mod heard;
mod host;
mod job;
mod known;
mod plan;
mod ssh;
mod step;

pub use deployer::{BadSettings, Deployer, Deployment, Refused, Settings};
pub use failed::Failed;
pub use host::{BadHost, Host, HostKey, Root};
pub use plan::Times;
pub use step::{Progress, Step, Subject};
