//! What can be asked of the program: a struct a command, with the texts that need the host to be judged left as text.

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use knarr_proto::id::ContainerId;

use crate::checkpoint::options::{DumpOptions, RestoreOptions};

/// What to do, with everything that was said about it.
#[derive(Debug)]
pub(crate) enum Command {
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
    pub(crate) fn enters_a_container(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Run(_) | Self::Exec(_))
    }

    /// Whether a command line that is not understood yet may be of a command that [enters a
    /// container](Self::enters_a_container): no such command goes without its name.
    #[must_use]
    pub(crate) fn may_enter_a_container(mut arguments: impl Iterator<Item = &'static CStr>) -> bool {
        arguments.any(|argument| matches!(argument.to_bytes(), b"create" | b"run" | b"exec"))
    }
}

/// `create`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct CreateArgs {
    /// The container's name, not yet judged.
    pub(crate) id: String,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    /// How many descriptors from 3 on go into the container, besides `LISTEN_FDS`.
    pub(crate) preserve_fds: u32,
}

/// `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct RunArgs {
    pub(crate) create: CreateArgs,
    pub(crate) detach: bool,
    pub(crate) keep: bool,
}

/// `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct ListArgs {
    pub(crate) format: ListFormat,
    pub(crate) quiet: bool,
}

/// `--format` of `list` and `ps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// `kill`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KillArgs {
    /// The container.
    pub(crate) id: ContainerId,
    /// A number or a name, with or without `SIG`.
    pub(crate) signal: String,
    /// Every process, not only the first; obsolete in runc, but callers still say it.
    pub(crate) all: bool,
}

/// `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeleteArgs {
    /// The container.
    pub(crate) id: ContainerId,
    /// Kill it first if it runs; no error if there is none.
    pub(crate) force: bool,
}

/// `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct ExecArgs {
    /// The container's name, not yet judged.
    pub(crate) id: String,
    /// The command line; empty with `--process`.
    pub(crate) command: Vec<String>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Vec<String>,
    pub(crate) tty: bool,
    /// `uid[:gid]`, not yet judged.
    pub(crate) user: Option<String>,
    pub(crate) additional_gids: Vec<u32>,
    /// A file with a `process` object.
    pub(crate) process: Option<PathBuf>,
    pub(crate) detach: bool,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) process_label: Option<String>,
    pub(crate) apparmor: Option<String>,
    /// `None` when the flag was not given.
    pub(crate) no_new_privs: Option<bool>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) preserve_fds: u32,
    /// `[controllers:]path` below the container's own cgroup.
    pub(crate) cgroups: Vec<String>,
    pub(crate) ignore_paused: bool,
}

/// `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PsArgs {
    /// The container.
    pub(crate) id: ContainerId,
    /// `table` goes through ps(1), `json` is a list of pids.
    pub(crate) format: ListFormat,
    /// Options for ps(1).
    pub(crate) options: Vec<String>,
}

/// `update`: the texts as given, `None` where a flag was not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct UpdateArgs {
    pub(crate) id: ContainerId,
    /// A file with a `resources` object, `-` for stdin.
    pub(crate) resources: Option<String>,
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) cpu_period: Option<String>,
    pub(crate) cpu_quota: Option<String>,
    pub(crate) cpu_burst: Option<String>,
    pub(crate) cpu_share: Option<String>,
    pub(crate) cpu_rt_period: Option<String>,
    pub(crate) cpu_rt_runtime: Option<String>,
    pub(crate) cpu_idle: Option<String>,
    pub(crate) cpuset_cpus: Option<String>,
    pub(crate) cpuset_mems: Option<String>,
    pub(crate) kernel_memory: Option<String>,
    pub(crate) kernel_memory_tcp: Option<String>,
    pub(crate) memory: Option<String>,
    pub(crate) memory_reservation: Option<String>,
    pub(crate) memory_swap: Option<String>,
    pub(crate) pids_limit: Option<i64>,
    pub(crate) l3_cache_schema: Option<String>,
    pub(crate) mem_bw_schema: Option<String>,
}

/// `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsArgs {
    /// The container.
    pub(crate) id: ContainerId,
    /// Between two statistics.
    pub(crate) interval: Duration,
    /// Statistics once, then stop.
    pub(crate) stats: bool,
}

/// `spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct SpecArgs {
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) rootless: bool,
}

/// `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct CheckpointArgs {
    pub(crate) id: ContainerId,
    /// Paths as they were typed.
    pub(crate) options: DumpOptions,
}

/// `restore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) struct RestoreArgs {
    pub(crate) create: CreateArgs,
    pub(crate) detach: bool,
    /// Paths as they were typed.
    pub(crate) options: RestoreOptions,
}

#[cfg(test)]
mod tests {
    use crate::args::command::Command;
    use crate::args::invocation::Request;
    use crate::args::parse;
    use crate::args::verbs::VERBS;

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
