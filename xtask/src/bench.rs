//! Benchmarks: of single crates with criterion, and of the whole proxy against others.
//!
//! Neither is part of CI: a figure is read by a person, beside another figure of the same run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::layers;
use crate::shell::{cargo, root, run as sh, target_dir};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// The benches of our crates whose names contain `filter`.
    Crates { filter: Option<String> },
    /// `harness/bench.py` against the release binary.
    Race { harness: PathBuf, args: Vec<String> },
}

/// # Errors
///
/// A build or a bench failed, or there is no harness where one was named.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    match options {
        Options::Crates { filter } => crates(filter.as_deref()),
        Options::Race { harness, args } => race(harness, args),
    }
}

fn crates(filter: Option<&str>) -> Result<(), String> {
    for (krate, bench) in benches() {
        let package = layers::package(&krate);
        // By name: `cargo bench` alone would hand criterion's arguments to the test harness too.
        let mut command = cargo(&["bench", "--package", &package, "--bench", &bench, "--"]);
        sh(command.args(filter))?;
    }
    Ok(())
}

/// Every `crates/KRATE/benches/BENCH.rs`, as (KRATE, BENCH).
fn benches() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for krate in layers::crates() {
        let folder = root().join("crates").join(krate).join("benches");
        let Ok(files) = std::fs::read_dir(folder) else { continue };
        let mut names: Vec<String> = files
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        found.extend(names.into_iter().map(|name| (krate.to_owned(), name)));
    }
    found
}

fn race(harness: &Path, args: &[String]) -> Result<(), String> {
    // The harness runs in the root, so a path relative to where we were called must be made whole.
    let script = std::path::absolute(harness.join("bench.py"))
        .map_err(|e| format!("{}: {e}", harness.display()))?;
    if !script.is_file() {
        return Err(format!("no harness: {} is not there", script.display()));
    }
    sh(&mut cargo(&["build", "--release", "--locked", "--package", "proxyd"]))?;
    let binary = target_dir().join("release/proxyd");
    let mut python = Command::new("python3");
    sh(python.arg(script).args(args).env("PROXYD_BIN", binary).current_dir(root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_without_a_harness_fails_before_anything_is_built() {
        let refused = race(&root().join("docs"), &[]).unwrap_err();
        assert!(refused.starts_with("no harness: "), "{refused}");
    }
}
