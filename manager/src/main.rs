//! knarrd.
fn main() {}
