//! The whole way, and side by side with what else there is: registry to exit code, runc, crun, containerd.
#![forbid(unsafe_code)]

mod bad_input;
mod big_image;
mod callers;
mod callers_containerd;
mod callers_docker;
mod callers_podman;
mod containerd;
mod demo;
mod harness;
mod packaging;
mod runtimes;
