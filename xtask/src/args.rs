//! What was asked for on the command line.
//!
//! Parsed by hand: a handful of words does not pay for a parser that everybody who runs
//! `cargo xtask` would have to compile first.

use std::path::PathBuf;

use crate::{bench, ci, fuzz};

pub(crate) const USAGE: &str = "\
usage: cargo xtask <command>

  ci [--no-tests] [--no-fuzz] [--seconds N]
                       everything CI does; the first failure ends it
                       --no-tests: the caller runs `cargo nextest run --workspace` itself
                       --seconds: how long each fuzz target runs (60)
  fuzz [--seconds N] [TARGET...]
                       the fuzz targets, or the named ones, N seconds each (60)
  codegen              writes the parts of the tree that are generated
  bench [FILTER]       the benchmarks of every crate that has some
  bench --race DIR [ARG...]
                       builds the release binary and races it against other proxies with the
                       harness DIR/bench.py, which gets the remaining arguments
  sim --seed SEED      replays one seed of the simulator (decimal or 0x...)";

/// One command line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Ci(ci::Options),
    Fuzz(fuzz::Options),
    Codegen,
    Bench(bench::Options),
    Sim { seed: String },
    Help,
}

/// # Errors
///
/// A sentence that names the word that is wrong.
pub(crate) fn parse(args: &[String]) -> Result<Task, String> {
    let Some((command, rest)) = args.split_first() else {
        return Err("no command given".to_owned());
    };
    match command.as_str() {
        "ci" => ci_options(rest).map(Task::Ci),
        "fuzz" => fuzz_options(rest).map(Task::Fuzz),
        "codegen" => nothing_more(rest).map(|()| Task::Codegen),
        "bench" => bench_options(rest).map(Task::Bench),
        "sim" => seed(rest).map(|seed| Task::Sim { seed }),
        "help" | "--help" | "-h" => Ok(Task::Help),
        other => Err(format!("unknown command `{other}`")),
    }
}

fn ci_options(args: &[String]) -> Result<ci::Options, String> {
    let mut options = ci::Options { tests: true, fuzz: true, fuzz_seconds: fuzz::SECONDS };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--no-tests" => options.tests = false,
            "--no-fuzz" => options.fuzz = false,
            "--seconds" => options.fuzz_seconds = seconds(words.next())?,
            other => return Err(unexpected(other)),
        }
    }
    Ok(options)
}

fn fuzz_options(args: &[String]) -> Result<fuzz::Options, String> {
    let mut options = fuzz::Options { seconds: fuzz::SECONDS, targets: Vec::new() };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => options.seconds = seconds(words.next())?,
            flag if flag.starts_with('-') => return Err(unexpected(flag)),
            target => options.targets.push(target.to_owned()),
        }
    }
    Ok(options)
}

fn bench_options(args: &[String]) -> Result<bench::Options, String> {
    match args {
        [] => Ok(bench::Options::Crates { filter: None }),
        [flag, harness, rest @ ..] if flag == "--race" => {
            Ok(bench::Options::Race { harness: PathBuf::from(harness), args: rest.to_vec() })
        }
        [flag] if flag == "--race" => Err("--race wants the folder of the harness".to_owned()),
        [filter] if !filter.starts_with('-') => {
            Ok(bench::Options::Crates { filter: Some(filter.clone()) })
        }
        [first, ..] => Err(unexpected(first)),
    }
}

fn seed(args: &[String]) -> Result<String, String> {
    let [flag, seed] = args else { return Err("sim wants --seed SEED".to_owned()) };
    if flag != "--seed" {
        return Err(unexpected(flag));
    }
    let number = match seed.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => seed.parse(),
    };
    number.map(|_| seed.clone()).map_err(|_| format!("--seed wants a number, not `{seed}`"))
}

fn seconds(word: Option<&String>) -> Result<u32, String> {
    word.and_then(|word| word.parse().ok())
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "--seconds wants a whole number above 0".to_owned())
}

fn nothing_more(args: &[String]) -> Result<(), String> {
    args.first().map_or(Ok(()), |word| Err(unexpected(word)))
}

fn unexpected(word: &str) -> String {
    format!("did not expect `{word}` here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_the_usage_offers() {
        let table = [
            ("ci", Task::Ci(ci::Options { tests: true, fuzz: true, fuzz_seconds: 60 })),
            (
                "ci --no-tests --no-fuzz --seconds 5",
                Task::Ci(ci::Options { tests: false, fuzz: false, fuzz_seconds: 5 }),
            ),
            ("fuzz", Task::Fuzz(fuzz::Options { seconds: 60, targets: vec![] })),
            (
                "fuzz wire_decode --seconds 7",
                Task::Fuzz(fuzz::Options { seconds: 7, targets: vec!["wire_decode".to_owned()] }),
            ),
            ("codegen", Task::Codegen),
            ("bench", Task::Bench(bench::Options::Crates { filter: None })),
            ("bench decide", Task::Bench(bench::Options::Crates { filter: Some("decide".into()) })),
            (
                "bench --race ../race -s a",
                Task::Bench(bench::Options::Race {
                    harness: PathBuf::from("../race"),
                    args: vec!["-s".to_owned(), "a".to_owned()],
                }),
            ),
            ("sim --seed 0xff", Task::Sim { seed: "0xff".to_owned() }),
            ("sim --seed 17", Task::Sim { seed: "17".to_owned() }),
            ("--help", Task::Help),
        ];
        for (line, task) in table {
            assert_eq!(parse(&words(line)), Ok(task), "{line}");
        }
    }

    #[test]
    fn names_the_word_that_is_wrong() {
        let table = [
            ("", "no command given"),
            ("cl", "unknown command `cl`"),
            ("ci --fast", "did not expect `--fast` here"),
            ("ci --seconds", "--seconds wants a whole number above 0"),
            ("fuzz --seconds 0", "--seconds wants a whole number above 0"),
            ("fuzz --jobs", "did not expect `--jobs` here"),
            ("codegen now", "did not expect `now` here"),
            ("bench --race", "--race wants the folder of the harness"),
            ("bench one two", "did not expect `one` here"),
            ("sim", "sim wants --seed SEED"),
            ("sim --seeds 3", "did not expect `--seeds` here"),
            ("sim --seed 0xzz", "--seed wants a number, not `0xzz`"),
        ];
        for (line, wrong) in table {
            assert_eq!(parse(&words(line)), Err(wrong.to_owned()), "{line}");
        }
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }
}
