//! `process`: the program to run and what it may do.

use serde::Deserialize;

use super::null::null_is_default;

/// The container's first process, or one of `exec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Process {
    /// Whether a terminal is attached.
    pub(crate) terminal: bool,
    /// The terminal's size; ignored without one.
    pub(crate) console_size: Option<ConsoleSize>,
    /// Absolute working directory inside the container.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cwd: String,
    /// `KEY=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) env: Vec<String>,
    /// argv.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) args: Vec<String>,
    /// POSIX resource limits.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) rlimits: Vec<Rlimit>,
    /// AppArmor profile to change to on exec.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) apparmor_profile: String,
    /// Capability sets; absent means none of them is touched by name, which the plan reads as empty sets.
    pub(crate) capabilities: Option<Capabilities>,
    /// PR_SET_NO_NEW_PRIVS.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) no_new_privileges: bool,
    /// /proc/self/oom_score_adj; absent leaves it alone.
    pub(crate) oom_score_adj: Option<i32>,
    /// sched_setattr.
    pub(crate) scheduler: Option<Scheduler>,
    /// SELinux label of the process.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) selinux_label: String,
    /// ioprio_set.
    pub(crate) io_priority: Option<IoPriority>,
    /// CPUs of exec's processes.
    #[serde(rename = "execCPUAffinity")]
    pub(crate) exec_cpu_affinity: Option<ExecCpuAffinity>,
    /// The user that runs it.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) user: User,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConsoleSize {
    /// Rows.
    pub(crate) height: u16,
    /// Columns.
    pub(crate) width: u16,
}

/// Ids inside the container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct User {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
    /// File mode mask; absent keeps 0022.
    pub(crate) umask: Option<u32>,
    /// Supplementary groups.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) additional_gids: Vec<u32>,
}

/// One rlimit.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rlimit {
    /// `RLIMIT_NOFILE` …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Hard limit in the resource's unit.
    pub(crate) hard: u64,
    /// Soft limit in the resource's unit.
    pub(crate) soft: u64,
}

/// The five sets, by name; names that we do not know are warned about, as the specification says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Capabilities {
    /// Bounding set.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) bounding: Vec<String>,
    /// Effective set.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) effective: Vec<String>,
    /// Inheritable set.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) inheritable: Vec<String>,
    /// Permitted set.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) permitted: Vec<String>,
    /// Ambient set.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) ambient: Vec<String>,
}

/// sched_setattr's arguments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scheduler {
    /// `SCHED_OTHER` …
    pub(crate) policy: String,
    /// Nice value for SCHED_OTHER and SCHED_BATCH.
    pub(crate) nice: i32,
    /// Static priority for SCHED_FIFO and SCHED_RR.
    pub(crate) priority: i32,
    /// `SCHED_FLAG_RESET_ON_FORK` …
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) flags: Vec<String>,
    /// SCHED_DEADLINE, nanoseconds.
    pub(crate) runtime: u64,
    /// SCHED_DEADLINE, nanoseconds.
    pub(crate) deadline: u64,
    /// SCHED_DEADLINE, nanoseconds.
    pub(crate) period: u64,
}

/// ioprio_set's arguments.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub(crate) class: String,
    /// 0 (highest) to 7.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) priority: i32,
}

/// CPU lists (`0-3,7`) of exec's processes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExecCpuAffinity {
    /// Before the process enters the container's cgroup.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) initial: String,
    /// After it did.
    #[serde(rename = "final", deserialize_with = "null_is_default")]
    pub(crate) after: String,
}
