//! Any bytes as a body, whatever its framing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| http1::fuzz::body(data));
