//! Faults by strace: a program killed, or a system call failed, at a chosen call. Counts are each process's own, so that
//! the same point is met again in the next run of the same command. A server that runs already is attached to: then its
//! calls are counted from that moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use crate::eventually::eventually;
use crate::process::{self, Background};
use crate::programs;

/// Calls that only look, wait, or manage the caller's own memory: a kill between two of them is the kill at the next
/// call that changes something.
const HARMLESS: [&str; 64] = [
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
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "sigaltstack",
    "stat",
    "statx",
];

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

    /// The command with this fault at this point; the log tells [`was_injected`] whether it was met.
    #[must_use]
    pub fn inject(&self, fault: Fault, watch: Watch, command: &Command, log: &Path) -> Command {
        self.wrapped(&injection(&self.call, fault, &self.number.to_string()), watch, command, log)
    }

    /// The command with this fault at this point and every later one of the same name.
    #[must_use]
    pub fn inject_from(&self, fault: Fault, watch: Watch, command: &Command) -> Command {
        let every = injection(&self.call, fault, &format!("{}+", self.number));
        self.wrapped(&every, watch, command, Path::new("/dev/null"))
    }

    fn wrapped(&self, injection: &str, watch: Watch, command: &Command, log: &Path) -> Command {
        wrapped(watch, log, command, |strace| {
            strace.args(["-e", &format!("trace={}", self.call), "-e", injection]);
        })
    }
}

/// Whether a call failed by [`Fault::Error`] while strace wrote this log; it does not mark a kill.
#[must_use]
pub fn was_injected(log: &Path) -> bool {
    injected(log).next().is_some()
}

/// Whether one of the calls that failed while strace wrote this log cannot fail in truth: a program's own wake-up of a
/// thread that waits, which is a count in the kernel's memory.
#[must_use]
pub fn was_impossible(log: &Path) -> bool {
    injected(log).any(|line| line.contains("[eventfd]"))
}

fn injected(log: &Path) -> impl Iterator<Item = String> {
    let text = fs::read(log).unwrap_or_default();
    let lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    lines.into_iter().filter(|line| line.contains("(INJECTED)"))
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
    count(&String::from_utf8_lossy(&text))
}

/// Counts the calls in strace's log, those of the first process in it first.
fn count(log: &str) -> [BTreeMap<String, u32>; 2] {
    let mut program: Option<String> = None;
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

/// strace on a program that runs already: on all its threads, and on its children until they become other programs.
#[derive(Debug)]
pub struct Tracer {
    strace: Background,
    log: PathBuf,
}

impl Tracer {
    /// Writes down which calls that change something process `pid` makes, until [`Self::calls`].
    #[must_use]
    #[track_caller]
    pub fn record(pid: Pid, log: &Path) -> Self {
        Self::attach(pid, log, |strace| {
            // Calls that strace does not know are left out.
            strace.args(["-e", &format!("trace=!?{}", HARMLESS.join(",?"))]);
        })
    }

    /// Meets process `pid` with a fault at the point, in each of its threads that gets there.
    #[must_use]
    #[track_caller]
    pub fn inject(pid: Pid, point: &Point, fault: Fault, log: &Path) -> Self {
        Self::attach(pid, log, |strace| {
            strace.args(["-e", &format!("trace={}", point.call)]);
            strace.args(["-e", &injection(&point.call, fault, &point.number.to_string())]);
        })
    }

    #[track_caller]
    fn attach(pid: Pid, log: &Path, options: impl FnOnce(&mut Command)) -> Self {
        let mut strace = Command::new(programs::tool("strace"));
        strace.args(["-f", "-b", "execve", "-qq", "-y", "-s", "0", "-o"]).arg(log);
        options(&mut strace);
        strace.args(["-p", &pid.as_raw_nonzero().to_string()]);
        let mut strace = Background::start(&mut strace, Path::new("/dev/null"));
        eventually(process::DEADLINE, || {
            // A server that had something to do may have met its fault already, and have ended.
            let has_ended = !process::is_alive(pid);
            assert!(strace.is_running() || has_ended, "strace cannot attach to {pid:?}");
            (has_ended || is_traced(pid)).then_some(())
        });
        Self { strace, log: log.to_owned() }
    }

    /// Lets the program go on by itself; whether a call of it failed by an injected error.
    #[must_use]
    pub fn detach(mut self) -> bool {
        if self.strace.is_running() {
            self.strace.stop_or_kill();
        }
        was_injected(&self.log)
    }

    /// Detaches, and returns how often the busiest thread made each call.
    ///
    /// # Panics
    /// When nothing was recorded.
    #[must_use]
    #[track_caller]
    pub fn calls(mut self) -> BTreeMap<String, u32> {
        if self.strace.is_running() {
            self.strace.stop_or_kill();
        }
        busiest_calls(&self.log)
    }
}

/// What starts a server, with what goes before its name: strace beside it, so that the server's pid is the caller's
/// child's. It writes down the calls that change something, as [`Tracer::record`] does.
#[must_use]
pub fn recording(log: &Path) -> Vec<String> {
    beside(log, &[format!("trace=!?{}", HARMLESS.join(",?"))])
}

/// The same for a server that meets this fault.
#[must_use]
pub fn injecting(point: &Point, fault: Fault, log: &Path) -> Vec<String> {
    let injection = injection(&point.call, fault, &point.number.to_string());
    beside(log, &[format!("trace={}", point.call), injection])
}

fn beside(log: &Path, expressions: &[String]) -> Vec<String> {
    let fixed = ["strace", "-D", "-f", "-b", "execve", "-qq", "-s", "0", "-o"].map(str::to_owned);
    let expressions = expressions.iter().flat_map(|text| ["-e".to_owned(), text.clone()]);
    fixed.into_iter().chain([log.display().to_string()]).chain(expressions).collect()
}

/// How often the busiest process or thread in a log made each call.
///
/// # Panics
/// When there is no log.
#[must_use]
#[track_caller]
pub fn busiest_calls(log: &Path) -> BTreeMap<String, u32> {
    let mut busiest: BTreeMap<String, u32> = BTreeMap::new();
    let text = fs::read(log).expect("strace wrote its log");
    for (call, count) in count(&String::from_utf8_lossy(&text)).into_iter().flatten() {
        let most = busiest.entry(call).or_default();
        *most = count.max(*most);
    }
    busiest
}

/// All threads of a process have a tracer.
fn is_traced(pid: Pid) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    tasks.is_ok_and(|tasks| {
        tasks.flatten().all(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        })
    })
}

/// strace's words for a fault at these of a call.
fn injection(call: &str, fault: Fault, when: &str) -> String {
    let what = match fault {
        Fault::Kill => "signal=KILL".to_owned(),
        Fault::Error(name) => format!("error={name}"),
    };
    format!("inject={call}:{what}:when={when}")
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
    let [own, _] = count(&String::from_utf8_lossy(&text));
    own
}

fn wrapped(watch: Watch, log: &Path, command: &Command, options: impl FnOnce(&mut Command)) -> Command {
    let mut strace = Command::new(programs::tool("strace"));
    strace.args(["-qq", "-y", "-s", "0", "-o"]).arg(log);
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
