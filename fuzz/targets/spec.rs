//! Any bytes as a config.json: parsed, planned, its filter compiled and asked about calls. Refused or planned, never a
//! panic; what was planned keeps what the plan promises of it.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| knarr_runtime::fuzz::spec(text));
