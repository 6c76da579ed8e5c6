//! knarr-runtime: creates and runs OCI containers from bundles, with runc's command line. Keeps no daemon and nothing
//! but what is below `--root`.
#![no_main]
#![forbid(unsafe_code)]

use knarr_runtime::{Heap, program};

#[global_allocator]
static HEAP: Heap = Heap::new();

program!(knarr_runtime::run);
