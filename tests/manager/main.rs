//! knarrd by its gRPC API and its directories: images, snapshots, containers, events, recovery.
#![forbid(unsafe_code)]

mod grpc_archives;
mod grpc_events;
mod grpc_images;
mod grpc_pull;
mod grpc_python;
mod grpc_snapshots;
mod grpc_system;
mod imported;
mod pull;
