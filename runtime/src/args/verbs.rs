//! Which flags and operands each command has. The table is read here and printed by [`super::help`]; what the flags
//! become is in [`super::build`].

use super::command::Command;
use super::error::UsageError;
use super::flags::{Flag, Matches, Order, read, switch, value};
use super::globals::Globals;
use super::invocation::{Invocation, Misuse, Request, misuse};
use crate::args::{build, help};

/// A command's entry in the table.
#[derive(Debug)]
pub(crate) struct Verb {
    /// What is typed.
    pub(crate) name: &'static str,
    /// The line of help.
    pub(crate) usage: &'static str,
    /// The operands, for help.
    pub(crate) operands: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    least: usize,
    most: usize,
    order: Order,
    build: Build,
}

/// What a command's flags and operands become.
type Build = fn(&Matches) -> Result<Command, UsageError>;

/// A command whose only operand is a container.
const fn of_container(name: &'static str, usage: &'static str, flags: &'static [Flag], build: Build) -> Verb {
    let operands = "<container-id>";
    Verb { name, usage, operands, flags, least: 1, most: 1, order: Order::Mixed, build }
}

/// A command without operands.
const fn of_none(name: &'static str, usage: &'static str, flags: &'static [Flag], build: Build) -> Verb {
    Verb { operands: "", least: 0, most: 0, ..of_container(name, usage, flags, build) }
}

/// The flags before the command.
pub(crate) const GLOBAL_FLAGS: &[Flag] = &[
    switch("debug", "enable debug logging"),
    value("log", "set the log file to write logs to (default is '/dev/stderr')"),
    value("log-format", "set the log format ('text' (default), or 'json')"),
    value(
        "root",
        "directory of all containers' state, on a tmpfs (default: /run/knarr/runtime, a user's: $XDG_RUNTIME_DIR/knarr/runtime)",
    ),
    switch(
        "systemd-cgroup",
        "let systemd make the cgroup, expects cgroupsPath to be of form \"slice:prefix:name\"",
    ),
    value("rootless", "ignore cgroup permission errors ('true', 'false', or 'auto' (default))"),
    switch("help", "show help").or("h"),
    switch("version", "print the version").or("v"),
];

const BUNDLE: Flag =
    value("bundle", "path to the root of the bundle directory, defaults to the current directory").or("b");
const CONSOLE_SOCKET: Flag =
    value("console-socket", "AF_UNIX socket which will receive the pseudoterminal's master");
const PIDFD_SOCKET: Flag = value("pidfd-socket", "AF_UNIX socket which will receive a pidfd of the process");
const PID_FILE: Flag = value("pid-file", "specify the file to write the process id to");
const NO_PIVOT: Flag = switch("no-pivot", "do not use pivot root to jail process inside rootfs");
const NO_KEYRING: Flag = switch("no-new-keyring", "do not create a new session keyring for the container");
const PRESERVE_FDS: Flag = value(
    "preserve-fds",
    "pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)",
);
const DETACH: Flag = switch("detach", "detach from the container's process").or("d");
const FORMAT: Flag = value("format", "select one of: table (default) or json").or("f");

const IMAGE_PATH: Flag = value("image-path", "path of criu's image files (default: ./checkpoint)");
const WORK_PATH: Flag =
    value("work-path", "path for criu's work files and logs (default: beside the images)");
const TCP_ESTABLISHED: Flag = switch("tcp-established", "allow open tcp connections");
const EXT_UNIX_SK: Flag = switch("ext-unix-sk", "allow external unix sockets");
const SHELL_JOB: Flag = switch("shell-job", "allow shell jobs");
const FILE_LOCKS: Flag = switch("file-locks", "handle file locks, for safety");
const CGROUPS_MODE: Flag =
    value("manage-cgroups-mode", "cgroups mode: soft|full|strict|ignore (default: soft)");
const EMPTY_NS: Flag = value("empty-ns", "leave a namespace's properties out (network, which always are)");
const AUTO_DEDUP: Flag = switch("auto-dedup", "enable auto deduplication of memory images");
const LAZY_PAGES: Flag = switch("lazy-pages", "use userfaultfd to lazily restore memory pages");

