//! Control groups: where a container's lie, what limits they hold, and everything that is done to the container as a
//! whole through them. cgroup v1, v2 and both at once (hybrid), each hierarchy found where it is mounted.
//!
//! - [`layout`]: what the host has, read from mountinfo
//! - [`plan`]: `cgroupsPath` and `resources` → paths and values, before anything is touched
//! - `limits`: `resources` → writes, judged, then made; `devices`: which device nodes may be used
//! - `controllers`: v2's, handed down on the way to the container
//! - [`fence`]: the cgroups themselves: made, entered; `directory`: one of them, with its files
//! - `fallback`: the cgroup to enter where the container's own takes no process in
//! - `removal`: their end, and that of the processes left in them
//! - `systemd`: the same as a transient unit; `owner`: the user that may divide it further
//! - `freezer`, `members`: freeze and thaw; count and kill; `walk`: the cgroups inside one
//! - `stats`, `oom`: what is used, and when it was too much; `update`: new limits into old ones
//!
//! Never writes another task's pid into `cgroup.procs`: that waits for an RCU grace period (5 to 14 ms). The child
//! enters by itself, by what [`Entrance`] holds.
#![forbid(unsafe_code)]

pub(crate) mod controllers;
pub(crate) mod devices;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod fallback;
pub(crate) mod fence;
pub(crate) mod freezer;
pub(crate) mod layout;
pub(crate) mod limits;
pub(crate) mod members;
pub(crate) mod oom;
pub(crate) mod owner;
pub(crate) mod paths;
pub(crate) mod plan;
pub(crate) mod removal;
pub(crate) mod stats;
pub(crate) mod systemd;
pub(crate) mod update;
pub(crate) mod walk;
