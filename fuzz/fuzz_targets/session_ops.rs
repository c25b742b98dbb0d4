//! Sequences of operations on the registry's machine.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| session::fuzz::ops(data));
