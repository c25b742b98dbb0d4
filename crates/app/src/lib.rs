//! Reads the configuration, joins the parts, runs and drains them.
//!
//! The parts do not know each other: the registry's task hands out effects, the data plane takes
//! tables and gives notices, the store reports. Here is where they are wired, so that a binary is
//! a command line and a test can start a whole proxy.

mod admin;
mod certificates;
mod config;
mod demo;
mod deployments;
mod dialects;
mod dialects_counted;
mod issuing;
mod kept;
mod log;
mod operators;
mod ports;
mod registry_tls;
mod run;
mod wiring;

pub use self::config::{
    AcmeConfig, AdminConfig, Config, ConfigError, DialectsConfig, Flags, Purpose, show,
};
pub use certificates::CertificateError;
pub use demo::{demo, demo_instance};
pub use log::{LogFormat, log};
pub use ports::Bound;
pub use run::{RunError, run};

/// What the running proxy can really do; the rest is answered `ERROR|not supported yet`.
pub const EFFECTS: session::Effects = session::Effects::ALL;
