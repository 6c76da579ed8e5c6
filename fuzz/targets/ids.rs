//! Bytes as the maps of a user namespace: planned only when the kernel would take them, refused only when it would not,
//! and ids are looked up as the kernel does it.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| knarr_runtime::fuzz::ids(input));
