//! Packages of services, made from folders.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use package::{Limits, build_folder};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// Packages of services.
#[derive(Debug, Subcommand)]
pub(crate) enum Package {
    /// Pack a folder with a manifest, bin/ and scripts/ into one file.
    Build(Build),
}

/// What is packed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Build {
    /// The folder with the manifest in it.
    folder: PathBuf,
    /// Where the package goes; otherwise NAME-VERSION.tar.gz in the working directory.
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(command: &Package, output: &Output) -> Result<(), Failure> {
    let Package::Build(build) = command;
    let built = build_folder(&build.folder, build.output.as_deref(), &Limits::default());
    let built = built.map_err(|error| Failure::Other(error.to_string()))?;
    let file = built.file.display().to_string();
    output.write(&if output.is_json() {
        format!("{}\n", json!({ "ok": true, "data": { "file": file } }))
    } else {
        format!("{file}\n")
    })
}