/// Every command.
pub(crate) static VERBS: &[Verb] = &[
    of_container(
        "checkpoint",
        "checkpoint a running container",
        &[
            IMAGE_PATH,
            WORK_PATH,
            value("parent-path", "path for previous criu image files in pre-dump, relative to --image-path"),
            switch("leave-running", "leave the process running after checkpointing"),
            TCP_ESTABLISHED,
            switch("tcp-skip-in-flight", "skip in-flight tcp connections"),
            switch("link-remap", "allow one to link unlinked files back when possible"),
            EXT_UNIX_SK,
            SHELL_JOB,
            LAZY_PAGES,
            value("status-fd", "criu writes \\0 to this descriptor once lazy pages are ready"),
            value("page-server", "ADDRESS:PORT of the page server"),
            FILE_LOCKS,
            switch("pre-dump", "dump container's memory information only, leave it running after this"),
            CGROUPS_MODE,
            EMPTY_NS,
            AUTO_DEDUP,
        ],
        build::checkpoint,
    ),
    of_container(
        "create",
        "create a container",
        &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE_FDS],
        build::create,
    ),
    of_container(
        "delete",
        "delete any resources held by the container often used with detached container",
        &[switch("force", "forcibly deletes the container if it is still running (uses SIGKILL)").or("f")],
        build::delete,
    ),
    of_container(
        "events",
        "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
        &[
            value("interval", "set the stats collection interval (default: 5s)"),
            switch("stats", "display the container's stats then exit"),
        ],
        build::events,
    ),
    Verb {
        operands: "<container-id> <command> [command options]  || -p process.json <container-id>",
        most: usize::MAX,
        order: Order::FlagsFirst,
        ..of_container(
            "exec",
            "execute new process inside the container",
            &[
                CONSOLE_SOCKET,
                PIDFD_SOCKET,
                value("cwd", "current working directory in the container"),
                value("env", "set environment variables").or("e"),
                switch("tty", "allocate a pseudo-TTY").or("t"),
                value("user", "UID (format: <uid>[:<gid>])").or("u"),
                value("additional-gids", "additional gids").or("g"),
                value("process", "path to the process.json").or("p"),
                DETACH,
                PID_FILE,
                value(
                    "process-label",
                    "set the asm process label for the process commonly used with selinux",
                ),
                value("apparmor", "set the apparmor profile for the process"),
                switch("no-new-privs", "set the no new privileges value for the process"),
                value("cap", "add a capability to the bounding set for the process").or("c"),
                PRESERVE_FDS,
                value(
                    "cgroup",
                    "run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>.",
                ),
                switch("ignore-paused", "allow exec in a paused container"),
            ],
            build::exec,
        )
    },
    of_none("features", "show the enabled features", &[], |_| Ok(Command::Features)),
    Verb {
        operands: "<container-id> [signal]",
        most: 2,
        ..of_container(
            "kill",
            "kill sends the specified signal (default: SIGTERM) to the container's init process",
            &[switch("all", "").or("a")],
            build::kill,
        )
    },
    of_none(
        "list",
        "lists containers started with the given root",
        &[FORMAT, switch("quiet", "display only container IDs").or("q")],
        build::list,
    ),
    of_container("pause", "pause suspends all processes inside the container", &[], |matches| {
        build::id(matches).map(Command::Pause)
    }),
    Verb {
        operands: "<container-id> [ps options]",
        most: usize::MAX,
        order: Order::FlagsFirst,
        ..of_container("ps", "ps displays the processes running inside a container", &[FORMAT], build::ps)
    },
    of_container(
        "restore",
        "restore a container from a previous checkpoint",
        &[
            CONSOLE_SOCKET,
            IMAGE_PATH,
            WORK_PATH,
            TCP_ESTABLISHED,
            EXT_UNIX_SK,
            SHELL_JOB,
            FILE_LOCKS,
            CGROUPS_MODE,
            BUNDLE,
            DETACH,
            PID_FILE,
            switch("no-subreaper", "disable the use of the subreaper used to reap reparented processes"),
            NO_PIVOT,
            EMPTY_NS,
            AUTO_DEDUP,
            LAZY_PAGES,
            value("lsm-profile", "LSM profile to be used during restore, as TYPE:NAME"),
            value("lsm-mount-context", "LSM mount context to be used during restore"),
        ],
        build::restore,
    ),
    of_container("resume", "resumes all processes that have been previously paused", &[], |matches| {
        build::id(matches).map(Command::Resume)
    }),
    of_container(
        "run",
        "create and run a container",
        &[
            BUNDLE,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            DETACH,
            switch("keep", "do not delete the container after it exits"),
            PID_FILE,
            switch("no-subreaper", "disable the use of the subreaper used to reap reparented processes"),
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE_FDS,
        ],
        build::run,
    ),
    of_none(
        "spec",
        "create a new specification file",
        &[
            value("bundle", "path to the root of the bundle directory").or("b"),
            switch("rootless", "generate a configuration for a rootless container"),
        ],
        build::spec,
    ),
    of_container("start", "executes the user defined process in a created container", &[], |matches| {
        build::id(matches).map(Command::Start)
    }),
    of_container("state", "output the state of a container", &[], |matches| {
        build::id(matches).map(Command::State)
    }),
    of_container(
        "update",
        "update container resource constraints",
        &[
            value("resources", "path to the file containing the resources to update or '-' for stdin")
                .or("r"),
            value("blkio-weight", "specifies per cgroup weight, range is from 10 to 1000"),
            value("cpu-period", "CPU CFS period in usecs, 0 to use system default"),
            value("cpu-quota", "CPU CFS hardcap limit in usecs"),
            value("cpu-burst", "CPU CFS hardcap burst limit in usecs"),
            value("cpu-share", "CPU shares (relative weight vs. other containers)"),
            value("cpu-rt-period", "CPU realtime period in usecs, 0 to use system default"),
            value("cpu-rt-runtime", "CPU realtime hardcap limit in usecs"),
            value("cpuset-cpus", "CPU(s) to use"),
            value("cpuset-mems", "memory node(s) to use"),
            value("kernel-memory", ""),
            value("kernel-memory-tcp", ""),
            value("memory", "memory limit (in bytes)"),
            value("cpu-idle", "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"),
            value("memory-reservation", "memory reservation or soft limit (in bytes)"),
            value("memory-swap", "total memory usage (memory + swap); set '-1' to enable unlimited swap"),
            value("pids-limit", "maximum number of pids allowed in the container"),
            value("l3-cache-schema", "the string of Intel RDT/CAT L3 cache schema"),
            value("mem-bw-schema", "the string of Intel RDT/MBA memory bandwidth schema"),
        ],
        build::update,
    ),
];

