//! What a process may do: its capabilities, the system call filter, security labels, the session keyring.
//!
//! What is asked for is parsed, compiled and checked before the host is touched; `apply…`, `install` and `join_session`
//! are what the child does to itself.

pub(crate) mod apparmor;
pub(crate) mod capabilities;
pub(crate) mod keyring;
pub(crate) mod seccomp;
pub(crate) mod selinux;
