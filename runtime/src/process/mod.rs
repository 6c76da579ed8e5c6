//! What a process is given before it runs: how it is scheduled, where its memory comes from, which kernel it sees.
//!
//! [`launch`] is the way from a process with all rights to the user's program; [`console`] its terminal.
//! Each other module parses its part of the specification in the plan, before the host is touched, into a value whose only
//! verb is `apply`, which the child calls on itself.

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
