//! Any bytes as a question to the DNS server.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| dns::fuzz::message(data));
