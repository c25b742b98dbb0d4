//! Any lines as messages of JSON-RPC.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| json_rpc::fuzz::messages(data));
