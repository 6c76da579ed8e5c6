//! resctrl, the kernel's interface to shares of caches and memory bandwidth (Intel RDT and its likes): a container's
//! control group, which is a directory like a cgroup's, its monitoring group, and what they count.
//!
//! The root is wherever mountinfo says that resctrl is mounted; this never mounts it. A control group is the
//! container's own (`linux.intelRdt.closID` is not set), and goes with it, or another's, and stays.
//! Shares are in force before any process enters; a class that is there already keeps its own. `exec` and `restore`
//! enter as well.
#![forbid(unsafe_code)]

pub(crate) mod error;
pub(crate) mod filesystem;
pub(crate) mod group;
pub(crate) mod schema;
pub(crate) mod stats;

#[cfg(test)]
mod tests;
