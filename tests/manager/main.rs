//! knarrd by its gRPC API and its directories: images, snapshots, containers, events, recovery.
#![forbid(unsafe_code)]
