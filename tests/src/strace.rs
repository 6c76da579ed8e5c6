//! Faults by strace: a program killed, or a system call failed, at a chosen call. Counts are each process's own, so that
//! the same point is met again in the next run of the same command. A server that runs already is attached to: then its
//! calls are counted from that moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;

use crate::eventually::eventually;
use crate::process::{self, Background};
use crate::programs;

/// Calls that only look, wait, or manage the caller's own memory: a kill between two of them is the kill at the next
/// call that changes something.
const HARMLESS: [&str; 62] = [
    "access",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpgrp",
    "getpid",
    "getppid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "getuid",
    "getxattr",
    "lgetxattr",
    "lseek",
    "lstat",
    "madvise",
    "membarrier",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "nanosleep",
    "poll",
    "ppoll",
    "prctl",
    "pread64",
    "prlimit64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recvfrom",
    "recvmsg",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "stat",
    "statx",
];
/// How long strace may take until it holds a process.
const ATTACH_LIMIT: Duration = Duration::from_secs(20);

/// Whose system calls are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The program's own alone.
    Program,
    /// Its children's too, whatever they become.
    Family,
}

/// One system call of a command: the `number`th of this name, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The call's name.
    pub call: String,
    /// Which of that name.
    pub number: u32,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.call, self.number)
    }
}

impl Point {
    /// Whether the call can change anything outside of the caller's memory.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        !HARMLESS.contains(&self.call.as_str())
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// `kill -9` on the way into the call, which is not done any more.
    Kill,
    /// The call is not done and fails with this error, by name (`ENOSPC`).
    Error(&'static str),
}

impl Point {
    /// The `number`th call of this name.
    #[must_use]
    pub fn new(call: &str, number: u32) -> Self {
        Self { call: call.to_owned(), number }
    }

    /// The command with this fault at this point.
    #[must_use]
    pub fn inject(&self, fault: Fault, watch: Watch, command: &Command) -> Command {
        self.inject_when(&self.number.to_string(), fault, watch, command)
    }

    /// The command with this fault at this point and every later one of the same name.
    #[must_use]
    pub fn inject_from(&self, fault: Fault, watch: Watch, command: &Command) -> Command {
        self.inject_when(&format!("{}+", self.number), fault, watch, command)
    }

    fn inject_when(&self, when: &str, fault: Fault, watch: Watch, command: &Command) -> Command {
        let rules = self.rules(fault, when);
        wrapped(watch, Path::new("/dev/null"), command, |strace| {
            strace.args(rules);
        })
    }

    fn rules(&self, fault: Fault, when: &str) -> [String; 4] {
        let what = match fault {
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Error(name) => format!("error={name}"),
        };
        let call = &self.call;
        let [option, rule] = ["-e".to_owned(), format!("inject={call}:{what}:when={when}")];
        [option.clone(), format!("trace={call}"), option, rule]
    }
}

/// strace at work on a process that it has not started. When it goes out of scope, the process goes on without it.
#[derive(Debug)]
pub struct Tracer {
    _strace: Background,
}

impl Tracer {
    /// Waits until `point`, counted from now, and then has the fault happen there. With [`Watch::Family`] to the children
    /// that the process makes from now on as well, each by its own count. `log` is a file to be made.
    ///
    /// # Panics
    /// When strace cannot attach.
    #[must_use]
    #[track_caller]
    pub fn inject(point: &Point, fault: Fault, watch: Watch, pid: Pid, log: &Path) -> Self {
        Self::attach(&point.rules(fault, &point.number.to_string()), watch, pid, log)
    }

    fn attach(rules: &[String], watch: Watch, pid: Pid, log: &Path) -> Self {
        let said = log.with_extension("strace");
        fs::remove_file(&said).ok();
        let mut strace = Command::new(programs::tool("strace"));
        strace.args(["-s", "0", "-o"]).arg(log).args(rules);
        if watch == Watch::Family {
            strace.arg("-f");
        }
        let mut strace = Background::start(strace.arg("-p").arg(pid.as_raw_nonzero().to_string()), &said);
        eventually(ATTACH_LIMIT, || {
            let text = fs::read_to_string(&said).unwrap_or_default();
            assert!(strace.is_running(), "strace did not attach: {text}");
            text.contains(" attached").then_some(())
        });
        Self { _strace: strace }
    }
}

/// Lists the calls that a running process makes during `action`, and its children's: as [`calls`].
///
/// # Panics
/// When strace cannot attach or wrote no log.
#[track_caller]
pub fn calls_during(pid: Pid, watch: Watch, log: &Path, action: impl FnOnce()) -> [BTreeMap<String, u32>; 2] {
    let tracer = Tracer::attach(&[], watch, pid, log);
    action();
    drop(tracer);
    let text = fs::read(log).expect("strace wrote its log");
    let program = (watch == Watch::Family).then(|| pid.as_raw_nonzero().to_string());
    count(&String::from_utf8_lossy(&text), program)
}

/// Runs the command and lists the system calls that it made, each name with how often the busiest process called it:
/// the program itself first, its children second.
///
/// # Panics
/// When the command fails.
#[track_caller]
pub fn calls(command: &Command, watch: Watch, log: &Path) -> [BTreeMap<String, u32>; 2] {
    process::run(&mut wrapped(watch, log, command, |_| ())).success();
    let text = fs::read(log).expect("strace wrote its log");
    count(&String::from_utf8_lossy(&text), None)
}

/// Counts the calls in strace's log, those of `program` first; without one, of the first process in it.
fn count(log: &str, mut program: Option<String>) -> [BTreeMap<String, u32>; 2] {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for line in log.lines() {
        // Only with a family to watch does each line begin with a pid.
        let (pid, rest) = match line.split_once(' ') {
            Some((pid, rest)) if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => {
                (pid, rest)
            }
            _ => ("", line),
        };
        let program = program.get_or_insert_with(|| pid.to_owned());
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        // "<... openat resumed>", "+++ exited with 0 +++" and "--- SIGCHLD {…} ---" are no calls.
        if !call.is_empty() && call.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let whose = if *program == pid { String::new() } else { pid.to_owned() };
            *counts.entry((whose, call.to_owned())).or_default() += 1;
        }
    }
    let mut split = [BTreeMap::new(), BTreeMap::new()];
    for ((whose, call), count) in counts {
        let busiest: &mut u32 = split[usize::from(!whose.is_empty())].entry(call).or_default();
        *busiest = count.max(*busiest);
    }
    split
}

/// The command with its own calls logged, for [`count_calls`].
#[must_use]
pub fn logged(command: &Command, log: &Path) -> Command {
    wrapped(Watch::Program, log, command, |_| ())
}

/// How often each call is in a log of [`logged`].
///
/// # Panics
/// When there is no log.
#[must_use]
#[track_caller]
pub fn count_calls(log: &Path) -> BTreeMap<String, u32> {
    let text = fs::read(log).expect("strace wrote its log");
    let [own, _] = count(&String::from_utf8_lossy(&text), None);
    own
}

fn wrapped(watch: Watch, log: &Path, command: &Command, options: impl FnOnce(&mut Command)) -> Command {
    let mut strace = Command::new(programs::tool("strace"));
    strace.args(["-qq", "-s", "0", "-o"]).arg(log);
    if watch == Watch::Family {
        strace.arg("-f");
    }
    options(&mut strace);
    strace.arg(command.get_program()).args(command.get_args()).current_dir("/");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}
