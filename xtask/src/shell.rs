//! Running other programs from the root of the tree, and talking to whoever watches.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the tree, wherever the command was given.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// Where cargo puts what it builds. A relative one counts from the root, where we run everything.
pub(crate) fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// `cargo` as found on the path, and not the one that runs us: only the former knows `+nightly`.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root());
    command
}

/// Runs `command` and shows its output as it comes.
///
/// # Errors
///
/// It could not be started, or ended with a status other than success.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let line = shown(command);
    say(&format!("$ {line}"));
    let status = command.status().map_err(|e| format!("cannot start `{line}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}")) }
}

/// Whether `command` can be started and succeeds. Its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What `command` prints.
///
/// # Errors
///
/// It could not be started, failed, or did not print UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let line = shown(command);
    let output = command.output().map_err(|e| format!("cannot start `{line}`: {e}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{line}` failed: {}\n{why}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("`{line}` did not print UTF-8: {e}"))
}

#[expect(clippy::print_stdout, reason = "a tool talks to whoever runs it")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "a tool talks to whoever runs it")]
pub(crate) fn complain(text: &str) {
    eprintln!("xtask: {text}");
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let failure = run(Command::new("false").arg("x")).unwrap_err();
        assert!(failure.starts_with("`false x` failed"), "{failure}");
        assert!(run(&mut Command::new("true")).is_ok());
    }

    #[test]
    fn a_missing_program_is_an_error_and_not_a_success() {
        let missing = "no-such-program-anywhere";
        assert!(run(&mut Command::new(missing)).unwrap_err().contains("cannot start"));
        assert!(output(&mut Command::new(missing)).unwrap_err().contains("cannot start"));
        assert!(!succeeds(&mut Command::new(missing)));
        assert!(succeeds(&mut Command::new("true")));
        assert!(!succeeds(&mut Command::new("false")));
    }
}
