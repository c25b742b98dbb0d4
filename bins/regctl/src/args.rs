//! What can be typed.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use client::{Address, PairFiles, Tls};

use crate::catalog::Catalog;
use crate::failure::{EXIT_CODES, Failure};
use crate::package::Package;
use crate::protocol::Protocol;
use crate::values::{self, Identity};

const LONG_ABOUT: &str = "The operator's tool for proxyd.

Operators speak to the admin socket, where any session may be named by its id or as
SERVICE/INSTANCE. Programs and scripts speak to the registry port, where a command is about the
session that the same connection registered.";

const EXAMPLES: &str = "Examples:
  regctl apply -f routes.toml                 register these routes and hold them until Ctrl-C
  regctl apply -f routes.toml --dry-run       show what would change
  regctl sessions                             list all sessions
  regctl routes orbat/orbat.1                 list a session's routes
  regctl drain orbat/orbat.1 30s --wait       take an instance out of traffic, slowly
  regctl maint enter orbat/orbat.1 /shop      show the maintenance page for one path
  regctl explain GET api.example.com /v2/x    say where a request would go, and why
  regctl raw 'REGISTER|a|b|0|' 'PING|$sid'    send lines as they are
  regctl -s orbat/orbat.1 stats-get ALL       any command of the protocol
";

fn after_help() -> String {
    let codes = EXIT_CODES.iter().map(|(code, means)| format!("\n  {code:<5}{means}"));
    format!("{EXAMPLES}\nExit codes:{}", codes.collect::<String>())
}

/// The operator's tool for proxyd.
#[derive(Debug, Parser)]
#[command(name = "regctl", version, long_about = LONG_ABOUT, after_help = after_help())]
#[command(propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes. Some of them have ids of their own, for commands take arguments of
/// these names.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where and how")]
pub(crate) struct Global {
    /// The registry: HOST:PORT or unix:PATH [default: 127.0.0.1:81].
    #[arg(long, global = true, env = "REGCTL_ADDR")]
    pub(crate) addr: Option<Address>,
    /// The admin socket [default: proxyd.sock here, in /run/proxyd or in /var/lib/proxyd].
    #[arg(long, global = true, value_name = "PATH", env = "REGCTL_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// A file with the registry's token in its first line. The token itself may stand in
    /// REGCTL_TOKEN.
    #[arg(long, global = true, value_name = "PATH", env = "REGCTL_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Speak TLS to the registry, and believe certificates that were issued by those in this file.
    #[arg(id = "tls_ca", long = "ca", global = true, value_name = "PATH", env = "REGCTL_CACERT")]
    pub(crate) ca: Option<PathBuf>,
    /// The certificate to show to the registry.
    #[arg(id = "tls_cert", long = "cert", global = true, value_name = "PATH", env = "REGCTL_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(id = "tls_key", long = "key", global = true, value_name = "PATH", env = "REGCTL_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// Name a session, over the admin socket: its id, or SERVICE/INSTANCE.
    #[arg(id = "named", short = 's', long = "session", global = true, conflicts_with = "register")]
    #[arg(value_name = "SESSION", value_parser = values::session)]
    pub(crate) session: Option<String>,
    /// Register first, on the same connection, and say goodbye at the end. A running service of
    /// this name and instance loses its session to us.
    #[arg(short, long, global = true, value_name = "SERVICE/INSTANCE[:PORT]")]
    pub(crate) register: Option<Identity>,
    /// Print one JSON object on a line, and errors the same way.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait for a connection and for each answer: 500ms, 5s, 1m, or seconds.
    #[arg(id = "limit", long = "timeout", global = true, default_value = "5s")]
    #[arg(value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Duration,
}

/// Where proxyd puts its admin socket: beside its store, which is in its working folder, or where
/// its packages put it.
const SOCKETS: [&str; 3] =
    ["proxyd.sock", "/run/proxyd/proxyd.sock", "/var/lib/proxyd/proxyd.sock"];

