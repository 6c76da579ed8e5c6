//! Bytes as a profile of a few calls, whose numbers and arguments are near each other, so that rules meet: the compiled
//! filter answers each call as the naive reading of the profile does.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| knarr_runtime::fuzz::seccomp(input));
