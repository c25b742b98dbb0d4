//! Any bytes as a frame of the heartbeat port, however it comes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| wire::fuzz::heartbeat(data));