impl Global {
    /// The registry, with TLS if that is wanted. Reads files.
    pub(crate) fn registry(&self) -> Result<Address, Failure> {
        let address = self.addr.clone().unwrap_or_else(|| Address::Tcp("127.0.0.1:81".into()));
        let pair = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(PairFiles { cert, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Failure::Usage("--cert and --key go together".to_owned()));
            }
        };
        match (&self.ca, pair) {
            (None, None) => Ok(address),
            (None, Some(_)) => Err(Failure::Usage(
                "--cert wants --ca, the issuers of the registry's own certificate".to_owned(),
            )),
            (Some(ca), pair) => {
                let tls = Tls::load(ca, pair).map_err(|error| Failure::Usage(error.to_string()))?;
                Ok(address.with_tls(tls))
            }
        }
    }

    /// The admin socket: the one that was named, or the first that is there. Not where a registry
    /// was named alone: the socket here may be that of another proxyd.
    pub(crate) fn admin(&self) -> Result<PathBuf, Failure> {
        if let (Some(addr), None) = (&self.addr, &self.socket) {
            return Err(Failure::Usage(format!(
                "this goes over the admin socket, and --addr {addr} is a registry: name the socket \
                 of that proxyd as well, with --socket PATH or REGCTL_SOCKET, or leave out --addr \
                 and REGCTL_ADDR"
            )));
        }
        let there = || SOCKETS.iter().map(PathBuf::from).find(|path| path.exists());
        self.socket.clone().or_else(there).ok_or_else(|| {
            let text = format!("there is no admin socket: neither {}", SOCKETS.join(" nor "));
            Failure::AdminSocket(text, ErrorKind::NotFound)
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register what a file says, and hold it until stopped.
    Apply(ApplyArgs),
    /// List all sessions.
    Sessions,
    /// List a session's routes, active and staged.
    Routes(SessionArgs),
    /// Show a session.
    Session(SessionArgs),
    /// Ask whether a session is there.
    Ping(SessionArgs),
    /// Take an instance slowly out of traffic.
    Drain(DrainArgs),
    /// Show a maintenance page instead of routes.
    Maint(MaintArgs),
    /// Say how a request would be routed, and why.
    Explain(ExplainArgs),
    /// Show what routes have answered. Needs --session or --register.
    Stats(StatsArgs),
    /// Show the rates of a session's routes every second.
    Top(TopArgs),
    /// Follow events, one on a line, until stopped.
    Events(EventsArgs),
    /// Send lines of the protocol as they are, and print the answers.
    Raw(RawArgs),
    /// Print what makes a shell complete our command lines.
    Completion(CompletionArgs),
    /// Make packages of services.
    #[command(subcommand)]
    Package(Package),
    #[command(flatten)]
    Catalog(Catalog),
    #[command(flatten)]
    Protocol(Protocol),
}

/// The session of an operator's command.
#[derive(Clone, Debug, Args)]
pub(crate) struct SessionArgs {
    /// The session: its id, or SERVICE/INSTANCE.
    #[arg(value_parser = values::session)]
    pub(crate) session: Option<String>,
}

const APPLY_LONG: &str = "Register what a file says, and hold it until stopped.

Without --yes, the file is first staged and validated under another instance name, and what would
change is shown. Then the routes are registered and stay for as long as this runs: it reconnects
after a loss, registers again and replays. TERM or Ctrl-C says goodbye, and the routes go at once.";

const APPLY_EXAMPLE: &str = r#"A file:
  service = "orbat"
  instance = "orbat.1"
  maintenance_port = 3001
  metadata = { version = "1.2.3" }
  headers = { X-Service = "orbat" }           # for all routes; likewise options, limit, breaker

  [[route]]
  domains = ["orbat.example.com", "www.orbat.example.com"]
  path = "/api"
  backend = "http://10.0.0.7:3000"
  priority = 10                               # all below may be left out
  headers = { "req:X-Env" = "prod" }
  options = { timeout = "60s", websocket = true }
  health = { path = "/health", interval = "30s", timeout = "5s" }
  limit = { requests = 100, window = "1m" }
  breaker = { threshold = 5, timeout = "30s", half_open_requests = 2 }"#;

/// `regctl apply`.
#[derive(Clone, Debug, Args)]
#[command(long_about = APPLY_LONG, after_long_help = APPLY_EXAMPLE)]
pub(crate) struct ApplyArgs {
    /// The file; `-` is the standard input.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: PathBuf,
    /// Show what would change, and stop.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Do not show and ask first.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Keep trying if the registry is away at the start.
    #[arg(long)]
    pub(crate) retry: bool,
    /// Leave the routes there until they are removed, instead of holding them. Goes over the admin
    /// socket; removed by `regctl -s SERVICE/INSTANCE client-shutdown`.
    #[arg(long, conflicts_with_all = ["retry", "addr"])]
    pub(crate) pin: bool,
}

/// `regctl drain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrainArgs {
    /// The session: its id, or SERVICE/INSTANCE.
    #[arg(value_parser = values::session)]
    pub(crate) session: String,
    /// Over this time: 30s, 2m.
    #[arg(value_parser = values::duration_text, required_unless_present_any = ["cancel", "status"])]
    pub(crate) duration: Option<String>,
    /// Stay until the drain is over, and show how far it is.
    #[arg(long, requires = "duration")]
    pub(crate) wait: bool,
    /// Back to full traffic.
    #[arg(long, conflicts_with = "duration")]
    pub(crate) cancel: bool,
    /// Show how far it is.
    #[arg(long, conflicts_with_all = ["duration", "cancel"])]
    pub(crate) status: bool,
}

/// `regctl maint`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MaintArgs {
    /// What to do.
    pub(crate) action: MaintAction,
    /// The session: its id, or SERVICE/INSTANCE.
    #[arg(value_parser = values::session)]
    pub(crate) session: String,
    /// ALL, or route ids, paths or domains of the session, separated by commas.
    #[arg(default_value = "ALL", value_parser = values::field)]
    pub(crate) target: String,
    /// Where the page is, for `enter`; without it, the port that the session registered.
    #[arg(value_parser = values::url)]
    pub(crate) url: Option<String>,
}

