//! What a process may do: the system call filter, security labels, the session keyring.
//!
//! Parsing and compiling happen in the plan; `apply`, `install` and `join` are what the child does to itself.

pub mod apparmor;
pub mod capabilities;
pub mod keyring;
mod label;
pub mod seccomp;
pub mod selinux;
