//! knarr's contracts: what the four programs say to each other, as plain data. Nothing here does I/O.
//!
//! - [`id`], [`status`], [`kind`], [`reason`]: the nouns that all of them share
//! - [`detach`]: the keys by which a person leaves a terminal
//! - [`duration`]: durations as Go writes them
//! - [`escape`]: text from outside, made safe for a terminal or a log
//! - [`exit`], [`keep`], [`processes`], [`log`], [`stdio`], [`frame`]: what shim and manager agree on, on disk and on the attach socket
//! - [`overlay`]: long lists of layers, as shim and manager mount them
//! - `docker` (feature `docker`): docker's JSON, from the daemon's messages
//! - [`v1`] (feature `grpc`): the daemon's API, generated from `knarr/v1/*.proto`
#![forbid(unsafe_code)]

pub mod detach;
#[cfg(feature = "docker")]
pub mod docker;
pub mod duration;
pub mod escape;
pub mod exit;
pub mod frame;
pub mod id;
pub mod ignore;
pub mod keep;
pub mod kind;
pub mod log;
pub mod overlay;
pub mod processes;
pub mod reason;
pub mod status;
pub mod stdio;

/// The gRPC API `knarr.v1`: messages, clients and server traits. Its documentation is in the .proto files.
#[cfg(feature = "grpc")]
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("knarr.v1");

    /// The compiled file descriptors of `knarr.v1`, for the reflection service.
    pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("knarr.v1");
}
