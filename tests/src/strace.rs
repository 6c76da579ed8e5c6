//! Faults by strace: a program killed, or a system call failed, at a chosen call. Counts are each process's own, so that
//! the same point is met again in the next run of the same command.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::process;
use crate::programs;

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
        let what = match fault {
            Fault::Kill => "signal=KILL".to_owned(),
            Fault::Error(name) => format!("error={name}"),
        };
        let call = &self.call;
        wrapped(watch, Path::new("/dev/null"), command, |strace| {
            strace.args(["-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:{what}:when={when}")]);
        })
    }
}

/// Runs the command and lists the system calls that it made, each name with how often the busiest process called it:
/// the program itself first, its children second.
///
/// # Panics
/// When the command fails.
#[track_caller]
pub fn calls(command: &Command, watch: Watch, log: &Path) -> [BTreeMap<String, u32>; 2] {
    process::run(&mut wrapped(watch, log, command, |_| ())).success();
    let text = std::fs::read(log).expect("strace wrote its log");
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut program = None;
    for line in String::from_utf8_lossy(&text).lines() {
        // Only with a family to watch does each line begin with a pid.
        let (pid, rest) = match line.split_once(' ') {
            Some((pid, rest)) if watch == Watch::Family => (pid, rest),
            _ => ("", line),
        };
        let program = program.get_or_insert_with(|| pid.to_owned());
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        // "<... openat resumed>", "+++ exited with 0 +++" and "--- SIGCHLD {…} ---" are no calls.
        if call.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
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
