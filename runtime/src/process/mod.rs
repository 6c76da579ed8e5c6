//! What a process is given before it runs: how it is scheduled, where its memory comes from, which kernel it sees.
//!
//! Each module parses its part of the specification in the plan, before the host is touched, into a value whose only
//! verb is `apply`, which the child calls on itself.

pub mod cpu_affinity;
pub mod io_priority;
pub mod memory_policy;
mod number_list;
pub mod personality;
pub mod scheduler;
