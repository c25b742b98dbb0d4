//! What the project does to itself: `cargo xtask <command>`.
//!
//! Automation is Rust and not shell, so that it is read, linted and tested like the rest. The rules
//! of the tree ([`layers`], `tidy`, `docs`, freshness in [`codegen`]) are `#[test]`s and no commands: `cargo nextest run --workspace` holds them, and a rule cannot be forgotten by a script.

mod args;
mod bench;
mod ci;
mod codegen;
#[cfg(test)]
mod docs;
mod fuzz;
mod layers;
#[cfg(test)]
mod needs;
mod shell;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod tree;

use std::process::ExitCode;

use args::Task;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let task = match args::parse(&args) {
        Ok(task) => task,
        Err(wrong) => {
            shell::complain(&format!("{wrong}\n\n{}", args::USAGE));
            return ExitCode::from(2);
        }
    };
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            shell::complain(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), String> {
    match task {
        Task::Ci(options) => ci::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Codegen => codegen::write(),
        Task::Bench(options) => bench::run(&options),
        Task::Sim { seed } => simulate(&seed),
        Task::Help => {
            shell::say(args::USAGE);
            Ok(())
        }
    }
}

/// One seed of the simulator, with everything it prints: how a failure is looked at.
fn simulate(seed: &str) -> Result<(), String> {
    let mut cargo = shell::cargo(&["test", "--package", "proxyd-sim", "--", "--nocapture"]);
    shell::run(cargo.env("SIM_SEED", seed))
}
