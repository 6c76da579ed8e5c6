//! What a process is given before it runs: how it is scheduled, where its memory comes from, which kernel it sees.
//!
//! [`launch`] is the way from a process with all rights to the user's program; [`console`] its terminal.
//! [`policies`] and what it holds are parsed before the host is touched; the child applies them to itself, before it gives
//! up its rights and before seccomp.

pub mod console;
pub mod cpu_affinity;
mod home;
pub mod io_priority;
pub mod launch;
pub mod memory_policy;
pub(crate) mod number_list;
pub mod personality;
pub mod policies;
pub mod program;
pub mod scheduler;
