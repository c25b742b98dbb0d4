//! Any bytes as a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| config::fuzz::toml(data));
