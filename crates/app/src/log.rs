//! Where the log goes, and how it looks.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log to stderr, as `PROXYD_LOG` or `RUST_LOG` say, else from `info` on. Only the
/// first call counts.
pub fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("PROXYD_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal();
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    // A second start in one process keeps the first one's log.
    let _ = if text {
        base.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .try_init()
    } else {
        base.json().try_init()
    };
}
