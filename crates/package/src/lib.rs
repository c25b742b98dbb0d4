//! A service as one file, `name-version.tar.gz`: what is in it, how it is made, what it may not be.
//!
//! ```text
//!   manifest.yaml         or manifest.toml: name, version, what it needs, how its health is asked
//!   bin/...               programs
//!   scripts/start.sh      starts the service and returns
//!   scripts/stop.sh       ends it; succeeds when nothing runs
//!   ...                   anything else
//! ```
//!
//! [`build`] and [`build_folder`] make one: the same files give the same bytes. [`inspect`] reads one
//! that may be hostile, and [`rewrite`] does so too and writes it again in the one form that we
//! write. Whoever unpacks unpacks that, so it does not matter that programs read odd archives in
//! different ways.
//!
//! Where a package goes, and how, is not known here. Only [`build_folder`] touches files; everything
//! else is bytes in and bytes out.

mod build;
mod contents;
mod error;
mod folder;
mod limits;
mod manifest;
mod path;
mod read;
mod text;

pub use build::{Content, Source, build};
pub use contents::Package;
pub use error::PackageError;
pub use folder::{Built, build_folder};
pub use limits::Limits;
pub use manifest::{Format, Health, Manifest, ManifestError, Port, Requires, Service};
pub use path::{EntryPath, PathError};
pub use read::{inspect, rewrite};
pub use text::{Id, Needed, Seconds, TextError};
