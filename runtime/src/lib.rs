//! knarr-runtime's parts. A library besides the program so that unit tests and fuzz targets can be linked, which bring
//! a `main` of their own. It offers the program's beginning alone: the compiler finds what nothing uses.
//!
//! A container's way through it: `spec` (what was asked) → `plan` (whether it can be done, before anything is touched)
//! → `create` (the creator's side) and `init` (the child's side) → exec of the user's program.
#![deny(unsafe_code)]

mod args;
mod caretaker;
mod cgroup;
mod checkpoint;
mod child;
mod commands;
mod create;
#[cfg(fuzzing)]
pub mod fuzz;
mod handshake;
mod hooks;
mod host;
mod init;
mod invocation;
mod join;
mod mount_view;
mod network;
mod notify;
mod null;
mod output;
mod plan;
mod process;
mod resctrl;
mod rootfs;
mod sealed;
mod security;
mod spec;
mod state;
mod sys;

pub use invocation::run;
pub use sys::entry::{Arguments, begin};
pub use sys::heap::Heap;
