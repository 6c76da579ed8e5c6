//! Any text as a state file: an error, or a state whose id is a name in `--root` and that is written and read back as it is.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| knarr_runtime::fuzz::state(text));
