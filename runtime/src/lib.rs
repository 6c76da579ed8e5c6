//! knarr-runtime's parts. A library besides the program so that fuzz targets and tests can reach the parsers; no other
//! program of knarr links it.
//!
//! A container's way through it: [`spec`] (what was asked) → [`plan`] (whether it can be done, before anything is
//! touched) → `create` (the creator's side) and `init` (the child's side) → `exec` of the user's program.
#![deny(unsafe_code)]

pub mod args;
pub mod cgroup;
pub mod checkpoint;
pub mod commands;
pub mod create;
pub mod handshake;
pub mod hooks;
pub mod host;
mod init;
pub mod join;
pub mod network;
pub mod notify;
pub mod null;
pub mod output;
pub mod plan;
pub mod process;
pub mod resctrl;
mod rootfs;
pub mod sealed;
pub mod security;
pub mod spec;
pub mod state;
pub mod sys;
