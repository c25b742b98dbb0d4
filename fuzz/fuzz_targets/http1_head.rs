//! Any bytes as the head of a request and of a response.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| http1::fuzz::head(data));
