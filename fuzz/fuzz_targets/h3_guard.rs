//! Any bytes as a stream of HTTP/3.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| http1::fuzz::h3_streams(data));
