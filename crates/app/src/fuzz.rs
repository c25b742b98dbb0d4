//! What must hold for any text at all as a configuration.
//!
//! A test over the committed corpus calls this. A broken rule is a panic.

use crate::config::{ConfigError, check_text};

/// Reads `data` as a file, without asking for the files it names.
///
/// What is wrong is shown with a place in the text, and on lines of its own.
///
/// # Panics
///
/// If one of these does not hold.
pub fn toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Err(error) = check_text("fuzzed", text) else { return };
    assert!(!error.to_string().is_empty(), "whoever reads it must know what to do");
    let ConfigError::Parse { line, column, .. } = error else { panic!("only the text was read") };
    let lines = text.matches('\n').count() + 1;
    assert!((1..=lines).contains(&line) && column >= 1, "{line}:{column} is in no {lines} lines");
}
