//! A private knarrd: its --root, --state and cgroups are the test's own. When it goes out of scope, its containers are
//! removed and it is stopped by pid.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;

use crate::deranged::{self, Attribute};
use crate::eventually::eventually;
use crate::knarr::Knarr;
use crate::process::Background;
use crate::programs;
use crate::scratch::Scratch;

/// How long it may take from start to listening, a recovery included.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A running knarrd.
#[derive(Debug)]
pub struct Daemon<'a> {
    scratch: &'a Scratch,
    server: Background,
    /// A program that starts it in a certain way, with its arguments; mostly none.
    starter: Vec<String>,
    flags: Vec<String>,
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(scratch: &'a Scratch) -> Self {
        Self::start_with(scratch, &[])
    }

    /// As [`Self::start`], with more flags.
    #[must_use]
    #[track_caller]
    pub fn start_with(scratch: &'a Scratch, flags: &[&str]) -> Self {
        Self::launched(scratch, &[], flags)
    }

    /// As [`Self::start`], by a program that executes it: `prlimit --nofile=64`, `setpriv …`.
    #[must_use]
    #[track_caller]
    pub fn start_under(scratch: &'a Scratch, starter: &[&str]) -> Self {
        Self::launched(scratch, starter, &[])
    }

    /// As [`Self::start`], by a caller with these attributes.
    #[must_use]
    #[track_caller]
    pub fn start_deranged(scratch: &'a Scratch, attributes: &[Attribute]) -> Self {
        let script = deranged::script(attributes);
        Self::launched(scratch, &["perl", "-e", &script], &[])
    }

    #[track_caller]
    fn launched(scratch: &'a Scratch, starter: &[&str], flags: &[&str]) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (starter, flags) = (owned(starter), owned(flags));
        let mut daemon = Self { scratch, server: launch(scratch, &starter, &flags), starter, flags };
        daemon.await_ready();
        daemon
    }

    /// Its `--root`.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    /// Its `--state`.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state().join("knarrd.sock")
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("knarrd.log")).unwrap_or_default()
    }

    /// The command line that speaks to it.
    #[must_use]
    pub fn knarr(&self) -> Knarr<'a> {
        Knarr::new(self.scratch, &self.socket())
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.server.is_running()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// SIGTERM; it must end well. Its containers go on.
    ///
    /// # Panics
    /// When it does not end, or ends badly.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.server.stop();
        assert!(status.success(), "knarrd ended with {status}:\n{}", self.log());
    }

    /// SIGTERM, and `kill -9` where that does not end it. Returns true when it did.
    pub fn stop_or_kill(&mut self) -> bool {
        self.server.stop_or_kill()
    }

    /// Starts it again on the same directories.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(!self.server.is_running(), "knarrd still runs");
        self.server = launch(self.scratch, &self.starter, &self.flags);
        self.await_ready();
    }

    /// Starts it again on the same directories, by a program that executes it; `false` when it ends before it listens.
    #[track_caller]
    pub fn is_ready_under(&mut self, starter: &[String]) -> bool {
        assert!(!self.server.is_running(), "knarrd still runs");
        self.server = launch(self.scratch, starter, &self.flags);
        self.becomes_ready()
    }

    #[track_caller]
    fn await_ready(&mut self) {
        let is_ready = self.becomes_ready();
        assert!(is_ready, "knarrd ended at once:\n{}", self.log());
    }

    /// Waits until it listens; `false` when it ends before.
    #[track_caller]
    fn becomes_ready(&mut self) -> bool {
        let socket = self.socket();
        eventually(READY_DEADLINE, || match UnixStream::connect(&socket) {
            Ok(_) => Some(true),
            Err(_) => (!self.server.is_running()).then_some(false),
        })
    }
}

fn launch(scratch: &Scratch, starter: &[String], flags: &[String]) -> Background {
    let mut command = match starter {
        [] => scratch.command(programs::ours("knarrd")),
        [program, arguments @ ..] => {
            let mut command = scratch.command(programs::tool(program));
            command.args(arguments).arg(programs::ours("knarrd"));
            command
        }
    };
    command.arg("--root").arg(scratch.directory("root"));
    command.arg("--state").arg(scratch.directory("state"));
    command.args(["--cgroup-parent", &scratch.cgroup_prefix()]).args(flags);
    Background::start(&mut command, &scratch.join("knarrd.log"))
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- knarrd's log\n{}---", self.log());
            return;
        }
        if !self.server.is_running() {
            return;
        }
        let knarr = self.knarr();
        let all = knarr.say(["ps", "--all", "--quiet"]);
        if !all.is_empty() {
            knarr.say(["rm", "--force"].into_iter().chain(all.lines()));
        }
    }
}