/// Understands everything after the program's name.
///
/// # Errors
/// [`Misuse`].
pub(super) fn parse(
    program: String,
    arguments: impl Iterator<Item = String>,
) -> Result<Request, Box<Misuse>> {
    let before = read(arguments, GLOBAL_FLAGS, Order::FlagsFirst).map_err(|error| {
        let help = format!("Incorrect Usage. {error}\n\n{}", help::of_program(&program));
        misuse(error, help, Globals::default())
    })?;
    if before.text("version").is_some() {
        return Ok(Request::Print(help::version(&program)));
    }
    let globals =
        build::globals(&before).map_err(|error| misuse(error, String::new(), Globals::default()))?;
    let mut words = before.operands.iter().filter(|_| before.text("help").is_none());
    let first = words.next();
    let asks_for_help = first.is_none_or(|word| matches!(word.as_str(), "help" | "h"));
    let Some(name) = (if asks_for_help { words.next() } else { first }) else {
        return Ok(Request::Print(help::of_program(&program)));
    };
    match VERBS.iter().find(|verb| verb.name == name) {
        None => Err(misuse(UsageError::UnknownCommand(name.clone()), String::new(), globals)),
        Some(verb) if asks_for_help => Ok(Request::Print(help::verb_help(&program, verb))),
        Some(verb) => parse_verb(program, globals, verb, &before.operands[1..]),
    }
}

const HELP: Flag = switch("help", "show help").or("h");

fn parse_verb(
    program: String,
    globals: Globals,
    verb: &Verb,
    operands: &[String],
) -> Result<Request, Box<Misuse>> {
    let flags: Vec<Flag> = verb.flags.iter().copied().chain([HELP]).collect();
    let incorrect = |error: UsageError, said: String| {
        let help = format!("Incorrect Usage{said}\n\n{}", help::verb_help(&program, verb));
        misuse(error, help, globals.clone())
    };
    let matches = read(operands.iter().cloned(), &flags, verb.order);
    let matches = matches.map_err(|error| {
        let said = format!(": {error}");
        incorrect(error, said)
    })?;
    if matches.text("help").is_some() {
        return Ok(Request::Print(help::verb_help(&program, verb)));
    }
    if let Some(bound) = verb.miscounted(matches.operands.len()) {
        let error = UsageError::Operands { program: program.clone(), command: verb.name, bound };
        return Err(incorrect(error, ".".to_owned()));
    }
    let command = (verb.build)(&matches).map_err(|error| match error {
        UsageError::BadValue { .. } | UsageError::BadBoolean { .. } => {
            let said = format!(": {error}");
            incorrect(error, said)
        }
        other => misuse(other, String::new(), globals.clone()),
    })?;
    Ok(Request::Invoke(Box::new(Invocation { program, globals, command })))
}

impl Verb {
    fn miscounted(&self, count: usize) -> Option<String> {
        let (least, most) = (self.least, self.most);
        if (least..=most).contains(&count) {
            return None;
        }
        Some(match (least == most, count < least) {
            (true, _) => format!("exactly {least}"),
            (false, true) => format!("a minimum of {least}"),
            (false, false) => format!("a maximum of {most}"),
        })
    }
}