/// What to do about maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MaintAction {
    /// Show the page.
    Enter,
    /// Back to the routes.
    Exit,
    /// What is in maintenance.
    Status,
}

/// `regctl explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArgs {
    /// GET, POST, ...
    #[arg(value_parser = values::field)]
    pub(crate) method: String,
    /// As the Host header has it.
    #[arg(value_parser = values::field)]
    pub(crate) host: String,
    /// Without a query.
    #[arg(value_parser = values::field)]
    pub(crate) path: String,
}

/// `regctl stats`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatsArgs {
    /// ALL or a route id.
    #[arg(value_parser = values::target, default_value = "ALL")]
    pub(crate) target: String,
}

/// `regctl top`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopArgs {
    /// The session: its id, or SERVICE/INSTANCE.
    #[arg(value_parser = values::session)]
    pub(crate) session: Option<String>,
    /// Stop after so many seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,
}

/// `regctl events`.
#[derive(Clone, Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only these; may be given several times.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = values::event)]
    pub(crate) types: Vec<String>,
}

const RAW_LONG: &str = "Send lines of the protocol as they are, and print the answers.

`$sid` and `{sid}` stand for the session id of the last ACK on this connection, or for --session.
Each line waits for the answer to the one before. Lines come from the arguments or, without any,
from the standard input. The exit code is that of the first ERROR.";

/// `regctl raw`.
#[derive(Clone, Debug, Args)]
#[command(long_about = RAW_LONG)]
pub(crate) struct RawArgs {
    /// Lines to send.
    #[arg(value_name = "LINE")]
    pub(crate) lines: Vec<String>,
    /// After the last line, print what comes unasked, until stopped.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// `regctl completion`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompletionArgs {
    /// For this shell.
    pub(crate) shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let table = [
            "ping -s a/b -r a/b",
            "ping a|b",
            "drain a/b",
            "drain a/b soon",
            "drain a/b 30s --cancel",
            "maint enter a/b ALL not-a-url",
            "explain GET a|b /",
            "events --type weather",
            "apply",
            "apply -f x --yes --dry-run",
            "apply -f x --pin --retry",
            "stats 1 -s a/b",
            "top a/b --count 0",
            "sessions a/b",
            "completion",
            "completion cmd",
            "--timeout 0 ping",
            "--addr nowhere ping",
            "route-add a.example no-slash http://b",
            "route-update r1 colour red",
            "route-remove 1",
            "headers-set ALL X-A a|b",
        ];
        for line in table {
            let words = std::iter::once("regctl").chain(line.split(' '));
            let error = Cli::try_parse_from(words).err();
            assert_eq!(error.map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
