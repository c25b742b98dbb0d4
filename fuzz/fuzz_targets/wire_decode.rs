//! Any bytes as lines, by the laws of the decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wire::fuzz::decoder(data));
