//! `process`: the program to run and what it may do.

use serde::Deserialize;

use super::null_is_default;

/// The container's first process, or one of `exec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Whether a terminal is attached.
    pub terminal: bool,
    /// The terminal's size; ignored without one.
    pub console_size: Option<ConsoleSize>,
    /// Absolute working directory inside the container.
    #[serde(deserialize_with = "null_is_default")]
    pub cwd: String,
    /// `KEY=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// argv.
    #[serde(deserialize_with = "null_is_default")]
    pub args: Vec<String>,
    /// POSIX resource limits.
    #[serde(deserialize_with = "null_is_default")]
    pub rlimits: Vec<Rlimit>,
    /// AppArmor profile to change to on exec.
    #[serde(deserialize_with = "null_is_default")]
    pub apparmor_profile: String,
    /// Capability sets; absent means none of them is touched by name, which the plan reads as empty sets.
    pub capabilities: Option<Capabilities>,
    /// PR_SET_NO_NEW_PRIVS.
    #[serde(deserialize_with = "null_is_default")]
    pub no_new_privileges: bool,
    /// /proc/self/oom_score_adj; absent leaves it alone.
    pub oom_score_adj: Option<i32>,
    /// sched_setattr.
    pub scheduler: Option<Scheduler>,
    /// SELinux label of the process.
    #[serde(deserialize_with = "null_is_default")]
    pub selinux_label: String,
    /// ioprio_set.
    pub io_priority: Option<IoPriority>,
    /// CPUs of exec's processes.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
    /// Who runs it.
    #[serde(deserialize_with = "null_is_default")]
    pub user: User,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Ids inside the container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// File mode mask; absent keeps 0022.
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(deserialize_with = "null_is_default")]
    pub additional_gids: Vec<u32>,
}

/// One rlimit.
#[derive(Clone, Debug, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Hard limit in the resource's unit.
    pub hard: u64,
    /// Soft limit in the resource's unit.
    pub soft: u64,
}

/// The five sets, by name; names that we do not know are warned about, as the specification says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Bounding set.
    #[serde(deserialize_with = "null_is_default")]
    pub bounding: Vec<String>,
    /// Effective set.
    #[serde(deserialize_with = "null_is_default")]
    pub effective: Vec<String>,
    /// Inheritable set.
    #[serde(deserialize_with = "null_is_default")]
    pub inheritable: Vec<String>,
    /// Permitted set.
    #[serde(deserialize_with = "null_is_default")]
    pub permitted: Vec<String>,
    /// Ambient set.
    #[serde(deserialize_with = "null_is_default")]
    pub ambient: Vec<String>,
}

/// sched_setattr's arguments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_OTHER` …
    pub policy: String,
    /// Nice value for SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// Static priority for SCHED_FIFO and SCHED_RR.
    pub priority: i32,
    /// `SCHED_FLAG_RESET_ON_FORK` …
    #[serde(deserialize_with = "null_is_default")]
    pub flags: Vec<String>,
    /// SCHED_DEADLINE, nanoseconds.
    pub runtime: u64,
    /// SCHED_DEADLINE, nanoseconds.
    pub deadline: u64,
    /// SCHED_DEADLINE, nanoseconds.
    pub period: u64,
}

/// ioprio_set's arguments.
#[derive(Clone, Debug, Deserialize)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: String,
    /// 0 (highest) to 7.
    #[serde(default, deserialize_with = "null_is_default")]
    pub priority: i32,
}

/// CPU lists (`0-3,7`) of exec's processes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExecCpuAffinity {
    /// Before the process enters the container's cgroup.
    #[serde(deserialize_with = "null_is_default")]
    pub initial: String,
    /// After it did.
    #[serde(rename = "final", deserialize_with = "null_is_default")]
    pub after: String,
}
