//! Everything CI does, in order: what is quick and fails often comes first.
//!
//! A step whose tool is not on this machine says that it was skipped and why, and the closing line
//! repeats it, so that a green run never claims more than it did.

use std::time::Duration;

use crate::shell::{cargo, run as sh, say, succeeds};
use crate::{fuzz, layers};

/// The target that has neither sockets nor files: a core must build for it.
const NO_SYSTEM: &str = "wasm32-unknown-unknown";

/// What to leave out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Run the tests. Off when the caller runs them with the README's own command.
    pub(crate) tests: bool,
    pub(crate) fuzz: bool,
    pub(crate) fuzz_seconds: u32,
}

enum Outcome {
    Passed,
    Skipped(String),
}

type Step = fn(&Options) -> Result<Outcome, String>;

const STEPS: &[(&str, Step)] = &[
    ("format", format),
    ("lints", lints),
    ("documentation", documentation),
    ("cores without a system", cores_without_a_system),
    ("licences and sources", licences_and_sources),
    ("examples in documentation", examples),
    ("tests", tests),
    ("fuzzing", fuzzing),
];

/// # Errors
///
/// The name of the first step that failed, and why.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut skipped = Vec::new();
    for (name, step) in STEPS {
        say(&format!("\n=== {name}"));
        let (outcome, took) = timed(|| step(options));
        let took = took.as_secs_f32();
        match outcome {
            Ok(Outcome::Passed) => say(&format!("=== {name}: passed in {took:.1} s")),
            Ok(Outcome::Skipped(why)) => {
                say(&format!("=== {name}: skipped, {why}"));
                skipped.push(format!("{name} ({why})"));
            }
            Err(why) => return Err(format!("{name} failed after {took:.1} s: {why}")),
        }
    }
    let passed = STEPS.len() - skipped.len();
    say(&format!("\nci: {passed} steps passed, {} skipped", skipped.len()));
    skipped.iter().for_each(|step| say(&format!("ci: skipped {step}")));
    Ok(())
}

fn format(_: &Options) -> Result<Outcome, String> {
    sh(&mut cargo(&["fmt", "--all", "--check"]))?;
    sh(&mut cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    Ok(Outcome::Passed)
}

fn lints(_: &Options) -> Result<Outcome, String> {
    let args =
        ["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    sh(&mut cargo(&args))?;
    Ok(Outcome::Passed)
}

fn documentation(_: &Options) -> Result<Outcome, String> {
    let mut doc = cargo(&["doc", "--locked", "--workspace", "--no-deps", "--quiet"]);
    sh(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Outcome::Passed)
}

fn cores_without_a_system(_: &Options) -> Result<Outcome, String> {
    let lib_dir = crate::shell::output(std::process::Command::new("rustc").args([
        "--print",
        "target-libdir",
        "--target",
        NO_SYSTEM,
    ]))?;
    if !std::path::Path::new(lib_dir.trim()).exists() {
        return Ok(Outcome::Skipped(format!("the target {NO_SYSTEM} is not installed")));
    }
    let mut check = cargo(&["check", "--locked", "--quiet", "--target", NO_SYSTEM]);
    for core in layers::cores() {
        check.arg("--package").arg(layers::package(core));
    }
    sh(&mut check)?;
    Ok(Outcome::Passed)
}

fn licences_and_sources(_: &Options) -> Result<Outcome, String> {
    if !succeeds(&mut cargo(&["deny", "--version"])) {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    sh(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::Passed)
}

fn examples(_: &Options) -> Result<Outcome, String> {
    sh(&mut cargo(&["test", "--locked", "--workspace", "--doc", "--quiet"]))?;
    Ok(Outcome::Passed)
}

/// Layers, tidiness and the freshness of what is generated are tests of this very crate.
fn tests(options: &Options) -> Result<Outcome, String> {
    if !options.tests {
        return Ok(Outcome::Skipped("--no-tests".to_owned()));
    }
    sh(&mut cargo(&["nextest", "run", "--locked", "--workspace"]))?;
    Ok(Outcome::Passed)
}

fn fuzzing(options: &Options) -> Result<Outcome, String> {
    if !options.fuzz {
        return Ok(Outcome::Skipped("--no-fuzz".to_owned()));
    }
    if let Err(missing) = fuzz::available() {
        // Without a nightly compiler the targets are at least type-checked.
        sh(&mut cargo(&["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"]))?;
        return Ok(Outcome::Skipped(missing));
    }
    fuzz::run(&fuzz::Options { seconds: options.fuzz_seconds, targets: Vec::new() })?;
    Ok(Outcome::Passed)
}

#[expect(clippy::disallowed_methods, reason = "a tool that says how long a step took")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}
