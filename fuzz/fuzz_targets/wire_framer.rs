//! Any bytes as lines, by the laws of the framer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wire::fuzz::framer(data));
