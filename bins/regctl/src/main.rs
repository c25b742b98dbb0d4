//! The operator's tool for proxyd: sends commands, applies route files, follows events.

mod apply;
mod args;
mod catalog;
mod events;
mod failure;
mod json;
mod manifest;
mod operate;
mod output;
mod package;
mod plan;
mod protocol;
mod raw;
mod reach;
mod stats;
mod values;

use std::process::ExitCode;

use args::{Cli, Command, CompletionArgs};
use clap::{CommandFactory, Parser};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    match start(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn start(cli: Cli, output: &Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
    let result = runtime.block_on(run(cli, output));
    // A thread may sit in a read of the standard input for ever.
    runtime.shutdown_background();
    result
}

async fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Apply(args) => apply::run(global, &args, output).await,
        Command::Raw(args) => raw::run(global, &args, output).await,
        Command::Events(args) => events::run(global, &args, output).await,
        Command::Sessions => operate::sessions(global, output).await,
        Command::Stats(args) => stats::stats(global, &args, output).await,
        Command::Top(args) => stats::top(global, &args, output).await,
        Command::Routes(args) => operate::routes(global, &args, output).await,
        Command::Session(args) => operate::session(global, &args, output).await,
        Command::Ping(args) => operate::ping(global, &args, output).await,
        Command::Drain(args) => operate::drain(global, &args, output).await,
        Command::Maint(args) => operate::maint(global, &args, output).await,
        Command::Explain(args) => operate::explain(global, &args, output).await,
        Command::Catalog(command) => catalog::run(global, &command, output).await,
        Command::Package(command) => package::run(global, &command, output).await,
        Command::Completion(args) => completion(args, output),
        Command::Protocol(command) => operate::protocol(global, &command, output).await,
    }
}

/// A script for the shell, made of the same description as `--help`.
fn completion(args: CompletionArgs, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "regctl", &mut script);
    output.write(&String::from_utf8_lossy(&script))
}
