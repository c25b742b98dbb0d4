//! What is done on the host, as a value: scripts, their order, and how long each may take.

use std::fmt::Write as _;
use std::time::Duration;

use package::Package;

use crate::host::Root;
use crate::step::Step;

const COMMON: &str = include_str!("remote/common.sh");
const REQUIRES: &str = include_str!("remote/requires.sh");
const UNPACK: &str = include_str!("remote/unpack.sh");
const ACTIVATE: &str = include_str!("remote/activate.sh");
const CLEAN: &str = include_str!("remote/clean.sh");
const DISCARD: &str = include_str!("remote/discard.sh");
const SETTLE: &str = include_str!("remote/settle.sh");

/// How long each step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Until the host has shown its key; and any short question to it.
    pub connect: Duration,
    /// The package on its way.
    pub upload: Duration,
    /// Its unpacking.
    pub unpack: Duration,
    /// `scripts/stop.sh`; in whole seconds, at least one.
    pub stop: Duration,
    /// `scripts/start.sh`; in whole seconds, at least one.
    pub start: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            upload: Duration::from_secs(600),
            unpack: Duration::from_secs(120),
            stop: Duration::from_secs(60),
            start: Duration::from_secs(60),
        }
    }
}

/// One thing to do on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// What is told when it begins, and when it takes too long.
    pub(crate) step: Step,
    /// The command line for the user's shell.
    pub(crate) command: String,
    /// What it reads.
    pub(crate) input: Input,
    /// How long it may take, connection included.
    pub(crate) limit: Duration,
}

/// What goes into a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A script for `sh`.
    Script(String),
    /// The package.
    Package,
}

/// How one package gets to one host.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    variables: String,
    part: String,
    times: Times,
    activation: Duration,
}

impl Plan {
    /// `id` tells this deployment from others; `bytes` are what is uploaded, `keep` how many old
    /// versions stay.
    pub(crate) fn new(
        package: &Package,
        (root, keep): (&Root, usize),
        id: &str,
        bytes: u64,
        times: Times,
    ) -> Self {
        let manifest = &package.manifest;
        let words = |list: &[package::Needed]| {
            list.iter().map(package::Needed::as_str).collect::<Vec<_>>().join(" ")
        };
        let (health, interval, health_seconds) = match &manifest.health {
            Some(health) => (
                health.script.as_str(),
                u64::from(health.interval.get()),
                u64::from(health.timeout.get()),
            ),
            None => ("", 1, 0),
        };
        let (stop, start) = (times.stop.as_secs().max(1), times.start.as_secs().max(1));
        // The old stopped, the new started and asked; then the new stopped and the old started.
        let activation = 2 * (stop + start) + health_seconds + 30;
        let variables = [
            ("root", root.as_str().to_owned()),
            ("name", manifest.name.as_str().to_owned()),
            ("version", manifest.version.as_str().to_owned()),
            ("id", id.to_owned()),
            ("keep", keep.to_string()),
            ("bytes", bytes.to_string()),
            ("commands", words(&manifest.requires.commands)),
            ("libraries", words(&manifest.requires.libraries)),
            ("stop_seconds", stop.to_string()),
            ("start_seconds", start.to_string()),
            ("health", health.to_owned()),
            ("interval", interval.to_string()),
            ("health_seconds", health_seconds.to_string()),
            ("settle_seconds", activation.to_string()),
        ];
        let variables = variables.iter().fold(String::new(), |mut all, (name, value)| {
            let _ = writeln!(all, "{name}={}", quoted(value));
            all
        });
        let (name, version) = (manifest.name.as_str(), manifest.version.as_str());
        let part = format!("{}/.proxyd-{name}@{version}.{id}.tar.gz", root.as_str());
        Self { variables, part, times, activation: Duration::from_secs(activation) }
    }

    /// Everything before the host is changed for whoever uses it.
    pub(crate) fn preparations(&self) -> [Task; 3] {
        let upload = Task {
            step: Step::Upload,
            // No variable: this is read by whatever shell the user has.
            command: format!("umask 077 && cat > {}", quoted(&self.part)),
            input: Input::Package,
            limit: self.times.upload,
        };
        [
            self.script(Step::Requires, REQUIRES, self.times.connect),
            upload,
            self.script(Step::Unpack, UNPACK, self.times.unpack),
        ]
    }

    /// From the old version to the new one, or back. It says its own steps.
    pub(crate) fn activation(&self) -> Task {
        self.script(Step::Health, ACTIVATE, self.activation)
    }

    /// How an activation ended that we no longer hear.
    pub(crate) fn settlement(&self) -> Task {
        self.script(Step::Health, SETTLE, self.activation + self.times.connect)
    }

    /// Old versions and old leftovers.
    pub(crate) fn cleaning(&self) -> Task {
        self.script(Step::Clean, CLEAN, self.times.unpack)
    }

    /// What a deployment that ended early has uploaded.
    pub(crate) fn discarding(&self) -> Task {
        self.script(Step::Clean, DISCARD, self.times.unpack)
    }

    /// A script comes by standard input, and whole or not at all: the shell runs it only once it
    /// has read the last line, so that a broken connection runs no half of it.
    fn script(&self, step: Step, body: &str, limit: Duration) -> Task {
        let script = format!("{}{COMMON}\nmain() {{\n{body}}}\nmain </dev/null\n", self.variables);
        Task { step, command: "exec sh -s".to_owned(), input: Input::Script(script), limit }
    }
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
