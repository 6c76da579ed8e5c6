//! The exit record: how a container's process ended, kept in its bundle by the shim before anybody is told.

use serde::{Deserialize, Serialize};

/// The file's name in the bundle directory. Written as temporary file, fsynced, renamed.
pub const FILE_NAME: &str = "exit.json";

/// The layout that this build writes.
pub const VERSION: u32 = 1;

/// How the container's first process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`VERSION`]; a reader refuses what it does not know.
    pub version: u32,
    /// Host pid that the process had.
    pub pid: u32,
    /// 0–255; 128 + N when signal N ended it.
    pub code: u32,
    /// Wall clock, nanoseconds since 1970.
    pub exited_at_unix_ns: u64,
    /// The kernel killed a process of the container's cgroup for want of memory.
    pub oom_killed: bool,
}
