//! What can be asked of the program: a struct a command, with the texts that need the host to be judged left as text.

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use knarr_proto::id::ContainerId;

use crate::checkpoint::dump::DumpOptions;
use crate::checkpoint::restore::RestoreOptions;

/// What to do, with everything that was said about it.
#[derive(Debug)]
pub enum Command {
    /// Makes a container whose process waits for `start`.
    Create(CreateArgs),
    /// Create and start in one.
    Run(RunArgs),
    /// Lets a created container's process go.
    Start(ContainerId),
    /// Prints a container's state.
    State(ContainerId),
    /// Prints all containers.
    List(ListArgs),
    /// Sends a signal.
    Kill(KillArgs),
    /// Removes what is left of a container.
    Delete(DeleteArgs),
    /// Runs another process in a container.
    Exec(Box<ExecArgs>),
    /// Freezes a container.
    Pause(ContainerId),
    /// Thaws a container.
    Resume(ContainerId),
    /// Lists a container's processes.
    Ps(PsArgs),
    /// Changes a container's limits.
    Update(Box<UpdateArgs>),
    /// Prints statistics and OOM notices.
    Events(EventsArgs),
    /// Writes a config.json to begin with.
    Spec(SpecArgs),
    /// Prints what this build can do.
    Features,
    /// Saves a running container.
    Checkpoint(Box<CheckpointArgs>),
    /// Brings a saved container back.
    Restore(Box<RestoreArgs>),
}

impl Command {
    /// Whether a process of ours goes into a container, from where its binary can be seen.
    #[must_use]
    pub fn enters_a_container(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_) | Self::Exec(_))
    }

    /// Whether a command line that is not understood yet may be of a command that [enters a
    /// container](Self::enters_a_container): no such command goes without its name.
    #[must_use]
    pub fn may_enter_a_container(mut arguments: impl Iterator<Item = &'static CStr>) -> bool {
        arguments.any(|argument| matches!(argument.to_bytes(), b"create" | b"run" | b"exec"))
    }
}

/// `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CreateArgs {
    /// The container's name, not yet judged.
    pub id: String,
    pub bundle: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on go into the container, besides `LISTEN_FDS`.
    pub preserve_fds: u32,
}

/// `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RunArgs {
    pub create: CreateArgs,
    pub detach: bool,
    pub keep: bool,
}

/// `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ListArgs {
    pub format: ListFormat,
    pub quiet: bool,
}

/// `--format` of `list` and `ps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// `kill`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillArgs {
    /// The container.
    pub id: ContainerId,
    /// A number or a name, with or without `SIG`.
    pub signal: String,
    /// Every process, not only the first; obsolete in runc, but callers still say it.
    pub all: bool,
}

/// `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteArgs {
    /// The container.
    pub id: ContainerId,
    /// Kill it first if it runs; no error if there is none.
    pub force: bool,
}

/// `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ExecArgs {
    /// The container's name, not yet judged.
    pub id: String,
    /// The command line; empty with `--process`.
    pub command: Vec<String>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub cwd: Option<String>,
    pub env: Vec<String>,
    pub tty: bool,
    /// `uid[:gid]`, not yet judged.
    pub user: Option<String>,
    pub additional_gids: Vec<u32>,
    /// A file with a `process` object.
    pub process: Option<PathBuf>,
    pub detach: bool,
    pub pid_file: Option<PathBuf>,
    pub process_label: Option<String>,
    pub apparmor: Option<String>,
    /// `None` when the flag was not given.
    pub no_new_privs: Option<bool>,
    pub capabilities: Vec<String>,
    pub preserve_fds: u32,
    /// `[controllers:]path` below the container's own cgroup.
    pub cgroups: Vec<String>,
    pub ignore_paused: bool,
}

/// `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsArgs {
    /// The container.
    pub id: ContainerId,
    /// `table` goes through ps(1), `json` is a list of pids.
    pub format: ListFormat,
    /// Options for ps(1).
    pub options: Vec<String>,
}

/// `update`: the texts as given, `None` where a flag was not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UpdateArgs {
    pub id: ContainerId,
    /// A file with a `resources` object, `-` for stdin.
    pub resources: Option<String>,
    pub blkio_weight: Option<u16>,
    pub cpu_period: Option<String>,
    pub cpu_quota: Option<String>,
    pub cpu_burst: Option<String>,
    pub cpu_share: Option<String>,
    pub cpu_rt_period: Option<String>,
    pub cpu_rt_runtime: Option<String>,
    pub cpu_idle: Option<String>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub kernel_memory: Option<String>,
    pub kernel_memory_tcp: Option<String>,
    pub memory: Option<String>,
    pub memory_reservation: Option<String>,
    pub memory_swap: Option<String>,
    pub pids_limit: Option<i64>,
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

/// `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsArgs {
    /// The container.
    pub id: ContainerId,
    /// Between two statistics.
    pub interval: Duration,
    /// Statistics once, then stop.
    pub stats: bool,
}

/// `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SpecArgs {
    pub bundle: Option<PathBuf>,
    pub rootless: bool,
}

/// `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct CheckpointArgs {
    pub id: ContainerId,
    /// Paths as they were typed.
    pub options: DumpOptions,
}

/// `restore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RestoreArgs {
    pub create: CreateArgs,
    pub detach: bool,
    /// Paths as they were typed.
    pub options: RestoreOptions,
}

#[cfg(test)]
mod tests {
    use super::Command;
    use crate::args::verbs::VERBS;
    use crate::args::{Request, parse};

    /// One whose word is not known would not be sealed.
    #[test]
    fn commands_that_enter_a_container_are_known_by_their_words() {
        let mut entering = Vec::new();
        for verb in VERBS {
            for operands in [&["one"][..], &["one", "true"]] {
                let words = ["knarr-runtime", verb.name].into_iter().chain(operands.iter().copied());
                if let Ok(Request::Invoke(asked)) = parse(words.map(Into::into))
                    && asked.command.enters_a_container()
                {
                    entering.push(verb.name);
                }
            }
        }
        entering.dedup();
        assert_eq!(entering, ["create", "exec", "run"]);
        for words in [[c"x", c"create"], [c"x", c"exec"], [c"x", c"run"]] {
            assert!(Command::may_enter_a_container(words.into_iter()), "{words:?}");
        }
        assert!(!Command::may_enter_a_container([c"x", c"state", c"one"].into_iter()));
    }
}
