//! Placeholder until the first slice runs.

fn main() {}
