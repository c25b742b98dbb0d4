//! Any lines as requests of the service API.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| service_api::fuzz::requests(data));
