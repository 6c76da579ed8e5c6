//! containerd-shim-knarr-v2.
fn main() {}
