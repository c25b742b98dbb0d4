//! Each fuzz target for a while, from the committed corpus.
//!
//! What the fuzzer finds worth keeping goes into a scratch corpus below the target directory: a run
//! never changes the tree. A crash is left in `fuzz/artifacts`, which is not committed; the fix
//! brings its input into `fuzz/corpus`, where a stable test replays it.

use std::path::Path;

use crate::shell::{cargo, root, run as sh, succeeds, target_dir};

/// How long a target runs if nothing else is said.
pub(crate) const SECONDS: u32 = 60;

/// The words of the registry protocol, generated; for the targets that read lines.
const DICTIONARY: &str = "fuzz/registry.dict";

/// One input may take this long, in seconds: more is a finding.
const INPUT_SECONDS_MAX: u32 = 10;

/// Inputs stay below this, in bytes: room for a few lines or heads past their limits, and small enough
/// that many are tried in a minute.
const INPUT_BYTES_MAX: u32 = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) seconds: u32,
    /// Empty: all.
    pub(crate) targets: Vec<String>,
}

/// # Errors
///
/// A target is unknown, does not build, or has found something.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    available()?;
    let targets = chosen(targets(&root().join("fuzz/fuzz_targets"))?, &options.targets)?;
    for target in &targets {
        let scratch = target_dir().join("fuzz-corpus").join(target);
        let committed = root().join("fuzz/corpus").join(target);
        std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
        let mut fuzz = cargo(&["+nightly", "fuzz", "run", "--target-dir"]);
        fuzz.arg(target_dir().join("fuzz")).arg(target).arg(&scratch);
        // The first corpus is where findings go, the others are only read.
        fuzz.args(committed.exists().then_some(committed));
        fuzz.arg("--");
        fuzz.arg(format!("-max_total_time={}", options.seconds));
        fuzz.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        fuzz.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        fuzz.arg("-print_final_stats=1");
        if target.starts_with("wire_") && root().join(DICTIONARY).exists() {
            fuzz.arg(format!("-dict={DICTIONARY}"));
        }
        sh(&mut fuzz)?;
    }
    Ok(())
}

/// Whether fuzzing is possible on this machine.
///
/// # Errors
///
/// What is missing.
pub(crate) fn available() -> Result<(), String> {
    if !succeeds(&mut cargo(&["+nightly", "--version"])) {
        return Err("no nightly compiler (rustup toolchain install nightly)".to_owned());
    }
    if !succeeds(&mut cargo(&["fuzz", "--version"])) {
        return Err("no cargo-fuzz (cargo install --locked cargo-fuzz)".to_owned());
    }
    Ok(())
}

/// The names of the targets in `folder`: one a file.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    if names.is_empty() { Err(format!("no targets in {}", folder.display())) } else { Ok(names) }
}

fn chosen(all: Vec<String>, wanted: &[String]) -> Result<Vec<String>, String> {
    if wanted.is_empty() {
        return Ok(all);
    }
    match wanted.iter().find(|name| !all.contains(name)) {
        Some(unknown) => Err(format!("no fuzz target `{unknown}`; there are: {}", all.join(", "))),
        None => Ok(wanted.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_chosen_is_all_and_an_unknown_name_is_refused() {
        let all = || vec!["http1_head".to_owned(), "wire_decode".to_owned()];
        assert_eq!(chosen(all(), &[]), Ok(all()));
        assert_eq!(chosen(all(), &all()[1..]), Ok(vec!["wire_decode".to_owned()]));
        let refused = chosen(all(), &["wire".to_owned()]).unwrap_err();
        assert_eq!(refused, "no fuzz target `wire`; there are: http1_head, wire_decode");
    }

    #[test]
    fn a_folder_without_targets_is_an_error_and_not_a_pass() {
        assert!(targets(&root().join("docs")).is_err());
        assert!(targets(&root().join("no-such-folder")).is_err());
        assert_eq!(targets(&root().join("xtask/src")).map(|names| names[0].clone()), {
            Ok("args".to_owned())
        });
    }

    /// cargo takes a `[[bin]]` without its file only when it builds it, and a file without its
    /// `[[bin]]` never: neither may stay unseen until the nightly run.
    #[test]
    fn the_manifest_and_the_folder_name_the_same_targets() {
        let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let mut named: Vec<String> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
            .map(str::to_owned)
            .collect();
        named.sort();
        assert_eq!(targets(&root().join("fuzz/fuzz_targets")), Ok(named));
    }
}
