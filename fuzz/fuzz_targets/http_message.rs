//! Any bytes as a head that comes as frames.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| http1::fuzz::message(data));
