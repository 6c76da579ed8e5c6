//! What a process is given before it runs: how it is scheduled, where its memory comes from, which kernel it sees.
//!
//! [`launch`] is the way from a process with all rights to the user's program; [`console`] its terminal. [`policies`]
//! and what it holds are parsed before the host is touched; the child applies them to itself, before it gives up its
//! rights and before seccomp.

pub(crate) mod console;
pub(crate) mod cpu_affinity;
pub(crate) mod home;
pub(crate) mod io_priority;
pub(crate) mod launch;
pub(crate) mod memory_policy;
pub(crate) mod number_list;
pub(crate) mod personality;
pub(crate) mod policies;
pub(crate) mod program;
pub(crate) mod scheduler;
