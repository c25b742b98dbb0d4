//! Random runs: two hundred seeds; as many as `SIM_SEEDS` says; or the one that `SIM_SEED` names,
//! which then tells what happened. `SIM_STEPS` makes each of them longer or shorter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proxyd_sim::sim::Sim;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 200;
/// Random things in one run.
const STEPS: usize = 120;
/// Lines of the story that a failure tells unasked.
const TOLD: usize = 40;

/// Runs one seed; the error is its story.
fn run(seed: u64) -> Result<Sim, Vec<String>> {
    let steps = number("SIM_STEPS").map_or(STEPS, |steps| steps as usize);
    let mut sim = Sim::new(seed);
    match catch_unwind(AssertUnwindSafe(|| sim.run(steps))) {
        Ok(()) => Ok(sim),
        Err(_) => Err(sim.trace),
    }
}

/// What an environment variable says, decimal or hexadecimal after `0x`.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    Some(number.unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn seeds() {
    if let Some(seed) = number("SIM_SEED") {
        let told = run(seed);
        let story = told.as_ref().map_or_else(|story| story, |sim| &sim.trace);
        println!("{}", story.join("\n"));
        assert!(told.is_ok(), "seed {seed:#x}");
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let failed: Vec<(u64, Vec<String>)> =
        (0..seeds).filter_map(|seed| Some((seed, run(seed).err()?))).collect();
    if let Some((seed, story)) = failed.first() {
        let all: Vec<String> = failed.iter().map(|(seed, _)| format!("{seed:#x}")).collect();
        let last = &story[story.len().saturating_sub(TOLD)..];
        panic!(
            "seeds {} failed; SIM_SEED={seed:#x} tells it whole:\n{}",
            all.join(" "),
            last.join("\n")
        );
    }
}

/// The same seed does the same, else no failure could be looked at again.
#[test]
fn a_seed_is_a_story() {
    let story = |seed| run(seed).map_or_else(|story| story, |sim| sim.trace);
    assert_eq!(story(3), story(3));
    assert_ne!(story(3), story(4));
}

#[test]
fn by_parts_is_at_once() {
    (0..SEEDS / 2).for_each(proxyd_sim::sim::partial::compare);
}
