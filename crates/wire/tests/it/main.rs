//! The codec as other crates use it: by its public face only.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod bounds;
mod every_request;
mod guide;
mod rulings;
mod streams;
