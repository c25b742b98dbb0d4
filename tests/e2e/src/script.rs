//! Programs of the tests' own, in Python: clients that speak QUIC and gRPC, and backends that tell
//! what they got. They live in `programs/`; `.ci/run` installs the packages they need.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Program, wait_for};

/// How long a script may take. Each of its steps has a patience of its own.
const SCRIPT_MAX: Duration = Duration::from_secs(150);

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs").join(file)
}

fn python(file: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(path(file)).args(arguments);
    command
}

/// A backend that writes a line of JSON for each request.
#[derive(Debug)]
pub struct Origin {
    program: Program,
    port: u16,
}

impl Origin {
    /// The one that speaks HTTP/1.1.
    pub fn start() -> Self {
        Self::start_program("origin.py", &[])
    }

    /// Another one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_program(file: &str, arguments: &[&str]) -> Self {
        let program = Program::start(&mut python(file, arguments)).expect("python3 is installed");
        let port = wait_for("the port of a backend", || {
            let said = program.said();
            let first = said.lines().next()?;
            let first: Value = serde_json::from_str(first).unwrap_or_else(|_| panic!("{said}"));
            first["port"].as_u64().and_then(|port| u16::try_from(port).ok())
        });
        Self { program, port }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// What it told so far, its port first.
    pub fn told(&self) -> Vec<Value> {
        self.program.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The heads of requests whose `key` it told: `raw` of whole ones, `cut` of those that ended
    /// early.
    pub fn heads(&self, key: &str) -> Vec<String> {
        self.told().iter().filter_map(|told| Some(told[key].as_str()?.to_owned())).collect()
    }
}

/// A client that runs one function of a program, and succeeds if nothing in it is wrong.
#[derive(Debug)]
pub struct Script {
    program: Program,
    words: TempDir,
}

impl Script {
    /// Starts a function.
    ///
    /// # Panics
    ///
    /// When there is no Python.
    pub fn start(file: &str, function: &str, arguments: &[&str]) -> Self {
        let words = tempfile::tempdir().expect("a folder");
        let mut command = python(file, &[&[function][..], arguments].concat());
        command.env("WORDS", words.path());
        let program = Program::start(&mut command).expect("python3 is installed");
        Self { program, words }
    }

    /// Runs a function to its end.
    pub fn run(file: &str, function: &str, arguments: &[&str]) -> String {
        Self::start(file, function, arguments).finish()
    }

    /// Waits until it says a word.
    pub fn wait_for(&mut self, word: &str) {
        self.program.wait_for(word);
    }

    /// Tells it a word.
    ///
    /// # Panics
    ///
    /// When that cannot be written.
    pub fn tell(&self, word: &str) {
        std::fs::write(self.words.path().join(word), "").expect("our own folder");
    }

    /// Waits for its end, and gives what it said.
    ///
    /// # Panics
    ///
    /// When it found something wrong.
    pub fn finish(mut self) -> String {
        let status = self.program.end(SCRIPT_MAX);
        let said = self.program.said();
        assert!(status.is_some_and(|status| status.success()), "{status:?}: {said}");
        said
    }
}
