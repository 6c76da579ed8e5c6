//! containerd-shim-knarr-v2 under its contract: ttrpc, stdio, exit records, logs.
#![forbid(unsafe_code)]

mod containerd;
mod contract;
mod ends;
mod full_disk;
mod returns;
mod runtimes;
mod streams;
mod terminal;
