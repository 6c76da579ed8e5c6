//! Any bytes as `linux.resources`, and a second line of them as what was in force before: limits planned for v1 and v2,
//! device rules folded, the update merged. Planned or refused, never a panic.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| knarr_runtime::fuzz::resources(text));
