//! The harness: what tests are made of. Everything here is real (kernel, registry, containerd, daemons); nothing is mocked.
//!
//! - [`Scratch`]: a test's own directory and cgroup prefix; when it goes, it looks for what the test left on the host,
//!   fails the test for it and removes it
//! - [`Bundle`], [`Runtime`]: OCI bundles, and runtimes to run them with (ours, runc, crun)
//! - [`image`], [`Registry`]: OCI images written here, and Debian's docker-registry to pull them from
//! - [`Scripted`]: a registry that misbehaves as a test says
//! - [`Daemon`], [`Knarr`], [`Containerd`]: a private knarrd, its command line, and a private containerd
//! - [`Docker`], [`Podman`]: Debian's dockerd and podman, private as well
//! - [`Grpc`]: a client of that knarrd's API
//! - [`Shim`], [`Attached`]: a shim of ours without a manager, and a client of its streams
//! - [`python`]: Python with packages, for clients that are not ours
//! - [`Pty`]: a program on a terminal; [`Receiver`]: where a runtime sends a descriptor
//! - [`deranged`]: callers with odd process attributes
//! - [`eventually`]: waiting for a state of the world with a deadline
//! - [`strace`]: a program killed, or a system call failed, at a chosen call
//! - [`require!`]: what a test needs of the machine, or it is skipped loudly and counted
//!
//! Functions here panic with a sentence when the world is not as it must be: a panic is how a test fails.
#![forbid(unsafe_code)]

pub mod attached;
pub mod bundle;
pub mod cgroup;
pub mod containerd;
pub mod daemon;
pub mod deranged;
pub mod docker;
pub mod eventually;
pub mod grpc;
pub mod image;
pub mod knarr;
pub mod leftovers;
pub mod podman;
pub mod process;
pub mod programs;
pub mod pty;
pub mod python;
pub mod receiver;
pub mod registry;
pub mod require;
pub mod rootfs;
pub mod runtime;
pub mod scratch;
pub mod scripted;
pub mod shim;
pub mod strace;

pub use attached::Attached;
pub use bundle::Bundle;
pub use containerd::Containerd;
pub use daemon::Daemon;
pub use docker::Docker;
pub use eventually::eventually;
pub use grpc::Grpc;
pub use image::{Image, Layer};
pub use knarr::Knarr;
pub use podman::Podman;
pub use process::{Background, Outcome};
pub use pty::Pty;
pub use receiver::Receiver;
pub use registry::Registry;
pub use runtime::Runtime;
pub use scratch::Scratch;
pub use scripted::Scripted;
pub use shim::Shim;
