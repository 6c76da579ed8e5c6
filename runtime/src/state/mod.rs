//! What is remembered of a container between two runs of the program: one directory per container below `--root`,
//! readable by its owner alone, and in it
//!
//! ```text
//! state.json    the State: written beside, then renamed, so that there is always a whole one
//! .state.json   its copy, for when that one is damaged: the state before, or the same where there are no cgroups
//! config.json   the configuration as it was when the container was made
//! exec.fifo     the start gate, while the process waits for `start`
//! notify/       the sd_notify socket, if our caller had one
//! ```
//! The order that makes `delete --force` work after a kill -9 at any point: claim the name (mkdir and flock), record
//! the cgroups' paths, only then make anything; record the first process before it may go on.
//! The copy names the cgroups, or the process where there are none: `delete --force` ends by it, or by the cgroups that
//! config.json names, what runs when state.json cannot be read.
#![forbid(unsafe_code)]

pub(crate) mod claim;
pub(crate) mod error;
pub(crate) mod names;
pub(crate) mod oci;
pub(crate) mod record;
pub(crate) mod status;
