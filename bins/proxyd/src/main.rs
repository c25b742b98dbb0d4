//! `proxyd`: the edge proxy that backends configure themselves.
//!
//! Reads the command line and the configuration, starts [`app`], and turns what went wrong into
//! one message and an exit code: 0 ok, 1 failure, 2 usage, 78 bad configuration.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use app::{Config, ConfigError, Flags, LogFormat, Purpose};
use clap::{Args, Parser, Subcommand, ValueEnum};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// BSD's EX_CONFIG, which service managers know not to restart for.
const BAD_CONFIGURATION: u8 = 78;

/// The edge proxy that backends configure themselves.
#[derive(Debug, Parser)]
#[command(version, about, after_help = "Without a command: run.\nTry it: proxyd demo")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until TERM or INT, then let requests in flight finish.
    Run(RunArgs),
    /// Read the configuration, say what is wrong with it, and end. Exit code 78 if anything is.
    Check(ConfigArgs),
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// A proxy on free ports with two instances of a small service that register themselves, and
    /// the commands to try.
    Demo,
    /// One instance of the demo's service; started by the demo.
    #[command(hide = true)]
    DemoInstance { name: String, registry: SocketAddr },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// The configuration in effect, as TOML.
    Show(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The file; else ./proxyd.toml, the user's, /etc/proxyd/proxyd.toml, or defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect, instead of http.listen. Again for more.
    #[arg(long, value_name = "ADDRESS")]
    http: Vec<SocketAddr>,
    /// Where backends register, instead of registry.listen. Again for more.
    #[arg(long, value_name = "ADDRESS")]
    registry: Vec<SocketAddr>,
    /// The database, instead of store.path.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// The operators' socket, instead of admin.socket.
    #[arg(long, value_name = "FILE")]
    admin_socket: Option<PathBuf>,
    /// Data-plane threads, instead of one per core.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to write the addresses really bound, as JSON, once all are.
    #[arg(long, value_name = "FILE")]
    ports_file: Option<PathBuf>,
    /// How to log; text on a terminal, JSON otherwise.
    #[arg(long, value_enum, default_value_t = LogArg::Auto)]
    log_format: LogArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogArg {
    Auto,
    Text,
    Json,
}

impl ConfigArgs {
    fn load(self, purpose: Purpose) -> Result<Config, ConfigError> {
        Config::load(&self.flags(), &environment(), purpose)
    }

    fn flags(self) -> Flags {
        Flags {
            file: self.config,
            http: self.http,
            registry: self.registry,
            store: self.store,
            admin_socket: self.admin_socket,
            workers: self.workers,
        }
    }
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", in_one_line(&error));
            match error.downcast_ref::<ConfigError>() {
                Some(_) => ExitCode::from(BAD_CONFIGURATION),
                None => ExitCode::FAILURE,
            }
        }
    }
}

/// What and why, once each: many errors say their cause themselves.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => {
            app::log(match args.log_format {
                LogArg::Auto => LogFormat::Auto,
                LogArg::Text => LogFormat::Text,
                LogArg::Json => LogFormat::Json,
            });
            let config = args.config.load(Purpose::Run)?;
            app::run(config, args.ports_file.as_deref())?;
        }
        Command::Check(args) => {
            let config = args.load(Purpose::Check)?;
            let from = config.file.map_or("defaults".to_owned(), |file| file.display().to_string());
            println!("{from}: ok");
        }
        Command::Config { command: ConfigCommand::Show(args) } => {
            print!("{}", app::show(&args.load(Purpose::Show)?));
        }
        Command::Demo => app::demo()?,
        Command::DemoInstance { name, registry } => app::demo_instance(&name, registry)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
