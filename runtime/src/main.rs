//! knarr-runtime.
fn main() {}
