//! The whole way, and side by side with what else there is: registry to exit code, runc, crun, containerd.
#![forbid(unsafe_code)]

mod harness;
mod runtimes;
