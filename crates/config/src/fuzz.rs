//! What must hold for any text at all as a configuration.
//!
//! A fuzz target and a test over the committed corpus call this. A broken rule is a panic.

use crate::source::{ReadError, Source};

/// Reads `data` as a file.
///
/// What is wrong is shown in one line, with a place in the text.
///
/// # Panics
///
/// If one of these does not hold.
pub fn toml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let source = Source { name: "fuzzed", text };
    for key in ["http.listen[0]", "registry.credentials[1].name", "workers"] {
        assert!(source.place(key).starts_with("fuzzed"), "a place is in the file");
    }
    let Err(error) = source.read() else { return };
    let shown = error.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?} is more than a line");
    let ReadError::Text { line, column, message, .. } = error else {
        panic!("only a text was read")
    };
    assert!(!message.is_empty(), "whoever reads it must know what to do");
    let within = text.split('\n').nth(line.wrapping_sub(1)).map(|line| line.chars().count() + 1);
    assert!(
        within.is_some_and(|last| (1..=last).contains(&column)),
        "{line}:{column} is not in the text"
    );
}
