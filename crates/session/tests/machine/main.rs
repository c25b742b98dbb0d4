//! The machine, driven by requests as values: what transcripts cannot say, because it takes a
//! disk that is slow, a bound that is reached or a time between two outputs.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod bounds;
mod changing_hands;
mod corpus;
mod effects;
mod grants;
mod health;
mod members;
mod operators;
mod persisting;
mod telling;
mod world;
