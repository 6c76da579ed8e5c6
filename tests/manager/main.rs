//! knarrd by its gRPC API and its directories: images, snapshots, containers, events, recovery.
#![forbid(unsafe_code)]

mod grpc_archives;
mod grpc_containers;
mod grpc_events;
mod grpc_execs;
mod grpc_images;
mod grpc_lists;
mod grpc_pull;
mod grpc_python;
mod grpc_snapshots;
mod grpc_streams;
mod grpc_system;
mod grpc_tasks;
mod imported;
mod made;
mod packing;
mod pull;
mod session;
mod upgrade;
